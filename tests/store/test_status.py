"""What services hold now, read in pages."""

from __future__ import annotations

import sqlite3

import pytest

from steadfaas.machine.status import Status
from steadfaas.store import status
from steadfaas.store.status import Group, Line
from tests.deployments.world import SqliteWriter


@pytest.fixture
def connection() -> sqlite3.Connection:
    writer = SqliteWriter()
    for number in range(12):
        writer.add_invocation(
            "Shop" if number % 3 else "Other",
            Status.SUSPENDED if number % 2 else Status.COMPLETED,
            None,
        )
    writer.add_invocation("Shop", Status.PAUSED, None)
    return writer.connection


def total(pages: list[list[Group]]) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for group in (each for page in pages for each in page):
        place = group.handler, group.status
        found[place] = found.get(place, 0) + group.number
    return found


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_groups_are_the_same_in_pages_of_any_size(
    connection: sqlite3.Connection, page: int
) -> None:
    pages = list(status.unfinished_groups(connection, "Shop", page))
    assert len(pages) == -(-7 // page)
    assert total(pages) == {("buy", Status.SUSPENDED): 4, ("buy", Status.PAUSED): 1}
    assert next(group.oldest for group in pages[0] or pages[1]) == 2
    assert total(list(status.unfinished_groups(connection, "Nobody", page))) == {}


def test_groups_look_at_unfinished_ones_only(connection: sqlite3.Connection) -> None:
    for query in (status._Q.page_end, status._Q.handlers):
        marks = query.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", (0,) * marks).fetchall()
        assert any("invocation_unfinished" in step[-1] for step in plan)


@pytest.mark.parametrize("page", [1, 2, 100])
def test_lines_begin_with_the_holder(connection: sqlite3.Connection, page: int) -> None:
    places = [("", 1), ("a", 3), ("a", 9), ("a", 7), ("b", 5)]
    connection.executemany(
        "INSERT INTO inbox (service, key, place, seq) VALUES ('Shop', ?, ?, ?)",
        [(key, place, 100 + place) for key, place in places],
    )
    found = [line for each in status.lines(connection, "Shop", page) for line in each]
    assert found == [Line("", 0, 101), Line("a", 2, 103), Line("b", 0, 105)]
    assert list(status.lines(connection, "Other", page)) == []


def test_keys_with_state_are_counted_and_cut(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO state (service, key, name, value) VALUES (?, ?, ?, x'00')",
        [("Shop", "a", b"1"), ("Shop", "a", b"2"), ("Shop", "b", b"1"), ("Other", "c", b"1")],
    )
    assert status.keys_with_state(connection, "Shop", 10) == [("a", 2), ("b", 1)]
    assert status.keys_with_state(connection, "Shop", 1) == [("a", 2)]


def test_one_invocation(connection: sqlite3.Connection) -> None:
    found = status.brief(connection, 13)
    assert found is not None
    assert (found.service, found.handler, found.key) == ("Shop", "buy", None)
    assert found.status == Status.PAUSED
    assert status.brief(connection, 99) is None
