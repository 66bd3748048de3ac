"""The one alarm clock: knows when the next stored timer is due, and calls when it is.

The timers themselves are rows in the store; memory holds a single moment, however many sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steadfaas.clock import Clock

# The loop's timers cannot look arbitrarily far ahead; the alarm looks again at least this often.
_LONGEST_MS = 3_600_000


class Alarm:
    """Calls `ring` at the earliest time it was set to, in ms since the epoch."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: int | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: int) -> None:
        """Ring at `at`, unless it is set to an earlier time already."""
        if self._at is not None and self._at <= at:
            return
        self._at = at
        if self._handle is not None:
            self._handle.cancel()
        wait = min(max(at - self._clock.now(), 0), _LONGEST_MS)
        self._handle = asyncio.get_running_loop().call_later(wait / 1000, self._due)

    def cancel(self) -> None:
        """Do not ring any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._at = None

    def _due(self) -> None:
        at, self._at, self._handle = self._at, None, None
        if at is not None and at > self._clock.now():
            self.set(at)  # a loop's clock may run a little ahead of the wall clock
        else:
            self._ring()
