"""The named queries as a whole: each is used, and none of the hot ones reads a whole table."""

from __future__ import annotations

import ast
import sqlite3
from pathlib import Path
from typing import Final

import pytest

from steadfaas import store
from steadfaas.store import sql
from tests.store.database import memory

FOLDER = Path(store.__file__).parent
FILES = sorted(path.stem for path in (FOLDER / "sql").glob("*.sql"))
QUERIES = [(file, name) for file in FILES for name in vars(sql.load(file))]

# These read a whole table, or the whole index of unfinished invocations, on purpose: at start-up,
# or when an operator asks.
READS_ALL = {
    ("deployments", "all_deployments"),
    ("deployments", "all_revisions"),
    *(("deployments", name) for name in ("unfinished", "pinned_to", "first_pinned_to")),
    *(("deployments", name) for name in ("unpinned", "beyond_versions", "needs")),
    ("invocations", "count_waiting"),
}
# These gather rows of a page or of a list that they were given.
GATHER: Final = {("deployments", "briefs"), ("status", "handlers")}


def _uses(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "_Q"
    }


def _users(file: str) -> list[Path]:
    """The modules that use the queries of a file."""
    loads = f'_Q: Final = sql.load("{file}")'
    return [path for path in sorted(FOLDER.glob("*.py")) if loads in path.read_text("utf-8")]


@pytest.mark.parametrize("file", FILES)
def test_every_query_is_used_and_every_name_exists(file: str) -> None:
    used = [_uses(module) for module in _users(file)]
    assert set().union(*used) == set(vars(sql.load(file)))


def _plan(connection: sqlite3.Connection, file: str, name: str) -> list[str]:
    query = vars(sql.load(file))[name]
    rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", (None,) * query.count("?"))
    return [row[3] for row in rows]


@pytest.mark.parametrize(("file", "name"), QUERIES)
def test_no_hot_query_reads_a_whole_table(file: str, name: str) -> None:
    with memory() as connection:
        scans = [step for step in _plan(connection, file, name) if step.startswith("SCAN")]
    if (file, name) in READS_ALL | GATHER:
        return
    # A subquery's own few rows are fine, and the timers' order is the table's own order.
    allowed = {"SCAN (subquery-2)", "SCAN (subquery-3)", "SCAN timer"} if name in (
        "next_due", "next_expiry"
    ) else set()  # fmt: skip
    assert [step for step in scans if step not in allowed] == []


def test_what_counts_as_unfinished_reads_only_the_index_of_unfinished_ones() -> None:
    with memory() as connection:
        for file, name in sorted(READS_ALL):
            if not name.startswith("all_"):
                plan = _plan(connection, file, name)
                # What a subquery gives is in order already, and as few as it says.
                step = next(step for step in plan if "subquery" not in step)
                assert "USING" in step
                assert "invocation_unfinished" in step


def test_no_hot_query_sorts() -> None:
    with memory() as connection:
        for file, name in QUERIES:
            if (file, name) not in READS_ALL | GATHER:
                assert not [step for step in _plan(connection, file, name) if "TEMP B-TREE" in step]
