"""A small HTTP/1.1 server for the hot path: whole requests in, whole replies out.

The ingress needs little of HTTP (no streaming, no routes, no uploads), and every request pays for
what its server can do. Parsing is llhttp's, through httptools; this module adds what a connection
needs around it: keep-alive, pipelining in order, limits, timeouts, a clean end. A request is
handled by one task. A client that goes away cancels it: at once if it cut the connection, after a
while if it closed it, for then it may still be listening.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, cast

import httptools

from steadfaas.errors import BadRequest, RequestError, SteadfaasError

_log = logging.getLogger(__name__)

MAX_HEAD: Final = 64 * 1024  # bytes of request line and headers
_MOST_HEADERS: Final = 256
_PIPELINED: Final = 256  # requests that may wait on one connection for the one before them
_HALF_CLOSED_SECONDS: Final = 10.0  # how long one that will send no more waits for its answers
_IDLE_SECONDS: Final = 75.0  # a connection without a request
_STALLED_SECONDS: Final = 30.0  # a request that stopped coming
_LOOK_EVERY: Final = 5.0

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})


class Request:
    """A complete request. Header names are in lower case; values are as they came."""

    __slots__ = ("body", "headers", "keep_alive", "method", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes,
        *,
        keep_alive: bool = True,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        for known, value in self.headers:
            if known == name:
                return value
        return None


class Reply:
    """A complete reply. `content-length` and `date` are added when it is written."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.headers = {} if headers is None else headers


Handler = Callable[[Request], Awaitable[Reply]]
Refuse = Callable[[SteadfaasError], Reply]


