"""A scriptable endpoint on the loopback interface, bytes and all.

It speaks HTTP/1.1 by hand, because what a broken endpoint sends is exactly what an HTTP library
would not let a test send. Discovery is answered with the manifest it was given; every exchange is
recorded, decoded, and handed to a *script*: an async function that answers through the `Exchange`.

    endpoint.script = answers(frame(OutputCommand(value=Value(content=b"hi"))), END)

A script that returns without having finished its answer leaves the connection open and silent until
the endpoint stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar
from urllib.parse import unquote

from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.fields import Message
from steadfaas.wire.frame import Frame, FrameReader, encode_frame
from steadfaas.wire.messages import MESSAGES
from steadfaas.wire.messages import MessageType as T

MANIFEST_TYPE: Final = "application/vnd.restate.endpointmanifest.v4+json"
_LARGEST_HEAD: Final = 1024 * 1024

Json = dict[str, Any]
Script = Callable[["Exchange"], Awaitable[None]]
_T = TypeVar("_T")

# The frame type of each message class that has exactly one.
_TYPES: Final = {
    cls: frame_type
    for frame_type, cls in MESSAGES.items()
    if list(MESSAGES.values()).count(cls) == 1
}


def run(test: Coroutine[Any, Any, _T], *, seconds: float = 30) -> _T:
    """Run an asynchronous test on the event loop the engine uses; it has `seconds`."""

    async def limited() -> _T:
        async with asyncio.timeout(seconds):
            return await test

    try:
        import uvloop
    except ImportError:
        return asyncio.run(limited())
    return uvloop.run(limited())


def frame(message: Message, *, type: int | None = None, flags: int = 0) -> bytes:
    """A frame with this message."""
    return encode_frame(_TYPES[message.__class__] if type is None else type, encode(message), flags)


END: Final = frame(m.End())


def output(content: bytes = b'"done"') -> bytes:
    """A successful result."""
    return frame(m.OutputCommand(value=m.Value(content=content)))


def suspension(
    *completions: int, signals: tuple[int, ...] = (1,), named: tuple[str, ...] = ()
) -> bytes:
    """The handler waits for these; SDKs nearly always wait for a cancel (signal 1) as well."""
    return frame(
        m.Suspension(
            waiting_completions=list(completions),
            waiting_signals=list(signals),
            waiting_named_signals=list(named),
        )
    )


def service(name: str, *handlers: str | Json, ty: str = "SERVICE", **options: Any) -> Json:
    """A service as a manifest describes it; a bare name is a handler with default settings."""
    listed = [{"name": each} if isinstance(each, str) else each for each in handlers]
    return {"name": name, "ty": ty, "handlers": listed, **options}


@dataclass(slots=True)
class Exchange:
    """One recorded request and the means to answer it. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # number of the TCP connection, from 1
    at: float  # when the request was complete, by the monotonic clock
    _reader: asyncio.StreamReader = field(repr=False)
    _writer: asyncio.StreamWriter = field(repr=False)
    chunked: bool = False
    finished: bool = False
    _frames: list[Frame] | None = None

    @property
    def frames(self) -> list[Frame]:
        """The request's frames: Start, then the journal."""
        if self._frames is None:
            reader = FrameReader()
            self._frames = reader.feed(self.body)
            assert not reader.partial, "the engine sent an incomplete frame"
        return self._frames

    @property
    def start(self) -> m.Start:
        """The Start message."""
        assert self.frames[0].type == T.START
        return decode(m.Start, self.frames[0].payload)

    @property
    def journal(self) -> list[Frame]:
        """The journal that came with the request, the input first."""
        return self.frames[1:]

    def messages(self, frame_type: int) -> list[Any]:
        """The journal's messages of this type, decoded, in order."""
        cls = MESSAGES[frame_type]
        return [decode(cls, each.payload) for each in self.journal if each.type == frame_type]

    @property
    def input(self) -> bytes:
        """The body of the request that made the invocation."""
        value = self.messages(T.INPUT)[0].value
        return b"" if value is None else bytes(value.content)

    # --- answering -----------------------------------------------------------------------------

    async def head(
        self,
        status: int = 200,
        *,
        content_type: str | None = "",
        headers: dict[str, str] | None = None,
        chunked: bool = True,
    ) -> None:
        """The head of the answer; the content type of the request unless told otherwise."""
        lines = [f"HTTP/1.1 {status} Scripted"]
        if content_type is not None:
            lines.append(f"content-type: {content_type or self.headers['content-type']}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.chunked = chunked and 200 <= status not in (204, 304)
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, data: bytes) -> None:
        """Bytes of the body, as one chunk."""
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        await self.raw(data)

    async def end(self) -> None:
        """The answer is complete; the connection stays open for the next request."""
        if self.chunked:
            await self.raw(b"0\r\n\r\n")
        self.finished = True

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except RuntimeError as error:  # how uvloop says that the other side has left
            raise ConnectionResetError(str(error)) from error

    async def close(self) -> None:
        """End the connection in an orderly way."""
        self._writer.close()
        await asyncio.sleep(0)

    async def reset(self) -> None:
        """Cut the connection: what was sent arrives, and then a reset."""
        await asyncio.sleep(0.01)  # let what was sent leave; a reset overtakes unsent bytes
        if self._writer.is_closing():
            return
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def answer(self, *frames: bytes) -> None:
        """A complete answer with these frames, in one chunk."""
        await self.head()
        await self.send(b"".join(frames))
        await self.end()


