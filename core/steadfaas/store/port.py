"""What the rest of the engine needs of the store: something to read from, and one writer.

Functions in this package take the narrowest of these. A `sqlite3.Connection` is a `Reader` and a
`Tx` as it stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class Reader(Protocol):
    """Runs a query."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> sqlite3.Cursor:
        """The rows of a query, or the effect of a statement."""
        ...


class Tx(Reader, Protocol):
    """An open transaction. What is written through it becomes durable as a whole, or not at all."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> sqlite3.Cursor:
        """Run a statement once for each row of parameters."""
        ...


class Writer(Protocol):
    """The one writer of the database."""

    async def write(self, unit: Callable[[Tx], _T]) -> _T:
        """Run `unit` in a transaction and return what it returned, after the commit.

        If the unit raises, nothing is stored and its exception is raised here. Raises StoreError if
        the database refused: nothing is stored then either.
        """
        ...
