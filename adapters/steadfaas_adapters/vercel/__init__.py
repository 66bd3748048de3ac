"""Vercel: deployments, each at a URL of its own, proven by Vercel's API to be no alias.

| file | what it knows |
| --- | --- |
| `target.py` | what may be written, and what each form means |
| `control.py` | proof, versions, deletion, retention |
| `select.py` | which deployment a branch, a commit or production means now |
| `leases.py` | how a deployment is kept from the retention policy |
| `failures.py` | each failure and its verdict |
| `facts.py` | what is kept of a deployment |
| `api.py`, `models.py` | requests to Vercel's API, and what is read of the answers |
| `settings.py` | what may be set |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from steadfaas.errors import BadRequest, Verdict
from steadfaas.spi import ANYBODY, Access, Expiry, Promise
from steadfaas_adapters._hosts import host_of
from steadfaas_adapters.vercel import failures
from steadfaas_adapters.vercel import target as grammar

if TYPE_CHECKING:
    from steadfaas.errors import AttemptFailure
    from steadfaas.spi import Endpoint, EndpointReference, Version

# The body of a request to a function: 4.5 MB (vercel.com/docs/functions/limitations).
_MAX_REQUEST_BYTES: Final = 4_500_000
# vercel.com/docs/deployment-protection/methods-to-bypass-deployment-protection
_BYPASS: Final = "x-vercel-protection-bypass"


class Vercel:
    """Deployments of Vercel projects."""

    name = "vercel"
    max_request_bytes = _MAX_REQUEST_BYTES

    def claims(self, target: str) -> bool:
        """Hosts under `vercel.app`, and whatever begins with `vercel:`."""
        return grammar.claims(target)

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        """The deployment that a target means now.

        A promise of `IMMUTABLE` takes a URL without a token; `DEV` takes any host as mutable.
        Raises BadRequest, DiscoveryError.
        """
        _check_access(access)
        grammar.parse(target, dev=promise is Promise.DEV)  # says what is wrong, loading nothing
        from steadfaas_adapters.vercel import control

        return await control.resolve(target, promise)

    async def diagnose(
        self, endpoint: Endpoint, status: int, headers: Mapping[str, str], text: str
    ) -> AttemptFailure | None:
        """What an answer of Vercel's own means. That a deployment is gone is believed unless
        Vercel's API says otherwise."""
        failure = failures.diagnose(status, headers, text, endpoint.uri)
        if failure is None or failure.verdict is not Verdict.GONE:
            return failure
        from steadfaas_adapters.vercel import control

        return failures.contradicted(failure) if await control.still_there(endpoint) else failure

    def protect(self, secrets: Sequence[str]) -> Mapping[str, str]:
        """The header of Protection Bypass for Automation. Raises BadRequest."""
        if len(secrets) != 1:
            raise BadRequest(
                "Vercel's deployment protection takes one secret, that of Protection Bypass for"
                f" Automation; {len(secrets)} were given"
            )
        return {_BYPASS: secrets[0]}

    async def list_versions(self, target: str, access: Access = ANYBODY) -> list[Version]:
        """All deployments of a project that can be called, newest first. Raises BadRequest,
        DiscoveryError."""
        _check_access(access)
        grammar.parse(target, dev=True)
        from steadfaas_adapters.vercel import control

        return await control.list_versions(target)

    async def verify(self, reference: EndpointReference, access: Access = ANYBODY) -> list[str]:
        """What is other than it was at registration. Raises DiscoveryError."""
        from steadfaas_adapters.vercel import control

        return await control.verify(reference)

    def version_at(self, uri: str) -> str:
        """The deployment behind an address: its host, whatever the path."""
        return host_of(uri)

    async def needed_by(self, reference: EndpointReference, access: Access = ANYBODY) -> str | None:
        """What leads to the deployment, if anything. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.vercel import control

        return await control.needed_by(reference)

    async def retire(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Delete the deployment. Raises BadRequest, Conflict, DiscoveryError."""
        from steadfaas_adapters.vercel import control

        await control.retire(reference)

    def expiry(self, reference: EndpointReference, *, called_at: int) -> Expiry | None:
        """When the retention policy may remove it; calls do not matter. Raises BadRequest for a
        setting that is none."""
        from steadfaas_adapters.vercel import control

        found = control.expiry(reference)
        return None if found is None else Expiry(*found)

    async def hold(self, reference: EndpointReference, access: Access = ANYBODY) -> str:
        """Keep it from the retention policy. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.vercel import control

        return await control.hold(reference)

    async def release(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Leave it to the retention policy again. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.vercel import control

        await control.release(reference)


ADAPTER: Final = Vercel()


def _check_access(access: Access) -> None:
    if access != ANYBODY:
        raise BadRequest("a role is for Lambda functions; Vercel is asked with a token")
