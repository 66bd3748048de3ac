"""Invocations, journals, attempts and numbers: what was stored comes back, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from steadfaas.config import Settings
from steadfaas.errors import AttemptFailure
from steadfaas.machine import failure as failures
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.store import invocations, schedule
from steadfaas.store.invocations import (
    KEPT_ATTEMPTS,
    KEPT_EVENTS,
    SPAN,
    Description,
    Numbers,
)
from steadfaas.store.writer import Transaction
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.messages import MessageType as T
from tests.store.database import INPUT, invocation, memory, opened, run, transaction

RUN = int(T.RUN)
DAY = 86_400_000


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with memory() as connection:
        yield connection


# --- round trips -------------------------------------------------------------------------------


def test_a_new_invocation_comes_back_as_it_went(db: sqlite3.Connection) -> None:
    made = invocation(
        7,
        key="k/ö",
        kind=Kind.OBJECT_EXCLUSIVE,
        idempotency_key="ik",
        invoked_by=b"x" * 24,
        completion_retention=5,
        journal_retention=4,
    )
    invocations.insert(db, made)
    found = invocations.load(db, 7)
    assert found is not None
    for name in type(made).__slots__:
        if name not in ("max_entries", "max_journal_bytes"):
            assert getattr(found, name) == getattr(made, name), name
    assert invocations.load(db, 8) is None


def test_what_changes_before_the_end_comes_back(db: sqlite3.Connection) -> None:
    made = invocation(7)
    invocations.insert(db, made)
    made.status = Status.BACKING_OFF
    made.deployment, made.version = "dp_1", 6
    made.attempt, made.started_at, made.failures, made.retry_count = 3, 1500, 2, 1
    made.due_at, made.awaits, made.asleep, made.pausing = 9000, b"waits", True, True
    made.failure = failures.record(
        AttemptFailure("RT0007", "ouch", command_index=1, stacktrace="line 1"),
        now=1600, attempt=3, deployment="dp_1", recorded=None,
    )  # fmt: skip
    invocations.save(db, made, 2000)
    found = invocations.load(db, 7)
    assert found is not None
    for name in type(made).__slots__:
        if name not in ("max_entries", "max_journal_bytes"):
            assert getattr(found, name) == getattr(made, name), name


def test_one_that_begins_with_more_than_its_input(db: sqlite3.Connection) -> None:
    made = invocation(7, deployment="dp_1", version=6, restarted_from=b"o" * 24)
    made.restore([(RUN, encode(m.RunCommand(result_completion_id=1)))])
    invocations.insert(db, made)
    found = invocations.load(db, 7)
    assert found is not None
    assert (found.journal, found.pending) == (made.journal, made.pending)
    assert (found.deployment, found.version) == ("dp_1", 6)
    described = invocations.describe(db, made.id)
    assert described is not None
    assert (described.restarted_from, described.entries) == (b"o" * 24, 2)


def test_an_id_belongs_to_one_invocation(db: sqlite3.Connection) -> None:
    invocations.insert(db, invocation(1))
    with pytest.raises(sqlite3.IntegrityError):
        invocations.insert(db, invocation(2, id=(1).to_bytes(24, "big")))


def test_looking_at_an_invocation_by_its_id(db: sqlite3.Connection) -> None:
    made = invocation(
        7, key="k", kind=Kind.OBJECT_SHARED, idempotency_key="ik", invoked_by=b"c" * 24,
        invoked_by_target="Till/k/ring",
    )  # fmt: skip
    invocations.insert(db, made)
    assert invocations.outline(db, made.id) == (7, int(Status.READY), None, None, None, 0)
    target = invocations.target(db, made.id)
    assert target is not None
    assert (target.service, target.handler, target.idempotency_key) == ("Shop", "buy", "ik")
    described = invocations.describe(db, made.id)
    assert described is not None
    assert (described.key, described.status, described.attempt) == ("k", int(Status.READY), 0)
    assert (described.invoked_by, described.invoked_by_target) == (b"c" * 24, "Till/k/ring")
    assert (described.pausing, described.asleep, described.restarted_from) == (0, 0, None)
    for look in (invocations.outline, invocations.target, invocations.describe):
        assert look(db, b"\0" * 24) is None


# --- journals ----------------------------------------------------------------------------------


def test_a_journal_keeps_its_order_and_its_bytes(db: sqlite3.Connection) -> None:
    invocations.insert(db, invocation(7))
    entries = [(RUN, bytes([number]) * number) for number in range(1, 200)]
    for index, (frame_type, payload) in reversed(list(enumerate(entries, 1))):
        invocations.append(db, 7, index, frame_type, payload, 9)
    assert invocations.journal(db, 7) == [(INPUT, b"input of 7"), *entries]


def test_neighbouring_journals_do_not_touch(db: sqlite3.Connection) -> None:
    for seq in (6, 7, 8):
        invocations.insert(db, invocation(seq))
        invocations.append(db, seq, 1, RUN, b"first", 9)
        invocations.append(db, seq, SPAN - 1, RUN, b"last", 9)
    assert len(invocations.journal(db, 7)) == 3
    invocations.forget_journal(db, 7)
    assert invocations.journal(db, 7) == []
    for seq in (6, 8):
        assert [payload for _, payload in invocations.journal(db, seq)] == [
            b"input of %d" % seq, b"first", b"last",
        ]  # fmt: skip


def test_an_entry_is_never_overwritten(db: sqlite3.Connection) -> None:
    invocations.insert(db, invocation(7))
    invocations.append(db, 7, 1, RUN, b"a", 9)
    with pytest.raises(sqlite3.IntegrityError):
        invocations.append(db, 7, 1, RUN, b"b", 9)
    with pytest.raises(sqlite3.IntegrityError):
        invocations.append(db, 7, 0, INPUT, b"another input", 9)


def test_the_longest_journal_the_settings_allow_fits_its_span() -> None:
    """Else it would run into the next invocation's."""
    (limit,) = [
        found.le
        for found in Settings.model_fields["max_journal_entries"].metadata
        if hasattr(found, "le")
    ]
    # Each command may issue two completions; the input and signals come on top.
    assert 3 * limit + 1 <= SPAN


