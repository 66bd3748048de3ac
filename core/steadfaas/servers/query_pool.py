"""Query processes: where statements in SQL run.

A statement may ask for anything: a product of all tables with themselves, forever. So it never runs
here. The engine starts a query process when the first statement comes, hands statements to it one
by one, passes on what comes back as fast as the client takes it, and kills the process when a
statement outlives its time or its client. A process that has not been asked for a while ends.

The time limit holds from the moment a statement runs to its first rows, and again for each further
piece. A statement beyond a limit is refused with 400, not 408: it was the statement that took too
long and not the request, and 408 invites clients and proxies to send the same again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar

from steadfaas.durations import format_duration
from steadfaas.errors import Overloaded, RequestError
from steadfaas.query.frames import Head, Question
from steadfaas.servers.query_process import ProcessEnded, QueryProcess

_MIB: Final = 1024 * 1024
_START_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 300.0
_MAX_WAITING: Final = 32
_RETRY_AFTER: Final = 1

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class StatementRefused(RequestError):
    """A statement cannot be answered; nothing is wrong with the request that brought it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a statement may use: seconds, bytes, rows; and how many run at once."""

    time: float = 30.0
    memory: int = 1024 * _MIB
    rows: int = 1_000_000
    workers: int = 2


class QueryPool:
    """The query processes over one database: none until somebody asks.

    `idle` is how long a process waits for the next statement before it ends, in seconds;
    `max_waiting` how many statements wait for a process; `engine` the module that runs them, where
    it is not the usual one.
    """

    def __init__(
        self,
        database: Path,
        limits: Limits = Limits(),
        *,
        idle: float = _IDLE_SECONDS,
        max_waiting: int = _MAX_WAITING,
        engine: str | None = None,
    ) -> None:
        self._limits = limits
        self._idle_seconds = idle
        self._max_waiting = max_waiting
        self._arguments = [
            str(database.absolute()),
            *("--max-rows", str(limits.rows)),
            *("--memory-limit", str(limits.memory)),
            *(() if engine is None else ("--engine", engine)),
        ]
        self._turns = asyncio.Semaphore(limits.workers)
        self._waiting = 0
        self._closed = False
        self._processes: set[QueryProcess] = set()
        self._idle: dict[QueryProcess, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are there."""
        return [each.pid for each in self._processes]

    @contextlib.asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[AsyncIterator[bytes]]:
        """Run a statement; yields its answer in pieces, which need not be read to the end.

        Raises StatementRefused, Overloaded, and RequestError where statements cannot be run at all.
        """
        _check_installed()
        async with self._turn():
            process = await self._process()
            try:
                with self._explained():
                    await self._head(process, question)
                    yield self._pieces(process)
            finally:
                self._put_back(process)

    async def close(self) -> None:
        """End all processes, also those that are busy. Nothing can be asked afterwards."""
        self._closed = True
        for process in list(self._processes):
            self._end(process)
        await asyncio.gather(*self._ending)

    # --- turns ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= self._max_waiting:
            raise self._overloaded()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.time):
                await self._turns.acquire()
        except TimeoutError:
            raise self._overloaded() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _overloaded(self) -> Overloaded:
        return Overloaded(
            f"{self._limits.workers} statements run already (setting query_workers) and others wait"
            " for their turn; try again in a moment.",
            retry_after=_RETRY_AFTER,
        )

    # --- processes -----------------------------------------------------------------------------

    async def _process(self) -> QueryProcess:
        """A process that can be asked: one that waits, or a new one."""
        while self._idle:
            process, timer = self._idle.popitem()
            timer.cancel()
            if process.running:
                return process
            self._end(process)
        if self._closed:
            raise _closing()
        try:
            async with asyncio.timeout(_START_SECONDS):
                process = await QueryProcess.start(self._arguments)
        except ProcessEnded as ended:
            _log.error("a query process did not start: %s", ended)
            raise RequestError(
                "The query process did not start; see the log.", status=500
            ) from ended
        except TimeoutError:
            raise RequestError("The query process did not start in time.", status=503) from None
        self._processes.add(process)
        if self._closed:
            self._end(process)
            raise _closing()
        return process

    def _put_back(self, process: QueryProcess) -> None:
        if process.free and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle[process] = loop.call_later(self._idle_seconds, self._end, process)
        else:
            self._end(process)

    def _end(self, process: QueryProcess) -> None:
        timer = self._idle.pop(process, None)
        if timer is not None:
            timer.cancel()
        self._processes.discard(process)
        process.kill()
        ending = asyncio.ensure_future(process.gone())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    # --- answers -------------------------------------------------------------------------------

    async def _head(self, process: QueryProcess, question: Question) -> None:
        head = await self.in_time(process.ask(question))
        if head.status == 200 and not head.out_of_memory:
            return
        async for _ in process.chunks():
            pass
        raise self._too_large() if head.out_of_memory else _refused(head)

    async def _pieces(self, process: QueryProcess) -> AsyncIterator[bytes]:
        pieces = process.chunks()
        while (piece := await self.in_time(anext(pieces, None))) is not None:
            yield piece

    async def in_time(self, work: Awaitable[_T]) -> _T:
        """What a piece of work gives within the time limit. Raises StatementRefused beyond it."""
        try:
            async with asyncio.timeout(self._limits.time):
                return await work
        except TimeoutError:
            limit = format_duration(round(self._limits.time * 1000))
            raise StatementRefused(
                f"The statement took longer than {limit} (setting query_time_limit): narrow it with"
                " a condition or a LIMIT, or raise the setting."
            ) from None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What the end of a process means for the statement it ran."""
        try:
            yield
        except ProcessEnded as ended:
            if self._closed:
                raise _closing() from ended
            if "memory allocation of" in ended.words:
                raise self._too_large() from ended
            _log.warning("a statement ended its query process: %s", ended)
            raise StatementRefused(self._last_words(ended), status=500) from ended

    def _last_words(self, ended: ProcessEnded) -> str:
        code = ended.exit_code
        if code == -signal.SIGKILL:
            return (
                "The query process was killed from outside, most likely because the machine ran"
                " out of memory: ask for fewer rows or columns, or lower query_memory_limit."
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return (
            f"The statement ended its query process ({how}), most likely because it needs more"
            f" memory than {self._limits.memory // _MIB} MiB (setting query_memory_limit) allow."
            " The engine is not affected; its log holds what the process said last."
        )

    def _too_large(self) -> StatementRefused:
        return StatementRefused(
            f"The statement needs more memory than {self._limits.memory // _MIB} MiB (setting"
            " query_memory_limit) allow: ask for fewer rows or columns, or raise the setting."
        )


def _refused(head: Head) -> StatementRefused:
    return StatementRefused(head.message, status=head.status)


def _closing() -> RequestError:
    return RequestError("The engine is shutting down.", status=503)


def _check_installed() -> None:
    if find_spec("datafusion") is None or find_spec("pyarrow") is None:
        raise RequestError(
            "Statements in SQL need the extra 'sql', which is not installed here:"
            " pip install 'steadfaas[sql]'.",
            status=501,
        )
