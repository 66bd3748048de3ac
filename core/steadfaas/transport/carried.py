"""Exchanges with endpoints that HTTP does not reach: their adapter carries request and answer.

What such a platform takes and gives is whole: the answer's frames come all at once, after the
handler has paused or ended. Apart from that an exchange is what it is over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from steadfaas.errors import AttemptFailure, ProtocolViolation, RequestError, Verdict
from steadfaas.spi import DataPlane, Endpoint, Reply, Request
from steadfaas.transport.http import (
    CUT_OFF,
    Limits,
    Sink,
    hand_over,
    oversize_failure,
    silence_failure,
    status_failure,
    type_failure,
)
from steadfaas.wire.frame import FrameReader

_QUOTED = 500


class Carriers:
    """The data planes of adapters, each opened on first use. Belongs to one event loop."""

    def __init__(self, open: Callable[[str], DataPlane]) -> None:
        """`open(adapter)` gives a new data plane; it may raise RequestError."""
        self._open = open
        self._planes: dict[str, DataPlane] = {}

    async def close(self) -> None:
        """Close all connections."""
        while self._planes:
            _, plane = self._planes.popitem()
            await plane.close()

    async def call(self, adapter: str, endpoint: Endpoint, request: Request) -> Reply:
        """One request, and the answer as the SDK gave it. Raises AttemptFailure."""
        plane = self._planes.get(adapter)
        if plane is None:
            try:
                plane = self._planes[adapter] = self._open(adapter)
            except RequestError as error:
                raise AttemptFailure("SF0004", error.message, verdict=Verdict.DENIED) from error
        return await plane.call(endpoint, request)

    async def carry(
        self,
        adapter: str,
        endpoint: Endpoint,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        sink: Sink,
    ) -> AttemptFailure | None:
        """Send `body`, hand the answer's frames to `sink` in order, and say how it ended.

        Returns None after a complete answer, which says nothing about its frames.
        """
        try:
            async with asyncio.timeout(limits.abort):
                reply = await self.call(adapter, endpoint, Request("POST", path, headers, body))
        except AttemptFailure as failure:
            return failure
        except TimeoutError:
            return silence_failure(limits)
        if reply.status != 200:
            said = reply.body[:_QUOTED].decode("utf-8", "replace").strip()
            return status_failure(reply.status, said)
        return type_failure(reply.headers, headers["content-type"]) or _read(reply, limits, sink)


def _read(reply: Reply, limits: Limits, sink: Sink) -> AttemptFailure | None:
    reader = FrameReader(limits.max_frame)
    frames = reader.feed(reply.body)
    hand_over(frames, sink)
    if reader.oversize is not None:
        return oversize_failure(reader.oversize, limits)
    return ProtocolViolation(CUT_OFF) if reader.partial else None
