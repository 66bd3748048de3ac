"""What a statement wants of a table: which columns, of which rows, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from steadfaas.query.conditions import Condition


@dataclass(frozen=True, slots=True)
class Limit:
    """Any so many rows will do."""

    rows: int


@dataclass(frozen=True, slots=True)
class Top:
    """The first so many rows by a column; rows that are equal to the last one count too."""

    rows: int
    column: str
    ascending: bool


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`function(column)`; no column: of a constant. `by` orders the rows of a first_value."""

    function: str
    column: str | None
    by: str | None = None
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Nothing but these aggregates of the groups that have the same values in `keys`."""

    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]


@dataclass(frozen=True, slots=True)
class Distinct:
    """Nothing but which values a column has."""

    column: str


Purpose: TypeAlias = "Limit | Top | Group | Distinct"


@dataclass(frozen=True, slots=True)
class Want:
    """One look at a table. Rows that fulfil `where` suffice; more do no harm, unless `purpose` is
    to be used: it counts the rows that fulfil `where`, which is then all that the statement asks.
    """

    table: str
    columns: tuple[str, ...]
    where: tuple[Condition, ...] = ()
    purpose: Purpose | None = None
