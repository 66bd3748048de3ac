"""Carries exchanges to apps in this process, with the faults that a test orders.

Deployments that are apps have made-up host names under `.steadfaas.test`; any other URL is called
over HTTP, as in production. The apps' own clocks are real, so times that they put into commands
(sleeps, delayed sends) are moved to the test's clock on their way in.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from yarl import URL

from steadfaas.errors import AttemptFailure, ProtocolViolation
from steadfaas.testing.asgi import AsgiApp, Exchange
from steadfaas.testing.clock import VirtualClock
from steadfaas.testing.faults import Fault, Faults
from steadfaas.testing.replay import Replayer
from steadfaas.transport.http import CLOSING, HttpTransport, Limits, Sink, status_failure
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode, encode
from steadfaas.wire.frame import Frame, FrameReader
from steadfaas.wire.messages import MessageType as T

DOMAIN: Final = ".steadfaas.test"
_TIMED: Final = frozenset({int(T.SLEEP), int(T.ONE_WAY_CALL)})


class InProcessTransport:
    """The transport of the test kit."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._http = HttpTransport(connect_timeout=5.0)
        self.apps: dict[str, AsgiApp] = {}
        self.faults = Faults()
        self.replayer: Replayer | None = None
        self.waiting: set[int] = set()  # virtual times that exchanges wait for
        self._exchanges: Counter[str] = Counter()

    @property
    def http(self) -> HttpTransport:
        """For deployments that are real URLs."""
        return self._http

    async def close(self) -> None:
        """Close real connections."""
        await self._http.close()

    async def exchange(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits, sink: Sink
    ) -> AttemptFailure | None:
        """One exchange; see transport.http."""
        host = url.host or ""
        invocation = headers["x-restate-invocation-id"]
        self._exchanges[invocation] += 1
        fault = self.faults.take(host, invocation, self._exchanges[invocation])
        if fault is not None:
            failure = await self._before(fault, limits)
            if failure is not None:
                return failure
        app = self.apps.get(host)
        if app is None:
            return await self._http.exchange(url, headers, body, limits, sink)
        try:
            return await self._call(app, url, headers, body, limits, sink, fault)
        except ConnectionError as error:
            return AttemptFailure("RT0010", str(error))

    async def _before(self, fault: Fault, limits: Limits) -> AttemptFailure | None:
        if fault.status is not None:
            return status_failure(fault.status, "ordered by the test", fault.retry_after)
        if fault.latency is not None:
            longest = int(limits.abort * 1000)
            await self._sleep(min(fault.latency, longest))
            if fault.latency >= longest:
                return AttemptFailure(
                    "RT0001", f"the endpoint was silent for {limits.abort:g} s (abort timeout)"
                )
        return None

    async def _sleep(self, milliseconds: int) -> None:
        """Wait until the test's clock has moved on."""
        at = self._clock.now() + milliseconds
        over = asyncio.Event()
        call = self._clock.call_at(at, over.set)
        self.waiting.add(at)
        try:
            await over.wait()
        finally:
            call.cancel()
            self.waiting.discard(at)

    async def _call(
        self,
        app: AsgiApp,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        sink: Sink,
        fault: Fault | None,
    ) -> AttemptFailure | None:
        replayer = self.replayer
        if replayer is None:
            failure, frames = await self._ask(app, url, headers, body, limits)
        else:
            with replayer.odd_chances():
                failure, frames = await self._ask(app, url, headers, body, limits)
            if failure is None:
                await replayer.check(app, url.path, headers, body, frames)
        cut = None if fault is None else fault.cut_after
        if cut is not None and cut < len(frames):
            frames = frames[:cut]
            failure = AttemptFailure("RT0010", "the answer was cut, as ordered by the test")
        if frames:
            sink(frames)
        return failure

    async def _ask(
        self, app: AsgiApp, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits
    ) -> tuple[AttemptFailure | None, list[Frame]]:
        """Call the app and read its answer to the end."""
        frames: list[Frame] = []
        reader = FrameReader(limits.max_frame)
        exchange = Exchange(app, "POST", url.path, headers, body)
        try:
            head = await exchange.head()
            if head.status != 200:
                text = b"".join([part async for part in exchange.body()])
                return status_failure(head.status, text[:500].decode("utf-8", "replace")), []
            if head.headers.get("content-type") != headers["content-type"]:
                got = head.headers.get("content-type")
                return ProtocolViolation(f"the app answered with content type {got!r}"), []
            async for part in exchange.body():
                frames += [self._in_our_time(frame) for frame in reader.feed(part)]
                if reader.oversize is not None:
                    return AttemptFailure("RT0003", "the app sent too large a message"), frames
                if frames and frames[-1].type in CLOSING:
                    break
        except ConnectionError as error:
            return AttemptFailure("RT0010", str(error)), frames
        finally:
            await exchange.close()
        return None, frames

    def _in_our_time(self, frame: Frame) -> Frame:
        """Move a time that the app took from the machine's clock to the test's clock."""
        if frame.type not in _TIMED:
            return frame
        ahead = self._clock.now() - time.time_ns() // 1_000_000
        try:
            if frame.type == T.SLEEP:
                sleep = decode(m.SleepCommand, frame.payload)
                sleep.wake_up_time = max(sleep.wake_up_time + ahead, 0)
                return frame._replace(payload=encode(sleep))
            send = decode(m.OneWayCallCommand, frame.payload)
            if send.invoke_time:
                send.invoke_time = max(send.invoke_time + ahead, 1)
            return frame._replace(payload=encode(send))
        except (MalformedMessage, ValueError):
            return frame  # the engine says what is wrong with it
