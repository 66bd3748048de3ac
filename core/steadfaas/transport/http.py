"""Request/response exchanges over HTTP/1.1, with pooled connections.

One exchange is one POST: the whole journal up, the whole answer down. Frames are handed over while
the answer still comes in, whenever it pauses, so that what an endpoint has already done is durable
before it does the next thing. Whatever goes wrong becomes an AttemptFailure with the code of the
reference; frames that came before it were handed over and stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from steadfaas.errors import AttemptFailure, ProtocolViolation, Verdict
from steadfaas.transport.connections import Answer, Connections
from steadfaas.wire.frame import Frame, FrameReader
from steadfaas.wire.messages import MessageType as T

# How long an answer may pause before what came so far is handed over (seconds).
_PAUSE: Final = 0.02
# Frames are handed over when this much has come, pause or not (bytes, frames).
_HANDED_OVER: Final = 1024 * 1024
_MOST_FRAMES: Final = 1000
# How long is waited for what decides nothing any more: what follows a closing frame, and the text
# of an error answer (seconds).
_LINGER: Final = 1.0
# What is read of an error answer to quote in the failure (bytes).
_QUOTED: Final = 500

Sink = Callable[[list[Frame]], None]
# Status, headers and the beginning of the body of an answer, to what they mean on its platform.
Diagnose = Callable[[int, Mapping[str, str], str], Awaitable[AttemptFailure | None]]
CUT_OFF: Final = "the answer ends in the middle of a frame"
# The frames that end an answer: whatever comes behind them says nothing.
CLOSING: Final = frozenset({int(T.SUSPENSION), int(T.ERROR), int(T.END)})


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one exchange. `abort` is the longest silence of the endpoint, in seconds."""

    abort: float
    max_frame: int


class HttpTransport:
    """Exchanges with endpoints, over one pool of connections."""

    def __init__(self, *, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._connections: Connections | None = None

    @property
    def _pool(self) -> Connections:
        """The connections, made on first use within the running loop."""
        if self._connections is None:
            self._connections = Connections(self._connect_timeout)
        return self._connections

    @property
    def session(self) -> aiohttp.ClientSession:
        """A client session over the same pool, for what is not an exchange."""
        return self._pool.session

    async def close(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            await self._connections.close()

    async def exchange(
        self,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        sink: Sink,
        diagnose: Diagnose | None = None,
    ) -> AttemptFailure | None:
        """Send `body`, hand the answer's frames to `sink` in order, and say how it ended.

        Returns None after a complete answer, which says nothing about its frames. `diagnose` is
        asked about an answer that is not a good one of the SDK.
        """
        try:
            async with asyncio.timeout(limits.abort) as silence:
                answer = await self._pool.post(url, headers, body)
                try:
                    refusal = await _check_head(answer, headers["content-type"], silence, diagnose)
                    if refusal is not None:
                        return refusal
                    return await _read_frames(answer, limits, silence, sink)
                finally:
                    answer.close()
        except aiohttp.ClientError as error:  # first: its connect timeouts are TimeoutErrors too
            return _network_failure(url, error)
        except TimeoutError:
            return silence_failure(limits)
        except (OSError, ValueError) as error:
            return _network_failure(url, error)


async def _read_frames(
    answer: Answer, limits: Limits, silence: asyncio.Timeout, sink: Sink
) -> AttemptFailure | None:
    reader = FrameReader(limits.max_frame)
    loop = asyncio.get_running_loop()
    frames: list[Frame] = []
    size = 0
    try:
        while True:
            try:
                chunk = await _next_chunk(answer.content, pausing=bool(frames))
            except aiohttp.ClientError:
                frames += reader.feed(_arrived(answer.content))
                raise
            if chunk == b"":
                break
            if chunk is not None:
                size += len(chunk)
                frames += reader.feed(chunk)
                if reader.oversize is not None:
                    return oversize_failure(reader.oversize, limits)
                if frames and frames[-1].type in CLOSING:
                    # What may follow only frees the connection; the caller need not wait for it.
                    answer.finish()
                    return None
                silence.reschedule(loop.time() + limits.abort)
            if chunk is None or size > _HANDED_OVER or len(frames) > _MOST_FRAMES:
                hand_over(frames, sink)
                frames, size = [], 0
                await asyncio.sleep(0)  # a flood of frames is stored as it comes, not collected
    finally:
        hand_over(frames, sink)
    if reader.partial:
        return ProtocolViolation(CUT_OFF)
    answer.finish()
    return None


async def _next_chunk(content: aiohttp.StreamReader, *, pausing: bool) -> bytes | None:
    """What came; nothing (b"") at the end; None if it pauses while there are frames in hand."""
    if not pausing:
        return await content.readany()
    try:
        async with asyncio.timeout(_PAUSE):
            return await content.readany()
    except TimeoutError:
        return None


def _arrived(content: aiohttp.StreamReader) -> bytes:
    """What came before the connection broke. The reader's own methods keep it back by then."""
    return content._read_nowait(-1)


def hand_over(frames: list[Frame], sink: Sink) -> None:
    """Give frames to a sink, in portions: no unit of work becomes so long that others notice."""
    for start in range(0, len(frames), _MOST_FRAMES):
        sink(frames[start : start + _MOST_FRAMES])


def silence_failure(limits: Limits) -> AttemptFailure:
    """Nothing came for as long as an endpoint may be silent."""
    return AttemptFailure(
        "RT0001",
        f"the endpoint was silent for {limits.abort:g} s (abort timeout);"
        " the connection was dropped",
        verdict=Verdict.RETRY,
    )


def oversize_failure(size: int, limits: Limits) -> AttemptFailure:
    """A frame is larger than frames may be."""
    return AttemptFailure(
        "RT0003",
        f"the endpoint sent a message of {size} bytes; the limit is {limits.max_frame}"
        " (setting max_frame_bytes)",
        verdict=Verdict.TOO_LARGE,
    )


async def _check_head(
    answer: Answer, content_type: str, silence: asyncio.Timeout, diagnose: Diagnose | None
) -> AttemptFailure | None:
    if answer.status == 200:
        failure = type_failure(answer.headers, content_type)
        if failure is None:
            return None
        text = ""
    else:
        silence.reschedule(None)  # the status decides; its text has a short limit of its own
        text = await _quote(answer)
        retry_after = _retry_after(answer.headers.get("retry-after"))
        failure = status_failure(answer.status, text, retry_after)
    if diagnose is None:
        return failure
    silence.reschedule(None)  # as above
    return await diagnose(answer.status, answer.headers, text) or failure


def type_failure(headers: Mapping[str, str], content_type: str) -> AttemptFailure | None:
    """What is wrong with the type of a good answer, or None."""
    got = headers.get("content-type")
    encoding = headers.get("content-encoding", "identity")
    if got == content_type and encoding == "identity":
        return None
    if got == content_type:
        return ProtocolViolation(
            f"the endpoint's answer has content encoding {encoding!r}, which nobody asked for;"
            " something on the way compresses answers",
            http_code=500,
        )
    return ProtocolViolation(f"the endpoint answered with content type {got!r}", http_code=500)


async def _quote(answer: Answer) -> str:
    """The beginning of an error answer, if it comes: the status says enough without it."""
    try:
        async with asyncio.timeout(_LINGER):
            text = await answer.content.read(_QUOTED)
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
    # That it is gone for good, no status says: only the platform's own words do.
    verdict = Verdict.DENIED if status in (401, 403) else Verdict.BUG
    return AttemptFailure("RT0012", message, http_code=500, verdict=verdict)


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
