"""One query process, seen from the engine: start, ask, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import steadfaas
from steadfaas.errors import SteadfaasError
from steadfaas.query.frames import AGAIN, END, FRAME, Head, Question

_BUFFER: Final = 1024 * 1024
_REMEMBERED: Final = 4096
# How long a process that says no more may take to end (seconds).
_ENDING: Final = 1.0


class ProcessEnded(SteadfaasError):
    """The process is gone. `code` is its exit code (below zero: the signal that ended it), `words`
    the last it wrote on standard error."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"the query process ended with code {code}: {words}")
        self.exit_code = code
        self.words = words


class QueryProcess:
    """A running process. It is asked one question at a time, and read to the end before the next.

    `free` says whether it may be asked. Where an answer is given up midway, kill it.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._words = bytearray()
        self._reading = asyncio.Lock()
        self._listening = asyncio.create_task(self._listen())
        self.free = False

    @classmethod
    async def start(cls, arguments: Sequence[str]) -> QueryProcess:
        """Start `steadfaas.query.worker`, and return when it can be asked. Raises ProcessEnded."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # Without the working directory among the places to import from: it is anybody's.
            *("-P", "-m", "steadfaas.query.worker"),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_BUFFER,
            env={**os.environ, "PYTHONPATH": _import_path()},
        )
        started = cls(process)
        try:
            await started._frame()
        except BaseException:
            started.kill()
            raise
        started.free = True
        return started

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def ask(self, question: Question) -> Head:
        """Ask, and wait for how the answer begins. Raises ProcessEnded."""
        self.free = False
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # reading tells why
            self._process.stdin.write(question.to_line())
            await self._process.stdin.drain()
        _, content = await self._frame()
        return Head.from_bytes(content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The rest of the answer; not read ahead of whoever takes it. Raises ProcessEnded."""
        while True:
            letter, content = await self._frame()
            if letter == END:
                self.free = content == AGAIN
                return
            yield content

    def kill(self) -> None:
        """End it at once."""
        self.free = False
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def gone(self) -> None:
        """Wait until it has ended and is reaped. What it still said is thrown away."""
        # An end of which the last words are not read is none to asyncio: `wait` would never return.
        assert self._process.stdout is not None
        async with self._reading:
            while await self._process.stdout.read(_BUFFER):
                pass
        await self._process.wait()
        await self._listening

    async def _frame(self) -> tuple[bytes, bytes]:
        assert self._process.stdout is not None
        try:
            async with self._reading:
                letter, size = FRAME.unpack(await self._process.stdout.readexactly(FRAME.size))
                return letter, await self._process.stdout.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._ended()
            code = self._process.returncode
            raise ProcessEnded(0 if code is None else code, self._said()) from None

    async def _ended(self) -> None:
        """Let it end by itself: asyncio does not learn how a process ended that a kill finds dead
        but not yet reaped."""
        self.free = False
        gone = asyncio.ensure_future(self.gone())
        await asyncio.wait([gone], timeout=_ENDING)
        self.kill()
        await gone

    def _said(self) -> str:
        return self._words.decode("utf-8", "replace").strip()

    async def _listen(self) -> None:
        """Read standard error, so that the process never waits for us to; keep the end of it."""
        assert self._process.stderr is not None
        while words := await self._process.stderr.read(_REMEMBERED):
            self._words += words
            del self._words[:-_REMEMBERED]


def _import_path() -> str:
    """Where this process found steadfaas, before what is set for everybody."""
    ours = str(Path(steadfaas.__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([ours, inherited] if inherited else [ours])
