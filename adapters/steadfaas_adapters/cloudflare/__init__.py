"""Cloudflare Workers: versions by their Version URLs, which Cloudflare's API proves to be that.

| file | what it knows |
| --- | --- |
| `target.py` | what may be written, and what each form means |
| `choice.py` | which version is meant, and the proof that an address is one's own |
| `control.py` | what is recorded of it; all versions; whether one is unchanged; delete one |
| `api.py` | the routes of the API, and the fields of its answers that are used |
| `failures.py` | the answers that are Cloudflare's own, and their verdicts |
| `standing.py` | whether a version is gone or only switched off |
| `settings.py` | the variables that set up all of this |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from steadfaas.errors import BadRequest, DiscoveryError
from steadfaas.spi import ANYBODY, Access, EndpointReference, Evidence, Promise
from steadfaas_adapters._hosts import host_of
from steadfaas_adapters.cloudflare import target as grammar
from steadfaas_adapters.cloudflare.failures import Nowhere, nowhere, understood
from steadfaas_adapters.cloudflare.standing import Standing, Standings
from steadfaas_adapters.cloudflare.target import CloudflareTarget, Kind

if TYPE_CHECKING:
    from steadfaas.errors import AttemptFailure
    from steadfaas.spi import Endpoint, Version

_PROTECTION: Final = ("CF-Access-Client-Id", "CF-Access-Client-Secret")


class CloudflareWorkers:
    """Versions of Workers."""

    name = "cloudflare"

    def __init__(self) -> None:
        self._standings = Standings()

    def claims(self, target: str) -> bool:
        """Addresses under workers.dev and cloudflare.app, and what begins with `cloudflare:`."""
        return grammar.claims(target)

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        """The version that a target means now. Without a token, a Version URL is taken on the word
        of whoever promises that it is one. Raises BadRequest, DiscoveryError."""
        wanted = _parsed(target, access)
        from steadfaas_adapters.cloudflare import api, control

        if wanted.kind is not Kind.URL or api.has_token():
            return await control.resolve(wanted)
        if promise is Promise.NONE:
            raise DiscoveryError(_unproven(wanted), code="META0003", status=403)
        evidence = Evidence.ASSERTED if promise is Promise.IMMUTABLE else Evidence.MUTABLE
        return EndpointReference(self.name, wanted.uri, evidence, {"worker": wanted.worker})

    @property
    def max_request_bytes(self) -> int:
        """What the plan takes. Raises BadRequest for a setting that is no number."""
        from steadfaas_adapters.cloudflare.settings import settings

        return settings().max_request_bytes

    async def diagnose(
        self, endpoint: Endpoint, status: int, headers: Mapping[str, str], text: str
    ) -> AttemptFailure | None:
        """What an answer means that Cloudflare gave in the Worker's place."""
        found = understood(endpoint.uri, status, headers, text)
        if not isinstance(found, Nowhere):
            return found
        standing = await self._standings.of(endpoint)
        if found.certain or standing.standing in (Standing.GONE, Standing.OFF):
            return nowhere(endpoint.uri, standing)
        return None  # the Worker's own 404

    def protect(self, secrets: Sequence[str]) -> Mapping[str, str]:
        """The headers of a service token of Cloudflare Access: its id, and its secret."""
        if len(secrets) != len(_PROTECTION):
            raise BadRequest(
                "Cloudflare Access takes a service token, which has two parts: name where its"
                " Client ID stands, and then where its Client Secret stands"
            )
        return dict(zip(_PROTECTION, secrets, strict=True))

    async def list_versions(self, target: str, access: Access = ANYBODY) -> list[Version]:
        """All versions of a Worker, newest first. Raises BadRequest, DiscoveryError."""
        wanted = _parsed(target, access, any_version=True)
        from steadfaas_adapters.cloudflare import control

        return await control.list_versions(wanted)

    async def verify(self, reference: EndpointReference, access: Access = ANYBODY) -> list[str]:
        """What is other than it was at registration. Raises DiscoveryError."""
        from steadfaas_adapters.cloudflare import control

        return await control.verify(reference)

    def version_at(self, uri: str) -> str:
        """The version behind an address: its host, whatever the path."""
        return host_of(uri)

    async def needed_by(self, reference: EndpointReference, access: Access = ANYBODY) -> str | None:
        """Its share of the traffic, if it is deployed. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.cloudflare import control

        return await control.needed_by(reference)

    async def retire(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Delete the version. Raises Conflict, DiscoveryError."""
        from steadfaas_adapters.cloudflare import control

        await control.retire(reference)


def _parsed(target: str, access: Access, *, any_version: bool = False) -> CloudflareTarget:
    if access != ANYBODY:
        raise BadRequest("a role is for Lambda functions; Cloudflare takes a token")
    return grammar.parse(target, any_version=any_version)


def _unproven(wanted: CloudflareTarget) -> str:
    return (
        f"that {wanted.host} always leads to the same version, only Cloudflare's API can say: an"
        " alias, a Preview or a Worker may be called like that too. Set STEADFAAS_CLOUDFLARE_TOKEN,"
        " or promise it with --assert-immutable"
    )


ADAPTER: Final = CloudflareWorkers()
