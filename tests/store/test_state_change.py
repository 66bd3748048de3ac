"""Changes of a key's whole state in the store: made, dropped, or waiting in the key's line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from steadfaas.store import keys
from steadfaas.store.state import StateChange, make_change, queue_change, replace
from steadfaas.store.state_version import state_version
from tests.store.database import memory

OLD = {b"a": b"1", b"b": b"2"}
NEW = {b"b": b"3", b"c": b"", b"\xff\x00": b"\x00\xff"}


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """A database in which one key has the old state, and so has its neighbour."""
    with memory() as connection:
        for key in ("k", "l"):
            for name, value in OLD.items():
                keys.set_state(connection, "Cart", key, name, value)
        yield connection


def _state(db: sqlite3.Connection, key: str = "k") -> dict[bytes, bytes]:
    entries, whole = keys.all_state(db, "Cart", key, 10**6)
    assert whole
    return dict(entries)


def _left(db: sqlite3.Connection) -> list[int]:
    tables = ("inbox", "state_change")
    return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


@pytest.mark.parametrize("state", [NEW, {}, OLD])
@pytest.mark.parametrize("version", [None, state_version(OLD.items())])
def test_the_whole_state_is_replaced(
    db: sqlite3.Connection, state: dict[bytes, bytes], version: str | None
) -> None:
    assert replace(db, "Cart", "k", StateChange(state, version))
    assert _state(db) == state
    assert _state(db, "l") == OLD, "the neighbour's stays"


@pytest.mark.parametrize("version", ["", "x", state_version(()), state_version(NEW.items())])
def test_a_change_that_was_made_for_another_state_is_dropped(
    db: sqlite3.Connection, version: str
) -> None:
    assert not replace(db, "Cart", "k", StateChange(NEW, version))
    assert _state(db) == OLD


def test_a_key_without_state_has_a_version_too(db: sqlite3.Connection) -> None:
    assert not replace(db, "Cart", "new", StateChange(NEW, state_version(OLD.items())))
    assert replace(db, "Cart", "new", StateChange(NEW, state_version(())))
    assert _state(db, "new") == NEW


def test_a_large_state_is_hashed_whole(db: sqlite3.Connection) -> None:
    large = {b"%d" % number: b"x" * 100_000 for number in range(200)}
    assert replace(db, "Cart", "k", StateChange(large))
    assert replace(db, "Cart", "k", StateChange(NEW, state_version(large.items())))
    assert _state(db) == NEW


@pytest.mark.parametrize("version", [None, state_version(OLD.items()), state_version(())])
def test_a_change_waits_in_line_as_it_was_asked_for(
    db: sqlite3.Connection, version: str | None
) -> None:
    assert keys.join_line(db, "Cart", "k", 4, 4)
    queue_change(db, "Cart", "k", 5, StateChange(NEW, version))
    assert (keys.head_of_line(db, "Cart", "k"), _state(db)) == (4, OLD)
    keys.leave_line(db, "Cart", "k", 4)
    assert keys.head_of_line(db, "Cart", "k") == 5
    make_change(db, "Cart", "k", 5)
    fits = version in (None, state_version(OLD.items()))
    assert _state(db) == (NEW if fits else OLD)
    assert _left(db) == [0, 0]


def test_changes_of_several_keys_are_made_one_by_one(db: sqlite3.Connection) -> None:
    queue_change(db, "Cart", "k", 5, StateChange({b"n": b"5"}))
    queue_change(db, "Cart", "l", 6, StateChange({b"n": b"6"}))
    queue_change(db, "Cart", "k", 7, StateChange({b"n": b"7"}))
    make_change(db, "Cart", "k", 5)
    assert (_state(db), _state(db, "l")) == ({b"n": b"5"}, OLD)
    make_change(db, "Cart", "k", 7)
    make_change(db, "Cart", "l", 6)
    assert (_state(db), _state(db, "l")) == ({b"n": b"7"}, {b"n": b"6"})
    assert _left(db) == [0, 0]


def test_a_place_that_holds_nothing_is_given_up(db: sqlite3.Connection) -> None:
    """Whoever stood there is gone; the line must go on."""
    keys.join_line(db, "Cart", "k", 5, 5)
    make_change(db, "Cart", "k", 5)
    assert (_state(db), _left(db)) == (OLD, [0, 0])
