"""How long the statements of the official command line take beside a million retained results.

`python -m tests.bench.query` makes a database of that many completed invocations and some that are
unfinished, and runs each statement as the query process does. It ends with 1 if one takes longer
than a second.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from steadfaas import ids
from steadfaas.machine.invocation import failure_output
from steadfaas.machine.status import Kind, Status
from steadfaas.query.engine import execute, snapshot
from steadfaas.store.sqlite import FILE_NAME, migrate
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from tests.support import npm

_DEPLOYMENTS = [ids.format_deployment(bytes([number]) * 16) for number in range(1, 6)]
_START = 1_795_400_000_000
_BAR = 1.0  # seconds
_DONE = encode(m.OutputCommand(value=m.Value(content=b'"' + b"x" * 100 + b'"')))
_FAILED = failure_output(409, "no way")
_COLUMNS = (
    "seq, id, status, service, handler, key, kind, deployment, version, created_at, modified_at,"
    " attempt, started_at, entries, completed_at, output, expires_at"
)
_UNFINISHED = (Status.SUSPENDED, Status.BACKING_OFF, Status.PAUSED, Status.PENDING, Status.READY)
_PARTS = "inv.target_service_name IN ('Greeter','Cart')"
_DETAILS = (
    "SELECT inv.id, inv.target, inv.target_service_ty, inv.idempotency_key, inv.status,"
    " inv.created_at, inv.modified_at as state_modified_at, inv.pinned_deployment_id,"
    " inv.retry_count as num_retries, inv.last_failure as last_failure_message,"
    " inv.last_attempt_deployment_id, inv.last_attempt_server, inv.next_retry_at,"
    " inv.last_start_at, inv.invoked_by_id, inv.invoked_by_target, inv.completion_result,"
    " inv.completion_failure, dp.id IS NOT NULL as pinned_deployment_exists FROM sys_invocation inv"
    " LEFT JOIN sys_deployment dp ON dp.id = inv.pinned_deployment_id WHERE inv.id in ({ids})"
    " ORDER BY inv.created_at DESC, inv.id"
)


def main() -> int:
    """Run it; 1 if a statement misses the bar."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.query", description=__doc__)
    parser.add_argument("--retained", type=int, default=1_000_000)
    parser.add_argument("--unfinished", type=int, default=5_000)
    parser.add_argument("--keys", type=int, default=1_000)
    options = parser.parse_args()
    npm.CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=npm.CACHE) as folder:
        path, known = _fill(Path(folder), options)
        return _measure(path, known)


def _fill(folder: Path, options: argparse.Namespace) -> tuple[Path, list[bytes]]:
    path = folder / FILE_NAME
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    migrate(connection)
    connection.execute("BEGIN")
    marks = ", ".join("?" * (_COLUMNS.count(",") + 1))
    known: list[bytes] = []
    rows = _rows(options, known)
    connection.executemany(f"INSERT INTO invocation ({_COLUMNS}) VALUES ({marks})", rows)
    record = '{"uri":"http://a/","adapter":"plain-http","min_version":5,"max_version":6}'
    for number, deployment in enumerate(_DEPLOYMENTS[1:]):
        row = (deployment, _START + number, record)
        connection.execute("INSERT INTO deployment VALUES (?, ?, ?)", row)
    connection.execute("COMMIT")
    connection.close()
    return path, known


def _rows(options: argparse.Namespace, known: list[bytes]) -> Iterator[tuple[Any, ...]]:
    draw = random.Random(1)
    for seq in range(1, options.retained + options.unfinished + 1):
        id = draw.randbytes(24)
        if seq % 50_000 == 0:
            known.append(id)
        keyed = draw.random() < 0.5
        done = seq <= options.retained
        status = Status.COMPLETED if done else draw.choice(_UNFINISHED)
        at = _START + seq
        output = None if not done else _FAILED if draw.random() < 0.05 else _DONE
        yield (
            seq, id, int(status), "Cart" if keyed else "Greeter", draw.choice(("add", "greet")),
            f"key-{draw.randrange(options.keys)}" if keyed else None,
            int(Kind.OBJECT_EXCLUSIVE if keyed else Kind.SERVICE), draw.choice(_DEPLOYMENTS), 6, at,
            at + 5, 1, at, 3, at + 5 if done else None, output,
            at + 86_400_000 if done else None,
        )  # fmt: skip


