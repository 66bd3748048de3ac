"""What a statement asks of the rows of one table, as far as we understand it.

A condition is true, false or unknown for a row, as in SQL. Columns are the table's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

Value: TypeAlias = str | int | bytes | bool | None

COMPARISONS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Compare:
    """A column beside a value; `operator` is one of COMPARISONS."""

    column: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column is one of the values, or (`negated`) none of them."""

    column: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """A text matches a pattern: `%` is anything, `_` one character, case counts."""

    column: str
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """A column has no value, or (`negated`) it has one. Never unknown."""

    column: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean column is true."""

    column: str


@dataclass(frozen=True, slots=True)
class InTable:
    """A column's value is among those of column `other` in the rows of `table` that fulfil
    `where`; or (`negated`) it is not. Nulls on either side are excluded by whoever makes one."""

    column: str
    table: str
    other: str
    where: tuple[Condition, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Every:
    """All parts are true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part is true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """The same for every row."""

    value: bool | None


Condition: TypeAlias = (
    "Compare | OneOf | Like | IsNull | Flag | InTable | Not | Every | Some | Known"
)


def renamed(condition: Condition, names: Mapping[str, str]) -> Condition | None:
    """The condition in other column names; None if one of them has none."""
    if isinstance(condition, Known):
        return condition
    if isinstance(condition, Not):
        part = renamed(condition.part, names)
        return None if part is None else Not(part)
    if isinstance(condition, (Every, Some)):
        parts = [renamed(part, names) for part in condition.parts]
        if None in parts:
            return None
        return replace(condition, parts=cast("tuple[Condition, ...]", tuple(parts)))
    name = names.get(condition.column)
    return None if name is None else replace(condition, column=name)


def fixed(conditions: tuple[Condition, ...], column: str) -> tuple[Value, ...] | None:
    """The values that a column is confined to by one of the conditions; None if by none."""
    for condition in conditions:
        if isinstance(condition, OneOf) and condition.column == column and not condition.negated:
            return condition.values
        if (
            isinstance(condition, Compare)
            and condition.column == column
            and condition.operator == "="
        ):
            return (condition.value,)
        if isinstance(condition, Some) and condition.parts:
            parts = [fixed((part,), column) for part in condition.parts]
            if None not in parts:
                return tuple(value for part in parts if part is not None for value in part)
    return None


def columns_of(condition: Condition) -> Iterator[str]:
    """Every column that the condition looks at, perhaps more than once."""
    if isinstance(condition, Not):
        yield from columns_of(condition.part)
    elif isinstance(condition, (Every, Some)):
        for part in condition.parts:
            yield from columns_of(part)
    elif not isinstance(condition, Known):
        yield condition.column
