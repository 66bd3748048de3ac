"""Asks an endpoint what it serves, and checks the answer before anything relies on it.

Intended difference from the stock server: it asks plain `http` endpoints over HTTP/2 unless the
registration says `use_http_11`; we ask, and later invoke, over HTTP/1.1 always. An endpoint that
announces BIDI_STREAM over HTTP/1.1 is accepted and driven request by request, which every SDK
supports. So META0014 ("supports only HTTP/1.1") never happens here.

Retries are short and bounded, against the same address, and only where another try may help: no
connection, a broken one, silence, or a status that says "later".
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from steadfaas.errors import AttemptFailure, DiscoveryError, Verdict
from steadfaas.spi import EndpointReference
from steadfaas.transport.http import Diagnose
from steadfaas.transport.proxy import proxy_for
from steadfaas.wire.jsonshape import show
from steadfaas.wire.manifest import Manifest, ProtocolMode, parse_manifest
from steadfaas.wire.version import DISCOVERY_ACCEPT, manifest_version

if TYPE_CHECKING:
    from tenacity import AsyncRetrying

_RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_QUOTED: Final = 500
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long discovery goes on. Times are in seconds."""

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 2.0
    attempt_timeout: float = 5.0
    deadline: float = 10.0  # over all attempts and waits
    max_bytes: int = 8 * 1024 * 1024  # of the unpacked manifest


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an endpoint answered. `http_version` is the one that was spoken: `HTTP/1.1`."""

    manifest: Manifest
    sdk_version: str | None
    http_version: str = "HTTP/1.1"


async def discover(
    session: aiohttp.ClientSession,
    reference: EndpointReference,
    headers: Iterable[tuple[str, str]] = (),
    *,
    patience: Patience | None = None,
    diagnose: Diagnose | None = None,
) -> Discovered:
    """Ask `GET {uri}/discover`, sending `headers` too. `diagnose` is asked about error answers.

    Raises DiscoveryError with a META code: META0003 for an endpoint that cannot be reached or
    answers with an error, META0013 for one that does not answer with a manifest, META0015 for one
    that streams over a transport that cannot, and what `parse_manifest` raises.
    """
    patience = patience or Patience()
    url = discovery_url(reference.uri)
    return await persist(
        url, patience, lambda: _over_http(session, url, headers, patience, diagnose)
    )


async def _diagnosed(response: aiohttp.ClientResponse, diagnose: Diagnose) -> None:
    text = (await response.content.read(_QUOTED)).decode("utf-8", "replace")
    failure = await diagnose(response.status, response.headers, text)
    if failure is not None:
        raise refused(failure)


def refused(failure: AttemptFailure) -> DiscoveryError:
    """A platform's refusal, as it is told to whoever registers."""
    retryable = failure.verdict in (Verdict.RETRY, Verdict.THROTTLED)
    return DiscoveryError(failure.message, code="META0003", retryable=retryable)


async def persist(
    where: str, patience: Patience, ask: Callable[[], Awaitable[Discovered]]
) -> Discovered:
    """Ask until there is an answer, as `patience` allows. Raises DiscoveryError."""
    try:
        async with asyncio.timeout(patience.deadline):
            async for attempt in _retrying(patience):
                with attempt:
                    return await ask()
    except TimeoutError as error:
        raise late(where, patience.deadline, retryable=False) from error
    raise AssertionError("a retry loop ends by returning or raising")


def discovery_url(uri: str) -> str:
    """Where an endpoint with this base address answers discovery."""
    return uri.rstrip("/") + "/discover"


def _retrying(patience: Patience) -> AsyncRetrying:
    # Only registrations need this library, so that starting the engine does not wait for it.
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

    return AsyncRetrying(
        retry=retry_if_exception(_may_heal),
        stop=stop_after_attempt(patience.attempts),
        wait=wait_exponential(multiplier=patience.first_wait, max=patience.longest_wait),
        reraise=True,
    )


def _may_heal(error: BaseException) -> bool:
    return isinstance(error, DiscoveryError) and error.verdict is Verdict.RETRY


