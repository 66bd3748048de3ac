"""Invocations, journals and attempts in the store: rows to machine objects and back."""

from __future__ import annotations

from typing import Final, NamedTuple

from steadfaas import ids
from steadfaas.errors import NotFound
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import Entry, Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.store import sql
from steadfaas.store.port import Reader, Tx
from steadfaas.store.writer import Transaction
from steadfaas.wire.messages import MessageType

_Q: Final = sql.load("invocations")
# Journal entries and attempts of one invocation are neighbours: position = seq * 2^20 + index.
SPAN: Final = 1 << 20
_OUTPUT: Final = int(MessageType.OUTPUT)
KEPT_ATTEMPTS: Final = 1000
KEPT_EVENTS: Final = 1000


class Outline(NamedTuple):
    """What a request about an invocation needs first. `expires_at` is in ms since the epoch."""

    seq: int
    status: int
    output: bytes | None
    expires_at: int | None
    completed_at: int | None
    attempt: int

    @property
    def never_began(self) -> bool:
        """Whether it ended because the version that it waited for did not come, or not fit."""
        return self.status == Status.COMPLETED and not self.attempt


class Target(NamedTuple):
    """Which handler an invocation is for, and how it was asked for."""

    service: str
    handler: str
    idempotency_key: str | None
    kind: int

    @property
    def is_workflow_run(self) -> bool:
        """Whether the id follows from the workflow and its key."""
        return self.kind == Kind.WORKFLOW_RUN


class Description(NamedTuple):
    """What an operator wants to see. Times are in ms since the epoch."""

    seq: int
    status: int
    service: str
    handler: str
    key: str | None
    deployment: str | None
    version: int | None
    created_at: int
    modified_at: int
    attempt: int
    started_at: int
    retry_count: int
    due_at: int | None
    failure: str | None
    completed_at: int | None
    output: bytes | None
    idempotency_key: str | None
    pausing: int
    asleep: int
    entries: int
    invoked_by: bytes | None
    invoked_by_target: str | None
    restarted_from: bytes | None
    wants: str | None
    wants_until: int | None


class TimedEntry(NamedTuple):
    """A journal entry; `at` is when it was stored, in ms since the epoch, if that is known."""

    number: int
    type: int
    payload: bytes
    at: int | None


class Event(NamedTuple):
    """What happened to an invocation beside its journal, after its entry `after_entry`."""

    number: int
    after_entry: int
    at: int
    type: str
    body: str  # JSON


class Attempt(NamedTuple):
    """One attempt that ended. Times are in ms since the epoch."""

    number: int
    deployment: str | None
    started_at: int
    ended_at: int
    outcome: str


def insert(tx: Tx, inv: Invocation) -> None:
    """Store a new invocation with what its journal begins with: the input, or more."""
    tx.execute(
        _Q.insert,
        (
            inv.seq, inv.id, int(inv.status), inv.service, inv.handler, inv.key, int(inv.kind),
            inv.deployment, inv.version, inv.created_at, inv.modified_at, inv.attempt,
            inv.started_at, len(inv.journal), inv.due_at, inv.idempotency_key, inv.invoked_by,
            inv.invoked_by_target, inv.restarted_from, inv.completion_retention,
            inv.journal_retention,
        ),
    )  # fmt: skip
    first = inv.seq * SPAN
    for index, (frame_type, payload) in enumerate(inv.journal):
        tx.execute(_Q.append, (first + index, frame_type, payload, inv.created_at))


def save(tx: Tx, inv: Invocation, now: int) -> None:
    """Store what changed of an unfinished invocation, and when."""
    inv.modified_at = now
    tx.execute(
        _Q.save,
        (
            int(inv.status), inv.deployment, inv.version, inv.modified_at, inv.attempt,
            inv.started_at, len(inv.journal), inv.failures, inv.retry_count, inv.due_at,
            inv.awaits, inv.asleep, inv.pausing,
            None if inv.failure is None else inv.failure.to_json(), inv.seq,
        ),
    )  # fmt: skip


