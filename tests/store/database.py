"""What tests of the store need: a loop with a limit, a database, a connection that can fail."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.store.sqlite import Store, migrate
from steadfaas.store.writer import Transaction
from steadfaas.wire.messages import MessageType

_T = TypeVar("_T")
INPUT = int(MessageType.INPUT)


def run(test: Coroutine[Any, Any, _T]) -> _T:
    """Run an asynchronous test; it has twenty seconds."""

    async def limited() -> _T:
        async with asyncio.timeout(20):
            return await test

    return asyncio.run(limited())


@contextlib.asynccontextmanager
async def opened(data_dir: Path, *, durability: str = "relaxed") -> AsyncIterator[Store]:
    """A store, closed at the end. Relaxed unless the test is about durability: it is faster."""
    store = Store.open(data_dir, durability=durability)
    try:
        yield store
    finally:
        await store.close()


@contextlib.contextmanager
def memory() -> Iterator[sqlite3.Connection]:
    """A database in memory with our schema; a connection is all that most functions ask for."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    try:
        yield connection
    finally:
        connection.close()


class Moody(sqlite3.Connection):
    """A real connection that refuses statements that begin with one of `refuse`."""

    refuse: tuple[str, ...] = ()

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """As ever, or the error of a disk that gave up."""
        if sql.startswith(self.refuse) and self.refuse:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *parameters)


def transaction(connection: sqlite3.Connection) -> Transaction:
    """What a unit of work gets, outside of any writer: its after-effects never run."""
    return Transaction(connection)


def invocation(seq: int, **fields: Any) -> Invocation:
    """An invocation of `Shop/buy` with an input; other attributes as given."""
    given: dict[str, Any] = {
        "id": seq.to_bytes(24, "big"),
        "service": "Shop",
        "handler": "buy",
        "key": None,
        "kind": Kind.SERVICE,
        "created_at": 1000,
        "status": Status.READY,
    }
    later = {name: fields.pop(name) for name in list(fields) if name in _SET_LATER}
    made = Invocation(seq=seq, **(given | fields))
    made.begin_with(INPUT, b"input of %d" % seq)
    for name, value in later.items():
        setattr(made, name, value)
    return made


_SET_LATER = {"attempt", "deployment", "version", "output", "failures", "due_at", "awaits"}
