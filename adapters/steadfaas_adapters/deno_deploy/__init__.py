"""Deno Deploy: revisions, each of which has an address of its own.

| file | what it knows |
| --- | --- |
| `target.py` | what may be written, and what each form means |
| `resolve.py` | which revision a target means, and the proof of its address |
| `versions.py` | which revisions there are; whether one is unchanged; when and how it ends |
| `failures.py` | the platform's own answers and their verdicts |
| `api.py` | the control plane, as far as it is asked |
| `settings.py` | variables |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steadfaas.errors import BadRequest
from steadfaas.spi import ANYBODY, Access, Promise
from steadfaas_adapters._hosts import host_of
from steadfaas_adapters.deno_deploy import target as grammar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steadfaas.errors import AttemptFailure
    from steadfaas.spi import Endpoint, EndpointReference, Expiry, Version


class DenoDeploy:
    """Revisions of apps on Deno Deploy."""

    name = "deno-deploy"

    def claims(self, target: str) -> bool:
        """Hosts under `.deno.net` and `.deno.dev`, and whatever begins with `deno:`."""
        return grammar.claims(target)

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        """The revision that a target means now; a promise of `DEV` allows addresses that move.

        Raises BadRequest, DiscoveryError.
        """
        _check(access)
        wanted = grammar.parse(target, dev=promise is Promise.DEV)
        from steadfaas_adapters.deno_deploy.resolve import resolve

        return await resolve(wanted, promise)

    async def diagnose(
        self, endpoint: Endpoint, status: int, headers: Mapping[str, str], text: str
    ) -> AttemptFailure | None:
        """What an answer means that is Deno's own; None for all others."""
        if status not in (404, 502):  # nothing is loaded for the SDK's answers
            return None
        from steadfaas_adapters.deno_deploy.failures import diagnose

        return await diagnose(endpoint, status, text)

    def expiry(self, reference: EndpointReference, *, called_at: int) -> Expiry | None:
        """When it is disabled if nobody calls it after `called_at` (ms since the epoch); None if
        the revision is kept for ever."""
        from steadfaas_adapters.deno_deploy.versions import expiry

        return expiry(reference, called_at)

    async def list_versions(self, target: str, access: Access = ANYBODY) -> list[Version]:
        """The built revisions of an app, newest first. Raises BadRequest, DiscoveryError."""
        _check(access)
        wanted = grammar.parse(target)
        from steadfaas_adapters.deno_deploy.versions import list_versions

        return await list_versions(wanted)

    async def verify(self, reference: EndpointReference, access: Access = ANYBODY) -> list[str]:
        """What is other than it was at registration. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.deno_deploy.versions import verify

        return await verify(reference)

    def version_at(self, uri: str) -> str:
        """The revision behind an address: its host, whatever the path."""
        return host_of(uri)

    async def needed_by(self, reference: EndpointReference, access: Access = ANYBODY) -> str | None:
        """Which timelines run the revision, if any. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.deno_deploy.versions import needed_by

        return await needed_by(reference)

    async def retire(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Delete the revision. Raises BadRequest, Conflict, DiscoveryError."""
        from steadfaas_adapters.deno_deploy.versions import retire

        await retire(reference)


def _check(access: Access) -> None:
    if access != ANYBODY:
        raise BadRequest("a role is for Lambda functions; Deno Deploy is asked with a token")


ADAPTER: Final = DenoDeploy()
