"""Callers in this process that wait for a result: ingress requests, by invocation id."""

from __future__ import annotations

import asyncio


class Waiters:
    """Futures by invocation id; each is resolved with the payload of an Output command."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[asyncio.Future[bytes]]] = {}

    def add(self, id: bytes) -> asyncio.Future[bytes]:
        """A future for the result of this invocation. Cancel it when nobody waits any more."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, []).append(future)
        return future

    def discard(self, id: bytes, future: asyncio.Future[bytes]) -> None:
        """The caller went away."""
        futures = self._waiting.get(id)
        if futures is not None and future in futures:
            futures.remove(future)
            if not futures:
                del self._waiting[id]

    def resolve(self, id: bytes, output: bytes) -> None:
        """The result is durable: hand it to everybody who waits."""
        for future in self._waiting.pop(id, ()):
            if not future.done():
                future.set_result(output)

    def __len__(self) -> int:
        return len(self._waiting)
