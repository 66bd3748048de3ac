"""Databases for tests of the SQL surface: random invocations in every status."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import failure_output
from steadfaas.machine.status import Kind, Status
from steadfaas.store.invocations import SPAN
from steadfaas.store.sqlite import FILE_NAME, migrate
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.messages import MessageType

SERVICES = {"Greeter": Kind.SERVICE, "Gre_ter": Kind.SERVICE, "Cart": Kind.OBJECT_EXCLUSIVE}
HANDLERS = ("greet", "other")
KEYS = ("alice", "bob/2", "cä")
DEPLOYMENTS = tuple(f"dp_1{number:022d}" for number in range(3))
_START = 1_795_400_000_000
_DONE = encode(m.OutputCommand(value=m.Value(content=b'"done"')))


def populate(folder: Path, *, seed: int, size: int) -> tuple[Path, list[bytes]]:
    """A database with `size` random invocations, and their ids."""
    draw = random.Random(seed)
    path = folder / FILE_NAME
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection)
    connection.execute("BEGIN")
    ids = [draw.randbytes(24) for _ in range(size)]
    for seq, id in enumerate(ids, 1):
        _insert(connection, draw, seq, id)
    for number, deployment in enumerate(DEPLOYMENTS[:2]):
        connection.execute(
            "INSERT INTO deployment VALUES (?, ?, ?)",
            (deployment, _START + number, '{"uri":"http://a/","adapter":"plain-http",'
             '"min_version":5,"max_version":6}'),
        )  # fmt: skip
    connection.execute("COMMIT")
    connection.close()
    return path, ids


def _insert(connection: sqlite3.Connection, draw: random.Random, seq: int, id: bytes) -> None:
    status = draw.choice([*Status, *[Status.COMPLETED] * 6])
    service = draw.choice(list(SERVICES))
    kind = SERVICES[service]
    created = _START + draw.randrange(50)  # many at the same time
    begun = status not in (Status.SCHEDULED, Status.PENDING)
    due = status in (Status.SCHEDULED, Status.BACKING_OFF, Status.SUSPENDED)
    failure = FailureRecord("RT0007", 500, "broken", created, 2).to_json()
    row = {
        "seq": seq, "id": id, "status": int(status), "service": service,
        "handler": draw.choice(HANDLERS),
        "key": None if kind is Kind.SERVICE else draw.choice(KEYS), "kind": int(kind),
        "deployment": draw.choice(DEPLOYMENTS) if begun else None,
        "version": 6 if begun else None, "created_at": created,
        "modified_at": created + draw.randrange(9), "attempt": draw.randrange(1, 4) if begun else 0,
        "started_at": created + 1 if begun else 0, "retry_count": draw.randrange(3),
        "due_at": created + 1000 if due else None,
        "failure": failure if status in (Status.BACKING_OFF, Status.PAUSED) else None,
        "invoked_by": draw.choice([None, draw.randbytes(24)]),
        "completion_retention": 86_400_000,
    }  # fmt: skip
    if status is Status.COMPLETED:
        row["output"] = draw.choice([_DONE, _DONE, failure_output(409, "no way")])
        row["completed_at"] = created + 5
        row["expires_at"] = created + 86_400_000
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO invocation ({names}) VALUES ({marks})", [*row.values()])
    connection.execute(
        "INSERT INTO journal (pos, type, payload, at) VALUES (?, ?, x'', ?)",
        (seq * SPAN, int(MessageType.INPUT), created),
    )
    if status is Status.PENDING or (
        begun and kind is Kind.OBJECT_EXCLUSIVE and draw.random() < 0.2
    ):
        connection.execute(
            "INSERT INTO inbox VALUES (?, ?, ?, ?)", (service, row["key"] or "", seq, seq)
        )
