"""Runs one statement over one state of the database: DataFusion's SQL, SQLite's rows.

The statement is planned twice. First over empty tables: the plan tells which columns of which rows
it wants (`plans`), and those are read (`tables`). Then over tables that hold what was read, where
it runs as if they held everything: whatever was read too much of, it filters, sorts and cuts
itself. So an answer never depends on how well the first plan was understood.

Nothing here can write. SQLite's connection is a read-only one and sees one snapshot. DataFusion is
given tables in memory, may define and change nothing, and knows no function that opens a file.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pyarrow as pa
from datafusion import (
    DataFrame,
    RuntimeEnvBuilder,
    SessionConfig,
    SessionContext,
    SQLOptions,
)

from steadfaas.query import functions, invocations, journals, keyed, plans, registered
from steadfaas.query.columns import QueryFailed
from steadfaas.query.schemas import SCHEMAS, VIEW
from steadfaas.query.tables import Reading, Table
from steadfaas.query.wants import Want

__all__ = ["QueryFailed", "execute", "run", "snapshot"]

TABLES: Final = {
    **{name: Table(name, schema) for name, schema in SCHEMAS.items()},
    **{
        table.name: table
        for module in (invocations, journals, keyed, registered)
        for table in module.TABLES
    },
}
_READ_ONLY: Final = (
    SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
)
_CACHE_KIB: Final = 65_536
_PREFIX: Final = "DataFusion error: "
_OUT_OF_MEMORY: Final = "Resources exhausted"


def run(database: Path, statement: str, *, max_rows: int, memory: int | None = None) -> pa.Table:
    """The result of one statement over the database as it is now. Raises QueryFailed.

    `memory` is what sorting, grouping and joining may use, in bytes; beyond it, the refusal has a
    MemoryError as its cause.
    """
    try:
        with snapshot(database) as connection:
            return execute(connection, statement, max_rows=max_rows, memory=memory)
    except sqlite3.Error as error:
        raise QueryFailed(
            f"the database cannot be read: {error}; try again, and report it if it stays",
            status=500,
        ) from error


@contextmanager
def snapshot(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, and sees what is committed now until it is closed."""
    address = f"file:{quote(str(database))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA temp_store = MEMORY")  # temporary tables are no files
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        functions.install(connection)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield connection


def execute(
    connection: sqlite3.Connection,
    statement: str,
    *,
    max_rows: int,
    memory: int | None = None,
    sharp: bool = True,
) -> pa.Table:
    """The result of one statement. Raises QueryFailed, also for more than `max_rows` rows.

    Without `sharp`, all rows of each table are read; the result is the same.
    """
    with _translated():
        plan = _planned(_session({}, memory), statement).optimized_logical_plan()
        wanted = plans.wants(plan) if sharp else plans.everything(plan)
    batches = _read(connection, wanted)
    with _translated():
        return _collected(_planned(_session(batches, memory), statement), max_rows)


def _read(
    connection: sqlite3.Connection, wanted: Iterable[Want]
) -> dict[str, list[pa.RecordBatch]]:
    by_table: defaultdict[str, list[Want]] = defaultdict(list)
    for want in wanted:
        by_table[want.table].append(want)
    read: dict[str, list[pa.RecordBatch]] = {}
    for name, wants in by_table.items():
        columns = {column for want in wants for column in want.columns}
        read[name] = list(Reading(connection, TABLES[name], TABLES, columns).read(wants))
    return read


# --- DataFusion --------------------------------------------------------------------------------


def _session(batches: dict[str, list[pa.RecordBatch]], memory: int | None) -> SessionContext:
    """DataFusion with all our tables, holding these rows."""
    config = (
        SessionConfig()
        .with_create_default_catalog_and_schema(True)
        .with_default_catalog_and_schema("restate", "public")
        .with_information_schema(True)
        .with_target_partitions(1)
    )
    runtime = RuntimeEnvBuilder().with_disk_manager_disabled()
    if memory is not None:
        runtime = runtime.with_greedy_memory_pool(memory)
    session = SessionContext(config, runtime)
    for name, table in TABLES.items():
        rows = batches.get(name) or [pa.RecordBatch.from_pylist([], table.schema)]
        session.register_record_batches(name, [rows])
    view = session.table(VIEW)
    session.deregister_table(VIEW)
    session.register_view(VIEW, view)
    return session


def _planned(session: SessionContext, statement: str) -> DataFrame:
    return session.sql_with_options(statement, _READ_ONLY)


def _collected(frame: DataFrame, max_rows: int) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    rows = 0
    for batch in frame.execute_stream():
        batches.append(batch.to_pyarrow())
        rows += batches[-1].num_rows
        if rows > max_rows:
            raise QueryFailed(
                f"the result has more than {max_rows} rows (setting query_max_rows); add a LIMIT"
            )
    return pa.Table.from_batches(batches, batches[0].schema if batches else frame.schema())


@contextmanager
def _translated() -> Iterator[None]:
    """DataFusion's errors, of which there is but one class, as refusals of the statement."""
    try:
        yield
    except (QueryFailed, sqlite3.Error):
        raise
    except Exception as error:
        text = str(error).removeprefix(_PREFIX)
        short = MemoryError(text) if text.startswith(_OUT_OF_MEMORY) else None
        raise QueryFailed(text) from short or error