async def _over_http(
    session: aiohttp.ClientSession,
    url: str,
    headers: Iterable[tuple[str, str]],
    patience: Patience,
    diagnose: Diagnose | None,
) -> Discovered:
    address = URL(url, encoded=True)
    proxy, proxy_auth = proxy_for(address)
    try:
        async with session.get(
            address,
            # A manifest is small; without packing it, no bomb hides in it.
            headers={**dict(headers), "accept": DISCOVERY_ACCEPT, "accept-encoding": "identity"},
            allow_redirects=False,
            proxy=proxy,
            proxy_auth=proxy_auth,
            timeout=aiohttp.ClientTimeout(total=patience.attempt_timeout),
        ) as response:
            if diagnose is not None and not 200 <= response.status < 300:
                await _diagnosed(response, diagnose)
            check_status(url, response.status, response.headers)
            version = _manifest_version(url, response.headers)
            manifest = parse_manifest(version, await _read(url, response, patience.max_bytes))
            _check_streams(response, manifest)
            return Discovered(manifest, _sdk_version(response.headers))
    except TimeoutError as error:
        raise late(url, patience.attempt_timeout, retryable=True) from error
    except aiohttp.ClientSSLError as error:
        raise _unreachable(url, f"TLS failed ({_reason(error)})", retryable=False) from error
    except aiohttp.InvalidURL as error:
        raise _unreachable(url, "it is not a valid address", retryable=False) from error
    except (aiohttp.ClientError, OSError) as error:
        raise _unreachable(url, _reason(error), retryable=True) from error


def understood(where: str, headers: Mapping[str, str], body: bytes, most: int) -> Discovered:
    """A good answer that was read already. Raises DiscoveryError."""
    version = _manifest_version(where, headers)
    if len(body) > most:
        raise _too_large(where, most)
    return Discovered(parse_manifest(version, body), _sdk_version(headers))


def check_status(url: str, status: int, headers: Mapping[str, str]) -> None:
    """Raises DiscoveryError for a status that is no success."""
    if 200 <= status < 300:
        return
    hint = "check the address, and that an SDK endpoint is served there"
    if 300 <= status < 400:
        target = headers.get("location", "")
        hint = f"it redirects to {show(target)}; register the final address itself"
    elif status in (401, 403):
        hint = "if the endpoint is protected, send its credentials in 'additional_headers'"
    elif status == 415:
        hint = "update the SDK of the endpoint: it knows none of our manifest versions"
    raise DiscoveryError(
        f"got status code '{status}' from '{url}': {hint}",
        code="META0003",
        retryable=status in _RETRYABLE,
    )


def _manifest_version(url: str, headers: Mapping[str, str]) -> int:
    content_type = headers.get("content-type", "")
    version = manifest_version(content_type)
    if version is None:
        raise DiscoveryError(
            f"'{url}' answered with the content type {show(content_type)}, which is no endpoint"
            " manifest; check that the address leads to an SDK endpoint, and nothing in between"
            " rewrites its answers",
            code="META0013",
        )
    return version


async def _read(url: str, response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > limit:
            raise _too_large(url, limit)
    return bytes(body)


def _too_large(where: str, limit: int) -> DiscoveryError:
    return DiscoveryError(
        f"the manifest of '{where}' is larger than {limit} bytes; serve fewer services from"
        " one endpoint, or shorten their schemas and documentation",
        code="META0013",
    )


def _check_streams(response: aiohttp.ClientResponse, manifest: Manifest) -> None:
    version = response.version or aiohttp.HttpVersion11
    if manifest.protocol_mode is ProtocolMode.BIDI_STREAM and version < aiohttp.HttpVersion11:
        raise DiscoveryError(
            f"the endpoint announces BIDI_STREAM, but answers with HTTP/{version.major}"
            f".{version.minor}; serve it over HTTP/1.1 or later, or in request/response mode",
            code="META0015",
        )


def _sdk_version(headers: Mapping[str, str]) -> str | None:
    announced = headers.get("x-restate-server", "")
    return announced if _PRINTABLE.fullmatch(announced) else None


def late(where: str, seconds: float, *, retryable: bool) -> DiscoveryError:
    """There was no answer in time."""
    return _unreachable(where, f"no complete answer within {seconds:g} s", retryable=retryable)


def _reason(error: Exception) -> str:
    """What failed, without what the client knows of its own settings and the address."""
    cause: Exception = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    number = getattr(cause, "errno", None) or 0
    if number > 0 and not isinstance(cause, ssl.SSLError):
        return os.strerror(number)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def _unreachable(url: str, why: str, *, retryable: bool) -> DiscoveryError:
    return DiscoveryError(
        f"error when calling '{url}': {why}. Check that the endpoint runs and that the engine can"
        " reach this address",
        code="META0003",
        retryable=retryable,
    )
