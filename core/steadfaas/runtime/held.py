"""Requests for handlers that nobody serves yet, held until a version that does has landed.

They cannot be stored: what kind of handler it will be is not known. So they are held in memory,
few of them, and each ends with its caller's connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from steadfaas.clock import Clock
from steadfaas.errors import Overloaded

MOST: Final = 1000
MOST_BYTES: Final = 64 * 1024 * 1024


class Held:
    """Those that are held now, in the order in which they came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = self._bytes = 0
        self._waiting: dict[asyncio.Future[bool], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def place(self, size: int) -> Iterator[None]:
        """A place for a request of `size` bytes. Raises Overloaded if there is none."""
        if self._count >= MOST or self._bytes + size > MOST_BYTES:
            raise Overloaded(
                f"{self._count} requests wait for versions of services that are not registered"
                " yet; try again",
                retry_after=1,
            )
        self._count += 1
        self._bytes += size
        try:
            yield
        finally:
            self._count -= 1
            self._bytes -= size

    async def changed(self, until: int) -> bool:
        """Wait until something is registered or removed; False: it is `until` (ms since the epoch).

        Raises Overloaded when the engine stops.
        """
        self._check_open()
        if until <= self._clock.now():
            return False
        change: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[change] = None
        call = self._clock.call_at(until, partial(_tell, change, False))
        try:
            came = await change
        finally:
            call.cancel()
            del self._waiting[change]
        self._check_open()
        return came

    def look(self) -> None:
        """Something was registered or removed: each looks whether it can go on."""
        for change in self._waiting:
            _tell(change, True)

    def close(self) -> None:
        """The engine stops: they are refused."""
        self._closed = True
        self.look()

    def _check_open(self) -> None:
        if self._closed:
            raise Overloaded("the engine is shutting down; try again", retry_after=1, status=503)


def _tell(change: asyncio.Future[bool], came: bool) -> None:
    if not change.done():
        change.set_result(came)
