"""Hosts of the internet, for a test: an engine's requests to them end on this machine.

A platform's addresses begin with `https://` and have names that only its own DNS knows. So that a
test can register them as they are, a `Gateway` stands for their hosts: it has a certificate for
them, and hands each request to a process of this machine or answers as the platform would. The
engine of the test (`SteadfaasEngine`) is told by `Gateway.env()`: it finds these hosts there, and
trusts that certificate. Everything between is as in production, TLS and host names included; the
engine and its adapters know nothing of it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from steadfaas.testing.local_lambda.loop_thread import LoopThread

# `SUFFIX=HOST:PORT`, separated by commas.
VARIABLE: Final = "STEADFAAS_TESTING_HOSTS"
_LOOPBACK: Final = "127.0.0.1"
_LARGEST: Final = 512 * 1024 * 1024
# Of one connection only, or rewritten on the way.
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform answers by itself."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


# From the host and headers of a request to the base address of a local server, or an answer.
Route = Callable[[str, Mapping[str, str]], str | Answer]


class Gateway:
    """Stands for hosts. Each domain, such as `acme.workers.dev`, has a route for the hosts right
    below it. Use it as a context manager; it runs in a thread of its own."""

    def __init__(self, folder: Path, domains: Mapping[str, Route]) -> None:
        """`folder` takes the certificate."""
        self._folder = folder
        self._domains = dict(domains)
        self._port = 0

    def env(self) -> dict[str, str]:
        """The variables for the engine of the test."""
        hosts = ",".join(f"{domain}={_LOOPBACK}:{self._port}" for domain in self._domains)
        return {VARIABLE: hosts, "SSL_CERT_FILE": str(self._certificate)}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread = LoopThread("steadfaas-gateway")
        self._thread.call(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.call(self._stop())
        self._thread.stop()

    @property
    def _certificate(self) -> Path:
        return self._folder / "gateway.pem"

    async def _start(self) -> None:
        write_certificate(self._certificate, [f"*.{domain}" for domain in self._domains])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate)
        self._client = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _LOOPBACK, 0, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._client.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        host = request.host.lower()
        route = self._domains.get(host.partition(".")[2])
        found = route(host, request.headers) if route else Answer(404, "no such host")
        if isinstance(found, Answer):
            return web.Response(status=found.status, text=found.text, headers=found.headers)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP
        }
        try:
            async with self._client.request(
                request.method,
                found.rstrip("/") + request.raw_path,
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as answer:
                return await _passed_on(request, answer)
        except aiohttp.ClientConnectorError:
            return web.Response(status=502, text=f"nothing listens at {found}")


async def _passed_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status,
        headers={name: text for name, text in answer.headers.items() if name.lower() not in _HOP},
    )
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def follow() -> None:
    """In the process of a test's engine: find the hosts where `Gateway.env()` says."""
    written = os.environ.get(VARIABLE)
    if not written:
        return
    places = dict(each.split("=", 1) for each in written.split(","))

    class Resolver(aiohttp.ThreadedResolver):
        """Knows some hosts itself."""

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            for domain, place in places.items():
                if host.endswith(f".{domain}"):
                    address, _, there = place.rpartition(":")
                    return await super().resolve(address, int(there), family)
            return await super().resolve(host, port, family)

    # What every connector takes that is given none.
    setattr(aiohttp.connector, "DefaultResolver", Resolver)  # noqa: B010 - a final name


def write_certificate(path: Path, names: list[str]) -> None:
    """A certificate for these names that is its own authority, with its key, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "steadfaas test gateway")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