def _described(db: sqlite3.Connection, made: Invocation) -> Description:
    described = invocations.describe(db, made.id)
    assert described is not None
    return described


def test_entries_with_the_times_at_which_they_were_stored(db: sqlite3.Connection) -> None:
    made = invocation(7)
    invocations.insert(db, made)
    invocations.append(db, 7, 1, RUN, b"a", 1200)
    invocations.append(db, 7, 2, RUN, b"b", 1300)
    invocations.append(db, 8, 1, RUN, b"another's", 1400)
    assert invocations.timed_journal(db, _described(db, made)) == [
        (0, INPUT, b"input of 7", 1000), (1, RUN, b"a", 1200), (2, RUN, b"b", 1300),
    ]  # fmt: skip
    db.execute("UPDATE journal SET at = NULL")  # as it is in journals of old
    times = [entry.at for entry in invocations.timed_journal(db, _described(db, made))]
    assert times == [None, None, None]


def test_the_result_is_the_last_entry_at_the_time_of_the_end(db: sqlite3.Connection) -> None:
    made = invocation(7, attempt=1, completion_retention=DAY, journal_retention=DAY, output=b"out")
    invocations.insert(db, made)
    made.journal.append((int(T.OUTPUT), b"out"))
    invocations.complete(db, made, 1500)
    assert invocations.timed_journal(db, _described(db, made))[1:] == [
        (1, int(T.OUTPUT), b"out", 1500)
    ]
    invocations.forget_journal(db, 7)
    assert invocations.timed_journal(db, _described(db, made)) == []


# --- events ------------------------------------------------------------------------------------


