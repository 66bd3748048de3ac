"""Hosts of the internet on this machine: through a proxy, over TLS, and nothing beyond."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from steadfaas.testing.gateway import Answer, Called, Gateway
from tests.deployments.world import run

HOST = "shop-1.acme.deno.net"
Ask = Callable[..., Awaitable[tuple[int, str]]]


class Edge:
    """Serves one host, once there is something to serve."""

    def __init__(self) -> None:
        self.origin: str | None = None

    def route(self, called: Called) -> str | Answer:
        if called.host == HOST and self.origin is not None:
            return self.origin
        return Answer(404, f"nothing at {called.host}", {"x-platform": called.method})


def in_gateway(test: Callable[[Edge, Ask], Awaitable[None]]) -> None:
    """Run a test with a client that knows the gateway as its proxy."""

    async def body() -> None:
        edge = Edge()
        gateway = Gateway(["*.acme.deno.net"], edge.route)
        await gateway.start()
        env = gateway.env()
        trusting = ssl.create_default_context(cafile=env["SSL_CERT_FILE"])
        try:
            async with aiohttp.ClientSession() as session:

                async def ask(
                    url: str,
                    method: str = "GET",
                    *,
                    look: Callable[[bytes], None] = lambda part: None,
                    **more: Any,
                ) -> tuple[int, str]:
                    proxy, body = env["HTTPS_PROXY"], b""
                    async with session.request(
                        method, url, proxy=proxy, ssl=trusting, **more
                    ) as answer:
                        async for part in answer.content.iter_any():
                            look(part)
                            body += part
                        return answer.status, body.decode()

                await test(edge, ask)
        finally:
            await gateway.close()

    run(body())


@contextlib.asynccontextmanager
async def served(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(request: web.BaseRequest) -> web.Response:
    """What arrived, in a line."""
    body = (await request.read()).decode()
    return web.Response(text=f"{request.method} {request.host} {request.raw_path} {body}")


def test_a_request_reaches_the_process_of_its_host() -> None:
    async def test(edge: Edge, ask: Ask) -> None:
        async with served(echo) as edge.origin:
            found = await ask(f"https://{HOST}/a%20b/c?d=1", "POST", data=b"hello")
            assert found == (200, f"POST {HOST} /a%20b/c?d=1 hello")
            assert (await ask(f"https://{HOST}/"))[0] == 200

    in_gateway(test)


def test_the_platform_answers_where_no_process_does() -> None:
    async def test(edge: Edge, ask: Ask) -> None:
        other = "shop-2.acme.deno.net"
        assert await ask(f"https://{other}/") == (404, f"nothing at {other}")
        async with served(echo) as edge.origin:
            pass
        assert await ask(f"https://{HOST}/") == (502, f"nothing listens behind {HOST}")

    in_gateway(test)


@pytest.mark.parametrize("host", ["example.com", "a.b.acme.deno.net", "acme.deno.net"])
def test_no_other_host_is_reached(host: str) -> None:
    async def test(edge: Edge, ask: Ask) -> None:
        with pytest.raises(aiohttp.ClientHttpProxyError, match="Not one of the hosts here"):
            await ask(f"https://{host}/")

    in_gateway(test)


def test_an_answer_streams() -> None:
    """What was sent arrives before the rest is."""

    async def test(edge: Edge, ask: Ask) -> None:
        first_seen = asyncio.Event()

        async def slow(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"first")
            await first_seen.wait()
            await response.write(b" second")
            return response

        def look(part: bytes) -> None:
            assert first_seen.is_set() or part == b"first"
            first_seen.set()

        async with served(slow) as edge.origin:
            assert await ask(f"https://{HOST}/", look=look) == (200, "first second")

    in_gateway(test)
