"""Tables as SQLite has them, and reading from them no more than is wanted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

import pyarrow as pa

from steadfaas.query.clauses import FALSE, TRUE, UNKNOWN, Clause, every, negated, some
from steadfaas.query.columns import NOTHING, Column, Plain
from steadfaas.query.conditions import (
    Compare,
    Condition,
    Every,
    Flag,
    InTable,
    IsNull,
    Known,
    Like,
    Not,
    OneOf,
    Some,
)
from steadfaas.query.wants import Group, Limit, Top, Want

# SQLite takes 32,766 parameters; a clause that needs more is left to DataFusion.
_MOST_PARAMETERS: Final = 30_000
_BATCH: Final = 16_384
LONGEST_BATCH: Final = 65_536


@dataclass(frozen=True, slots=True)
class Access:
    """How to come at the rows: which index, if not any, and the condition that it needs."""

    index: str = ""
    clause: Clause = TRUE


#: Through the table itself, in its own order, or by the numbers of its rows.
BY_NUMBER: Final = Access("NOT INDEXED")


def _any_index(conditions: Sequence[Condition], looks: Collection[str]) -> Access:
    return Access()


#: Reads what a group wants of many rows from a few of them; None: it cannot.
Condense = Callable[
    [sqlite3.Connection, "Rows", Group, "Reading"], "Iterator[pa.RecordBatch] | None"
]


@dataclass(frozen=True, slots=True)
class Branch:
    """One kind of row of a table. `source` is what follows FROM, up to an index hint.

    `access` chooses the hint by the conditions and by the columns that are looked at.
    """

    source: str
    columns: Mapping[str, Column]
    where: str = "1"
    access: Callable[[Sequence[Condition], Collection[str]], Access] = _any_index
    newest_first: str = ""  # what to sort by when any rows of all will do; it must cost nothing
    condense: Condense | None = None


class Rows(NamedTuple):
    """Rows of one branch: those that fulfil the clause, which says all that is asked if `exact`."""

    branch: Branch
    clause: Clause
    conditions: tuple[Condition, ...]
    exact: bool
    access: Access | None = None  # in place of what the branch would choose

    def select(
        self, what: str, looks: Collection[str], tail: str = "", *extra: Any
    ) -> tuple[str, tuple[Any, ...]]:
        """A statement over these rows that looks at these columns, with its parameters."""
        access = self.access or self.branch.access(self.conditions, looks)
        where = every([Clause(self.branch.where), access.clause, self.clause])
        text = f"SELECT {what} FROM {self.branch.source} {access.index} WHERE {where.text} {tail}"
        return text, (*where.parameters, *extra)

    def also(self, clause: Clause, condition: Condition | None = None) -> Rows:
        """Those of them that fulfil one clause more."""
        more = self.conditions if condition is None else (*self.conditions, condition)
        return self._replace(clause=every([self.clause, clause]), conditions=more)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the SQL surface."""

    name: str
    schema: pa.Schema
    branches: tuple[Branch, ...] = ()


