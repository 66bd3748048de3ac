"""Who calls the handlers of a service: what the journals of unfinished invocations tell.

Long looks come in pages, and whoever asks lets others have their turn in between. What is found is
true for its moment only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from steadfaas.store import sql
from steadfaas.store.port import Reader
from steadfaas.store.status import unfinished_pages
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T

_Q: Final = sql.load("callers")
_PAGE: Final = 1000
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
    """What each page of unfinished invocations adds; all of them together are the answer."""
    for after, end in unfinished_pages(reader, page):
        yield _page(reader, service, after, end)


def _page(reader: Reader, service: str, after: int, end: int) -> Calls:
    found = Calls()
    seen: set[tuple[int, str]] = set()
    for seq, deployment, frame_type, payload in reader.execute(_Q.calls, (after, end, *_CALLS)):
        called = decode(_CALLS[frame_type], payload)
        if called.service_name == service and (seq, called.handler_name) not in seen:
            seen.add((seq, called.handler_name))
            found.by_deployment[called.handler_name, deployment] += 1
    found.not_begun.update(dict(reader.execute(_Q.not_begun, (after, end, service))))
    return found