def _statements(known: list[bytes]) -> dict[str, str]:
    some = ",".join(f"'{ids.format_invocation(id)}'" for id in known)
    count = "SELECT COUNT(1) FROM (SELECT * FROM sys_invocation inv LIMIT 50000) "
    newest = "SELECT id FROM sys_invocation inv {} ORDER BY inv.created_at DESC, inv.id LIMIT 100"
    oldest = newest.replace("DESC", "ASC")
    pinned = f"pinned_deployment_id = '{_DEPLOYMENTS[1]}' AND status != 'completed'"
    failed = "WHERE status = 'completed' AND inv.completion_result = 'failure'"
    zombie = (
        "WHERE (inv.pinned_deployment_id IS NOT NULL AND inv.pinned_deployment_id NOT IN"
        " (select id from sys_deployment)) AND status != 'completed'"
    )
    at_deployment = (
        f"WHERE (inv.pinned_deployment_id IN ('{_DEPLOYMENTS[1]}') OR"
        f" inv.last_attempt_deployment_id IN ('{_DEPLOYMENTS[1]}')) AND status != 'completed'"
    )
    look_up = "SELECT id, target FROM sys_invocation_status WHERE {} LIMIT 500"
    by_handler = (
        "SELECT target_service_name, target_handler_name, status, COUNT(1) as num_invocations,"
        " MIN(created_at) as oldest_at, FIRST_VALUE(id ORDER BY created_at ASC) as"
        " oldest_invocation FROM sys_invocation WHERE target_service_name IN ('Greeter','Cart')"
        " GROUP BY target_service_name, target_handler_name, status ORDER BY target_handler_name"
    )
    by_key = (
        "SELECT target_service_name as service_name, target_service_key as service_key, status as"
        " invocation_status, first_value(id) as invocation_holding_lock,"
        " first_value(target_handler_name) as invocation_method_holding_lock,"
        " first_value(created_at) as invocation_created_at, first_value(modified_at) as"
        " modified_at, first_value(pinned_deployment_id) as pinned_deployment_id,"
        " first_value(last_attempt_deployment_id) as last_attempt_deployment_id,"
        " first_value(last_failure) as last_failure_message, first_value(next_retry_at) as"
        " next_retry_at, first_value(last_start_at) as last_start_at, 0 as num_pending,"
        " sum(retry_count) as num_retries FROM sys_invocation WHERE status != 'pending' AND"
        " target_service_name IN ('Cart') GROUP BY target_service_name, target_service_key, status"
    )
    return {
        "list: count": f"{count}WHERE status != 'completed'",
        "list: count, a service": f"{count}WHERE {_PARTS} AND status != 'completed'",
        "list --all: count": count,
        "list: ids": newest.format("WHERE status != 'completed'"),
        "list --all: ids": newest.format(""),
        "list --all --oldest-first: ids": oldest.format(""),
        "list --all --service: ids": newest.format(f"WHERE {_PARTS}"),
        "list --all --handler: ids": newest.format("WHERE inv.target_handler_name IN ('add')"),
        "list --all --key: ids": newest.format("WHERE inv.target_service_key IN ('key-7')"),
        "list --status completed: ids": newest.format("WHERE status IN ('completed')"),
        "list --completion-result failure: ids": newest.format(failed),
        "list --zombie: ids": newest.format(zombie),
        "list --deployment: ids": newest.format(at_deployment),
        "list: details": _DETAILS.format(ids=some),
        "describe: journal": "SELECT sj.index, sj.entry_type, sj.version, sj.entry_json FROM"
        f" sys_journal sj WHERE sj.id = {some.split(',')[0]} ORDER BY index DESC LIMIT 100",
        "purge Greeter: look-up": look_up.format(
            "target LIKE 'Greeter/%' AND status = 'completed'"
        ),
        "purge nobody: look-up": look_up.format("target LIKE 'Nobody/%' AND status = 'completed'"),
        "purge Cart/key-7: look-up": look_up.format(
            "((target = 'Cart/key-7' AND target_service_ty = 'service') OR (target LIKE"
            " 'Cart/key-7/%' AND target_service_ty != 'service')) AND status = 'completed'"
        ),
        "purge Cart/key-7/add: look-up": look_up.format(
            "target LIKE 'Cart/key-7/add' AND status = 'completed'"
        ),
        "cancel Greeter: look-up": look_up.format(
            "target LIKE 'Greeter/%' AND status != 'completed'"
        ),
        "deployments --extra: count": f"SELECT COUNT(1) FROM sys_invocation_status WHERE {pinned}",
        "deployments describe --extra": "SELECT target_service_name as service, target_handler_name"
        f" as handler, COUNT(1) AS inv_count FROM sys_invocation_status WHERE {pinned}"
        " GROUP BY pinned_deployment_id, target_service_name, target_handler_name",
        "services status: handlers": by_handler,
        "services status: keys": by_key,
        "sql: by status": "SELECT status, count(*) FROM sys_invocation GROUP BY status",
    }


def _measure(path: Path, known: list[bytes]) -> int:
    table = Table("statement", "rows", "s")
    worst = 0.0
    for name, statement in _statements(known).items():
        began = time.perf_counter()
        with snapshot(path) as connection:
            rows = execute(connection, statement, max_rows=1_000_000).num_rows
        took = time.perf_counter() - began
        worst = max(worst, took)
        table.add_row(name, str(rows), f"{took:.3f}", style="red" if took > _BAR else "")
    Console(width=100).print(table)
    return int(worst > _BAR)


if __name__ == "__main__":
    sys.exit(main())
