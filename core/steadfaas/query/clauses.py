"""Pieces of SQLite's SQL with their parameters, and how they are put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Clause:
    """An expression, true, false or NULL for a row."""

    text: str
    parameters: tuple[Any, ...] = ()


TRUE: Final = Clause("1")
FALSE: Final = Clause("0")
UNKNOWN: Final = Clause("NULL")


def every(clauses: Iterable[Clause]) -> Clause:
    """All are true."""
    return _joined(clauses, " AND ", neutral=TRUE, decides=FALSE)


def some(clauses: Iterable[Clause]) -> Clause:
    """At least one is true."""
    return _joined(clauses, " OR ", neutral=FALSE, decides=TRUE)


def negated(clause: Clause) -> Clause:
    """The opposite."""
    if clause == TRUE:
        return FALSE
    return TRUE if clause == FALSE else Clause(f"NOT ({clause.text})", clause.parameters)


def _joined(clauses: Iterable[Clause], word: str, *, neutral: Clause, decides: Clause) -> Clause:
    parts: list[Clause] = []
    for clause in clauses:
        if clause == decides:
            return decides
        if clause != neutral:
            parts.append(clause)
    if not parts:
        return neutral
    return Clause(
        _balanced([f"({part.text})" for part in parts], word),
        tuple(parameter for part in parts for parameter in part.parameters),
    )


def _balanced(parts: list[str], word: str) -> str:
    """A tree of brackets: SQLite refuses an expression of more than a thousand levels."""
    while len(parts) > 8:
        parts = [f"({word.join(parts[at : at + 8])})" for at in range(0, len(parts), 8)]
    return word.join(parts)
