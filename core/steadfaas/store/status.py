"""What services hold now: unfinished invocations by handler, lines before keys, keys with state.

There may be a million of each, and the reader is the event loop's own: long looks come in pages,
and whoever asks lets others have their turn in between. A page is true for its moment only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from steadfaas.store import sql
from steadfaas.store.port import Reader

_Q: Final = sql.load("status")
_PAGE: Final = 5000


class Group(NamedTuple):
    """Unfinished invocations of one handler in one status. `oldest` is a seq."""

    handler: str
    status: int
    number: int
    oldest: int


class Line(NamedTuple):
    """Who stands before a key: its holder (a seq), and how many wait behind."""

    key: str
    pending: int
    holder: int


class Brief(NamedTuple):
    """What is shown of an invocation. `created_at` is in ms since the epoch."""

    id: bytes
    service: str
    key: str | None
    handler: str
    status: int
    created_at: int


def unfinished_groups(reader: Reader, service: str, page: int = _PAGE) -> Iterator[list[Group]]:
    """The unfinished invocations of a service; each page looks at so many of all services.

    A handler and status may come in many pages, the oldest first.
    """
    for after, end in unfinished_pages(reader, page):
        yield [Group(*row) for row in reader.execute(_Q.handlers, (service, after, end))]


def unfinished_pages(reader: Reader, page: int) -> Iterator[tuple[int, int]]:
    """Pairs of numbers (above, up to) that cover `page` unfinished invocations each."""
    after = -1
    while (end := reader.execute(_Q.page_end, (after, page)).fetchone()[0]) is not None:
        yield after, end
        after = end


def lines(reader: Reader, service: str, page: int = _PAGE) -> Iterator[list[Line]]:
    """The lines before the keys of a service, by key."""
    first = ""
    while rows := reader.execute(_Q.lines, (service, first, page)).fetchall():
        yield [Line(key, count - 1, holder) for key, count, holder, _ in rows]
        first = rows[-1][0] + "\0"  # the next of all texts


def brief(reader: Reader, seq: int) -> Brief | None:
    """What is shown of an invocation; None if it is gone."""
    row = reader.execute(_Q.brief, (seq,)).fetchone()
    return None if row is None else Brief(*row)


def keys_with_state(reader: Reader, service: str, limit: int) -> list[tuple[str, int]]:
    """The first keys that have state, with the number of values of each."""
    return reader.execute(_Q.keys_with_state, (service, limit)).fetchall()
