"""Calls published versions: signed by botocore, sent by aiohttp, within the engine's event loop.

boto3 would need a thread for each call in flight, and about twice the processor time (measured by
`python -m tests.bench.lambda_calls`). Its retries are left out with it: an attempt waits a few
seconds for a version that is about to be ready; everything beyond that is up to the engine.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from steadfaas.errors import AttemptFailure, RequestError, Verdict
from steadfaas.spi import Endpoint, Reply, Request
from steadfaas_adapters.aws_lambda import envelope, failures, target
from steadfaas_adapters.aws_lambda.clients import Clients, clients
from steadfaas_adapters.aws_lambda.failures import Refusal

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from tenacity import RetryCallState

# What is waited for within an attempt: tries, and seconds over all of them.
_ATTEMPTS: Final = 5
_PATIENCE_SECONDS: Final = 8.0
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 2.0
# Idle connections are closed after this time (seconds).
_KEEP_ALIVE: Final = 20.0
_CONNECT_SECONDS: Final = 5.0
# A function may run for 15 minutes and sends nothing meanwhile; gateways on the way forget silent
# connections sooner (350 s on AWS), so the kernel asks the other side this often (seconds).
_PROBE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class _Pin:
    """A version as it is called."""

    arn: str
    version: str
    region: str
    url: str
    credentials: Credentials


class LambdaDataPlane:
    """The connections of one engine to the Lambda API."""

    def __init__(self) -> None:
        self._clients: Clients | None = None
        self._session: aiohttp.ClientSession | None = None
        self._pins: dict[tuple[str, str | None], _Pin] = {}
        self._compresses = envelope.compresses()
        self._opening = asyncio.Lock()
        self._refreshing = asyncio.Lock()

    async def call(self, endpoint: Endpoint, request: Request) -> Reply:
        """Invoke the version with a request, and wait for what its handler answers."""
        pin = self._pins.get((endpoint.uri, endpoint.access.assume_role_arn))
        if pin is None:
            pin = await self._open(endpoint)
        compression = endpoint.compression if self._compresses else None
        if compression and len(request.body) >= envelope.COMPRESSED_FROM:
            event = await asyncio.to_thread(envelope.wrap, request, compression)
        else:
            event = envelope.wrap(request, compression)
        return envelope.unwrap(await self._invoke(pin, event))

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    # --- one call ------------------------------------------------------------------------------

    async def _invoke(self, pin: _Pin, event: bytes) -> bytes:
        try:
            return await self._once(pin, event)
        except Refusal as refused:
            if refused.exception not in failures.BRIEF:
                raise
            return await self._patiently(pin, event, refused)

    async def _patiently(self, pin: _Pin, event: bytes, first: Refusal) -> bytes:
        """Try again for a few seconds. Raises the last refusal."""
        from tenacity import (
            AsyncRetrying,
            retry_if_exception,
            stop_after_attempt,
            stop_before_delay,
        )

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_brief),
            stop=stop_after_attempt(_ATTEMPTS) | stop_before_delay(_PATIENCE_SECONDS),
            wait=_wait,
            reraise=True,
        ):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise first
                return await self._once(pin, event)
        raise AssertionError("a retry loop ends by returning or raising")

    async def _once(self, pin: _Pin, event: bytes) -> bytes:
        headers = await self._signed(pin, event)
        assert self._session is not None
        try:
            async with self._session.post(
                URL(pin.url, encoded=True), data=event, headers=headers, allow_redirects=False
            ) as response:
                payload = await response.read()
                return _result(pin, response.status, response.headers, payload)
        except (aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            raise AttemptFailure(
                "RT0010", f"the Lambda API at {URL(pin.url).origin()} cannot be reached: {what}"
            ) from error

    async def _signed(self, pin: _Pin, event: bytes) -> Mapping[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError

        credentials = pin.credentials
        try:
            # Renewing them asks somebody over the network; it is done a while before they expire.
            if getattr(credentials, "refresh_needed", _never)():
                async with self._refreshing:
                    frozen = await asyncio.to_thread(credentials.get_frozen_credentials)
            else:
                frozen = credentials.get_frozen_credentials()
            request = AWSRequest("POST", pin.url, _HEADERS, event)
            SigV4Auth(frozen, "lambda", pin.region).add_auth(request)
        except (BotoCoreError, ClientError) as error:
            raise _without_credentials(error) from error
        return dict(request.headers.items())

    # --- opening -------------------------------------------------------------------------------

    async def _open(self, endpoint: Endpoint) -> _Pin:
        async with self._opening:
            role = endpoint.access.assume_role_arn
            if self._session is None:
                await self._connect()
            assert self._clients is not None
            try:
                pin = await asyncio.to_thread(_pinned, self._clients, endpoint.uri, role)
            except RequestError as error:
                raise AttemptFailure("SF0004", error.message, verdict=Verdict.DENIED) from error
            self._pins[endpoint.uri, role] = pin
            return pin

    async def _connect(self) -> None:
        try:
            self._clients = await asyncio.to_thread(clients)
        except RequestError as error:
            raise AttemptFailure("SF0004", error.message, verdict=Verdict.DENIED) from error
        bundle = self._clients.ca_bundle()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=_KEEP_ALIVE,
                ssl=True if bundle is None else ssl.create_default_context(cafile=bundle),
                socket_factory=_probed_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=True,  # HTTPS_PROXY and NO_PROXY, as botocore reads them
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
        )


_HEADERS: Final = {
    "content-type": "application/json",
    "user-agent": "steadfaas",
    "x-amz-invocation-type": "RequestResponse",
}


def _pinned(known: Clients, uri: str, role: str | None) -> _Pin:
    wanted = target.parse(uri, dev=True)
    version = wanted.qualifier or target.LATEST
    region = wanted.region or known.region()
    path = f"/2015-03-31/functions/{quote(wanted.function, safe='')}/invocations"
    return _Pin(
        arn=uri,
        version=version,
        region=region,
        url=f"{known.endpoint(region).rstrip('/')}{path}?Qualifier={quote(version, safe='')}",
        credentials=known.credentials(region, role),
    )


def _result(pin: _Pin, status: int, headers: Mapping[str, str], payload: bytes) -> bytes:
    """What the function returned. Raises AttemptFailure."""
    if status != 200:
        raise failures.refusal(status, _lower(headers), payload, pin.arn)
    executed = headers.get("X-Amz-Executed-Version", "")
    if executed != pin.version:
        raise failures.another_version(executed, pin.version, pin.arn)
    kind = headers.get("X-Amz-Function-Error")
    if kind is not None:
        raise failures.function_error(kind, payload)
    return payload


def _without_credentials(error: Exception) -> AttemptFailure:
    return AttemptFailure(
        "SF0004",
        f"calls to Lambda cannot be signed: {error}. Check the engine's AWS credentials, and that"
        " they may assume the deployment's role",
        verdict=Verdict.DENIED,
    )


def _brief(error: BaseException) -> bool:
    return isinstance(error, Refusal) and error.exception in failures.BRIEF


def _wait(state: RetryCallState) -> float:
    """Seconds before the next try: what Lambda asked for, or a little more each time."""
    refused = None if state.outcome is None else state.outcome.exception()
    if isinstance(refused, Refusal) and refused.asked is not None:
        return refused.asked / 1000
    longest = min(_FIRST_WAIT * 2**state.attempt_number, _LONGEST_WAIT)
    return random.uniform(longest / 2, longest)


def _never() -> bool:
    return False


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _probed_socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
    return made