def complete(tx: Tx, inv: Invocation, now: int) -> int | None:
    """Store the result, or forget the invocation at once where nothing of it is retained.

    Returns when something of it expires (ms since the epoch).
    """
    keep_journal = min(inv.journal_retention, inv.completion_retention)
    if not inv.completion_retention:
        forget(tx, inv.seq)
        return None
    expires_at = now + inv.completion_retention
    shorter = 0 < keep_journal < inv.completion_retention
    tx.execute(
        _Q.complete,
        (
            now, now, inv.output, expires_at,
            now + keep_journal if shorter else None,
            len(inv.journal), inv.attempt, inv.deployment, inv.version,
            None if inv.failure is None else inv.failure.to_json(), inv.seq,
        ),
    )  # fmt: skip
    if not keep_journal:
        forget_journal(tx, inv.seq)
    return now + keep_journal if shorter else expires_at


def forget(tx: Tx, seq: int) -> None:
    """Delete the record, its journal and its attempts."""
    tx.execute(_Q.delete, (seq,))
    forget_journal(tx, seq)


def forget_journal(tx: Tx, seq: int) -> None:
    """Delete the journal, the attempts and the events."""
    span = (seq * SPAN, (seq + 1) * SPAN)
    tx.execute(_Q.delete_journal, span)
    tx.execute(_Q.delete_attempts, span)
    tx.execute(_Q.delete_events, span)


def append(tx: Tx, seq: int, index: int, frame_type: int, payload: bytes, now: int) -> None:
    """Store one journal entry."""
    tx.execute(_Q.append, (seq * SPAN + index, frame_type, payload, now))


def journal(reader: Reader, seq: int) -> list[Entry]:
    """The stored journal, in order."""
    return reader.execute(_Q.journal, (seq * SPAN, (seq + 1) * SPAN)).fetchall()


def load(reader: Reader, seq: int) -> Invocation | None:
    """The invocation with its journal; None if it is gone."""
    row = reader.execute(_Q.by_seq, (seq,)).fetchone()
    if row is None:
        return None
    inv = Invocation(
        seq=row[0],
        id=row[1],
        status=Status(row[2]),
        service=row[3],
        handler=row[4],
        key=row[5],
        kind=Kind(row[6]),
        created_at=row[9],
        idempotency_key=row[19],
        invoked_by=row[20],
        completion_retention=row[21],
        journal_retention=row[22],
    )
    entries = journal(reader, seq)
    if len(entries) < row[13] and row[23] is not None and entries:
        entries.append((_OUTPUT, row[23]))  # a result is stored once, with the record
    inv.restore(entries)
    inv.deployment, inv.version, inv.modified_at, inv.attempt = row[7], row[8], row[10], row[11]
    inv.started_at, inv.failures, inv.retry_count = row[12], row[14], row[15]
    inv.due_at, inv.awaits = row[16], row[17]
    inv.failure = None if row[18] is None else FailureRecord.from_json(row[18])
    if row[23] is not None:
        inv.output = row[23]
    inv.asleep, inv.pausing = bool(row[24]), bool(row[25])
    inv.wants, inv.wants_until = row[26], row[27]
    inv.grew_at = inv.modified_at if row[28] is None else row[28]
    return inv


def unknown(id: bytes) -> NotFound:
    """The refusal where `outline`, `target` or `describe` found nothing and somebody must know."""
    return NotFound(f"The requested invocation '{ids.format_invocation(id)}' does not exist")


def outline(reader: Reader, id: bytes) -> Outline | None:
    """Status and result by id; None if unknown."""
    row = reader.execute(_Q.outline_by_id, (id,)).fetchone()
    return None if row is None else Outline(*row)


def target(reader: Reader, id: bytes) -> Target | None:
    """The target by id; None if unknown."""
    row = reader.execute(_Q.target_by_id, (id,)).fetchone()
    return None if row is None else Target(*row)


def describe(reader: Reader, id: bytes) -> Description | None:
    """What an operator wants to see; None if unknown."""
    row = reader.execute(_Q.describe_by_id, (id,)).fetchone()
    return None if row is None else Description(*row)


def add_attempt(tx: Tx, inv: Invocation, now: int, outcome: str) -> None:
    """Note that the latest attempt ended: `suspended`, `killed`, `interrupted` or an RT code.

    One that completed the invocation needs no note: the record tells.
    """
    number = min(inv.attempt, SPAN - 1)
    tx.execute(
        _Q.add_attempt, (inv.seq * SPAN + number, inv.deployment, inv.started_at, now, outcome)
    )
    if number > KEPT_ATTEMPTS:
        first = inv.seq * SPAN + 1
        tx.execute(_Q.delete_old_attempts, (first, first + number - KEPT_ATTEMPTS))


