"""Lines before keys, state, promises, timers, listeners."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from steadfaas.store import keys, schedule
from tests.store.database import memory


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with memory() as connection:
        yield connection


# --- the line before a key ---------------------------------------------------------------------


def test_a_line_is_served_in_the_order_of_arrival(db: sqlite3.Connection) -> None:
    # Sequence numbers do not decide: a delayed one arrives long after it was accepted.
    assert keys.join_line(db, "Cart", "k", 10, 900)
    assert not keys.join_line(db, "Cart", "k", 11, 5)
    assert not keys.join_line(db, "Cart", "k", 12, 700)
    served = []
    while (head := keys.head_of_line(db, "Cart", "k")) is not None:
        served.append(head)
        keys.leave_line(db, "Cart", "k", head)
    assert served == [900, 5, 700]


def test_who_leaves_from_the_middle_moves_nobody_else(db: sqlite3.Connection) -> None:
    for place, seq in enumerate((1, 2, 3)):
        keys.join_line(db, "Cart", "k", place, seq)
    keys.leave_line(db, "Cart", "k", 2)
    assert keys.head_of_line(db, "Cart", "k") == 1
    keys.leave_line(db, "Cart", "k", 1)
    assert keys.head_of_line(db, "Cart", "k") == 3
    keys.leave_line(db, "Cart", "k", 99)  # never stood here
    assert keys.head_of_line(db, "Cart", "k") == 3


def test_lines_of_other_keys_and_services_are_other_lines(db: sqlite3.Connection) -> None:
    for service, key, seq in (("Cart", "k", 1), ("Cart", "K", 2), ("Cart", "", 3), ("C", "k", 4)):
        assert keys.join_line(db, service, key, seq, seq)
    keys.leave_line(db, "Cart", "k", 1)
    assert keys.head_of_line(db, "Cart", "k") is None
    assert keys.head_of_line(db, "Cart", "K") == 2
    assert keys.head_of_line(db, "Cart", "") == 3
    assert keys.head_of_line(db, "C", "k") == 4


# --- state -------------------------------------------------------------------------------------


def test_state_is_written_read_and_cleared(db: sqlite3.Connection) -> None:
    keys.set_state(db, "Cart", "k", b"b", b"1")
    keys.set_state(db, "Cart", "k", b"a\0\xff", b"")
    keys.set_state(db, "Cart", "k", b"b", b"2")
    keys.set_state(db, "Cart", "other", b"b", b"3")
    assert keys.get_state(db, "Cart", "k", b"b") == b"2"
    assert keys.get_state(db, "Cart", "k", b"a\0\xff") == b""
    assert keys.get_state(db, "Cart", "k", b"c") is None
    assert keys.all_state(db, "Cart", "k", 100) == ([(b"a\0\xff", b""), (b"b", b"2")], True)
    assert keys.state_names(db, "Cart", "k") == [b"a\0\xff", b"b"]
    keys.clear_state(db, "Cart", "k", b"b")
    keys.clear_state(db, "Cart", "k", b"never there")
    assert keys.state_names(db, "Cart", "k") == [b"a\0\xff"]
    keys.clear_all_state(db, "Cart", "k")
    assert keys.all_state(db, "Cart", "k", 100) == ([], True)
    assert keys.get_state(db, "Cart", "other", b"b") == b"3"


@pytest.mark.parametrize(
    ("room", "names", "complete"),
    [(8, [b"a", b"b"], True), (7, [b"a"], False), (4, [b"a"], False), (3, [], False)],
)
def test_state_is_read_up_to_a_size(
    db: sqlite3.Connection, room: int, names: list[bytes], complete: bool
) -> None:
    for name in (b"a", b"b"):
        keys.set_state(db, "Cart", "k", name, b"123")
    entries, all_of_it = keys.all_state(db, "Cart", "k", room)
    assert ([name for name, _ in entries], all_of_it) == (names, complete)


# --- promises ----------------------------------------------------------------------------------


def test_a_promise_is_kept_once_and_tells_each_waiter_once(db: sqlite3.Connection) -> None:
    assert keys.get_promise(db, "Flow", "k", "p") is None
    keys.await_promise(db, "Flow", "k", "p", 7, 3)
    keys.await_promise(db, "Flow", "k", "p", 5, 1)
    keys.await_promise(db, "Flow", "k", "p", 7, 3)  # asked again by a later attempt
    keys.await_promise(db, "Flow", "k", "other", 9, 9)
    told = keys.complete_promise(db, "Flow", "k", "p", failure=False, payload=b"v")
    assert told == [(5, 1), (7, 3)]
    assert keys.get_promise(db, "Flow", "k", "p") == (False, b"v")
    with pytest.raises(sqlite3.IntegrityError):
        keys.complete_promise(db, "Flow", "k", "p", failure=True, payload=b"w")
    assert keys.get_promise(db, "Flow", "k", "p") == (False, b"v")
    assert keys.get_promise(db, "Flow", "other", "p") is None


def test_a_broken_promise(db: sqlite3.Connection) -> None:
    assert keys.complete_promise(db, "Flow", "k", "p", failure=True, payload=b"why") == []
    assert keys.get_promise(db, "Flow", "k", "p") == (True, b"why")


def test_a_workflow_leaves_nothing_behind(db: sqlite3.Connection) -> None:
    for key in ("k", "other"):
        keys.set_state(db, "Flow", key, b"a", b"1")
        keys.complete_promise(db, "Flow", key, "kept", failure=False, payload=b"v")
        keys.await_promise(db, "Flow", key, "open", 7, 3)
    keys.clear_workflow(db, "Flow", "k")
    for table in ("state", "promise", "promise_listener"):
        assert db.execute(f"SELECT key FROM {table}").fetchall() == [("other",)]


# --- timers and listeners ----------------------------------------------------------------------


def test_timers_are_due_oldest_first_and_in_pages(db: sqlite3.Connection) -> None:
    assert schedule.next_due(db) is None
    for at, seq, completion in ((30, 1, 0), (10, 2, 5), (20, 1, 7), (10, 1, 9)):
        schedule.arm(db, at, seq, completion)
    schedule.arm(db, 10, 1, 9)  # armed twice is armed once
    assert schedule.next_due(db) == 10
    assert schedule.due(db, 9, 10) == []
    assert schedule.due(db, 20, 10) == [(10, 1, 9), (10, 2, 5), (20, 1, 7)]
    assert schedule.due(db, 20, 1) == [(10, 1, 9)]
    schedule.disarm(db, 10, 1, 9)
    schedule.disarm(db, 10, 1, 9)
    assert schedule.due(db, 99, 10) == [(10, 2, 5), (20, 1, 7), (30, 1, 0)]


def test_listeners_are_told_once(db: sqlite3.Connection) -> None:
    schedule.listen(db, 1, 7, 3, 100)
    schedule.listen(db, 1, 5, 1, 200)
    schedule.listen(db, 1, 7, 3, 100)
    schedule.listen(db, 2, 7, 4, 100)
    assert schedule.take_listeners(db, 1) == [(5, 1, 200), (7, 3, 100)]
    assert schedule.take_listeners(db, 1) == []
    assert schedule.take_listeners(db, 2) == [(7, 4, 100)]
