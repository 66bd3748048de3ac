"""The one writer: units of work share transactions (group commit), in the order they came.

A unit is a function of a transaction. Units run in the event loop's thread, back to back, each in
its own savepoint; then one commit makes all of them durable, and only then their after-effects run.
While a commit is on its way to the disk, new units queue up: they are the next group.

The commit itself runs in a thread of its own, unless the disk has shown to be so fast that handing
it over would cost more than waiting for it.

A unit that raises is undone alone. A commit that fails undoes the whole group, and so does an error
that makes the database drop the transaction; every unit of the group is told: nothing was stored,
nothing may be acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from steadfaas.errors import StoreError, Verdict

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Unit = Callable[["Transaction"], Any]
Failed = Callable[[BaseException], None]

MAX_UNITS: Final = 512
# Handing a commit to a thread and back costs about this much (seconds).
_WORTH_A_THREAD: Final = 0.0006


class Transaction:
    """What a unit writes through. `after` runs once, after the commit, in order."""

    __slots__ = ("_after", "execute", "executemany")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.executemany = connection.executemany
        self._after: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def after(self, action: Callable[..., object], *args: Any) -> None:
        """Run `action` once everything this unit wrote is durable."""
        self._after.append((action, args))


class Writer:
    """Collects units, runs them in groups, commits, and reports. Belongs to one event loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        on_commit: Callable[[], None] | None = None,
        threaded: bool = True,
    ) -> None:
        """Without `threaded`, commits never leave the event loop's thread, however slow."""
        self._connection = connection
        self._threaded = threaded
        self._closed = False
        self._execute = connection.execute
        self._queue: list[tuple[Unit, Failed]] = []
        self._busy = False  # a flush is scheduled, or a commit is under way
        self._thread = ThreadPoolExecutor(1, "steadfaas-commit")
        self._commit_seconds = 0.0
        self._on_commit = on_commit
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, unit: Unit, failed: Failed) -> None:
        """Queue a unit. It becomes durable and its after-effects run, or `failed` is called."""
        self._queue.append((unit, failed))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._gather()

    def _gather(self) -> None:
        """Flush one turn of the event loop later than at once: what else is ready joins the group.

        A turn costs microseconds, a commit that is shared saves a flush of the disk.
        """
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._flush)

    async def write(self, unit: Callable[[Transaction], _T]) -> _T:
        """Run a unit; return what it returned, after its commit.

        Raises what the unit raised, or StoreError if the database refused: nothing was stored then.
        """
        done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def carried(tx: Transaction) -> None:
            tx.after(_resolve, done, unit(tx))

        self.submit(carried, lambda error: None if done.done() else done.set_exception(error))
        return await done

    @property
    def busy(self) -> bool:
        """Whether units wait for their commit."""
        return self._busy

    async def drain(self) -> None:
        """Wait until everything that was submitted is durable."""
        await self._idle.wait()

    def close(self) -> None:
        """Stop. Units that were not flushed are dropped: nobody was told of them."""
        self._closed = True
        self._queue.clear()
        self._thread.shutdown(wait=True)

    def _flush(self) -> None:
        if self._closed:
            return
        batch = self._queue[:MAX_UNITS]
        del self._queue[:MAX_UNITS]
        tx = Transaction(self._connection)
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._give_up([failed for _, failed in batch], error)
            return
        group: list[Failed] = []
        for ran, (unit, failed) in enumerate(batch, 1):
            fault = self._run(tx, unit, failed)
            if fault is None:
                group.append(failed)
            elif not self._connection.in_transaction:
                # After some errors, a full disk above all, SQLite undoes the whole transaction, not
                # the statement. Whoever comes next needs a new one: outside of any, each savepoint
                # would commit by itself.
                self._queue[:0] = batch[ran:]
                self._give_up(group, fault)
                return
        if not self._threaded or self._commit_seconds < _WORTH_A_THREAD:
            self._finish(tx, group, *self._commit())
        else:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(self._thread, self._commit).add_done_callback(
                lambda done: self._finish(tx, group, *done.result())
            )

    def _run(self, tx: Transaction, unit: Unit, failed: Failed) -> Exception | None:
        """Run one unit. If it raises, it is undone, told, and its error returned."""
        mark = len(tx._after)
        try:
            self._execute("SAVEPOINT unit")
            unit(tx)
            self._execute("RELEASE unit")
        except Exception as error:  # the edge between one unit and the others
            del tx._after[mark:]
            self._undo()
            _tell(failed, _translate(error))
            return error
        return None

    def _undo(self) -> None:
        """Undo the latest unit; where that cannot be done alone, its whole transaction."""
        try:
            self._execute("ROLLBACK TO unit")
            self._execute("RELEASE unit")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.rollback()

    def _commit(self) -> tuple[sqlite3.Error | None, float]:
        started = time.perf_counter()
        try:
            self._execute("COMMIT")
        except sqlite3.Error as error:
            return error, 0.0
        return None, time.perf_counter() - started

    def _finish(
        self, tx: Transaction, group: list[Failed], error: sqlite3.Error | None, seconds: float
    ) -> None:
        if error is not None:
            if self._connection.in_transaction:
                self._connection.rollback()
            self._give_up(group, error)
            return
        self._commit_seconds += (seconds - self._commit_seconds) * 0.05
        self._next()
        for action, args in tx._after:
            try:
                action(*args)
            except Exception:  # one after-effect must not cost another its own
                _log.exception("an action after a commit failed")
        if self._on_commit is not None:
            self._on_commit()

    def _give_up(self, group: list[Failed], error: Exception) -> None:
        _log.error("a transaction of %d units failed: %s", len(group), error)
        self._next()
        for failed in group:
            _tell(failed, _refused(error))

    def _next(self) -> None:
        if self._queue:
            self._gather()
        else:
            self._busy = False
            self._idle.set()


def _resolve(done: asyncio.Future[_T], result: _T) -> None:
    if not done.done():
        done.set_result(result)


def _tell(failed: Failed, error: BaseException) -> None:
    try:
        failed(error)
    except Exception:  # the same edge as above
        _log.exception("a failure could not be reported")


def _translate(error: Exception) -> Exception:
    return _refused(error) if isinstance(error, sqlite3.Error) else error


def _refused(error: Exception) -> StoreError:
    # A full or failing disk may heal; a row that breaks the schema's rules will not.
    heals = isinstance(error, sqlite3.OperationalError)
    verdict = Verdict.RETRY if heals else Verdict.BUG
    refused = StoreError(f"the database refused: {error}", verdict=verdict)
    refused.__cause__ = error
    return refused