def test_events_in_order_with_the_entry_they_follow(db: sqlite3.Connection) -> None:
    made, other = invocation(7), invocation(8)
    for each in (made, other):
        invocations.insert(db, each)
    invocations.add_event(db, made, 1100, "TransientError", "{}")
    invocations.add_event(db, other, 1150, "Paused", "{}")
    made.journal += [(RUN, b"a"), (RUN, b"b")]
    invocations.add_event(db, made, 1200, "Paused", '{"ty":"Paused"}')
    assert invocations.events(db, 7) == [
        (0, 0, 1100, "TransientError", "{}"), (1, 2, 1200, "Paused", '{"ty":"Paused"}'),
    ]  # fmt: skip
    assert len(invocations.events(db, 8)) == 1
    assert invocations.events(db, 9) == []
    invocations.forget_journal(db, 7)
    assert (invocations.events(db, 7), len(invocations.events(db, 8))) == ([], 1)


@pytest.mark.parametrize("count", [KEPT_EVENTS, KEPT_EVENTS + 1, 2 * KEPT_EVENTS + 50])
def test_of_events_without_end_the_latest_are_kept(db: sqlite3.Connection, count: int) -> None:
    before, made, after = invocation(6), invocation(7), invocation(8)
    for each in (before, made, after):
        invocations.insert(db, each)
    for each in (before, after):
        invocations.add_event(db, each, 1, "Paused", "{}")
    for number in range(count):
        invocations.add_event(db, made, 1000 + number, "Paused", "{}")
    kept = invocations.events(db, 7)
    assert [event.number for event in kept] == list(range(count))[-KEPT_EVENTS:]
    assert kept[-1].at == 1000 + count - 1
    assert [len(invocations.events(db, seq)) for seq in (6, 8)] == [1, 1]


def test_events_never_run_into_the_next_invocation(db: sqlite3.Connection) -> None:
    made = invocation(7)
    invocations.insert(db, made)
    db.execute("INSERT INTO event VALUES (?, 0, 1, 'Paused', '{}')", (8 * SPAN - 2,))
    for _ in range(3):
        invocations.add_event(db, made, 2, "Paused", "{}")
    assert [event.number for event in invocations.events(db, 7)] == [SPAN - 2, SPAN - 1]
    assert invocations.events(db, 8) == []


# --- attempts ----------------------------------------------------------------------------------


def test_attempts_that_ended_in_order(db: sqlite3.Connection) -> None:
    made = invocation(7, deployment="dp_1", attempt=1)
    invocations.insert(db, made)
    invocations.add_attempt(db, made, 1100, "RT0010")
    made.attempt, made.started_at = 2, 1200
    invocations.add_attempt(db, made, 1300, "suspended")
    described = invocations.describe(db, made.id)
    assert described is not None
    assert invocations.attempts(db, described) == [
        (1, "dp_1", 0, 1100, "RT0010"),
        (2, "dp_1", 1200, 1300, "suspended"),
    ]


def test_the_attempt_that_completed_it_is_told_by_the_record(db: sqlite3.Connection) -> None:
    made = invocation(7, deployment="dp_1", attempt=1, completion_retention=DAY)
    invocations.insert(db, made)
    invocations.add_attempt(db, made, 1100, "RT0010")
    made.attempt, made.started_at, made.output = 2, 1200, b"out"
    invocations.save(db, made, 2000)
    invocations.complete(db, made, 1500)
    described = invocations.describe(db, made.id)
    assert described is not None
    assert invocations.attempts(db, described)[-1] == (2, "dp_1", 1200, 1500, "completed")


@pytest.mark.parametrize("count", [KEPT_ATTEMPTS, KEPT_ATTEMPTS + 1, 2 * KEPT_ATTEMPTS + 50])
def test_attempts_without_end_keep_the_first_and_the_latest(
    db: sqlite3.Connection, count: int
) -> None:
    before, after = invocation(6, attempt=1), invocation(8, attempt=1)
    for made in (before, after):
        invocations.insert(db, made)
        invocations.add_attempt(db, made, 1, "RT0010")
    made = invocation(7)
    invocations.insert(db, made)
    for number in range(1, count + 1):
        made.attempt = number
        invocations.add_attempt(db, made, 1000 + number, "RT0010")
    described = invocations.describe(db, made.id)
    assert described is not None
    kept = [attempt.number for attempt in invocations.attempts(db, described)]
    assert len(kept) == min(count, KEPT_ATTEMPTS)
    assert kept[0] == 1
    assert kept[1:] == list(range(count - len(kept) + 2, count + 1))
    for made in (before, after):
        described = invocations.describe(db, made.id)
        assert described is not None
        assert len(invocations.attempts(db, described)) == 1


