"""Time, handed in wherever it is needed: what it is now, and being called when it has come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

# An event loop cannot look arbitrarily far ahead; a call beyond this is put off in steps.
_LONGEST_SECONDS: Final = 3600.0


class Call(Protocol):
    """A call that is due at some time."""

    def cancel(self) -> None:
        """Do not make it."""
        ...


class Time(Protocol):
    """For those who only look at the clock."""

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class Clock(Time, Protocol):
    """Where the engine gets its time."""

    def call_at(self, at: int, action: Callable[[], None]) -> Call:
        """Call `action` when it is `at` (ms since the epoch), never before; now, if that is over.

        Needs a running event loop.
        """
        ...


class SystemClock:
    """The machine's own wall clock."""

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def call_at(self, at: int, action: Callable[[], None]) -> Call:
        """Call `action` when it is `at` (ms since the epoch)."""
        return _Call(self, at, action)


class _Call:
    """Waits on the loop, and looks again if the loop's clock ran ahead of the wall clock."""

    __slots__ = ("_action", "_at", "_clock", "_handle")

    def __init__(self, clock: SystemClock, at: int, action: Callable[[], None]) -> None:
        self._clock = clock
        self._at = at
        self._action = action
        self._wait()

    def cancel(self) -> None:
        self._handle.cancel()

    def _wait(self) -> None:
        seconds = max(self._at - self._clock.now(), 0) / 1000
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(min(seconds, _LONGEST_SECONDS), self._look)

    def _look(self) -> None:
        if self._clock.now() < self._at:
            self._wait()
        else:
            self._action()
