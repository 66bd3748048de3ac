"""Groups of completed invocations, condensed: what a GROUP BY wants of a million rows, in a second.

SQLite counts the rows of each group in an index and picks one or two of them: the first and the
last accepted, as needed. Only those are read. DataFusion is given them, one as often as makes up
the count. Of such rows it computes what it would of the real ones, as long as it asks only for
counts, for extremes of the time, for any one value, and for what all rows of a group share.

The groups here may be smaller than those that are asked for; that changes nothing of the above.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from steadfaas.query.clauses import Clause
from steadfaas.query.columns import NOTHING
from steadfaas.query.conditions import columns_of
from steadfaas.query.tables import BY_NUMBER, LONGEST_BATCH, Branch, Reading, Rows
from steadfaas.query.wants import Aggregate, Group

#: What the index of completed invocations holds: columns that can be told from it alone.
INDEXED: Final[dict[str, tuple[str, ...]]] = {
    "target_service_name": ("service",),
    "target_handler_name": ("handler",),
    "target_service_key": ("key",),
    "target": ("service", "handler", "key"),
    "target_service_ty": ("kind",),
    "pinned_deployment_id": ("deployment",),
    "created_at": ("created_at",),
    "status": (),
}
_TIME: Final = "created_at"
_LOOKS: Final = tuple(INDEXED)
_CHUNK: Final = 16_384


@dataclass(frozen=True, slots=True)
class _Plan:
    """By which columns of the index to group, beside service and handler, and whom to pick.

    `counted`: it matters how many rows a group has.
    """

    more: tuple[str, ...]
    first: bool
    last: bool
    counted: bool


# The numbers of the rows that were picked, with how often each is needed.
_Picked = dict[int, int]


def condense(
    connection: sqlite3.Connection, rows: Rows, group: Group, reading: Reading
) -> Iterator[pa.RecordBatch] | None:
    """Rows from which the group's aggregates come out as from the real ones; None: not possible."""
    plan = _plan(rows.branch, group)
    if plan is None:
        return None
    asked = {name for condition in rows.conditions for name in columns_of(condition)}
    indexed = plan.more == ("key",) and asked <= INDEXED.keys()
    picked = (_by_key if indexed else _by_columns)(connection, rows, plan)
    return _repeated(rows, picked if plan.counted else dict.fromkeys(picked, 1), reading)


def _plan(branch: Branch, group: Group) -> _Plan | None:
    shared = set(group.keys)
    first = last = False
    for one in group.aggregates:
        if _is_free(branch, one):
            continue
        if one.column in INDEXED and one.column != _TIME and one.by is None:
            shared.add(one.column)
        elif one.function in ("min", "max") and one.column == _TIME:
            first, last = first or one.function == "min", last or one.function == "max"
        elif one.function == "first_value" and one.by == _TIME:
            first, last = first or one.ascending, last or not one.ascending
        else:
            return None
    if _TIME in shared or not shared <= INDEXED.keys():
        return None
    needed = {name for key in shared for name in INDEXED[key]} - {"service", "handler"}
    counted = any(_counts(branch, one) for one in group.aggregates)
    return _Plan(tuple(sorted(needed)), first, last, counted)


def _counts(branch: Branch, one: Aggregate) -> bool:
    if one.function not in ("count", "sum"):
        return False
    return one.column is None or branch.columns.get(one.column, NOTHING).sql != "NULL"


def _is_free(branch: Branch, one: Aggregate) -> bool:
    """Whether the aggregate comes out right of any one row, repeated."""
    column = branch.columns.get(one.column, NOTHING) if one.column is not None else NOTHING
    if column.sql == "NULL":
        return True
    return column.ordered if one.function == "count" else one == _any_value(one)


def _any_value(one: Aggregate) -> Aggregate:
    return Aggregate("first_value", one.column)


# --- whom to pick ------------------------------------------------------------------------------


