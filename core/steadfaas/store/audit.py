"""Who did what, in the store. Details are JSON texts; others write and read them.

Rows go when they are too old or too many, a few with each new one: no write has much to remove.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from steadfaas.store import sql
from steadfaas.store.port import Reader, Tx

_Q: Final = sql.load("audit")

KEPT_ROWS: Final = 100_000
KEPT_MS: Final = 400 * 86_400_000
_END: Final = 2**63 - 1


class Entry(NamedTuple):
    """Something that somebody did. `at` is in ms since the epoch."""

    seq: int
    at: int
    actor: str
    action: str
    subject: str
    detail: str  # JSON


def write(tx: Tx, at: int, actor: str, action: str, subject: str, detail: str) -> None:
    """Add an entry, and let go of some that need not be kept any more."""
    tx.execute(_Q.insert, (at, actor, action, subject, detail))
    tx.execute(_Q.trim, (KEPT_ROWS, at - KEPT_MS))


def read(
    reader: Reader,
    *,
    subject: str | None = None,
    action: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Entries of this subject and action, newest first; with `before`, those of lower numbers."""
    end = _END if before is None else before
    if subject is not None:
        rows = reader.execute(_Q.newest_of_subject, (subject, action, end, limit))
    elif action is not None:
        rows = reader.execute(_Q.newest_of_action, (action, end, limit))
    else:
        rows = reader.execute(_Q.newest, (end, limit))
    return [Entry(*row) for row in rows]
