"""How fast a fake platform answers, and how busy it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiohttp import web


class Pace:
    """Each `async with` of it is one answer under way, which takes `latency` seconds longer.

    `calls` were begun in all, and `most` of them were under way at the same time.
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self.calls = self.most = 0
        self._under_way = 0

    def reset(self) -> None:
        """Count anew."""
        self.calls = self.most = 0

    async def __aenter__(self) -> None:
        self.calls += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        if self.latency:
            await asyncio.sleep(self.latency)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._under_way -= 1

    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """What lets a whole application answer at this pace."""

        @web.middleware
        async def paced(
            request: web.Request,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        ) -> web.StreamResponse:
            async with self:
                return await handler(request)

        return paced
