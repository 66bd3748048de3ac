"""What a target means, asked of its adapter: an endpoint reference, and the secrets to reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.headers import Headers
from steadfaas.deployments.modify import Modification
from steadfaas.deployments.plan import reference_of
from steadfaas.deployments.requests import Registration
from steadfaas.deployments.secrets import secret_headers
from steadfaas.errors import BadRequest, DiscoveryError
from steadfaas.spi import Access, EndpointReference, Evidence, Promise, Protects

# A platform may have to be asked more than once, or get a new version ready first.
_RESOLVE_SECONDS: Final = 45.0


class Resolver:
    """Asks adapters. Raises BadRequest, DiscoveryError and AdapterUnavailable."""

    def __init__(self, adapters: Adapters, *, allow_mutable: bool) -> None:
        self._adapters = adapters
        self._allow_mutable = allow_mutable

    async def registered(self, request: Registration) -> EndpointReference:
        """What a registration's target leads to."""
        with _named(request.field_name):
            adapter = (
                self._adapters.for_target(request.target)
                if request.adapter is None
                else self._adapters.get(request.adapter)
            )
            reference = await _in_time(
                adapter.resolve(request.target, request.connection.access, promise=request.promise)
            )
            if reference.evidence is not Evidence.MUTABLE:
                return reference
            if request.promise is not Promise.DEV:
                raise BadRequest(
                    f"{request.target} may lead to another version later; use an address that"
                    " always leads to the same one"
                )
            if not self._allow_mutable:
                raise BadRequest(
                    f"{request.target} may lead to another version later, which only an engine for"
                    " development takes: start it with 'steadfaas up --dev'"
                )
            return reference

    async def modified(
        self, known: Deployment, wanted: Modification, access: Access
    ) -> EndpointReference:
        """Where a deployment leads when it is modified."""
        if wanted.target is None:
            return reference_of(known)
        adapter = self._adapters.get(known.adapter)
        with _named(wanted.field_name):
            return await _in_time(adapter.resolve(wanted.target, access))

    def protected(self, adapter_name: str, given: Headers, secrets: Sequence[str]) -> Headers:
        """The secret headers `given`, and those by which a platform lets requests through that
        show these secrets."""
        if not secrets:
            return given
        adapter = self._adapters.get(adapter_name)
        with _named("protection"):
            if not isinstance(adapter, Protects):
                raise BadRequest(
                    f"{adapter.name} knows no protection of endpoints; name the headers themselves"
                    " ('secret_headers')"
                )
            return secret_headers({**dict(given), **adapter.protect(secrets)})


async def _in_time(resolving: Awaitable[EndpointReference]) -> EndpointReference:
    """What a target means, unless its platform takes too long to say so."""
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            return await resolving
    except TimeoutError as error:
        raise DiscoveryError(
            f"the platform did not tell within {_RESOLVE_SECONDS:g} s what the target means. Try"
            " again later",
            code="META0003",
            status=503,
            retryable=True,
        ) from error


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Say in which field of the request the refused target stood."""
    try:
        yield
    except BadRequest as error:
        raise BadRequest(
            f"The request field '{field}' is invalid. Reason: {error.message.rstrip('.')}."
        ) from error
