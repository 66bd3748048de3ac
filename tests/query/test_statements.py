"""Statements over a real database: what the official command line asks, and random ones.

What is read for a statement is as little as its plan allows. The same statement over everything
must give the same answer: that is the judge here.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

from steadfaas import ids
from steadfaas.query.engine import QueryFailed, execute, run, snapshot
from steadfaas.query.schemas import SCHEMAS
from steadfaas.store.sqlite import migrate
from tests.query.filled import DEPLOYMENTS, World, fill, waits
from tests.query.statements import Statement, Statements

SIZE = 1000
_MOST = 100_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return fill(tmp_path_factory.mktemp("query"), size=SIZE)


@pytest.fixture
def connection(world: World) -> Iterator[sqlite3.Connection]:
    with snapshot(world.path) as opened:
        yield opened


def rows(table: pa.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def same(connection: sqlite3.Connection, statement: str, *, ordered: bool = False) -> pa.Table:
    """The answer, which must be the one over everything."""
    sharp = execute(connection, statement, max_rows=_MOST)
    whole = execute(connection, statement, max_rows=_MOST, sharp=False)
    assert sharp.schema.equals(whole.schema), statement
    if ordered:
        assert rows(sharp) == rows(whole), statement
    else:
        assert _bag(sharp) == _bag(whole), statement
    return sharp


def _bag(table: pa.Table) -> Counter[str]:
    return Counter(repr(row) for row in rows(table))


# --- what waits for a version ------------------------------------------------------------------


def test_only_what_has_a_date_tells_when_it_starts(
    world: World, connection: sqlite3.Connection
) -> None:
    asked = "SELECT id FROM sys_invocation WHERE status = 'scheduled' AND scheduled_start_at IS "
    scheduled = world.having(status="scheduled")
    for word, waiting in (("NULL", True), ("NOT NULL", False)):
        expected = {fact.id for fact in scheduled if waits(fact.seq) is waiting}
        assert expected
        assert {row["id"] for row in rows(same(connection, asked + word))} == expected


# --- what the official command line asks -------------------------------------------------------

_COUNT = "SELECT COUNT(1) FROM (SELECT * FROM sys_invocation inv LIMIT 50000) WHERE "
_LISTS = [
    "inv.target_service_name IN ('Shop','Cart')",
    "inv.target_handler_name IN ('buy') AND status != 'completed'",
    "inv.target_service_key IN ('k')",
    "inv.target_service_name IN (select name from sys_service where ty = 'virtual_object')",
    "(inv.pinned_deployment_id IS NOT NULL AND inv.pinned_deployment_id NOT IN"
    " (select id from sys_deployment))",
    f"(inv.pinned_deployment_id IN ('{DEPLOYMENTS[1]}') OR inv.last_attempt_deployment_id IN"
    f" ('{DEPLOYMENTS[1]}')) AND status != 'completed'",
    "status = 'completed' AND inv.completion_result = 'failure'",
    "status IN ('suspended','paused')",
]


@pytest.mark.parametrize("where", _LISTS)
def test_lists_of_the_official_command_line(connection: sqlite3.Connection, where: str) -> None:
    same(connection, _COUNT + where)
    for order in ("DESC", "ASC"):
        newest = same(
            connection,
            f"SELECT id FROM sys_invocation inv WHERE {where}"
            f" ORDER BY inv.created_at {order}, inv.id LIMIT 20",
            ordered=True,
        )
    newest_ids = [row["id"] for row in rows(newest)] or [ids.format_invocation(bytes(24))]
    found = ",".join(f"'{id}'" for id in newest_ids)
    same(
        connection,
        "SELECT inv.id, inv.target, inv.target_service_ty, inv.status, inv.created_at,"
        " inv.modified_at as state_modified_at, inv.pinned_deployment_id, inv.retry_count as"
        " num_retries, inv.last_failure as last_failure_message, inv.next_retry_at,"
        " inv.last_start_at, inv.invoked_by_id, inv.completion_result, inv.completion_failure,"
        " dp.id IS NOT NULL as pinned_deployment_exists FROM sys_invocation inv LEFT JOIN"
        f" sys_deployment dp ON dp.id = inv.pinned_deployment_id WHERE {where} AND inv.id in"
        f" ({found}) ORDER BY inv.created_at DESC, inv.id",
        ordered=True,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT target_service_name, target_handler_name, 'pending' as status, COUNT(1) as n,"
        " MIN(created_at) as oldest_at FROM sys_invocation_status WHERE status == 'inboxed'"
        " AND target_service_name IN ('Shop','Cart') GROUP BY target_service_name,"
        " target_handler_name",
        "SELECT target_service_name, target_handler_name, status, COUNT(1) as n, MIN(created_at)"
        " as oldest_at FROM sys_invocation WHERE target_service_name IN ('Cart') GROUP BY"
        " target_service_name, target_handler_name, status",
        "SELECT service_name, service_key, COUNT(1) as num_pending FROM sys_inbox WHERE"
        " service_name IN ('Cart') GROUP BY service_name, service_key",
        "SELECT target_service_key, status, sum(retry_count) FROM sys_invocation WHERE"
        " status != 'pending' AND target_service_name IN ('Cart') GROUP BY target_service_key,"
        " status",
        f"SELECT COUNT(1) AS c FROM sys_invocation_status WHERE pinned_deployment_id ="
        f" '{DEPLOYMENTS[0]}' AND status != 'completed'",
        "SELECT id, target FROM sys_invocation_status WHERE target LIKE 'my_shop/%' AND"
        " status != 'completed'",
        "SELECT id, target FROM sys_invocation_status WHERE ((target = 'Cart/k' AND"
        " target_service_ty = 'service') OR (target LIKE 'Cart/k/%' AND target_service_ty !="
        " 'service')) AND status = 'completed'",
        "SELECT id, index, entry_type, appended_at FROM sys_journal ORDER BY index DESC",
    ],
)
def test_groups_and_look_ups(connection: sqlite3.Connection, statement: str) -> None:
    assert same(connection, statement).num_rows


def test_the_first_of_a_group_is_its_oldest(connection: sqlite3.Connection) -> None:
    found = rows(
        execute(
            connection,
            "SELECT status, MIN(created_at) as at, FIRST_VALUE(id ORDER BY created_at ASC) as id,"
            " COUNT(*) as n FROM sys_invocation WHERE target_service_name = 'Cart' GROUP BY status",
            max_rows=_MOST,
        )
    )
    every = rows(
        execute(
            connection,
            "SELECT id, status, created_at FROM sys_invocation WHERE target_service_name = 'Cart'",
            max_rows=_MOST,
            sharp=False,
        )
    )
    for row in found:
        group = [one for one in every if one["status"] == row["status"]]
        oldest = min(one["created_at"] for one in group)
        assert (row["n"], row["at"]) == (len(group), oldest)
        assert row["id"] in [one["id"] for one in group if one["created_at"] == oldest]


_CROWD = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40000)
INSERT INTO invocation (seq, id, status, service, handler, key, kind, deployment, created_at,
    modified_at, output)
SELECT n, randomblob(24), iif(n % 40 = 0, 5, 100), iif(n % 3, 'Cart', 'Shop'),
    iif(n % 40 < 39, 'add', 'get'), iif(n % 3, nullif('key-' || (n % 7), 'key-0'), NULL),
    iif(n % 3, 1, 0), iif(n % 5, 'dp_a', NULL), 1000000 + (n * 7919) % 40000, 0, x'72'
FROM numbers
"""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Tens of thousands of completed ones, in groups that differ much in size; 0 is no absence."""
    path = tmp_path_factory.mktemp("crowd") / "steadfaas.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection)
        connection.execute(_CROWD)
        connection.execute("UPDATE invocation SET key = '0' WHERE key = 'key-3'")
    return World(path)


@pytest.mark.parametrize("where", ["", "WHERE target_service_name IN ('Cart', 'nobody')"])
@pytest.mark.parametrize(
    "what",
    [
        # The official command line's: services status.
        "target_service_name, target_handler_name, status, COUNT(1) as n, MIN(created_at) as at,"
        " FIRST_VALUE(created_at ORDER BY created_at ASC) as oldest",
        "target_service_name, target_service_key, status, sum(retry_count) as retries",
        "target_handler_name, count(*), max(created_at), min(created_at)",
        "status, count(target_service_key)",
        "target_service_key, pinned_deployment_id",
        "target_service_key, count(*), max(created_at)",
        "min(status)",
    ],
)
def test_groups_of_very_many(crowd: World, what: str, where: str) -> None:
    keys = ", ".join(name for name in what.split(", ") if "(" not in name)
    by = f"GROUP BY {keys}" if keys else ""
    with snapshot(crowd.path) as connection:
        found = same(connection, f"SELECT {what} FROM sys_invocation {where} {by}")
    assert found.num_rows


def test_a_group_takes_what_it_needs_from_one_row_of_many(crowd: World) -> None:
    """Which row that is may differ; it is of the group."""
    statement = (
        "SELECT target_service_key as key, first_value(id) as id, first_value(target) as target"
        " FROM sys_invocation WHERE status = 'completed' GROUP BY target_service_key"
    )
    with snapshot(crowd.path) as connection:
        found = rows(execute(connection, statement, max_rows=_MOST))
        whole = "SELECT id, target_service_key, target FROM sys_invocation"
        every = rows(execute(connection, whole, max_rows=_MOST, sharp=False))
    known = {row["id"]: row for row in every}
    assert len(found) == len({row["target_service_key"] for row in every})
    for row in found:
        one = known[row["id"]]
        assert (row["key"], row["target"]) == (one["target_service_key"], one["target"])


# --- random statements -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_statements(connection: sqlite3.Connection, world: World, seed: int) -> None:
    statements = Statements(world, seed)
    for _ in range(15):
        statement = statements.next()
        if statement.kind == "some":
            _any_so_many(connection, statement)
        else:
            same(connection, statement.text, ordered=statement.kind == "sequence")


def _any_so_many(connection: sqlite3.Connection, statement: Statement) -> None:
    """A limit without an order: whichever rows come, they are of the answer, and as many."""
    sharp = execute(connection, statement.text, max_rows=_MOST)
    whole = execute(connection, statement.text, max_rows=_MOST, sharp=False)
    every = execute(connection, statement.all, max_rows=_MOST, sharp=False)
    assert sharp.num_rows == whole.num_rows, statement.text
    assert not _bag(sharp) - _bag(every), statement.text


# --- all tables, and what is refused -----------------------------------------------------------


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_table_has_its_columns_in_their_types(
    connection: sqlite3.Connection, table: str
) -> None:
    found = execute(connection, f"SELECT * FROM {table}", max_rows=_MOST)
    assert found.schema.names == SCHEMAS[table].names
    assert found.schema.types == SCHEMAS[table].types


@pytest.mark.parametrize(
    "statement",
    [
        "SELEC 1", "DROP TABLE state", "INSERT INTO state VALUES (1)", "DELETE FROM state",
        "CREATE TABLE a AS SELECT 1", "SET a = 1", "SELECT 1; SELECT 2", "SELECT * FROM nope",
        "COPY state TO '/tmp/x.csv'", "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc'",
        "SELECT * FROM '/etc/passwd'", "SELECT id FROM sys_invocation WHERE id = 'inv_bad'",
        "SELECT * FROM read_csv('/etc/passwd')", "", "SELECT nope FROM state",
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(world: World, statement: str) -> None:
    with pytest.raises(QueryFailed) as refused:
        run(world.path, statement, max_rows=10)
    assert refused.value.status == 400
    with closing(sqlite3.connect(world.path)) as connection:
        assert connection.execute("SELECT count(*) FROM invocation").fetchone() == (SIZE,)


def test_more_rows_than_allowed_is_an_error_and_no_part(
    world: World,
) -> None:
    with pytest.raises(QueryFailed, match="LIMIT"):
        run(world.path, "SELECT id FROM sys_invocation", max_rows=SIZE - 1)
    assert run(world.path, "SELECT id FROM sys_invocation", max_rows=SIZE).num_rows == SIZE
