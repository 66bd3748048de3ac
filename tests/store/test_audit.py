"""The audit in the store: found by subject and action, a page at a time, and never without end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from steadfaas.store import audit
from tests.store.database import memory

DAY = 86_400_000


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with memory() as connection:
        yield connection


def write(db: sqlite3.Connection, at: int, subject: str = "a", action: str = "removed") -> None:
    audit.write(db, at, "ann", action, subject, "{}")


def numbers(found: list[audit.Entry]) -> list[int]:
    return [entry.seq for entry in found]


def test_entries_are_found_newest_first_by_subject_and_action(db: sqlite3.Connection) -> None:
    for number in range(12):
        write(db, number, "ab"[number % 2], ("promoted", "removed", "registered")[number % 3])
    assert numbers(audit.read(db)) == [*range(12, 0, -1)]
    assert numbers(audit.read(db, subject="b")) == [12, 10, 8, 6, 4, 2]
    assert numbers(audit.read(db, action="promoted")) == [10, 7, 4, 1]
    assert numbers(audit.read(db, subject="b", action="promoted")) == [10, 4]
    assert numbers(audit.read(db, subject="c")) == []
    for subject, action in ((None, None), ("b", None), (None, "promoted"), ("b", "promoted")):
        whole = numbers(audit.read(db, subject=subject, action=action))
        paged: list[int] = []
        before = None
        while page := audit.read(db, subject=subject, action=action, before=before, limit=2):
            paged += numbers(page)
            before = page[-1].seq
        assert paged == whole
    assert audit.read(db, limit=1) == [audit.Entry(12, 11, "ann", "registered", "b", "{}")]


def test_only_the_latest_are_kept(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT_ROWS", 20)
    for number in range(50):
        write(db, number)
    assert numbers(audit.read(db)) == [*range(50, 30, -1)]


def test_old_ones_go_a_few_at_a_time(db: sqlite3.Connection) -> None:
    for _ in range(25):
        write(db, 0)
    write(db, audit.KEPT_MS)
    assert len(audit.read(db)) == 26, "not older than that yet"
    for left in (17, 8, 4, 5):
        write(db, audit.KEPT_MS + 1)
        assert len(audit.read(db)) == left
    # A number is never given twice, and the newest stays whatever the clock says.
    write(db, 10**15)
    write(db, -(10**15))
    assert audit.read(db)[0].seq == 32
    assert numbers(audit.read(db)) == sorted(numbers(audit.read(db)), reverse=True)


def test_a_write_is_undone_with_its_transaction(db: sqlite3.Connection) -> None:
    write(db, 1)
    db.execute("BEGIN")
    write(db, 2)
    db.execute("ROLLBACK")
    assert numbers(audit.read(db)) == [1]
