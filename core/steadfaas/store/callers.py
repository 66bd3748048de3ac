"""Who calls the handlers of a service: what the journals of unfinished invocations tell.

Long looks come in pages of so many journal entries, and whoever asks lets others have their turn in
between. What is found is true for its moment only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from steadfaas.store import sql
from steadfaas.store.invocations import SPAN
from steadfaas.store.port import Reader
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T

_Q: Final = sql.load("callers")
# Journal entries of a page, and the most invocations: about a millisecond. So many bytes of calls
# take as long to look through as an entry.
_PAGE: Final = 1000
_INVOCATIONS: Final = 100
_BYTES: Final = 1000
_CALLS: Final[dict[int, type[m.CallCommand | m.OneWayCallCommand]]] = {
    int(T.CALL): m.CallCommand,
    int(T.ONE_WAY_CALL): m.OneWayCallCommand,
}


@dataclass(slots=True)
class Calls:
    """Of one service: how many invocations of each deployment called each handler, and how many of
    each handler have not begun."""

    by_deployment: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_begun: Counter[str] = field(default_factory=Counter)


def pages(reader: Reader, service: str, page: int = _PAGE) -> Iterator[Calls]:
    """What `page` journal entries of unfinished invocations add, and the next ones; all of them
    together are the answer."""
    after = -1
    while rows := reader.execute(_Q.unfinished, (after, _INVOCATIONS)).fetchall():
        found, looked_at = Calls(), 0
        for seq, deployment, own, handler, entries in rows:
            after = seq
            if deployment is None:
                found.not_begun.update([handler] if own == service else [])
                continue
            names: set[str] = set()
            for first in range(0, entries, page):
                start = seq * SPAN + first
                for begin, end, weight in _parts(reader, start, min(page, entries - first), page):
                    if looked_at >= page:
                        yield found
                        found, looked_at = Calls(), 0
                    names |= _called(reader, service, begin, end)
                    looked_at += weight
            found.by_deployment.update((name, deployment) for name in names)
            if looked_at >= page:
                break  # the next ones may be others by then
        yield found


def _parts(reader: Reader, start: int, number: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Places in a journal, from and before, between which there is little to look through, each
    with how much that is; together they are `number` entries. Long payloads are not read for it."""
    begin, weight = start, 0
    sizes = reader.execute(_Q.sizes, (start, start + number, *_CALLS)).fetchall()
    for pos, size in sizes:
        if weight and weight + size // _BYTES > most:
            yield begin, pos, weight
            begin, weight = pos, 0
        weight += size // _BYTES
    yield begin, start + number, weight + start + number - begin


def _called(reader: Reader, service: str, begin: int, end: int) -> set[str]:
    """The handlers of a service that a part of a journal calls."""
    rows = reader.execute(_Q.calls, (begin, end, *_CALLS, service.encode()))
    calls = [decode(_CALLS[frame_type], payload) for frame_type, payload in rows]
    return {call.handler_name for call in calls if call.service_name == service}