def add_event(tx: Tx, inv: Invocation, now: int, type: str, body: str) -> None:
    """Note something that happened beside the journal; `body` is JSON."""
    first, end = inv.seq * SPAN, (inv.seq + 1) * SPAN
    last: int | None = tx.execute(_Q.last_event, (first, end)).fetchone()[0]
    pos = first if last is None else min(last + 1, end - 1)
    if pos == last:
        return  # a million of them: nobody will miss another
    tx.execute(_Q.add_event, (pos, len(inv.journal) - 1, now, type, body))
    if pos - first >= KEPT_EVENTS:
        tx.execute(_Q.delete_events, (first, pos - KEPT_EVENTS + 1))


def events(reader: Reader, seq: int) -> list[Event]:
    """The latest events of an invocation, in order."""
    first = seq * SPAN
    rows = reader.execute(_Q.events, (first, first + SPAN))
    return [Event(row[0] - first, *row[1:]) for row in rows]


def timed_journal(reader: Reader, found: Description) -> list[TimedEntry]:
    """The stored journal with its times, in order; with its result, which the record holds."""
    first = found.seq * SPAN
    rows = reader.execute(_Q.timed_journal, (first, first + SPAN))
    entries = [TimedEntry(row[0] - first, *row[1:]) for row in rows]
    if entries and len(entries) < found.entries and found.output is not None:
        entries.append(TimedEntry(len(entries), _OUTPUT, found.output, found.completed_at))
    return entries


def attempts(reader: Reader, found: Description) -> list[Attempt]:
    """All attempts that ended, in order. The record itself tells of one that completed it."""
    first = found.seq * SPAN
    rows = reader.execute(_Q.attempts, (first, first + SPAN))
    ended = [Attempt(row[0] - first, *row[1:]) for row in rows]
    noted = ended[-1].number if ended else 0
    if found.completed_at is not None and noted < found.attempt:
        ended.append(
            Attempt(
                found.attempt, found.deployment, found.started_at, found.completed_at, "completed"
            )
        )
    return ended


class Numbers:
    """Hands out numbers that no restart repeats, in the order of their use.

    They are reserved in blocks, so that an accepted request costs no extra write.
    """

    BLOCK: Final = 4096

    def __init__(self, reader: Reader) -> None:
        self._last: int = reader.execute(_Q.reserved).fetchone()[0]
        self._reserved = self._last

    def next(self, tx: Transaction) -> int:
        """The next number, for use within `tx`."""
        self._last += 1
        if self._last > self._reserved:
            # If this transaction fails, the block is reserved again with the next number.
            tx.execute(_Q.reserve, (self._last + self.BLOCK,))
            tx.after(self._confirm, self._last + self.BLOCK)
        return self._last

    def _confirm(self, reserved: int) -> None:
        self._reserved = max(self._reserved, reserved)


class Unfinished(NamedTuple):
    """What recovery looks at. `wants` is the version that it waits for, if it does."""

    seq: int
    status: int
    service: str
    wants: str | None


def unfinished(reader: Reader, after: int, limit: int) -> list[Unfinished]:
    """A page of the unfinished invocations above `after`, oldest first."""
    return [Unfinished(*row) for row in reader.execute(_Q.unfinished, (after, limit))]


def wanting(reader: Reader, version: str, after: int, limit: int) -> list[tuple[int, str]]:
    """A page of (seq, service) of those that wait for a version, above `after`, oldest first."""
    return reader.execute(_Q.wanting, (version, after, limit)).fetchall()


def want(tx: Tx, inv: Invocation) -> None:
    """Note that a new one, which was inserted, waits for a version."""
    tx.execute(_Q.want, (inv.wants, inv.wants_until, inv.seq))


def landed(tx: Tx, inv: Invocation) -> None:
    """Note that the version which it waited for is there; `save` stores the pin."""
    tx.execute(_Q.landed, (inv.completion_retention, inv.journal_retention, inv.seq))


def count_waiting(reader: Reader) -> int:
    """How many wait for their turn."""
    return int(reader.execute(_Q.count_waiting).fetchone()[0])
