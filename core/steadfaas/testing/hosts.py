"""The hosts of a platform, on loopback: `https://ANY.example.com` without leaving the machine.

A fake platform has addresses that exist nowhere. They are served here over real TLS, with a
certificate of the test's own, and routed by host. The engine of `SteadfaasEngine` is told by two
variables: `SSL_CERT_FILE`, whom to trust, and `STEADFAAS_TESTING_HOSTS`, where names lead. So the
engine calls exactly the addresses that it would call otherwise, and knows nothing of any of this.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

VARIABLE: Final = "STEADFAAS_TESTING_HOSTS"
_LOOPBACK: Final = "127.0.0.1"
# They belong to one connection, not to the message.
_OF_A_HOP: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
_PORTION: Final = 65_536


@dataclass(frozen=True, slots=True)
class Called:
    """A request that arrived. `headers` have lower-case names."""

    method: str
    host: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the platform itself."""

    status: int
    headers: dict[str, str]
    text: str = ""


# Where a request goes on to (`http://127.0.0.1:PORT`), or what the platform says instead.
Route = Callable[[Called], str | Answer]


class LoopbackHosts:
    """An HTTPS server for all hosts `*SUFFIX`. Belongs to the loop that starts it."""

    def __init__(self, suffix: str, route: Route) -> None:
        """`suffix` begins with a dot."""
        self._suffix = suffix
        self._route = route
        self._folder = tempfile.TemporaryDirectory(prefix="steadfaas-hosts-")
        self._port = 0
        self._runner: web.ServerRunner | None = None
        self._client: ClientSession | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        from aiohttp import ClientSession, DummyCookieJar, web

        from steadfaas.testing.certificates import write_certificate

        served, _ = write_certificate(Path(self._folder.name), f"*{self._suffix}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(served)
        self._client = ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar())
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOOPBACK, 0, ssl_context=context).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close all connections, and forget the certificate."""
        if self._runner is not None and self._client is not None:
            await self._runner.cleanup()
            await self._client.close()
        self._folder.cleanup()

    def env(self) -> dict[str, str]:
        """The variables for an engine that is to reach these hosts."""
        return {
            "SSL_CERT_FILE": str(Path(self._folder.name) / "trusted.pem"),
            VARIABLE: f"{self._suffix}={self._port}",
        }

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        headers = {name.lower(): value for name, value in request.headers.items()}
        called = Called(request.method, request.host.lower(), request.raw_path, headers)
        found = self._route(called)
        if isinstance(found, Answer):
            return web.Response(status=found.status, headers=found.headers, text=found.text)
        return await self._forward(request, called, found)

    async def _forward(
        self, request: web.BaseRequest, called: Called, origin: str
    ) -> web.StreamResponse:
        from aiohttp import web
        from yarl import URL

        assert self._client is not None
        async with self._client.request(
            called.method,
            URL(origin + called.path, encoded=True),
            headers=_passed_on(called.headers),
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            reply = web.StreamResponse(
                status=answer.status, headers=_passed_on(dict(answer.headers))
            )
            await reply.prepare(request)
            async for portion in answer.content.iter_chunked(_PORTION):
                await reply.write(portion)
            await reply.write_eof()
            return reply


def reach_hosts() -> None:
    """Let the names that the variable lists lead to loopback in this process, for aiohttp.

    For a process that is a test's own, before it opens a connection. Without the variable nothing
    changes.
    """
    suffix, _, port = os.environ.get(VARIABLE, "").partition("=")
    if not suffix:
        return
    from aiohttp import connector, resolver

    class Resolver(resolver.ThreadedResolver):
        async def resolve(self, host: str, *args: Any, **kwargs: Any) -> Any:
            if not host.endswith(suffix):
                return await super().resolve(host, *args, **kwargs)
            return [
                {
                    **{"hostname": host, "host": _LOOPBACK, "port": int(port)},
                    **{"family": socket.AF_INET, "proto": 0, "flags": socket.AI_NUMERICHOST},
                }
            ]

    setattr(connector, "DefaultResolver", Resolver)  # noqa: B010  # not exported


def _passed_on(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_A_HOP}