class HttpServer:
    """Makes the protocols of one listening socket, and ends them."""

    def __init__(self, handler: Handler, refuse: Refuse, *, max_body: int) -> None:
        """`refuse` words the replies to requests that `handler` never sees."""
        self.handler = handler
        self.refuse = refuse
        self.max_body = max_body
        self.connections: set[HttpProtocol] = set()
        self.closing = False
        self._date = (0, b"")
        self._watch: asyncio.TimerHandle | None = None

    def __call__(self) -> HttpProtocol:
        return HttpProtocol(self, asyncio.get_running_loop())

    def start(self) -> None:
        """Watch over idle and stalled connections from now on."""
        self._watch = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    async def shutdown(self, seconds: float) -> None:
        """Close idle connections; let the others end within `seconds`, then cut them."""
        self.closing = True
        if self._watch is not None:
            self._watch.cancel()
        busy = [task for connection in self.connections if (task := connection.end()) is not None]
        if busy:
            await asyncio.wait(busy, timeout=seconds)
        for connection in list(self.connections):
            connection.cut()

    def date(self) -> bytes:
        """The `date` header line of this second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, f"date: {formatdate(second, usegmt=True)}\r\n".encode())
        return self._date[1]

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            connection.look(now)
        self.start()


class HttpProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Request] = deque()
        self._half_closed = False
        self._writable: asyncio.Future[None] | None = None
        self._last = loop.time()
        self._refused = False
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._head_size = 0
        self._body: list[bytes] = []
        self._body_size = 0
        self._method = ""
        self._length = self._owed = 0
        self._keep_alive = False
        self._receiving = False

    # --- from the loop -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._last = self._loop.time()
        if self._refused:
            return
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            self._refuse(_refusal(error))
        except httptools.HttpParserError:
            self._refuse(BadRequest("this is not HTTP/1.1"))

    def _feed(self, data: bytes) -> None:
        while data:
            if self._owed:
                part, data = data[: self._owed], data[self._owed :]
                self._owed -= len(part)
                self.on_body(part)
                if not self._owed:
                    self._complete()
                continue
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                if self._parser.get_method() == b"CONNECT":
                    self._refused = True  # nothing that follows is for us
                    return
                # An offer to change protocols may be ignored (some clients always make one): what
                # follows is a body and HTTP/1.1 as before, only the parser does not expect that.
                data = data[offer.args[0] :]
                self._parser = httptools.HttpRequestParser(self)

    def eof_received(self) -> bool:
        # Perhaps only half closed: then it gets its answers. Perhaps gone: `look` ends that.
        self._refused = self._half_closed = True
        self._last = self._loop.time()
        return self._task is not None

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # --- from the parser -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reset()
        self._receiving = True

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._count_head(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("utf-8", "replace")))
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._method = self._parser.get_method().decode("ascii")
        self._keep_alive = self._parser.should_keep_alive()
        for name, value in self._headers:
            if name == "content-length" and value.isdigit() and len(value) < 20:
                self._length = int(value)
                if self._length > self._server.max_body:
                    raise self._too_large()
            elif name == "expect" and value.lower() == "100-continue":
                self._encourage()

    def _encourage(self) -> None:
        # Not before the answers that are due first; the client sends by itself then.
        if self._transport is not None and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body_size += len(part)
        if self._body_size > self._server.max_body:
            raise self._too_large()
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._length and not self._body_size and self._parser.should_upgrade():
            self._owed = self._length  # see _feed
        else:
            self._complete()

    def _complete(self) -> None:
        try:
            target = self._target.decode()
        except UnicodeDecodeError:
            raise BadRequest("the path is not valid UTF-8") from None
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(
            self._method,
            target,
            self._headers,
            body,
            keep_alive=self._keep_alive,
        )
        self._reset()
        if self._task is None:
            self._start(request)
        else:
            self._waiting.append(request)
            if len(self._waiting) > _PIPELINED:
                self._waiting.pop()
                raise RequestError(
                    f"more than {_PIPELINED} requests wait on one connection", status=503
                )

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD or len(self._headers) > _MOST_HEADERS:
            raise RequestError("the headers of the request are too large", status=431)

    def _too_large(self) -> RequestError:
        return RequestError(
            f"the body is larger than {self._server.max_body} bytes (setting max_body_bytes)",
            status=413,
        )

    # --- requests and replies ------------------------------------------------------------------

    def _start(self, request: Request) -> None:
        self._task = self._loop.create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        try:
            reply = await self._server.handler(request)
        except asyncio.CancelledError:
            return  # the client went away, or the server ends
        except Exception:  # a bug of ours costs this request its answer, and nothing else
            _log.exception("a request failed unexpectedly")
            reply = self._server.refuse(RequestError("internal error", status=500))
        keep_alive = request.keep_alive and not self._server.closing
        self._write(reply, keep_alive=keep_alive, head=request.method == "HEAD")
        if self._writable is not None:
            await self._writable
        self._task = None
        self._next(keep_alive=keep_alive)

    def _next(self, *, keep_alive: bool) -> None:
        if self._transport is None:
            return
        if not keep_alive or (self._refused and not self._waiting):
            self._transport.close()
        elif self._waiting:
            self._start(self._waiting.popleft())

    def _write(self, reply: Reply, *, keep_alive: bool, head: bool = False) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        status = reply.status
        line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()
        lines = [line, self._server.date()]
        for name, value in reply.headers.items():
            lines.append(f"{name}: {_one_line(value)}\r\n".encode("latin-1", "replace"))
        if status not in _BODILESS:
            lines.append(b"content-length: %d\r\n" % len(reply.body))
        lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        if not head:
            lines.append(reply.body)
        self._transport.write(b"".join(lines))

    def _refuse(self, error: RequestError) -> None:
        """Answer what cannot be served, behind the answers that are due before it, and close."""
        if self._refused:
            return
        self._refused = True
        self._reset()
        if self._task is None:
            self._write(self._server.refuse(error), keep_alive=False)
            if self._transport is not None:
                self._transport.close()
        # Else the connection is closed behind the last answer.

    # --- from the server -----------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Close the connection if nothing happens on it."""
        quiet = now - self._last
        if self._half_closed and quiet > _HALF_CLOSED_SECONDS:
            self.cut()
        if self._task is not None or self._transport is None:
            return
        if self._receiving and quiet > _STALLED_SECONDS:
            self._refuse(RequestError("the request stopped coming", status=408))
        elif not self._receiving and quiet > _IDLE_SECONDS:
            self._transport.close()

    def end(self) -> asyncio.Task[None] | None:
        """Close if idle; else the task whose answer is still due."""
        if self._task is None and self._transport is not None:
            self._transport.close()
        return self._task

    def cut(self) -> None:
        """Close, whatever is under way."""
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()


def _refusal(error: httptools.HttpParserCallbackError) -> RequestError:
    cause = error.__context__
    return cause if isinstance(cause, RequestError) else BadRequest("this request cannot be read")


def _one_line(value: str) -> str:
    """A header's value cannot break out of its line."""
    return value.replace("\r", " ").replace("\n", " ") if "\n" in value or "\r" in value else value