def test_attempts_beyond_the_span_stay_within_it(db: sqlite3.Connection) -> None:
    made = invocation(7, attempt=SPAN + 5)
    invocations.insert(db, made)
    invocations.add_attempt(db, made, 1, "RT0010")
    invocations.add_attempt(db, made, 2, "RT0007")
    rows = db.execute("SELECT pos, outcome FROM attempt").fetchall()
    assert rows == [(7 * SPAN + SPAN - 1, "RT0007")]


# --- the end, and retention --------------------------------------------------------------------


def _complete(db: sqlite3.Connection, seq: int, *, completion: int, journal: int) -> None:
    made = invocation(
        seq, attempt=1, completion_retention=completion, journal_retention=journal, output=b"out"
    )
    invocations.insert(db, made)
    invocations.append(db, seq, 1, RUN, b"step", 9)
    invocations.add_attempt(db, made, 1, "RT0010")
    invocations.add_event(db, made, 1, "TransientError", "{}")
    made.journal.append((RUN, b"step"))
    invocations.complete(db, made, 1000)


def _left(db: sqlite3.Connection, table: str) -> int:
    count: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


@pytest.mark.parametrize(
    ("completion", "journal", "expires", "journal_expires", "journal_now"),
    [
        (500, 500, 1500, None, 2),
        (500, 900, 1500, None, 2),  # a journal is never kept longer than its record
        (500, 200, 1500, 1200, 2),
        (500, 0, 1500, None, 0),
    ],
)
def test_how_long_a_result_and_its_journal_are_kept(
    db: sqlite3.Connection,
    completion: int,
    journal: int,
    expires: int,
    journal_expires: int | None,
    journal_now: int,
) -> None:
    _complete(db, 7, completion=completion, journal=journal)
    row = db.execute("SELECT status, output, expires_at, journal_expires_at FROM invocation")
    assert row.fetchall() == [(100, b"out", expires, journal_expires)]
    assert _left(db, "journal") == journal_now
    assert _left(db, "attempt") == (1 if journal_now else 0)
    assert _left(db, "event") == (1 if journal_now else 0)


def test_nothing_is_kept_without_retention(db: sqlite3.Connection) -> None:
    _complete(db, 7, completion=0, journal=500)
    tables = ("invocation", "journal", "attempt", "event")
    assert [_left(db, table) for table in tables] == [0, 0, 0, 0]


def test_the_end_ends_waits_and_wishes(db: sqlite3.Connection) -> None:
    made = invocation(7, attempt=1, completion_retention=DAY, output=b"out", due_at=9000)
    made.asleep, made.pausing, made.awaits = True, True, b"waits"
    invocations.insert(db, made)
    invocations.save(db, made, 2000)
    invocations.complete(db, made, 1500)
    row = db.execute("SELECT due_at, awaits, asleep, pausing FROM invocation").fetchone()
    assert row == (None, None, 0, 0)


def test_what_expired_is_found_in_order_and_in_pages(db: sqlite3.Connection) -> None:
    assert schedule.next_expiry(db) is None
    for seq, completion, journal in ((1, 500, 300), (2, 400, 400), (3, 900, 100)):
        _complete(db, seq, completion=completion, journal=journal)
    assert schedule.next_expiry(db) == 1100  # the journal of 3
    assert schedule.expired(db, 1399, 10) == []
    assert [found.seq for found in schedule.expired(db, 1500, 10)] == [2, 1]
    assert [found.seq for found in schedule.expired(db, 1500, 1)] == [2]
    assert schedule.expired_journals(db, 1300, 10) == [3, 1]
    invocations.forget_journal(db, 3)
    schedule.forget_journal(db, 3)
    assert schedule.expired_journals(db, 1300, 10) == [1]
    assert schedule.next_expiry(db) == 1300
    for seq in (1, 2, 3):
        invocations.forget(db, seq)
    assert schedule.next_expiry(db) is None


