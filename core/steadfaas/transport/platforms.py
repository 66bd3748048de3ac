"""Exchanges with endpoints whose platform is known: by what its adapter knows of it.

Where HTTP reaches an endpoint, the exchange is one over HTTP; the adapter says how large a request
the platform takes, and what an answer means that is not the SDK's. Where HTTP does not reach it,
the adapter carries request and answer. What such a platform takes and gives is whole: the frames
come all at once, after the handler has paused or ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from yarl import URL

from steadfaas.errors import AttemptFailure, ProtocolViolation, RequestError, Verdict
from steadfaas.spi import (
    Adapter,
    Bounded,
    Carries,
    DataPlane,
    Diagnoses,
    Endpoint,
    Reply,
    Request,
)
from steadfaas.transport.http import (
    CUT_OFF,
    Diagnose,
    HttpTransport,
    Limits,
    Sink,
    hand_over,
    oversize_failure,
    silence_failure,
    status_failure,
    type_failure,
)
from steadfaas.wire.frame import FrameReader

_QUOTED: Final = 500
# A platform's own API is asked about an answer for so long at most (seconds).
_DIAGNOSIS_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What an adapter knows of exchanges."""

    max_request_bytes: int | None
    carries: Carries | None
    diagnoses: Diagnoses | None

    @classmethod
    def of(cls, adapter: Adapter) -> _Known:
        return cls(
            adapter.max_request_bytes if isinstance(adapter, Bounded) else None,
            adapter if isinstance(adapter, Carries) else None,
            adapter if isinstance(adapter, Diagnoses) else None,
        )


class Platforms:
    """What the adapters know, and their data planes, each opened on first use. Belongs to one event
    loop."""

    def __init__(self, adapter: Callable[[str], Adapter], http: HttpTransport) -> None:
        """`adapter(name)` gives an adapter; it may raise RequestError."""
        self._adapter = adapter
        self._http = http
        self._known: dict[str, _Known] = {}
        self._planes: dict[str, DataPlane] = {}

    async def close(self) -> None:
        """Close all connections of data planes."""
        while self._planes:
            _, plane = self._planes.popitem()
            await plane.close()

    async def exchange_on(
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
            known = self._of(adapter)
            if known.max_request_bytes is not None and len(body) > known.max_request_bytes:
                return _too_large(len(body), known.max_request_bytes, adapter)
            if known.carries is None:
                url = URL(endpoint.uri.rstrip("/") + path)
                diagnose = _diagnosis(known, endpoint)
                return await self._http.exchange(url, headers, body, limits, sink, diagnose)
            async with asyncio.timeout(limits.abort):
                reply = await self.call(adapter, endpoint, Request("POST", path, headers, body))
        except AttemptFailure as failure:
            return failure
        except TimeoutError:
            return silence_failure(limits)
        return _answered(reply, headers["content-type"], limits, sink)

    async def call(self, adapter: str, endpoint: Endpoint, request: Request) -> Reply:
        """One request that the adapter carries, and the answer as the SDK gave it.

        Raises AttemptFailure.
        """
        carries = self._of(adapter).carries
        if carries is None:
            raise AttemptFailure(
                "SF0004",
                f"the adapter '{adapter}' does not know how to call {endpoint.uri}",
                verdict=Verdict.DENIED,
            )
        plane = self._planes.get(adapter)
        if plane is None:
            plane = self._planes[adapter] = carries.data_plane()
        return await plane.call(endpoint, request)

    def diagnosis(self, adapter: str, endpoint: Endpoint) -> Diagnose | None:
        """How an answer of this endpoint is understood; None: by its status alone."""
        try:
            return _diagnosis(self._of(adapter), endpoint)
        except AttemptFailure:
            return None

    def _of(self, adapter: str) -> _Known:
        """Raises AttemptFailure."""
        known = self._known.get(adapter)
        if known is None:
            try:
                known = self._known[adapter] = _Known.of(self._adapter(adapter))
            except RequestError as error:
                raise AttemptFailure("SF0004", error.message, verdict=Verdict.DENIED) from error
        return known


def _answered(reply: Reply, content_type: str, limits: Limits, sink: Sink) -> AttemptFailure | None:
    if reply.status != 200:
        said = reply.body[:_QUOTED].decode("utf-8", "replace").strip()
        return status_failure(reply.status, said)
    return type_failure(reply.headers, content_type) or _read(reply, limits, sink)


def _diagnosis(known: _Known, endpoint: Endpoint) -> Diagnose | None:
    return None if known.diagnoses is None else partial(_diagnosed, known.diagnoses, endpoint)


async def _diagnosed(
    adapter: Diagnoses, endpoint: Endpoint, status: int, headers: Mapping[str, str], text: str
) -> AttemptFailure | None:
    try:
        async with asyncio.timeout(_DIAGNOSIS_SECONDS):
            return await adapter.diagnose(endpoint, status, headers, text)
    except TimeoutError:
        return None  # the status says enough to go on


def _too_large(size: int, limit: int, adapter: str) -> AttemptFailure:
    return AttemptFailure(
        "RT0019",
        f"the journal makes a request of {size} bytes, and the platform ({adapter}) takes {limit}:"
        " keep large values elsewhere and pass references to them",
        http_code=413,
        verdict=Verdict.TOO_LARGE,
    )


def _read(reply: Reply, limits: Limits, sink: Sink) -> AttemptFailure | None:
    reader = FrameReader(limits.max_frame)
    frames = reader.feed(reply.body)
    hand_over(frames, sink)
    if reader.oversize is not None:
        return oversize_failure(reader.oversize, limits)
    return ProtocolViolation(CUT_OFF) if reader.partial else None
