"""Carries exchanges to apps in this process, with the faults that a test orders.

Deployments that are apps have made-up addresses under `.steadfaas.test`; all others are called as
in production. The apps' own clocks are real, so times that they put into commands
(sleeps, delayed sends) are moved to the test's clock on their way in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from functools import partial
from typing import Final

from yarl import URL

from steadfaas.deployments.adapters import Adapters
from steadfaas.errors import AttemptFailure, ProtocolViolation
from steadfaas.runtime.exchanges import CHECK_HEADER
from steadfaas.spi import Endpoint
from steadfaas.testing import chance, sdk
from steadfaas.testing.asgi import AsgiApp, Exchange
from steadfaas.testing.chance import Chance
from steadfaas.testing.clock import VirtualClock
from steadfaas.testing.faults import Fault, Faults
from steadfaas.testing.replay import Replayer
from steadfaas.testing.sdk import Lengths
from steadfaas.transport.http import CLOSING, HttpTransport, Limits, Sink, status_failure
from steadfaas.transport.platforms import Platforms
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode, encode
from steadfaas.wire.frame import Frame, FrameReader
from steadfaas.wire.messages import MessageType as T

DOMAIN: Final = ".steadfaas.test"
_TIMED: Final = frozenset({int(T.SLEEP), int(T.ONE_WAY_CALL)})
_LEAVE_SECONDS: Final = 1.0
_CUT: Final = "the answer was cut, as ordered by the test"


class InProcessTransport:
    """The transport of the test kit. `attempt_of` tells the number of an invocation's attempt."""

    def __init__(self, clock: VirtualClock, attempt_of: Callable[[str], int]) -> None:
        self._clock = clock
        self._attempt_of = attempt_of
        self._http = HttpTransport(connect_timeout=5.0)
        self.adapters = Adapters()
        self.platforms = Platforms(self.adapters.get, self._http)
        self._open: set[Exchange] = set()
        self.apps: dict[str, AsgiApp] = {}  # by address, without a slash at the end
        self.faults = Faults()
        self.replayer: Replayer | None = None
        self.asleep = 0  # exchanges that wait for virtual time to pass
        self.steps = 0  # grows whenever an exchange gets on
        # Handlers see what was set when the engine started, never one another's settings.
        self.context = Context()

    @property
    def http(self) -> HttpTransport:
        """For deployments that are real URLs."""
        return self._http

    async def close(self) -> None:
        """Stop what runs, and close real connections."""
        await self.drop()
        await self._http.close()
        await self.platforms.close()

    async def drop(self) -> None:
        """Stop all handlers, as if the processes that run them had ended."""
        tasks = [exchange.task for exchange in self._open]
        for exchange in list(self._open):
            exchange.cut()
        if tasks:
            await asyncio.wait(tasks, timeout=_LEAVE_SECONDS)

    async def exchange(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits, sink: Sink
    ) -> AttemptFailure | None:
        """One exchange; see transport.http."""
        address = str(url).rpartition("/invoke/")[0]
        app = self.apps.get(address)

        def carry(sink: Sink, fault: Fault | None) -> Awaitable[AttemptFailure | None]:
            if app is not None:
                return self._answer(_Call(app, url, headers, limits), body, sink, fault)
            send = partial(self._http.exchange, url, headers, body, limits)
            return self._from_afar(send, sink, fault)

        return await self._with_faults(address, headers, limits, partial(carry, sink))

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
        """One exchange; see transport.platforms."""
        send = partial(self.platforms.exchange_on, adapter, endpoint, path, headers, body, limits)
        carry = partial(self._from_afar, send, sink)
        return await self._with_faults(endpoint.uri, headers, limits, carry)

    async def _with_faults(
        self,
        address: str,
        headers: Mapping[str, str],
        limits: Limits,
        carry: Callable[[Fault | None], Awaitable[AttemptFailure | None]],
    ) -> AttemptFailure | None:
        self.steps += 1
        invocation = headers["x-restate-invocation-id"]
        fault = self.faults.take(address, invocation, lambda: self._attempt_of(invocation))
        if fault is not None:
            failure = await self._before(fault, limits)
            if failure is not None:
                return failure
        failure = await carry(fault)
        self.steps += 1
        return failure

    async def _from_afar(
        self,
        send: Callable[[Sink], Awaitable[AttemptFailure | None]],
        sink: Sink,
        fault: Fault | None,
    ) -> AttemptFailure | None:
        lengths = Lengths(self._clock.now)
        left = None if fault is None else fault.cut_after
        cut = False

        def take(frames: list[Frame]) -> None:
            nonlocal left, cut
            self.steps += 1
            if left is not None:
                cut = cut or left < len(frames)
                frames = frames[:left]
                left -= len(frames)
            sink([self._in_our_time(frame, lengths) for frame in frames])

        failure = await send(take)
        return AttemptFailure("RT0010", _CUT) if cut else failure

    async def ask(
        self,
        app: AsgiApp,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
    ) -> tuple[int, dict[str, str], bytes]:
        """One request to an app that is no exchange. Raises ConnectionError."""
        exchange = Exchange(app, method, path, headers, body, self.context)
        self._open.add(exchange)
        try:
            head = await exchange.head()
            return head.status, head.headers, b"".join([part async for part in exchange.body()])
        finally:
            self._open.discard(exchange)
            await exchange.close()

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
        asleep = True

        def wake() -> None:
            nonlocal asleep
            if asleep:
                asleep = False
                self.asleep -= 1  # at once: from this moment on, the exchange is at work
            over.set()

        over = asyncio.Event()
        self.asleep += 1
        call = self._clock.call_at(self._clock.now() + milliseconds, wake)
        try:
            await over.wait()
        finally:
            call.cancel()
            wake()

    async def _answer(
        self, call: _Call, body: bytes, sink: Sink, fault: Fault | None
    ) -> AttemptFailure | None:
        # A check is a replay that is stopped: there is nothing to compare.
        replayer = None if CHECK_HEADER in call.headers else self.replayer
        invocation = call.headers["x-restate-invocation-id"]
        drawn = None if replayer is None else replayer.next_chance(invocation)
        failure, frames = await self._read(call, body, drawn)
        if replayer is not None and failure is None:

            async def ask(replay: bytes, drawn: Chance) -> list[Frame]:
                return (await self._read(call, replay, drawn))[1]

            await replayer.check(call.target, invocation, body, frames, ask)
        cut = None if fault is None else fault.cut_after
        if cut is not None and cut < len(frames):
            frames = frames[:cut]
            failure = AttemptFailure("RT0010", _CUT)
        if frames:
            sink(frames)
        return failure

    async def _read(
        self, call: _Call, body: bytes, drawn: Chance | None
    ) -> tuple[AttemptFailure | None, list[Frame]]:
        """Call the app and read its answer to the end."""
        frames: list[Frame] = []
        reader = FrameReader(call.limits.max_frame)
        lengths = Lengths(self._clock.now)
        context = self.context.copy()
        context.run(sdk.CURRENT.set, lengths)
        context.run(chance.CURRENT.set, drawn)
        exchange = Exchange(call.app, "POST", call.path, call.headers, body, context)
        self._open.add(exchange)
        try:
            head = await exchange.head()
            if head.status != 200:
                text = b"".join([part async for part in exchange.body()])
                return status_failure(head.status, text[:500].decode("utf-8", "replace")), []
            if head.headers.get("content-type") != call.headers["content-type"]:
                got = head.headers.get("content-type")
                return ProtocolViolation(f"the app answered with content type {got!r}"), []
            async for part in exchange.body():
                self.steps += 1
                frames += [self._in_our_time(frame, lengths) for frame in reader.feed(part)]
                if reader.oversize is not None:
                    return AttemptFailure("RT0003", "the app sent too large a message"), frames
                if frames and frames[-1].type in CLOSING:
                    break
        except ConnectionError as error:
            return AttemptFailure("RT0010", str(error)), frames
        except asyncio.CancelledError:
            exchange.cut()
            raise
        finally:
            await exchange.close()
            self._open.discard(exchange)
        return None, frames

    def _in_our_time(self, frame: Frame, lengths: Lengths) -> Frame:
        """Move a time that the app took from the machine's clock to the test's clock."""
        if frame.type not in _TIMED:
            return frame
        try:
            if frame.type == T.SLEEP:
                sleep = decode(m.SleepCommand, frame.payload)
                sleep.wake_up_time = self._at(lengths.take(sleep.wake_up_time))
                return frame._replace(payload=encode(sleep))
            send = decode(m.OneWayCallCommand, frame.payload)
            if send.invoke_time:
                send.invoke_time = self._at(lengths.take(send.invoke_time))
            return frame._replace(payload=encode(send))
        except (MalformedMessage, ValueError):
            return frame  # the engine says what is wrong with it

    def _at(self, length: int) -> int:
        return max(self._clock.now() + length, 1)


class _Call:
    """What stays the same over the requests of one exchange and its replays."""

    __slots__ = ("app", "headers", "limits", "path", "target")

    def __init__(self, app: AsgiApp, url: URL, headers: Mapping[str, str], limits: Limits) -> None:
        self.app = app
        self.path = url.path
        self.headers = headers
        self.limits = limits
        self.target = url.path.rpartition("/invoke/")[2]
