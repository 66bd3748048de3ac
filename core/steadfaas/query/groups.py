"""Groups of completed invocations, condensed: what a GROUP BY wants of a million rows, in a second.

SQLite counts the rows of each group in an index and picks one or two of them: the first and the
last accepted, as needed. Only those are read. DataFusion is given them, one as often as makes up
the count. Of such rows it computes what it would of the real ones, as long as it asks only for
counts, for extremes of the time, for any one value, and for what all rows of a group share.
Nothing leaves SQLite but what was picked: a million rows that Python sees take a second by
themselves.

The groups here may be smaller than those that are asked for; that changes nothing of the above.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import itemgetter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from steadfaas.query.clauses import TRUE, Clause
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
#: By these the index is sorted first: the rows of a handler are one stretch of it, by time.
_STRETCH: Final = {"service": "target_service_name", "handler": "target_handler_name"}
_ONE_HANDLER: Final = "i.service = ? AND i.handler = ?"
_LOOKS: Final = tuple(INDEXED)
_CHUNK: Final = 16_384
_MANY: Final = 8_192  # copies of a row that share their memory


@dataclass(frozen=True, slots=True)
class _Plan:
    """By which columns of the index to group, and whom to pick.

    `counted`: it matters how many rows a group has.
    """

    keys: tuple[str, ...]
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
    picked = _way(rows, plan)(connection, rows, plan)
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
    needed = {name for key in shared for name in INDEXED[key]}
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


def _way(rows: Rows, plan: _Plan) -> Callable[[sqlite3.Connection, Rows, _Plan], _Picked]:
    """The fastest of the ways to pick them."""
    asked = {name for condition in rows.conditions for name in columns_of(condition)}
    if not (plan.counted or plan.first or plan.last):
        return _any_of_each
    if set(plan.keys) <= _STRETCH.keys() and asked <= set(_STRETCH.values()):
        return _by_handler
    if set(plan.keys) - _STRETCH.keys() == {"key"} and asked <= INDEXED.keys():
        return _by_key
    return _by_columns


def _any_of_each(connection: sqlite3.Connection, rows: Rows, plan: _Plan) -> _Picked:
    """One of each group, whichever comes first."""
    # A number is no text: so it stands for what is absent, which no unique index would find again.
    keys = [f"ifnull(i.{name}, 0)" for name in plan.keys] or ["0"]
    names = ", ".join(f"key{place}" for place in range(len(keys)))
    connection.execute("DROP TABLE IF EXISTS temp.met")
    connection.execute(f"CREATE TEMP TABLE met ({names}, seq, PRIMARY KEY ({names})) WITHOUT ROWID")
    text, parameters = rows.select(f"{', '.join(keys)}, i.seq", _LOOKS)
    connection.execute(f"INSERT OR IGNORE INTO temp.met {text}", parameters)
    return {seq: 1 for (seq,) in connection.execute("SELECT seq FROM temp.met")}


def _by_handler(connection: sqlite3.Connection, rows: Rows, plan: _Plan) -> _Picked:
    """By service and handler: each is a stretch of the index, from the first to the last."""
    picked: _Picked = {}
    for handler, asked_for in _handlers(connection, rows):
        if not asked_for:
            continue
        # What is asked for holds for all of them: to ask each of a million takes its time.
        mine = rows._replace(clause=Clause(_ONE_HANDLER, handler), conditions=())
        text, parameters = mine.select("count(*)", _LOOKS)
        (count,) = connection.execute(text, parameters).fetchone()
        ends = [_end(connection, mine, order) for order in _orders(plan)]
        picked |= _picked([count], *([seq] for seq in ends))
    return picked


def _orders(plan: _Plan) -> list[str]:
    wanted = (("ASC", plan.first), ("DESC", plan.last))
    return [order for order, needed in wanted if needed] or ["ASC"]


def _end(connection: sqlite3.Connection, rows: Rows, order: str) -> int:
    text, parameters = rows.select("i.seq", _LOOKS, f"ORDER BY i.created_at {order} LIMIT 1")
    (seq,) = connection.execute(text, parameters).fetchone()
    return int(seq)


def _by_columns(connection: sqlite3.Connection, rows: Rows, plan: _Plan) -> _Picked:
    """By SQLite's own grouping. It gives the bare column of the row that has the extreme."""
    more = [name for name in plan.keys if name not in _STRETCH]
    keys = ", ".join(f"i.{name}" for name in (*_STRETCH, *more))
    found: list[list[tuple[int, int, int]]] = []
    for order in _orders(plan):
        end = "min" if order == "ASC" else "max"
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
    for handler, _ in _handlers(connection, rows):
        mine = rows.also(Clause(_ONE_HANDLER, handler))
        text, parameters = mine.select("i.key, i.seq", _LOOKS, "ORDER BY i.created_at")
        found = connection.execute(text, parameters).fetchall()
        last = dict(found)
        counts = Counter(map(itemgetter(0), found))
        others = dict(reversed(found)) if plan.first else {}
        picked |= _picked(
            map(counts.__getitem__, last),
            last.values(),
            [others[key] for key in last] if others else (),
        )
    return picked


def _handlers(connection: sqlite3.Connection, rows: Rows) -> Iterator[tuple[tuple[str, str], bool]]:
    """All pairs of service and handler, by one jump in the index for each; and whether the first
    row of it is asked for."""
    order = "ORDER BY i.service, i.handler LIMIT 1"
    every = rows._replace(clause=TRUE, conditions=())
    what, values = f"i.service, i.handler, ({rows.clause.text})", rows.clause.parameters
    text, parameters = every.select(what, _LOOKS, order)
    found = connection.execute(text, (*values, *parameters)).fetchone()
    while found is not None:
        handler = found[:2]
        yield handler, bool(found[2])
        later = every.also(Clause("(i.service, i.handler) > (?, ?)", handler))
        text, parameters = later.select(what, _LOOKS, order)
        found = connection.execute(text, (*values, *parameters)).fetchone()


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
    for row, count in enumerate(times):
        if count >= _MANY:
            # However many there are of a row, they are the same few bytes again and again.
            yield from repeat(_taken(table, pa.repeat(row, _MANY), reading), count // _MANY)
    rest = [count % _MANY for count in times]
    runs = pa.RunEndEncodedArray.from_arrays(list(accumulate(rest)), pa.array(range(len(rest))))
    places = pc.run_end_decode(runs)
    for at in range(0, len(places), LONGEST_BATCH):
        yield _taken(table, places.slice(at, LONGEST_BATCH), reading)


def _taken(table: pa.Table, places: pa.Array, reading: Reading) -> pa.RecordBatch:
    copied = [column.take(places).combine_chunks() for column in table.columns]
    return reading.batch(dict(zip(reading.columns, copied, strict=True)), len(places))
