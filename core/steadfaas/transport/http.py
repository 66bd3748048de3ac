"""Request/response exchanges over HTTP/1.1, with pooled connections.

One exchange is one POST: the whole journal up, the whole answer down. Frames are handed over while
the answer still comes in, whenever it pauses, so that what an endpoint has already done is durable
before it does the next thing. Whatever goes wrong becomes an AttemptFailure with the code of the
reference; frames that came before it were handed over and stay.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from steadfaas.errors import AttemptFailure, ProtocolViolation, Verdict
from steadfaas.wire.frame import Frame, FrameReader
from steadfaas.wire.messages import MessageType as T

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace

# How long an answer may pause before what came so far is handed over (seconds).
_PAUSE: Final = 0.02
# Idle connections are closed before the other side's usual 5 s, so that both do not meet on the
# wire.
_KEEP_ALIVE: Final = 4.0
# Frames are handed over when this much has come, pause or not (bytes, frames).
_HANDED_OVER: Final = 1024 * 1024
_MOST_FRAMES: Final = 1000
# How long is waited for what decides nothing any more: what follows a closing frame, and the text
# of an error answer (seconds).
_LINGER: Final = 1.0
# A kept connection that breaks this soon had been closed by the other side before (seconds). It
# is replaced so many times within one exchange.
_STALE: Final = 1.0
_MOST_STALE: Final = 3
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


_connected: ContextVar[bool] = ContextVar("_connected")


class _Connector(aiohttp.TCPConnector):
    """A pool that tells the task it serves whether it had to make a connection."""

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> ResponseHandler:
        _connected.set(True)
        return await super()._create_connection(req, traces, timeout)


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
                connector=_Connector(limit=0, keepalive_timeout=_KEEP_ALIVE),
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
        try:
            async with asyncio.timeout(limits.abort):
                response = await self._post(url, headers, body)
            async with response:
                refusal = await _check_head(response, headers["content-type"])
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

    async def _post(
        self, url: URL, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send the request; returns with the head of the answer.

        The other side may close a kept connection just when we use it again. The endpoint has done
        nothing wrong then, and has not seen the request: it goes out once more.
        """
        for left in reversed(range(_MOST_STALE)):
            _connected.set(False)
            started = time.monotonic()
            try:
                return await self.session.post(
                    url,
                    data=body if len(body) < _LARGE_BODY else io.BytesIO(body),
                    headers=headers,
                    allow_redirects=False,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                stale = not _connected.get() and time.monotonic() - started < _STALE
                if not stale or not left:
                    raise
        raise AssertionError("unreachable")


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
            except aiohttp.ClientError:
                frames += reader.feed(_arrived(content))
                raise
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
                    _hand_over(frames, sink)
                    frames = []
                    await _finish(response)
                    return None
            if chunk is None or size > _HANDED_OVER or len(frames) > _MOST_FRAMES:
                _hand_over(frames, sink)
                frames, size = [], 0
                await asyncio.sleep(0)  # a flood of frames is stored as it comes, not collected
    finally:
        _hand_over(frames, sink)
    if reader.partial:
        return ProtocolViolation("the answer ends in the middle of a frame")
    return None


def _arrived(content: aiohttp.StreamReader) -> bytes:
    """What came before the connection broke. The reader's own methods keep it back by then."""
    return content._read_nowait(-1)


def _hand_over(frames: list[Frame], sink: Sink) -> None:
    """In portions, so that no unit of work becomes so long that others notice."""
    for start in range(0, len(frames), _MOST_FRAMES):
        sink(frames[start : start + _MOST_FRAMES])


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


async def _check_head(response: aiohttp.ClientResponse, content_type: str) -> AttemptFailure | None:
    if response.status != 200:
        text = await _quote(response)
        retry_after = _retry_after(response.headers.get("retry-after"))
        response.close()
        return status_failure(response.status, text, retry_after)
    got = response.headers.get("content-type")
    encoding = response.headers.get("content-encoding", "identity")
    if got == content_type and encoding == "identity":
        return None
    response.close()
    if got == content_type:
        return ProtocolViolation(
            f"the endpoint's answer has content encoding {encoding!r}, which nobody asked for;"
            " something on the way compresses answers",
            http_code=500,
        )
    return ProtocolViolation(f"the endpoint answered with content type {got!r}", http_code=500)


async def _quote(response: aiohttp.ClientResponse) -> str:
    """The beginning of an error answer, if it comes: the status says enough without it."""
    try:
        async with asyncio.timeout(_LINGER):
            text = await response.content.read(_QUOTED)
    except (TimeoutError, aiohttp.ClientError):
        return ""
    return text.decode("utf-8", "replace").strip()


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
    what = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    what = " ".join(what.split()) or type(error).__name__
    failure = AttemptFailure("RT0010", f"network error with {url.origin()}: {what[:_QUOTED]}")
    failure.__cause__ = error
    return failure


def _retry_after(text: str | None) -> int | None:
    """Milliseconds for a Retry-After header (seconds or an HTTP date); None if it says nothing.

    Now, or a time that is over, says nothing either: the policy's delay keeps us from spinning.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return int(seconds * 1000) if 0.001 <= seconds < 1e9 else None
