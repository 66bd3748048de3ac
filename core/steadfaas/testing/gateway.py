"""Hosts of the internet, answered for on this machine: what a platform's edge does, for tests.

A process that gets `Gateway.env()` takes the gateway for its HTTPS proxy and trusts the gateway's
certificates. So it calls the real addresses of the platform, over TLS and with the names checked,
and its requests end at processes of this machine. Nothing that it calls leaves the machine: the
gateway refuses to connect to any other host.

    CONNECT shop-1.acme.deno.net:443  →  tunnel  →  TLS, with a certificate for that name
                                      →  which process serves this host?  →  http://127.0.0.1:PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from yarl import URL

_LOOPBACK: Final = "127.0.0.1"
_CHUNK: Final = 64 * 1024
_MOST_BYTES: Final = 256 * 1024 * 1024
_VALID: Final = timedelta(days=7)
# They are of one connection, and the gateway has two.
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Called:
    """A request that arrived. `headers` have lower-case names."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform says by itself."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


# To the `http://` origin of the process behind a host, or what is said in its place.
Route = Callable[[Called], str | Answer]


def _no_process(called: Called) -> Answer:
    return Answer(502, f"nothing listens behind {called.host}")


class Gateway:
    """A proxy that answers for some hosts. Belongs to the event loop that starts it."""

    def __init__(
        self,
        hosts: Iterable[str],
        route: Route,
        broken: Callable[[Called], Answer] = _no_process,
    ) -> None:
        """`hosts` are names; `*.acme.deno.net` stands for all names with one more part. `broken`
        answers where the process of the route does not."""
        self._hosts = sorted(hosts)
        self._route = route
        self._broken = broken
        self._folder = tempfile.TemporaryDirectory(prefix="steadfaas-gateway-")
        self._tunnels: set[asyncio.Task[None]] = set()
        self._proxy: asyncio.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._proxy_port = self._tls_port = 0

    async def start(self) -> None:
        """Listen on free ports of the loopback interface."""
        folder = Path(self._folder.name)
        self._client = aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await self._runner.setup()
        context = _certified(folder, self._hosts)
        await web.TCPSite(self._runner, _LOOPBACK, 0, ssl_context=context).start()
        self._tls_port = self._runner.addresses[0][1]
        self._proxy = await asyncio.start_server(self._connected, _LOOPBACK, 0)
        self._proxy_port = self._proxy.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Drop all connections."""
        if self._proxy is not None:
            self._proxy.close()
        for tunnel in self._tunnels:
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()
        self._folder.cleanup()

    def env(self) -> dict[str, str]:
        """Environment variables for a process that is to reach the hosts here."""
        proxy = f"http://{_LOOPBACK}:{self._proxy_port}"
        direct = f"{_LOOPBACK},localhost"
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), direct),
            "SSL_CERT_FILE": str(_authority_file(Path(self._folder.name))),
        }

    # --- the proxy -----------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._tunnel(reader, writer)
        finally:
            self._tunnels.discard(task)
            writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.decode("latin-1").partition(" ")
        host = rest.partition(" ")[0].rpartition(":")[0].lower()
        if method != "CONNECT" or not any(_covers(each, host) for each in self._hosts):
            writer.write(b"HTTP/1.1 502 Not one of the hosts here\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        inner_reader, inner_writer = await asyncio.open_connection(_LOOPBACK, self._tls_port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        pumps = [
            asyncio.ensure_future(_pump(reader, inner_writer)),
            asyncio.ensure_future(_pump(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            inner_writer.transport.abort()

    # --- the edge ------------------------------------------------------------------------------

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.host.lower().partition(":")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        called = Called(request.method, host, request.raw_path, headers)
        found = self._route(called)
        if isinstance(found, Answer):
            return _said(found)
        assert self._client is not None
        try:
            async with self._client.request(
                request.method,
                URL(found.rstrip("/") + request.raw_path, encoded=True),
                headers=_passed_on(request.headers.items()),
                data=await _body(request),
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(
                    status=answer.status, headers=_passed_on(answer.headers.items())
                )
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectionError:
            return _said(self._broken(called))


def _said(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, text=answer.text, headers=answer.headers)


async def _body(request: web.BaseRequest) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise web.HTTPRequestEntityTooLarge(_MOST_BYTES, len(body))
    return bytes(body)


def _passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _HOP_BY_HOP}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()


def _covers(pattern: str, host: str) -> bool:
    return fnmatchcase(host, pattern) and host.count(".") == pattern.count(".")


# --- certificates ------------------------------------------------------------------------------


def _authority_file(folder: Path) -> Path:
    return folder / "authority.pem"


def _certified(folder: Path, hosts: list[str]) -> ssl.SSLContext:
    """A server's context for these names; the file of `_authority_file` makes clients trust it."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "steadfaas test authority")])
    authority = (
        _begun(issuer, issuer, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(_identifier(authority_key), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "steadfaas test gateway")])
    certificate = (
        _begun(subject, issuer, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, hosts)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    _authority_file(folder).write_bytes(authority.public_bytes(pem))
    chain = folder / "gateway.pem"
    chain.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return context


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
    )


def _identifier(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