class Reading:
    """Reads one table for one statement. `tables` are all there are, for look-ups by conditions."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: Table,
        tables: Mapping[str, Table],
        columns: Iterable[str],
    ) -> None:
        self._connection = connection
        self._table = table
        self._tables = tables
        chosen = set(columns)
        self.columns = [name for name in table.schema.names if name in chosen]

    def read(self, wants: Sequence[Want]) -> Iterator[pa.RecordBatch]:
        """The rows that at least one of the wants asks for, and perhaps more."""
        purpose = wants[0].purpose if len(wants) == 1 else None
        sets = [self._rows(branch, wants) for branch in self._table.branches]
        sets = [rows for rows in sets if rows.clause != FALSE]
        if not all(rows.exact for rows in sets):
            purpose = None
        match purpose:
            case Limit(count):
                return self._any(sets, count)
            case Top() as top:
                return self._top(sets, top)
            case Group() as group:
                return chain.from_iterable(self._group(rows, group) for rows in sets)
        return chain.from_iterable(self.batches(rows) for rows in sets)

    # --- which rows ----------------------------------------------------------------------------

    def _rows(self, branch: Branch, wants: Sequence[Want]) -> Rows:
        each = [self._those(branch, want.where) for want in wants]
        conditions = wants[0].where if len(wants) == 1 else ()
        clause = some(clause for clause, _ in each)
        exact = all(exact for _, exact in each)
        if len(clause.parameters) > _MOST_PARAMETERS:
            clause, conditions, exact = TRUE, (), False
        return Rows(branch, clause, conditions, exact)

    def _those(self, branch: Branch, where: tuple[Condition, ...]) -> tuple[Clause, bool]:
        said = [self._said(branch, condition, where) for condition in where]
        # A row for which a condition is unknown is left out like one for which it is false.
        known = [FALSE if clause == UNKNOWN else clause for clause in said if clause is not None]
        return every(known), None not in said

    def _said(
        self, branch: Branch, condition: Condition, where: tuple[Condition, ...] = ()
    ) -> Clause | None:
        """The condition in SQL, exactly: also when it is unknown. None if that cannot be."""
        match condition:
            case Known(value):
                return UNKNOWN if value is None else TRUE if value else FALSE
            case Not(part):
                clause = self._said(branch, part)
                return None if clause is None else negated(clause)
            case Every(parts) | Some(parts):
                clauses = [self._said(branch, part) for part in parts]
                known = [clause for clause in clauses if clause is not None]
                if len(known) < len(clauses):
                    return None
                return every(known) if isinstance(condition, Every) else some(known)
            case InTable():
                return self._looked_up(branch, condition, where)
        return _said_of(branch.columns.get(condition.column), condition)

    def _looked_up(
        self, branch: Branch, condition: InTable, where: tuple[Condition, ...]
    ) -> Clause | None:
        mine = branch.columns.get(condition.column)
        if mine is None or not isinstance(mine.matcher, Plain):
            return None
        if condition.negated and IsNull(condition.column, negated=True) not in where:
            return None
        theirs = self._tables[condition.table]
        texts: list[str] = []
        parameters: list[Any] = []
        for other in theirs.branches:
            found = other.columns.get(condition.other)
            clause, exact = self._those(other, condition.where)
            if found is None or not exact or not isinstance(found.matcher, Plain):
                return None
            if condition.negated and not found.ordered:
                return None
            rows = Rows(other, clause, condition.where, exact)
            text, more = rows.select(found.sql, (condition.other,))
            texts.append(text)
            parameters += more
        if not texts:
            return None
        word = "NOT IN" if condition.negated else "IN"
        return Clause(f"{mine.sql} {word} ({' UNION ALL '.join(texts)})", tuple(parameters))

    # --- for a purpose -------------------------------------------------------------------------

    def _any(self, sets: list[Rows], count: int) -> Iterator[pa.RecordBatch]:
        for rows in sets:
            if count <= 0:
                return
            if rows.clause == TRUE and rows.branch.newest_first:
                batches = self._newest(rows, count)
            else:
                batches = self.batches(rows, "LIMIT ?", count)
            for batch in batches:
                count -= batch.num_rows
                yield batch

    def _newest(self, rows: Rows, count: int) -> Iterator[pa.RecordBatch]:
        rows = rows._replace(access=BY_NUMBER)
        return self.batches(rows, f"ORDER BY {rows.branch.newest_first} LIMIT ?", count)

    def _top(self, sets: list[Rows], top: Top) -> Iterator[pa.RecordBatch]:
        last = self._last_of(sets, top)
        if last is not None:
            operator = "<=" if top.ascending else ">="
            bound = Compare(top.column, operator, last)
            sets = [
                rows.also(Clause(f"{_ordered(rows, top)} {operator} ?", (last,)), bound)
                for rows in sets
            ]
        return chain.from_iterable(self.batches(rows) for rows in sets)

    def _last_of(self, sets: list[Rows], top: Top) -> Any:
        """The value of the last row that is wanted; None if all are, or nobody can tell."""
        values: list[Any] = []
        for rows in sets:
            sql = _ordered(rows, top)
            if sql is None:
                return None
            order = f"ORDER BY {sql} {'ASC' if top.ascending else 'DESC'} LIMIT ?"
            text, parameters = rows.select(sql, (top.column,), order, top.rows)
            values += (value for (value,) in self._connection.execute(text, parameters))
        if len(values) < top.rows or not values:
            return None
        values.sort(reverse=not top.ascending)
        return values[top.rows - 1] if top.rows else None

    def _group(self, rows: Rows, group: Group) -> Iterator[pa.RecordBatch]:
        condense = rows.branch.condense
        condensed = condense and condense(self._connection, rows, group, self)
        return self.batches(rows) if condensed is None else condensed

    # --- into Arrow ----------------------------------------------------------------------------

    def batches(self, rows: Rows, tail: str = "", *extra: Any) -> Iterator[pa.RecordBatch]:
        """The rows, with the wanted columns filled and all others null."""
        used = [rows.branch.columns.get(name, NOTHING) for name in self.columns]
        parts = list(dict.fromkeys(part for one in used for part in one.parts))
        text, parameters = rows.select(", ".join(parts) or "1", self.columns, tail, *extra)
        cursor = self._connection.execute(text, parameters)
        place = {part: at for at, part in enumerate(parts)}
        while fetched := cursor.fetchmany(_BATCH):
            values = list(zip(*fetched, strict=True))
            arrays = {
                name: one.convert(
                    *(values[place[part]] for part in one.parts),
                    self._table.schema.field(name).type,
                )
                for name, one in zip(self.columns, used, strict=True)
            }
            yield self.batch(arrays, len(fetched))

    def batch(self, arrays: Mapping[str, pa.Array], length: int) -> pa.RecordBatch:
        """A batch of the table with these columns; all others are null."""
        schema = self._table.schema
        columns = [
            arrays[field.name] if field.name in arrays else _absent(field, length)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _ordered(rows: Rows, top: Top) -> str | None:
    column = rows.branch.columns.get(top.column)
    return column.sql if column is not None and column.ordered else None


def _absent(field: pa.Field, length: int) -> pa.Array:
    """Shared by all batches, so that a column nobody asked for costs nothing."""
    return _nothing(field).slice(0, length)


@lru_cache(maxsize=512)
def _nothing(field: pa.Field) -> pa.Array:
    if field.nullable:
        return pa.nulls(LONGEST_BATCH, field.type)
    return pa.repeat(pa.scalar("", field.type), LONGEST_BATCH)


def _said_of(column: Column | None, condition: Condition) -> Clause | None:
    column = column or NOTHING
    matcher, sql = column.matcher, column.sql
    match condition:
        case IsNull(_, inverse) if column.ordered:
            return TRUE if inverse else FALSE
        case IsNull(_, inverse) if matcher is not None:
            return Clause(f"{sql} IS {'NOT ' if inverse else ''}NULL")
    if matcher is None:
        return None
    if sql == "NULL":
        return UNKNOWN
    match condition:
        case Flag():
            return Clause(sql)
        case Compare(_, operator, value):
            return None if value is None else matcher.compare(sql, operator, value)
        case OneOf(_, values, inverse):
            clause = matcher.one_of(sql, values)
        case Like(_, pattern, inverse):
            clause = matcher.like(sql, pattern)
        case _:
            return None
    return clause if clause is None or not inverse else negated(clause)