def _by_columns(connection: sqlite3.Connection, rows: Rows, plan: _Plan) -> _Picked:
    """By SQLite's own grouping. It gives the bare column of the row that has the extreme."""
    keys = ", ".join(f"i.{name}" for name in ("service", "handler", *plan.more))
    ends = [end for end, needed in (("min", plan.first), ("max", plan.last)) if needed]
    found: list[list[tuple[int, int, int]]] = []
    for end in ends or ["min"]:
        text, parameters = rows.select(
            f"count(*), i.seq, {end}(i.created_at)", _LOOKS, f"GROUP BY {keys} ORDER BY {keys}"
        )
        found.append(connection.execute(text, parameters).fetchall())
    counts = (row[0] for row in found[0])
    return _picked(counts, *([row[1] for row in rows] for rows in found))


def _picked(counts: Iterable[int], seqs: Iterable[int], others: Iterable[int] = ()) -> _Picked:
    """One of a group stands for all of it, but for the other one that was picked, if any was."""
    picked = dict(zip(seqs, counts, strict=True))
    for seq, other in zip(list(picked), others, strict=False):
        if seq != other:
            picked[seq] -= 1
            picked[other] = 1
    return picked


def _by_key(connection: sqlite3.Connection, rows: Rows, plan: _Plan) -> _Picked:
    """The same for many keys, faster: SQLite would have to sort them."""
    picked: _Picked = {}
    for service, handler in _handlers(connection, rows):
        mine = rows.also(Clause("i.service = ? AND i.handler = ?", (service, handler)))
        text, parameters = mine.select("i.key, i.seq", _LOOKS, "ORDER BY i.created_at")
        found = connection.execute(text, parameters).fetchall()
        last = dict(found)
        counts = Counter(map(itemgetter(0), found)) if plan.counted else dict.fromkeys(last, 2)
        others = dict(reversed(found)) if plan.first else {}
        picked |= _picked(
            map(counts.__getitem__, last),
            last.values(),
            [others[key] for key in last] if others else (),
        )
    return picked


def _handlers(connection: sqlite3.Connection, rows: Rows) -> Iterator[tuple[str, str]]:
    """All pairs of service and handler, by one jump in the index for each."""
    order = "ORDER BY i.service, i.handler LIMIT 1"
    text, parameters = rows.select("i.service, i.handler", _LOOKS, order)
    found = connection.execute(text, parameters).fetchone()
    while found is not None:
        yield found
        later = rows.also(Clause("(i.service, i.handler) > (?, ?)", found))
        text, parameters = later.select("i.service, i.handler", _LOOKS, order)
        found = connection.execute(text, parameters).fetchone()


# --- rows in their place -----------------------------------------------------------------------


def _repeated(rows: Rows, picked: _Picked, reading: Reading) -> Iterator[pa.RecordBatch]:
    order = sorted(picked)
    for at in range(0, len(order), _CHUNK):
        chunk = order[at : at + _CHUNK]
        times = [picked[seq] for seq in chunk]
        yield from _copies(_read(rows, chunk, reading), times, reading)


def _read(rows: Rows, seqs: list[int], reading: Reading) -> list[pa.RecordBatch]:
    these = Clause("i.seq IN (SELECT value FROM json_each(?))", (json.dumps(seqs),))
    chosen = Rows(rows.branch, these, (), exact=True, access=BY_NUMBER)
    return list(reading.batches(chosen, "ORDER BY i.seq"))


def _copies(
    batches: list[pa.RecordBatch], times: list[int], reading: Reading
) -> Iterator[pa.RecordBatch]:
    if all(count == 1 for count in times):
        yield from batches
        return
    table = pa.Table.from_batches(batches).select(reading.columns)
    runs = pa.RunEndEncodedArray.from_arrays(list(accumulate(times)), pa.array(range(len(times))))
    places = pc.run_end_decode(runs)
    for at in range(0, len(places), LONGEST_BATCH):
        part = places.slice(at, LONGEST_BATCH)
        copied = [column.take(part).combine_chunks() for column in table.columns]
        yield reading.batch(dict(zip(reading.columns, copied, strict=True)), len(part))
