"""Requests on pooled connections, without the cost of a general client.

aiohttp keeps the pool, opens connections (DNS, TLS) and parses answers; what its client session
adds for others (redirects, cookies, compression, a dozen objects a request) is left out.
Below, a request is one write, and an answer is its head and a stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from steadfaas.transport.proxy import proxy_for

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

# Idle connections are closed before the other side's usual 5 s: both should not meet on the wire.
KEEP_ALIVE: Final = 4.0
# A kept connection that breaks this soon had been closed by the other side before (seconds). It
# is replaced so many times within one exchange.
_STALE: Final = 1.0
_MOST_STALE: Final = 3
# How long an answer may go on behind its useful part before its connection is dropped (seconds).
_LINGER: Final = 1.0
_READ_BUFFER: Final = 64 * 1024
# Interim answers (100 Continue and its like) before the answer. One or two are usual.
_MOST_INTERIM: Final = 100
# An answer that is final although its number is below 200.
_SWITCHED: Final = 101
_MOST_ORIGINS: Final = 1024


class Answer:
    """The head of an answer, and the stream of its body. Ends with `finish` or `close`."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: aiohttp.StreamReader
    ) -> None:
        self._connection: Connection | None = connection
        self.status = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = content

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            _drop(self._connection)
            self._connection = None

    def finish(self) -> None:
        """Nothing more is wanted: keep the connection, once the answer has really ended."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        transport = connection.transport
        if transport is None or transport.get_write_buffer_size():
            _drop(connection)  # answered before it was asked: the rest would precede what is next
            return
        if self.content.is_eof():
            connection.release()
            return
        late = asyncio.get_running_loop().call_later(_LINGER, _drop, connection)

        def ended() -> None:
            late.cancel()
            connection.release()

        self.content.on_eof(ended)


class Connections:
    """The pool. Belongs to one event loop."""

    def __init__(self, connect_timeout: float) -> None:
        """`connect_timeout` is in seconds."""
        self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
        self._origins: dict[URL, aiohttp.ClientRequest] = {}
        self._used: WeakSet[ResponseHandler] = WeakSet()
        # For everything off the hot path, above all discovery.
        self.session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.session.close()

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request; returns with the head of its answer.

        The other side may close a kept connection just when we use it again. The endpoint has done
        nothing wrong then, and has not seen the request: it goes out once more. Raises
        aiohttp.ClientError, OSError.
        """
        origin = self._origin(url)
        request = _head(url, headers, len(body))
        for left in reversed(range(_MOST_STALE)):
            connection = await self._connect(origin)
            protocol = connection.protocol
            assert protocol is not None
            kept = protocol in self._used
            started = time.monotonic()
            try:
                return await self._ask(connection, protocol, request, body)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                _drop(connection)
                if not left or not kept or time.monotonic() - started > _STALE:
                    raise
            except BaseException:
                _drop(connection)
                raise
        raise AssertionError("unreachable")

    async def _connect(self, origin: aiohttp.ClientRequest) -> Connection:
        try:
            while True:
                connection = await self._connector.connect(origin, [], self._timeout)
                if connection.protocol is not None and not connection.protocol.should_close:
                    return connection
                _drop(connection)  # while it was idle an answer came that nobody had asked for
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(
                f"no connection within {self._timeout.sock_connect:g} s (connect timeout)"
            ) from error

    async def _ask(
        self, connection: Connection, protocol: ResponseHandler, request: bytes, body: bytes
    ) -> Answer:
        self._used.add(protocol)
        protocol.set_response_params(
            read_until_eof=True, auto_decompress=False, read_bufsize=_READ_BUFFER
        )
        transport = connection.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        transport.write(request + body if len(body) < _READ_BUFFER else request)
        if len(body) >= _READ_BUFFER:
            transport.write(body)
        try:
            for _ in range(_MOST_INTERIM):
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == _SWITCHED:
                    return Answer(connection, message, content)
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError(error.message) from error
        raise aiohttp.ClientPayloadError(f"more than {_MOST_INTERIM} interim answers (1xx)")

    def _origin(self, url: URL) -> aiohttp.ClientRequest:
        """What the pool needs to know of the other side. It never becomes a request."""
        origin = url.origin()
        known = self._origins.get(origin)
        if known is None:
            if len(self._origins) >= _MOST_ORIGINS:
                self._origins.clear()
            proxy, proxy_auth = proxy_for(origin)
            known = self._origins[origin] = _Origin(
                "POST",
                origin,
                loop=asyncio.get_running_loop(),
                proxy=proxy,
                proxy_auth=proxy_auth,
            )
        return known


class _Origin(aiohttp.ClientRequest):
    """Looked at by the pool for each exchange, so that it keeps its key."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


def _drop(connection: Connection) -> None:
    """Close a connection at once. An orderly close would first send what was not read so far, and
    hold it in memory for as long as the other side does not take it."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _head(url: URL, headers: Mapping[str, str], length: int) -> bytes:
    """The request line and headers. Raises ValueError for a header that would break out of them."""
    lines = [f"POST {url.raw_path_qs} HTTP/1.1"]
    if "host" not in headers:
        lines.append(f"host: {url.host_port_subcomponent}")
    for name, value in headers.items():
        lines.append(f"{name}: {value}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise ValueError("a header of this deployment contains a line break")
    return f"{text}\r\ncontent-length: {length}\r\n\r\n".encode()
