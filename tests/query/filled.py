"""A database with invocations in every state, and what is true of them, worked out here."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from steadfaas import ids
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import Invocation, failure_output
from steadfaas.machine.status import Kind, Status
from steadfaas.store import deployments, invocations, keys
from steadfaas.store.deployments import DeploymentRow, RevisionRow
from steadfaas.store.sqlite import migrate
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.jsonshape import encode as to_json
from steadfaas.wire.manifest import service_to_json
from steadfaas.wire.messages import MessageType as T
from steadfaas.wire.services import HandlerKind, HandlerManifest, ServiceManifest, ServiceType

NOW: Final = 1_767_000_000_000
DAY: Final = 86_400_000
DEPLOYMENTS: Final = [ids.format_deployment(bytes([number]) * 16) for number in range(1, 5)]
GONE: Final = ids.format_deployment(bytes([9]) * 16)

# Names that a careless LIKE, comparison or decomposition of a target gets wrong.
KEYS: Final = ["k", "K", "", "a/b", "a_b", "100%", "x\ny", "nul\0end", "[k]", "ü", "k*"]
PLAIN: Final = {"Shop": ["buy", "sell"], "my_shop": ["buy"], "myXshop": ["buy"], "shop": ["buy"]}
OBJECTS: Final = {"Cart": ["add", "get"], "Ca": ["add"]}
WORKFLOWS: Final = {"Signup": ["run", "status"]}


@dataclass(slots=True)
class Fact:
    """An invocation as we know it without any SQL."""

    seq: int
    id: str
    status: str
    service: str
    handler: str
    key: str | None
    kind: Kind
    deployment: str | None
    created_at: int
    result: str | None = None
    entries: int = 1

    @property
    def target(self) -> str:
        """As it is written."""
        parts = [self.service, *([] if self.key is None else [self.key]), self.handler]
        return "/".join(parts)

    @property
    def stage(self) -> str:
        """`sys_invocation_status.status`."""
        invoked = ("ready", "running", "backing-off")
        renamed = {"pending": "inboxed", **dict.fromkeys(invoked, "invoked")}
        return renamed.get(self.status, self.status)


@dataclass(slots=True)
class World:
    """A database file, and the truth about it."""

    path: Path
    facts: list[Fact] = field(default_factory=list)

    def having(self, **values: Any) -> list[Fact]:
        """The facts with these values."""
        return [
            fact
            for fact in self.facts
            if all(getattr(fact, name) == value for name, value in values.items())
        ]


def fill(folder: Path, *, size: int = 300, seed: int = 1) -> World:
    """Make a database of that many invocations, the same for the same seed."""
    world = World(folder / "steadfaas.db")
    connection = sqlite3.connect(world.path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection)
    connection.execute("BEGIN")
    chance = random.Random(seed)
    _register(connection)
    for seq in range(1, size + 1):
        world.facts.append(_store(connection, _invented(chance, seq), chance))
    _key_things(connection)
    connection.execute("COMMIT")
    connection.close()
    return world


# --- what is registered ------------------------------------------------------------------------


def _register(tx: sqlite3.Connection) -> None:
    for number, id in enumerate(DEPLOYMENTS):
        record = {
            "uri": f"http://svc{number}.example:9080/",
            "min_version": 5,
            "max_version": 6,
            "sdk_version": f"restate-sdk-python/1.{number}.0",
            "adapter": "aws-lambda" if number == 3 else "plain-http",
        }
        row = DeploymentRow(id, NOW - DAY + number, to_json(record))
        revisions = [
            RevisionRow(manifest.name, number + 1, id, service_to_json(manifest))
            for manifest in _manifests()
        ]
        deployments.insert(tx, row, revisions)


def _manifests() -> list[ServiceManifest]:
    kinds = [
        (PLAIN, ServiceType.SERVICE, HandlerKind.SERVICE),
        (OBJECTS, ServiceType.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE),
        (WORKFLOWS, ServiceType.WORKFLOW, HandlerKind.WORKFLOW),
    ]
    return [
        ServiceManifest(
            name=name, type=type, handlers=tuple(HandlerManifest(h, kind) for h in handlers)
        )
        for services, type, kind in kinds
        for name, handlers in services.items()
    ]


# --- invocations -------------------------------------------------------------------------------


def _invented(chance: random.Random, seq: int) -> Invocation:
    table, kinds = chance.choice(
        [
            (PLAIN, [Kind.SERVICE]),
            (OBJECTS, [Kind.OBJECT_EXCLUSIVE, Kind.OBJECT_SHARED]),
            (WORKFLOWS, [Kind.WORKFLOW_RUN, Kind.WORKFLOW_SHARED]),
        ]
    )
    service = chance.choice(list(table))
    kind = chance.choice(kinds)
    caller = chance.random() < 0.2
    made = Invocation(
        seq=seq,
        id=chance.randbytes(24),
        service=service,
        handler=chance.choice(table[service]),
        key=None if kind is Kind.SERVICE else chance.choice(KEYS),
        kind=kind,
        status=chance.choice([*list(Status), *[Status.COMPLETED] * 8]),
        # Some were accepted in the same millisecond; some out of order.
        created_at=NOW + chance.randrange(0, 200),
        idempotency_key=chance.choice([None, f"order-{seq}"]),
        invoked_by=chance.randbytes(24) if caller else None,
        invoked_by_target="Signup/a/b/run" if caller else None,
        restarted_from=chance.randbytes(24) if chance.random() < 0.1 else None,
        completion_retention=DAY,
        journal_retention=chance.choice([DAY, 0]),
    )
    made.begin_with(int(T.INPUT), encode(m.InputCommand(value=m.Value(content=b"in"))))
    return made


def _store(tx: sqlite3.Connection, inv: Invocation, chance: random.Random) -> Fact:
    status = inv.status
    if status >= Status.RUNNING or (status is Status.READY and chance.random() < 0.5):
        _start(inv, chance)
    if status is Status.SCHEDULED:
        inv.due_at = inv.created_at + 1000
    if status is Status.SUSPENDED:
        inv.awaits = encode(m.Suspension(waiting_completions=[1, 2], waiting_signals=[17, 1]))
    if status in (Status.BACKING_OFF, Status.PAUSED):
        _fail(inv, chance)
    invocations.insert(tx, inv)
    if status is Status.SCHEDULED and waits(inv.seq):
        inv.wants, inv.wants_until = "git:1", inv.due_at
        invocations.want(tx, inv)
    if inv.attempt:
        _run_step(tx, inv)
    result = None
    if status is Status.COMPLETED:
        result = _complete(tx, inv, chance)
    else:
        invocations.save(tx, inv, inv.modified_at)
    if status is Status.PENDING and inv.kind is Kind.OBJECT_EXCLUSIVE:
        keys.join_line(tx, inv.service, inv.key or "", inv.seq, inv.seq)
    return Fact(
        inv.seq, ids.format_invocation(inv.id), _word(status), inv.service, inv.handler, inv.key,
        inv.kind, inv.deployment, inv.created_at, result, len(inv.journal),
    )  # fmt: skip


def waits(seq: int) -> bool:
    """Whether one that is scheduled waits for a version."""
    return seq % 3 == 0


def _word(status: Status) -> str:
    return status.name.lower().replace("_", "-")


def _start(inv: Invocation, chance: random.Random) -> None:
    inv.deployment = chance.choice([*DEPLOYMENTS, GONE])
    inv.version = 6
    inv.attempt = chance.choice([1, 3])
    inv.started_at = inv.created_at + 5


def _fail(inv: Invocation, chance: random.Random) -> None:
    inv.failures = inv.retry_count = chance.choice([1, 4])
    inv.due_at = inv.created_at + 9000 if inv.status is Status.BACKING_OFF else None
    code = chance.choice([500, 570, 404])
    inv.failure = FailureRecord(
        "RT0016" if code == 570 else "RT0007", code, "it broke", inv.created_at, inv.attempt,
        inv.deployment, 1, "charge", "Run",
    )  # fmt: skip


def _run_step(tx: sqlite3.Connection, inv: Invocation) -> None:
    step = encode(m.RunCommand(result_completion_id=1, name="charge"))
    done = encode(m.Completion(completion_id=1, value=m.Value(content=b'"ok"')))
    for frame_type, payload in ((T.RUN, step), (T.RUN_COMPLETION, done)):
        index = len(inv.journal)
        inv.journal.append((int(frame_type), payload))
        invocations.append(tx, inv.seq, index, int(frame_type), payload, inv.created_at + index)
    inv.modified_at = inv.created_at + 6
    if inv.attempt > 1:
        tx.execute(
            "INSERT INTO attempt VALUES (?, ?, ?, ?, ?)",
            (inv.seq * invocations.SPAN + 1, inv.deployment, inv.created_at + 1, 0, "RT0007"),
        )


def _complete(tx: sqlite3.Connection, inv: Invocation, chance: random.Random) -> str:
    failed = chance.random() < 0.2
    if failed:
        inv.output = failure_output(409, "no way")
    elif chance.random() < 0.2:
        # Another writer of the same message may well begin with its name.
        value = encode(m.OutputCommand(value=m.Value(content=b'"fine"')))
        inv.output = b"\x62\x03out" + value
    else:
        inv.output = encode(m.OutputCommand(value=m.Value(content=b'"fine"')))
    inv.journal.append((int(T.OUTPUT), inv.output))
    invocations.complete(tx, inv, inv.created_at + 50)
    return "failure" if failed else "success"


# --- what keys have ----------------------------------------------------------------------------


def _key_things(tx: sqlite3.Connection) -> None:
    for key in KEYS:
        keys.set_state(tx, "Cart", key, b"n", b"42")
        keys.set_state(tx, "Cart", key, b"\xff\xfe", b"\x00\xff")
    value = encode(m.Value(content=b'"yes"'))
    keys.complete_promise(tx, "Signup", "k", "email", failure=False, payload=value)
    failure = encode(m.Failure(code=409, message="no"))
    keys.complete_promise(tx, "Signup", "k", "sms", failure=True, payload=failure)
    keys.await_promise(tx, "Signup", "k", "clicked", 1, 1)
    keys.await_promise(tx, "Signup", "k", "clicked", 2, 1)
