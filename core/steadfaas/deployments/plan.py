"""What a registration would make of the catalogue, decided without any effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from steadfaas import ids
from steadfaas.clock import Time
from steadfaas.deployments.catalog import (
    Catalog,
    Deployment,
    HandlerOptions,
    ServiceRevision,
    build_revision,
)
from steadfaas.deployments.compat import Compatibility, dropped, findings, refusal
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.headers import Headers
from steadfaas.deployments.requests import Outcome, Registered, Registration
from steadfaas.deployments.retirement import being_retired
from steadfaas.deployments.same_version import SameVersion
from steadfaas.spi import EndpointReference


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans over the catalogue as it is at that moment. For the fields see `Registry`."""

    catalog: Catalog
    clock: Time
    randomness: Callable[[int], bytes]
    defaults: HandlerOptions
    compatibility: Compatibility
    routing_headers: frozenset[str]
    same_version: SameVersion

    def registration(
        self, request: Registration, reference: EndpointReference, discovered: Discovered
    ) -> Registered:
        """What a registration makes of what was discovered. Raises DiscoveryError for promises that
        it would break without being asked to, Conflict for an endpoint that is being retired."""
        known = self.known(request, reference)
        if known is not None and not request.force:
            # Another deployment was moved to this address meanwhile.
            return Registered(known, Outcome.UNCHANGED)
        services = discovered.manifest.services
        broken = findings(self.catalog, services, self.compatibility)
        if broken and not (request.breaking or request.force):
            raise refusal(broken)
        now = self.clock.now()
        deployment = self._deployment(
            known.id if known else self._mint(now), now, request, reference, discovered
        )
        if known is None:
            return Registered(deployment, Outcome.CREATED, tuple(broken))
        broken += dropped(self.catalog, known, services)
        deployment = replace(deployment, changes=known.changes)
        return Registered(deployment, Outcome.OVERWRITTEN, tuple(broken))

    def _deployment(
        self,
        id: str,
        now: int,
        request: Registration,
        reference: EndpointReference,
        discovered: Discovered,
    ) -> Deployment:
        manifest = discovered.manifest
        return Deployment(
            id=id,
            uri=reference.uri,
            headers=request.connection.headers,
            min_version=manifest.min_version,
            max_version=manifest.max_version,
            protocol_mode=manifest.protocol_mode,
            http_version=discovered.http_version,
            sdk_version=discovered.sdk_version,
            created_at=now,
            metadata=request.metadata,
            adapter=reference.adapter,
            services=self.revisions(id, discovered),
            evidence=reference.evidence,
            facts=reference.facts,
            access=request.connection.access,
            secret_headers=request.connection.secret_headers,
            compression=manifest.lambda_compression,
        )

    def revisions(self, deployment_id: str, discovered: Discovered) -> dict[str, ServiceRevision]:
        """What a deployment serves: each service newer than all that there is of it."""
        revisions = {}
        for service in discovered.manifest.services:
            revisions[service.name] = build_revision(
                service,
                revision=self.catalog.next_number(service.name),
                deployment_id=deployment_id,
                defaults=self.defaults,
            )
        return revisions

    def _mint(self, now: int) -> str:
        return ids.format_deployment(ids.mint_ulid(now, self.randomness(10)))

    def identity(self, reference: EndpointReference, headers: Headers) -> object:
        """What makes two registrations mean the same endpoint."""
        routing = frozenset(pair for pair in headers if pair[0] in self.routing_headers)
        return reference.adapter, reference.uri, routing

    def known(self, request: Registration, reference: EndpointReference) -> Deployment | None:
        """The newest deployment of the endpoint that is to be registered. Raises Conflict if it is
        being retired, unless somebody only asks: they see how far it has come."""
        headers = request.connection.headers
        if request.dry_run and not request.force:
            known = next(self._all_of(reference, headers), None)
            if known is not None:
                return known
        return self.find(reference, headers)

    def find(self, reference: EndpointReference, headers: Headers) -> Deployment | None:
        """The newest deployment of this endpoint. Raises Conflict if it is being retired, or if
        its version is, as that of another endpoint."""
        newest = next(self._all_of(reference, headers), None)
        going = [known for known in self.catalog.deployments() if known.retiring is not None]
        for known in self.same_version.at(reference.uri, going):
            raise being_retired(known.id)
        if newest is not None and newest.retiring is not None:
            raise being_retired(newest.id)
        return newest

    def twins(self, deployment: Deployment) -> list[Deployment]:
        """The other deployments of the same endpoint, or of the same version at another path or by
        other means: all that end with it."""
        reference = reference_of(deployment)
        found = {known.id: known for known in self._all_of(reference, deployment.headers)}
        for known in self.same_version.with_(deployment, self.catalog.deployments()):
            found[known.id] = known
        return [known for known in found.values() if known.id != deployment.id]

    def _all_of(self, reference: EndpointReference, headers: Headers) -> Iterator[Deployment]:
        identity = self.identity(reference, headers)
        for known in reversed(self.catalog.deployments()):
            # The address first: among thousands of deployments few have it.
            if known.uri == reference.uri and (
                self.identity(reference_of(known), known.headers) == identity
            ):
                yield known


def reference_of(known: Deployment) -> EndpointReference:
    """The endpoint reference of a deployment."""
    return EndpointReference(known.adapter, known.uri, known.evidence, known.facts)