def test_a_result_without_its_journal_still_comes_back(db: sqlite3.Connection) -> None:
    _complete(db, 7, completion=500, journal=0)
    found = invocations.load(db, 7)
    assert found is not None
    assert (found.status, found.output) == (Status.COMPLETED, b"out")


def test_a_result_is_stored_once_and_still_part_of_the_journal(db: sqlite3.Connection) -> None:
    output = encode(m.OutputCommand(value=m.Value(content=b"out")))
    made = invocation(7, attempt=1, completion_retention=DAY, journal_retention=DAY)
    invocations.insert(db, made)
    made.output = output
    made.journal.append((int(T.OUTPUT), output))
    invocations.complete(db, made, 1000)
    assert _left(db, "journal") == 1
    found = invocations.load(db, 7)
    assert found is not None
    assert found.journal == [(INPUT, b"input of 7"), (int(T.OUTPUT), output)]


# --- what start-up looks at --------------------------------------------------------------------


def test_unfinished_ones_in_pages_and_the_number_that_wait(db: sqlite3.Connection) -> None:
    statuses = [
        Status.READY, Status.PENDING, Status.SUSPENDED, Status.SCHEDULED,
        Status.RUNNING, Status.PENDING, Status.PAUSED, Status.BACKING_OFF,
    ]  # fmt: skip
    for seq, status in enumerate(statuses, 1):
        invocations.insert(db, invocation(seq, status=status))
    _complete(db, 99, completion=DAY, journal=DAY)
    first = invocations.unfinished(db, 0, 5)
    assert first == [(seq, int(status), "Shop", None) for seq, status in enumerate(statuses[:5], 1)]
    rest = invocations.unfinished(db, first[-1][0], 5)
    assert [found.seq for found in rest] == [6, 7, 8]
    assert invocations.unfinished(db, 8, 5) == []
    assert invocations.count_waiting(db) == 3  # ready and pending


# --- numbers -----------------------------------------------------------------------------------


def test_numbers_grow_and_are_reserved_in_blocks(db: sqlite3.Connection) -> None:
    numbers = Numbers(db)
    writes: list[str] = []
    db.set_trace_callback(lambda text: writes.append(text) if text.startswith("UPDATE") else None)
    taken = []
    for _ in range(Numbers.BLOCK + 10):
        tx = transaction(db)
        taken.append(numbers.next(tx))
        for action, args in tx._after:
            action(*args)
    assert taken == list(range(1, Numbers.BLOCK + 11))
    assert len(writes) == 2


def test_numbers_are_never_repeated(tmp_path: Path) -> None:
    async def some(count: int) -> list[int]:
        async with opened(tmp_path) as store:
            numbers = Numbers(store.reader)
            return [await store.writer.write(numbers.next) for _ in range(count)]

    seen: list[int] = []
    for count in (3, 1, Numbers.BLOCK + 1, 2):
        found = run(some(count))
        assert found == sorted(set(found))
        assert not seen or found[0] > seen[-1]
        seen += found


def test_numbers_of_deleted_invocations_stay_used(tmp_path: Path) -> None:
    async def one() -> int:
        async with opened(tmp_path) as store:
            numbers = Numbers(store.reader)

            def unit(tx: Transaction) -> int:
                seq = numbers.next(tx)
                invocations.insert(tx, invocation(seq))
                invocations.forget(tx, seq)
                return seq

            return await store.writer.write(unit)

    assert run(one()) < run(one()) < run(one())


def test_numbers_of_units_that_were_undone(tmp_path: Path) -> None:
    """The block that was reserved with an undone unit is not believed to be reserved."""

    async def test() -> list[int]:
        async with opened(tmp_path) as store:
            numbers = Numbers(store.reader)

            def undone(tx: Transaction) -> int:
                numbers.next(tx)
                raise ValueError("no")

            with pytest.raises(ValueError, match="no"):
                await store.writer.write(undone)
            return [await store.writer.write(numbers.next) for _ in range(2)]

    first = run(test())
    second = run(test())
    assert first[0] < first[1] < second[0] < second[1]
