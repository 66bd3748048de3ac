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
from steadfaas_adapters.aws_lambda.clients import NO_CREDENTIALS, clients, forget
from steadfaas_adapters.aws_lambda.failures import Refusal
from steadfaas_adapters.aws_lambda.keys import Keys
from steadfaas_adapters.aws_lambda.threads import in_thread

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from tenacity import RetryCallState

# What is waited for within an attempt: tries, and seconds over all of them.
_ATTEMPTS: Final = 5
_PATIENCE_SECONDS: Final = 8.0
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 2.0
# What Lambda asks to wait until the next attempt is lengthened by up to this factor.
_SPREAD: Final = 1.3
# Idle connections are closed after this time (seconds).
_KEEP_ALIVE: Final = 20.0
_CONNECT_SECONDS: Final = 5.0
# A function may run for 15 minutes and sends nothing meanwhile; gateways on the way forget silent
# connections sooner (350 s on AWS), so the kernel asks the other side this often (seconds).
_PROBE_SECONDS: Final = 60
# An answer is read up to this size (bytes); Lambda's own are far below.
_MOST_BYTES: Final = 4 * envelope.LIMIT
# Answers from this size on are read beside the event loop (bytes).
_SLOW_FROM: Final = 64 * 1024
# Settings that turned out wrong are read again, so often at most (seconds).
_FORGET_AFTER: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Version:
    """A version as it is called, and what for: its address, who to trust, which way to go."""

    arn: str
    version: str
    region: str
    url: str
    trust: ssl.SSLContext | bool
    proxy: str | None
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class _Pin:
    """An opened version. `opened_at` is in the loop's time."""

    called: _Version
    keys: Keys
    opened_at: float


# An address, and the role to take on.
_Which = tuple[str, str | None]


class LambdaDataPlane:
    """The connections of one engine to the Lambda API."""

    def __init__(self) -> None:
        self._session = _session()
        self._pins: dict[_Which, _Pin] = {}
        self._opening: dict[_Which, asyncio.Task[_Pin]] = {}
        self._keys: dict[Credentials, Keys] = {}
        self._compresses = envelope.compresses()

    async def call(self, endpoint: Endpoint, request: Request) -> Reply:
        """Invoke the version with a request, and wait for what its handler answers."""
        which = (endpoint.uri, endpoint.access.assume_role_arn)
        pin = self._pins.get(which)
        if pin is None:
            # Opened once for all that want it; the others stay when this one is cancelled.
            pin = await asyncio.shield(self._opened(which))
        compression = endpoint.compression if self._compresses else None
        if len(request.body) >= envelope.COMPRESSED_FROM:
            event = await asyncio.to_thread(envelope.wrap, request, compression)
        else:
            event = envelope.wrap(request, compression)
        try:
            payload = await self._invoke(pin, event)
        except Refusal as refused:
            if refused.exception in failures.NO_GOOD_KEYS:
                self._forget(which, pin)
            if refused.retry_after is not None:
                # Thousands may be told the same: they must not come back at the same moment.
                refused.retry_after = int(refused.retry_after * random.uniform(1, _SPREAD))
            raise
        if len(payload) >= _SLOW_FROM:
            return await asyncio.to_thread(envelope.unwrap, payload)
        return envelope.unwrap(payload)

    async def close(self) -> None:
        """Close all connections."""
        for opening in self._opening.values():
            opening.cancel()
        for keys in self._keys.values():
            keys.close()
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
        called = pin.called
        headers = await _signed(pin, event)
        try:
            async with self._session.post(
                URL(called.url, encoded=True),
                data=event,
                headers=headers,
                allow_redirects=False,
                ssl=called.trust,
                proxy=called.proxy,
            ) as response:
                payload = await _read(response)
                return _result(called, response.status, response.headers, payload)
        except (aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            raise AttemptFailure(
                "RT0010", f"the Lambda API at {URL(called.url).origin()} cannot be reached: {what}"
            ) from error

    # --- opening -------------------------------------------------------------------------------

    def _opened(self, which: _Which) -> asyncio.Task[_Pin]:
        opening = self._opening.get(which)
        if opening is None:
            opening = asyncio.get_running_loop().create_task(self._open(which))
            self._opening[which] = opening
            opening.add_done_callback(_seen)
        return opening

    async def _open(self, which: _Which) -> _Pin:
        try:
            called = await in_thread(_looked_up, *which)
            keys = self._keys.get(called.credentials)
            if keys is None:
                keys = self._keys[called.credentials] = Keys(called.credentials)
            pin = self._pins[which] = _Pin(called, keys, asyncio.get_running_loop().time())
            return pin
        finally:
            del self._opening[which]

    def _forget(self, which: _Which, pin: _Pin) -> None:
        """What calls were signed with is no good (any more): look everything up again."""
        now = asyncio.get_running_loop().time()
        if self._pins.get(which) is pin and now - pin.opened_at >= _FORGET_AFTER:
            self._pins.clear()
            self._keys.clear()
            forget()


_HEADERS: Final = {
    "content-type": "application/json",
    "user-agent": "steadfaas",
    "x-amz-invocation-type": "RequestResponse",
}


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEP_ALIVE, socket_factory=_probed_socket
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        auto_decompress=False,
        # Proxies are looked up once, as botocore does it. A password that ~/.netrc has for the host
        # must not replace the signature.
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
    )


