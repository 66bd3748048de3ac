"""A clock that stands still until a test moves it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Final

from steadfaas.clock import Call

# 2026-01-01T00:00:00Z: the same in every run, so that ids and times are, too.
START: Final = 1_767_225_600_000


class VirtualClock:
    """Time in ms since the epoch. Calls that become due are made by whoever moves the clock."""

    def __init__(self, start: int = START) -> None:
        self._now = start
        self._calls: list[tuple[int, int, _Call]] = []
        self._order = itertools.count()

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._now

    def call_at(self, at: int, action: Callable[[], None]) -> Call:
        """Call `action` when the clock is moved to `at` or beyond."""
        call = _Call(action)
        heapq.heappush(self._calls, (at, next(self._order), call))
        return call

    def next_at(self) -> int | None:
        """When the next call is due; None if nothing ever happens by itself."""
        while self._calls and self._calls[0][2].cancelled:
            heapq.heappop(self._calls)
        return self._calls[0][0] if self._calls else None

    def move(self, to: int) -> None:
        """Move to `to`, which must not be before now, and make the calls that are due."""
        self._now = max(self._now, to)
        while (at := self.next_at()) is not None and at <= self._now:
            heapq.heappop(self._calls)[2].make()


class _Call:
    __slots__ = ("_action", "cancelled")

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Do not make it."""
        self.cancelled = True

    def make(self) -> None:
        self.cancelled = True
        self._action()
