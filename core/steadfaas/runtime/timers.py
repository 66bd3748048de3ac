"""The one alarm clock: knows when the next stored timer is due, and rings when it is.

The timers themselves are rows in the store; memory holds a single moment, however many sleep.
"""

from __future__ import annotations

from collections.abc import Callable

from steadfaas.clock import Call, Clock


class Alarm:
    """Rings at the earliest time it was set to, in ms since the epoch."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: int | None = None
        self._call: Call | None = None

    @property
    def at(self) -> int | None:
        """When it rings next; None if it is not set."""
        return self._at

    def set(self, at: int) -> None:
        """Ring at `at`, unless it is set to an earlier time already."""
        if self._at is not None and self._at <= at:
            return
        if self._call is not None:
            self._call.cancel()
        self._at = at
        self._call = self._clock.call_at(at, self._due)

    def cancel(self) -> None:
        """Do not ring any more."""
        if self._call is not None:
            self._call.cancel()
        self._call = None
        self._at = None

    def _due(self) -> None:
        self._call = None
        self._at = None
        self._ring()