def _looked_up(uri: str, role: str | None) -> _Version:
    """Everything about a version that the settings tell. Blocks. Raises AttemptFailure."""
    try:
        known = clients()
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from botocore.utils import get_environ_proxies
    except RequestError as error:
        raise AttemptFailure("SF0004", error.message, verdict=Verdict.DENIED) from error
    try:
        wanted = target.parse(uri, dev=True)
        version = wanted.qualifier or target.LATEST
        region = wanted.region or known.region()
        base = known.endpoint(region).rstrip("/")
        path = f"/2015-03-31/functions/{quote(wanted.function, safe='')}/invocations"
        return _Version(
            arn=uri,
            version=version,
            region=region,
            url=f"{base}{path}?Qualifier={quote(version, safe='')}",
            trust=known.trust,
            proxy=get_environ_proxies(base).get(URL(base).scheme),
            credentials=known.credentials(region, role),
        )
    except NoCredentialsError as error:
        raise AttemptFailure("SF0004", NO_CREDENTIALS, verdict=Verdict.DENIED) from error
    except RequestError as error:
        raise AttemptFailure("SF0004", error.message, verdict=Verdict.DENIED) from error
    except (BotoCoreError, ClientError, OSError) as error:  # OSError: no file of certificates
        raise AttemptFailure(
            "SF0004",
            f"the AWS settings of the engine cannot be used: {error}",
            verdict=Verdict.DENIED,
        ) from error


async def _signed(pin: _Pin, event: bytes) -> Mapping[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        keys = await pin.keys.current()
    except (BotoCoreError, ClientError, RuntimeError) as error:  # RuntimeError: renewed, expired
        raise _without_credentials(error) from error
    request = AWSRequest("POST", pin.called.url, _HEADERS, event)
    SigV4Auth(keys, "lambda", pin.called.region).add_auth(request)
    return dict(request.headers.items())


async def _read(response: aiohttp.ClientResponse) -> bytes:
    payload = bytearray()
    async for chunk in response.content.iter_any():
        payload += chunk
        if len(payload) > _MOST_BYTES:
            raise AttemptFailure(
                "RT0003",
                f"the answer has more than {_MOST_BYTES} bytes, which Lambda never sends",
                verdict=Verdict.TOO_LARGE,
            )
    return bytes(payload)


def _result(called: _Version, status: int, headers: Mapping[str, str], payload: bytes) -> bytes:
    """What the function returned. Raises AttemptFailure."""
    if status != 200:
        raise failures.refusal(status, _lower(headers), payload, called.arn)
    executed = headers.get("X-Amz-Executed-Version", "")
    if executed != called.version:
        raise failures.another_version(executed, called.version, called.arn)
    kind = headers.get("X-Amz-Function-Error")
    if kind is not None:
        raise failures.function_error(kind, payload)
    return payload


def _without_credentials(error: Exception) -> AttemptFailure:
    from botocore.exceptions import ConnectionError, HTTPClientError

    if isinstance(error, (ConnectionError, HTTPClientError)):
        return AttemptFailure("RT0010", f"AWS cannot be asked for credentials: {error}")
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


def _seen(opening: asyncio.Task[_Pin]) -> None:
    """Everybody who waited for it may have gone away meanwhile."""
    if not opening.cancelled():
        opening.exception()


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
