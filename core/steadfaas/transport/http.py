"""Request/response exchanges over HTTP/1.1, with pooled connections.

One exchange is one POST: the whole journal up, the whole answer down. Frames are handed over while
the answer still comes in, whenever it pauses, so that what an endpoint has already done is durable
before it does the next thing. Whatever goes wrong becomes an AttemptFailure with the code of the
reference; frames that came before it were handed over and stay.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from steadfaas.errors import AttemptFailure, ProtocolViolation, Verdict
from steadfaas.wire.frame import Frame, FrameReader
from steadfaas.wire.messages import MessageType as T

# How long an answer may pause before what came so far is handed over (seconds).
_PAUSE: Final = 0.02
# Idle connections are closed before the other side's usual 5 s, so that both do not meet on the
# wire.
_KEEP_ALIVE: Final = 4.0
# Frames are handed over when this much has come, pause or not (bytes).
_HANDED_OVER: Final = 1024 * 1024
# How long an answer may go on after its closing frame before the connection is dropped (seconds).
_LINGER: Final = 1.0
_LARGE_BODY: Final = 256 * 1024
# What is read of an error answer to quote in the failure (bytes).
_QUOTED: Final = 500

Sink = Callable[[list[Frame]], None]
# The frames that end an answer: whatever comes behind them says nothing.
CLOSING: Final = frozenset({int(T.SUSPENSION), int(T.ERROR), int(T.END)})


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one exchange. `abort` is the longest silence of the endpoint, in seconds."""

    abort: float
    max_frame: int


class HttpTransport:
    """A pool of connections to endpoints."""

    def __init__(self, *, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, made on first use within the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def exchange(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits, sink: Sink
    ) -> AttemptFailure | None:
        """Send `body`, hand the answer's frames to `sink` in order, and say how it ended.

        Returns None after a complete answer, which says nothing about its frames.
        """
        content_type = headers["content-type"]
        data = body if len(body) < _LARGE_BODY else io.BytesIO(body)
        try:
            async with asyncio.timeout(limits.abort):
                response = await self.session.post(
                    url, data=data, headers=headers, allow_redirects=False
                )
            async with response:
                refusal = await _check_head(response, content_type, limits)
                if refusal is not None:
                    return refusal
                return await _read_frames(response, limits, sink)
        except aiohttp.ClientError as error:  # first: its connect timeouts are TimeoutErrors too
            return _network_failure(url, error)
        except TimeoutError:
            return AttemptFailure(
                "RT0001",
                f"the endpoint was silent for {limits.abort:g} s (abort timeout);"
                " the connection was dropped",
                verdict=Verdict.RETRY,
            )
        except (OSError, ValueError) as error:
            return _network_failure(url, error)


async def _read_frames(
    response: aiohttp.ClientResponse, limits: Limits, sink: Sink
) -> AttemptFailure | None:
    reader = FrameReader(limits.max_frame)
    content = response.content
    frames: list[Frame] = []
    size = 0
    try:
        while True:
            try:
                async with asyncio.timeout(_PAUSE if frames else limits.abort):
                    chunk = await content.readany()
            except TimeoutError:
                if not frames:
                    raise
                chunk = None
            if chunk == b"":
                break
            if chunk is not None:
                size += len(chunk)
                frames += reader.feed(chunk)
                if reader.oversize is not None:
                    response.close()
                    return _oversize(reader.oversize, limits)
                if frames and frames[-1].type in CLOSING:
                    # What may follow only frees the connection; the caller need not wait for it.
                    sink(frames)
                    frames = []
                    await _finish(response)
                    return None
            if chunk is None or size > _HANDED_OVER:
                sink(frames)
                frames, size = [], 0
                await asyncio.sleep(0)  # a flood of frames is stored as it comes, not collected
    finally:
        if frames:
            sink(frames)
    if reader.partial:
        return ProtocolViolation("the answer ends in the middle of a frame")
    return None


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Read to the end, so that the connection can be used again; not for long, though."""
    try:
        async with asyncio.timeout(_LINGER):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError):
        response.close()


def _oversize(size: int, limits: Limits) -> AttemptFailure:
    return AttemptFailure(
        "RT0003",
        f"the endpoint sent a message of {size} bytes; the limit is {limits.max_frame}"
        " (setting max_frame_bytes)",
        verdict=Verdict.TOO_LARGE,
    )


async def _check_head(
    response: aiohttp.ClientResponse, content_type: str, limits: Limits
) -> AttemptFailure | None:
    status = response.status
    if status == 200:
        got = response.headers.get("content-type")
        if got == content_type:
            return None
        response.close()
        return ProtocolViolation(f"the endpoint answered with content type {got!r}", http_code=500)
    async with asyncio.timeout(limits.abort):
        text = (await response.content.read(_QUOTED)).decode("utf-8", "replace").strip()
    retry_after = _retry_after(response.headers.get("retry-after"))
    response.close()
    return status_failure(status, text, retry_after)


def status_failure(status: int, text: str, retry_after: int | None = None) -> AttemptFailure:
    """What an HTTP status other than 200 means for the attempt. `retry_after` is in ms."""
    said = f": {text}" if text else ""
    message = f"the endpoint answered with status {status}{said}"
    if status in (429, 503):
        return AttemptFailure(
            "RT0023", message, http_code=status, verdict=Verdict.THROTTLED, retry_after=retry_after
        )
    if status in (502, 504):
        return AttemptFailure("RT0010", message, http_code=status)
    if status == 415:
        return AttemptFailure(
            "RT0015",
            f"the endpoint does not speak the pinned protocol version any more{said}",
            http_code=415,
            verdict=Verdict.DENIED,
        )
    if status == 413:
        return AttemptFailure("RT0019", message, http_code=413, verdict=Verdict.TOO_LARGE)
    verdict = {401: Verdict.DENIED, 403: Verdict.DENIED, 404: Verdict.GONE, 410: Verdict.GONE}
    return AttemptFailure(
        "RT0012", message, http_code=500, verdict=verdict.get(status, Verdict.BUG)
    )


def _network_failure(url: URL, error: Exception) -> AttemptFailure:
    what = str(error) or type(error).__name__
    failure = AttemptFailure("RT0010", f"network error with {url.origin()}: {what}")
    failure.__cause__ = error
    return failure


def _retry_after(text: str | None) -> int | None:
    """Milliseconds for a Retry-After header (seconds or an HTTP date); None if it says nothing."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    if not 0 <= seconds < 1e9:
        return 0 if seconds < 0 else None
    return int(seconds * 1000)
