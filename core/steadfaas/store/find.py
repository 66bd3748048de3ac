"""Finds invocations by what operators know of them, in small steps that stall nobody.

There may be a million, and the reader is the event loop's own: each step looks at a stretch of
numbers (`seq`), and whoever asks lets others have their turn in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from steadfaas import ids
from steadfaas.machine.status import Kind, Status
from steadfaas.store.port import Reader

# How many numbers one step covers.
STRETCH: Final = 10_000
_LOOKED_UP_AT_ONCE: Final = 500
_SELECT: Final = (
    "SELECT seq, id, status, service, handler, key, deployment, created_at, modified_at,"
    " retry_count, due_at, failure, wants, wants_until FROM invocation"
)
UNFINISHED: Final = frozenset(Status) - {Status.COMPLETED}


class Found(NamedTuple):
    """What a list shows of an invocation. Times are in ms since the epoch."""

    seq: int
    id: bytes
    status: int
    service: str
    handler: str
    key: str | None
    deployment: str | None
    created_at: int
    modified_at: int
    retry_count: int
    due_at: int | None
    failure: str | None
    wants: str | None
    wants_until: int | None


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which invocations: all that is given must hold. `target` is what people write: an id,
    `Service`, `Service/handler`, `Object/key` or `Object/key/handler`."""

    target: str | None = None
    service: str | None = None
    handler: str | None = None
    key: str | None = None
    statuses: frozenset[Status] = UNFINISHED
    deployment: str | None = None
    ids: frozenset[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of what is found: `limit` at most, behind the number `after`; of each handler at
    most `sample`; the newest first if asked."""

    limit: int
    after: int | None = None
    sample: int | None = None
    newest: bool = False


def steps(reader: Reader, criteria: Criteria, page: Page) -> Iterator[list[Found]]:
    """What is found, a stretch at a time; some are empty. Ends after the page's limit."""
    if criteria.ids is not None:
        yield _among(reader, criteria, criteria.ids, page)
        return
    left = page.limit
    seen: Counter[tuple[str, str]] = Counter()
    condition, values = _condition(criteria)
    order = "DESC" if page.newest else "ASC"
    statement = f"{_SELECT} WHERE {condition} AND seq > ? AND seq <= ? ORDER BY seq {order}"
    for low, high in _stretches(reader, page):
        found: list[Found] = []
        for row in reader.execute(statement, (*values, low, high)):
            one = Found(*row)
            seen[one.service, one.handler] += 1
            if page.sample is None or seen[one.service, one.handler] <= page.sample:
                found.append(one)
            if len(found) == left:
                break
        left -= len(found)
        yield found
        if not left:
            return


def _among(reader: Reader, criteria: Criteria, ids: frozenset[bytes], page: Page) -> list[Found]:
    """Those with these ids: each is looked up, so nothing else is looked at."""
    condition, values = _condition(criteria)
    found: list[Found] = []
    wanted = sorted(ids)
    for start in range(0, len(wanted), _LOOKED_UP_AT_ONCE):
        some = wanted[start : start + _LOOKED_UP_AT_ONCE]
        statement = f"{_SELECT} WHERE id IN ({', '.join('?' * len(some))}) AND {condition}"
        found += [Found(*row) for row in reader.execute(statement, (*some, *values))]
    found.sort(key=lambda one: one.seq)
    return [one for one in found if one.seq > (page.after or 0)][: page.limit]


def unknown(reader: Reader, ids: Collection[bytes]) -> list[bytes]:
    """Those of the ids that no invocation has, in order."""
    missing = sorted(ids)
    known: set[bytes] = set()
    for start in range(0, len(missing), _LOOKED_UP_AT_ONCE):
        some = missing[start : start + _LOOKED_UP_AT_ONCE]
        statement = f"SELECT id FROM invocation WHERE id IN ({', '.join('?' * len(some))})"
        known.update(id for (id,) in reader.execute(statement, some))
    return [id for id in missing if id not in known]


def _stretches(reader: Reader, page: Page) -> Iterator[tuple[int, int]]:
    """Pairs of numbers (above, up to) that cover everything, in the page's direction."""
    last: int = reader.execute("SELECT coalesce(max(seq), 0) FROM invocation").fetchone()[0]
    if page.newest:
        high = last if page.after is None else min(page.after - 1, last)
        while high > 0:
            yield max(high - STRETCH, 0), high
            high -= STRETCH
    else:
        low = page.after or 0
        while low < last:
            yield low, low + STRETCH
            low += STRETCH


def _condition(criteria: Criteria) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []

    def require(condition: str, *given: Any) -> None:
        parts.append(condition)
        values.extend(given)

    # Spelled as the partial index spells it, so that finished ones cost nothing.
    require("status < 100" if Status.COMPLETED not in criteria.statuses else "1")
    if criteria.statuses != frozenset(Status):
        require(f"status IN ({', '.join(str(int(one)) for one in sorted(criteria.statuses))})")
    for column in ("service", "handler", "key", "deployment"):
        value = getattr(criteria, column)
        if value is not None:
            require(f"{column} = ?", value)
    if criteria.target is not None:
        condition, given = _target(criteria.target)
        require(condition, *given)
    return " AND ".join(parts), values


def _target(text: str) -> tuple[str, list[Any]]:
    if text.startswith("inv_"):
        try:
            return "id = ?", [ids.parse_invocation(text)]
        except ids.InvalidId:
            pass  # a service may be called so
    service, _, rest = text.partition("/")
    if not rest:
        return "service = ?", [service]
    key, slash, handler = rest.rpartition("/")
    if slash:
        return "service = ? AND key = ? AND handler = ?", [service, key, handler]
    plain = f"kind = {int(Kind.SERVICE)}"
    return f"service = ? AND ({plain} AND handler = ? OR NOT {plain} AND key = ?)", [
        service, rest, rest,
    ]  # fmt: skip
