"""The gateway stands for hosts: with their names, over TLS, each as its route says."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from steadfaas.testing.gateway import VARIABLE, Answer, Gateway

DOMAIN = "acme.example"

# In a process of its own, as the engine of a test has: a client that is told nothing.
CLIENT = """
import asyncio, sys, aiohttp
from steadfaas.testing import gateway
gateway.follow()

async def main():
    async with aiohttp.ClientSession() as client:
        for url in sys.argv[1:]:
            try:
                async with client.get(url, allow_redirects=False) as answer:
                    print(answer.status, await answer.text())
            except aiohttp.ClientError as error:
                print(type(error).__name__)

asyncio.run(main())
"""


def test_hosts_are_found_on_this_machine(tmp_path: Path) -> None:
    def route(host: str, headers: Mapping[str, str]) -> str | Answer:
        return Answer(302, f"{host} says {headers['User-Agent'][:7]}", {"location": "/"})

    with Gateway(tmp_path, {DOMAIN: route}) as gateway:
        done = subprocess.run(
            [
                *(sys.executable, "-c", CLIENT),
                *(f"https://a.{DOMAIN}", f"https://b.{DOMAIN}/x", f"https://c.d.{DOMAIN}"),
            ],
            env={**os.environ, **gateway.env(), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    # The certificate is for hosts right below the domain, as that of a platform.
    assert done.stdout.splitlines() == [
        f"302 a.{DOMAIN} says Python/",
        f"302 b.{DOMAIN} says Python/",
        "ClientConnectorCertificateError",
    ]


def test_requests_and_answers_pass_unchanged(tmp_path: Path) -> None:
    asyncio.run(_passes(tmp_path))


async def _passes(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        said = f"{request.method} {request.host} {request.raw_path} {request.headers['X-A']}"
        body = await request.read()
        return web.Response(status=418, body=said.encode() + b" " + body, headers={"X-B": "2"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def route(host: str, headers: Mapping[str, str]) -> str | Answer:
        return base if host.startswith("a.") else "http://127.0.0.1:1"

    with Gateway(tmp_path, {DOMAIN: route}) as gateway:
        place = gateway.env()[VARIABLE].partition("=")[2]
        trust = ssl.create_default_context(cafile=gateway.env()["SSL_CERT_FILE"])
        async with aiohttp.ClientSession() as client:

            async def post(host: str) -> tuple[int, bytes, str | None]:
                async with client.post(
                    f"https://{place}/a%20b?c=d",
                    data=b"\0\1",
                    headers={"host": host, "x-a": "1"},
                    ssl=trust,
                    server_hostname=host,
                ) as answer:
                    return answer.status, await answer.read(), answer.headers.get("X-B")

            seen = [await post(f"{name}.{DOMAIN}") for name in ("a", "b")]
    await runner.cleanup()
    assert seen[0] == (418, f"POST a.{DOMAIN} /a%20b?c=d 1 ".encode() + b"\0\1", "2")
    assert seen[1][0] == 502
