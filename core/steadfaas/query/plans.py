"""Reads a planned statement: what it wants of each table.

The plan is walked from the top. On the way down to a table, filters become conditions and
projections rename columns. A limit, a sort with a limit or an aggregate is remembered as the
purpose of everything below it, as long as nothing lies between that we do not understand. Whatever
is not understood makes the answer less sharp: more rows are read than needed, never fewer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from steadfaas.query.conditions import Condition, InTable, renamed
from steadfaas.query.predicates import column_name, conjuncts, variant_of
from steadfaas.query.schemas import SCHEMAS
from steadfaas.query.wants import Aggregate, Distinct, Group, Limit, Purpose, Top, Want

_SCAN: Final = re.compile(
    r"^\s*TableScan: (?:restate\.)?(?:public\.)?(\w+)(?: projection=\[([^\]]*)\])?", re.MULTILINE
)
_PLAIN = r"(?:\w+\.)*(\w+)"
_AGGREGATE: Final = re.compile(
    rf"(count|min|max|sum|first_value)\((?:Int64\(\d+\)|{_PLAIN})\)"
    rf"(?: ORDER BY \[{_PLAIN} (ASC|DESC) NULLS (?:FIRST|LAST)\])?"
)


@dataclass(frozen=True, slots=True)
class _Way:
    """What was met between the top (or the latest purpose) and here, in the names used here."""

    where: tuple[Condition, ...] = ()
    purpose: Purpose | None = None

    def without_purpose(self) -> _Way:
        return replace(self, purpose=None)


def wants(plan: LogicalPlan) -> list[Want]:
    """What an optimised plan wants, once for each place where it looks at one of our tables."""
    found: list[Want] = []
    try:
        _visit(plan, _Way(), found)
    except RecursionError:
        found = []
    return found + _hidden(plan, found)


def everything(plan: LogicalPlan) -> list[Want]:
    """The same without any restriction to certain rows."""
    return _hidden(plan, [])


def _hidden(plan: LogicalPlan, found: list[Want]) -> list[Want]:
    """What is looked at inside of expressions, where no walk comes: as the plan's text tells.

    All rows are wanted of a table that the text mentions more often than the walk met it.
    """
    text = plan.display_indent()
    mentioned = [match for match in _SCAN.finditer(text) if match[1] in SCHEMAS]
    met = Counter(want.table for want in found)
    times = Counter(match[1] for match in mentioned)
    return [
        Want(match[1], _known(match[1], (match[2] or "").split(", ")))
        for match in mentioned
        if times[match[1]] > met[match[1]]
    ]


def _known(table: str, columns: list[str]) -> tuple[str, ...]:
    names = SCHEMAS[table].names
    return tuple(column for column in columns if column in names)


def _visit(plan: LogicalPlan, way: _Way, found: list[Want]) -> None:
    kind, variant = variant_of(plan)
    inputs = plan.inputs()
    match kind:
        case "TableScan":
            _scan(variant, way, found)
            return
        case "SubqueryAlias":
            below = way
        case "Projection":
            below = _projection(variant, way)
        case "Filter":
            below = _filter(variant, way)
        case "Limit":
            below = _limit(variant)
        case "Sort":
            below = _sort(variant, way)
        case "Aggregate":
            below = _Way(purpose=_group(variant))
        case "Join":
            _join(variant, inputs, way, found)
            return
        case _:
            below = _Way()
    for one in inputs:
        _visit(one, below, found)


def _scan(variant: Any, way: _Way, found: list[Want]) -> None:
    catalog, schema, table = variant.fqn()
    if (catalog or "restate", schema or "public") != ("restate", "public") or table not in SCHEMAS:
        return
    if variant.fetch() is not None and not isinstance(way.purpose, Limit):
        way = _Way(purpose=Limit(variant.fetch()))
    columns = _known(table, [name for _, name in variant.projection()])
    found.append(Want(table, columns, way.where, way.purpose))


def _filter(variant: Any, way: _Way) -> _Way:
    parts = conjuncts(variant.predicate())
    where = (*way.where, *(part for part in parts if part is not None))
    return _Way(where, None if None in parts else way.purpose)


def _limit(variant: Any) -> _Way:
    skip, fetch = _number(variant.skip(), 0), _number(variant.fetch(), None)
    return _Way(purpose=None if skip is None or fetch is None else Limit(skip + fetch))


def _number(expression: Expr | None, absent: int | None) -> int | None:
    if expression is None:
        return absent
    kind, variant = variant_of(expression)
    if kind != "Literal":
        return None
    value = variant.value_i64()
    return absent if value is None else int(value)


def _sort(variant: Any, way: _Way) -> _Way:
    rows = variant.get_fetch_val()
    if rows is None:
        # The rows below are those above; but any few of them are not the first few.
        return way if not isinstance(way.purpose, Limit) else way.without_purpose()
    first = variant.sort_exprs()[0]
    column = column_name(first.expr())
    return _Way(purpose=None if column is None else Top(rows, column, first.ascending()))


# --- projections -------------------------------------------------------------------------------


def _projection(variant: Any, way: _Way) -> _Way:
    names = _names(variant.projections())
    where = [renamed(condition, names) for condition in way.where]
    purpose = way.purpose and _purpose_renamed(way.purpose, names)
    return _Way(
        tuple(condition for condition in where if condition is not None),
        None if None in where else purpose,
    )


def _names(expressions: list[Expr]) -> Mapping[str, str]:
    """Output names to input columns. A name that is given twice is given to nothing."""
    names: dict[str, str] = {}
    given: Counter[str] = Counter()
    for expression in expressions:
        name, column = _output(expression)
        given[name] += 1
        if column is not None:
            names[name] = column
    return {name: column for name, column in names.items() if given[name] == 1}


def _output(expression: Expr) -> tuple[str, str | None]:
    kind, variant = variant_of(expression)
    match kind:
        case "Column":
            return variant.name(), variant.name()
        case "Alias":
            return variant.alias(), column_name(variant.expr())
    return expression.schema_name(), None


def _purpose_renamed(purpose: Purpose, names: Mapping[str, str]) -> Purpose | None:
    match purpose:
        case Limit():
            return purpose
        case Distinct(column):
            return Distinct(names[column]) if column in names else None
        case Top(rows, column, ascending):
            return Top(rows, names[column], ascending) if column in names else None
        case Group(keys, aggregates):
            used = {*keys, *_used(aggregates)}
            if not used <= names.keys():
                return None
            return Group(
                tuple(names[key] for key in keys),
                tuple(
                    replace(
                        one,
                        column=one.column and names[one.column],
                        by=one.by and names[one.by],
                    )
                    for one in aggregates
                ),
            )


def _used(aggregates: tuple[Aggregate, ...]) -> set[str]:
    return {name for one in aggregates for name in (one.column, one.by) if name is not None}


# --- aggregates and joins ----------------------------------------------------------------------


def _group(variant: Any) -> Group | None:
    keys = [column_name(expression) for expression in variant.group_by_exprs()]
    aggregates = [_aggregate(expression) for expression in variant.aggregate_exprs()]
    if None in keys or None in aggregates:
        return None
    return Group(
        tuple(key for key in keys if key is not None),
        tuple(one for one in aggregates if one is not None),
    )


def _aggregate(expression: Expr) -> Aggregate | None:
    # What an aggregate is ordered and filtered by is told by its text only.
    found = _AGGREGATE.fullmatch(expression.canonical_name())
    if found is None:
        return None
    function, column, by, direction = found.groups()
    if by is not None and function != "first_value":
        by = None
    return Aggregate(function, column, by, direction != "DESC")


def _join(variant: Any, inputs: list[LogicalPlan], way: _Way, found: list[Want]) -> None:
    left, right = inputs
    if str(variant.join_type()) not in ("LeftSemi", "LeftAnti"):
        _visit(left, _Way(), found)
        _visit(right, _Way(), found)
        return
    column, theirs = _only_pair(variant)
    looked_up: list[Want] = []
    _visit(right, _Way(purpose=None if theirs is None else Distinct(theirs)), looked_up)
    found += looked_up
    condition = _membership(variant, column, looked_up)
    below = way.without_purpose() if condition is None else _also(way, condition)
    _visit(left, below, found)


def _also(way: _Way, condition: Condition) -> _Way:
    return _Way((*way.where, condition), way.purpose)


def _only_pair(variant: Any) -> tuple[str | None, str | None]:
    """The columns, left and right, that a join compares; None and None if it does more."""
    if variant.filter() is not None or len(variant.on()) != 1:
        return None, None
    left, right = variant.on()[0]
    return column_name(left), column_name(right)


def _membership(variant: Any, column: str | None, right: list[Want]) -> Condition | None:
    """The condition on the left side of `x IN (SELECT y FROM table)`, or of `NOT IN`."""
    if column is None or len(right) != 1 or not isinstance(right[0].purpose, Distinct):
        return None
    return InTable(
        column,
        right[0].table,
        right[0].purpose.column,
        right[0].where,
        negated=str(variant.join_type()) == "LeftAnti",
    )