def answers(*frames: bytes) -> Script:
    """A script: always these frames."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(*frames)

    return script


def in_turn(*scripts: Script) -> Script:
    """A script: these one after the other; the last one repeats."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


async def complete(exchange: Exchange) -> None:
    """A script: what a well-behaved handler does that has nothing to do but to end."""
    has_output = any(each.type == T.OUTPUT for each in exchange.journal)
    await exchange.answer(END) if has_output else await exchange.answer(output(), END)


class Endpoint:
    """The server. `exchanges` holds all requests except discovery, in the order of arrival."""

    def __init__(self, *services: Json, script: Script = complete) -> None:
        self.services = list(services)
        self.script = script
        self.before_body: Script | None = None  # answers a request whose body was not read
        self.exchanges: list[Exchange] = []
        self.faults: list[BaseException] = []  # what scripts raised
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.stop()
        if self.faults and raised == (None, None, None):
            raise self.faults[0]

    async def listen(self) -> None:
        """Take requests; again at the same port after `stop`."""
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=_LARGEST_HEAD
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            while (exchange := await self._receive(reader, writer, number)) is not None:
                await self._serve(exchange)
                if writer.is_closing():
                    break
                if not exchange.finished:
                    await reader.read()  # silent until the other side leaves
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as fault:  # of the test: told at the end
            self.faults.append(fault)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _receive(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> Exchange | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        assert "transfer-encoding" not in headers
        exchange = Exchange(method, path, headers, b"", number, 0.0, reader, writer)
        if self.before_body is None:
            exchange.body = await reader.readexactly(int(headers.get("content-length", "0")))
        exchange.at = time.monotonic()
        return exchange

    async def _serve(self, exchange: Exchange) -> None:
        if exchange.path.endswith("/discover"):
            await self._discover(exchange)
        else:
            self.exchanges.append(exchange)
            await (self.before_body or self.script)(exchange)

    async def _discover(self, exchange: Exchange) -> None:
        document = {
            "protocolMode": "REQUEST_RESPONSE",
            "minProtocolVersion": 5,
            "maxProtocolVersion": 7,
            "services": self.services,
        }
        await exchange.head(content_type=MANIFEST_TYPE)
        await exchange.send(json.dumps(document).encode())
        await exchange.end()


def key_of(exchange: Exchange) -> str:
    """The key that an exchange carries in its header."""
    return unquote(exchange.headers["x-restate-service-key"], errors="strict")


@contextlib.asynccontextmanager
async def listening(script: Script) -> AsyncIterator[Endpoint]:
    """An endpoint for transport tests: no services, only a script."""
    async with Endpoint(script=script) as endpoint:
        yield endpoint
