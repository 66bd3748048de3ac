"""What happens later: timers, who is told of a result, what expires."""

from __future__ import annotations

from typing import Final, NamedTuple

from steadfaas.store import sql
from steadfaas.store.port import Reader, Tx

_Q: Final = sql.load("schedule")


class Timer(NamedTuple):
    """Due `at` ms since the epoch; `completion` 0 means: look at the invocation itself."""

    at: int
    seq: int
    completion: int


class Listener(NamedTuple):
    """A journal that is told of a result, by a completion of frame type `type`."""

    seq: int
    completion: int
    type: int


class Expired(NamedTuple):
    """A record whose retention is over."""

    seq: int
    service: str
    key: str | None
    kind: int


def arm(tx: Tx, at: int, seq: int, completion: int) -> None:
    """Something is due at `at`."""
    tx.execute(_Q.arm, (at, seq, completion))


def disarm(tx: Tx, at: int, seq: int, completion: int) -> None:
    """It is not, any more."""
    tx.execute(_Q.disarm, (at, seq, completion))


def due(reader: Reader, now: int, limit: int) -> list[Timer]:
    """What is due, oldest first, `limit` at most."""
    return [Timer(*row) for row in reader.execute(_Q.due, (now, limit))]


def next_due(reader: Reader) -> int | None:
    """When the next timer is due; None without any."""
    row = reader.execute(_Q.next_due).fetchone()
    return None if row is None else int(row[0])


def listen(tx: Tx, target: int, seq: int, completion: int, frame_type: int) -> None:
    """Tell this journal when `target` completes."""
    tx.execute(_Q.listen, (target, seq, completion, frame_type))


def take_listeners(tx: Tx, target: int) -> list[Listener]:
    """Whom to tell of a result; each is returned once."""
    rows = tx.execute(_Q.listeners, (target,)).fetchall()
    if rows:
        tx.execute(_Q.delete_listeners, (target,))
    return [Listener(*row) for row in rows]


def expired(reader: Reader, now: int, limit: int) -> list[Expired]:
    """Records whose retention is over."""
    return [Expired(*row) for row in reader.execute(_Q.expired, (now, limit))]


def expired_journals(reader: Reader, now: int, limit: int) -> list[int]:
    """Invocations whose journal's retention is over, while their record stays."""
    return [row[0] for row in reader.execute(_Q.expired_journals, (now, limit))]


def forget_journal(tx: Tx, seq: int) -> None:
    """Note that the journal is gone."""
    tx.execute(_Q.forget_journal, (seq,))


def next_expiry(reader: Reader) -> int | None:
    """When a record or a journal expires next; None if nothing does."""
    at: int | None = reader.execute(_Q.next_expiry).fetchone()[0]
    return at
