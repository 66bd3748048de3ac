"""Discovery wherever an endpoint is: over HTTP, or in its platform's own way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

import aiohttp

from steadfaas.deployments.catalog import is_http
from steadfaas.deployments.discover import (
    Discovered,
    Patience,
    check_status,
    discover,
    late,
    persist,
    refused,
    understood,
)
from steadfaas.deployments.headers import Connection
from steadfaas.deployments.secrets import looked_up
from steadfaas.errors import AttemptFailure, DiscoveryError
from steadfaas.spi import Endpoint, EndpointReference, Reply, Request
from steadfaas.transport.http import Diagnose
from steadfaas.wire.manifest import ProtocolMode
from steadfaas.wire.version import DISCOVERY_ACCEPT

# A function that was never called may take so long to answer (seconds).
_COLD_SECONDS: Final = 25.0


class Platforms(Protocol):
    """What adapters know of endpoints; see `transport.platforms`."""

    def diagnosis(self, adapter: str, endpoint: Endpoint) -> Diagnose | None:
        """How an answer of this endpoint is understood; None: by its status alone."""
        ...

    async def call(self, adapter: str, endpoint: Endpoint, request: Request) -> Reply:
        """One request that the adapter carries, and the answer. Raises AttemptFailure."""
        ...


def present(connection: Connection) -> dict[str, str]:
    """The secret headers of a connection. Raises DiscoveryError where a secret is missing."""
    try:
        return looked_up(connection.secret_headers)
    except AttemptFailure as failure:
        raise refused(failure) from failure


class Discovery:
    """Asks endpoints what they serve."""

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        platforms: Platforms,
        patience: Patience | None = None,
    ) -> None:
        self._session = session
        self._platforms = platforms
        self._patience = patience or Patience()

    async def __call__(self, reference: EndpointReference, connection: Connection) -> Discovered:
        """What an endpoint serves. Raises DiscoveryError, as `discover` does."""
        headers = {**dict(connection.headers), **present(connection)}
        endpoint = Endpoint(reference.uri, connection.access, facts=reference.facts)
        if is_http(reference.uri):
            return await discover(
                self._session(),
                reference,
                headers.items(),
                patience=self._patience,
                diagnose=self._platforms.diagnosis(reference.adapter, endpoint),
            )
        patience = _with_cold_start(self._patience)
        request = Request("GET", "/discover", {**headers, "accept": DISCOVERY_ACCEPT}, b"")
        return await persist(
            reference.uri,
            patience,
            lambda: self._carried(reference.adapter, endpoint, request, patience),
        )

    async def _carried(
        self, adapter: str, endpoint: Endpoint, request: Request, patience: Patience
    ) -> Discovered:
        where = endpoint.uri
        try:
            async with asyncio.timeout(patience.attempt_timeout):
                reply = await self._platforms.call(adapter, endpoint, request)
        except TimeoutError as error:
            raise late(where, patience.attempt_timeout, retryable=True) from error
        except AttemptFailure as failure:
            raise refused(failure) from failure
        check_status(where, reply.status, reply.headers)
        discovered = understood(where, reply.headers, reply.body, patience.max_bytes)
        if discovered.manifest.protocol_mode is ProtocolMode.BIDI_STREAM:
            raise DiscoveryError(
                f"the endpoint announces BIDI_STREAM, which {where} cannot carry; serve it in"
                " request/response mode",
                code="META0015",
            )
        return discovered


def _with_cold_start(patience: Patience) -> Patience:
    return replace(
        patience,
        attempt_timeout=max(patience.attempt_timeout, _COLD_SECONDS),
        deadline=max(patience.deadline, _COLD_SECONDS),
    )
