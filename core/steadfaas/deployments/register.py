"""The use cases of deployments: register, change, promote and remove one; set up a service.

Registration is idempotent by address: the same endpoint (address and routing headers) is discovered
once, and registering it again changes nothing unless forced. Everything is stored first and then
shown to requests. Two registrations of one endpoint wait for each other, so that the second finds
the first one's result; what a step decides, it decides and stores as one.

Intended differences from the stock server:

* It answers 501 to a removal that is not forced, and leaves the judgement to its CLI. Here the
  engine judges, in the same transaction: it refuses (409) while the deployment takes new requests
  for some service or anything unfinished is pinned to it, and removes it otherwise.
* A revision that drops handlers is refused unless `breaking` (see `compat`); what a `breaking` or
  `force` registration broke is listed in its answer.
* A deployment is not moved to an address where something unfinished could not go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final
from weakref import WeakValueDictionary

from steadfaas.clock import Time
from steadfaas.deployments import history, modify
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog, Deployment, HandlerOptions, ServiceRevision
from steadfaas.deployments.compat import Compatibility, dropped, findings
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.discovery import present
from steadfaas.deployments.headers import Connection, Headers
from steadfaas.deployments.modify import Modification, Modified
from steadfaas.deployments.plan import Planner, reference_of
from steadfaas.deployments.promote import Promoted, promotion
from steadfaas.deployments.requests import Outcome, Registered, Registration
from steadfaas.deployments.resolve import Resolver
from steadfaas.deployments.retire import Retirements
from steadfaas.deployments.same_version import SameVersion
from steadfaas.deployments.settings import ServiceChanges, changed, told
from steadfaas.deployments.shelf import Shelf
from steadfaas.errors import Conflict, NotFound
from steadfaas.spi import EndpointReference, Evidence
from steadfaas.store import deployments as table
from steadfaas.store.port import Tx, Writer

__all__ = [
    "Connection",
    "Headers",
    "Modification",
    "Modified",
    "Outcome",
    "Promoted",
    "Registered",
    "Registration",
    "Registry",
    "ServiceChanges",
]

Discover = Callable[[EndpointReference, Connection], Awaitable[Discovered]]

# Of two registrations with one address, these headers make two endpoints: they choose what answers.
ROUTING_HEADERS: Final = frozenset({"host", "cloudflare-workers-version-overrides"})


class Registry:
    """Changes what is registered. Belongs to one event loop.

    `retirements` takes deployments out of use in steps.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        writer: Writer,
        adapters: Adapters,
        discover: Discover,
        clock: Time,
        randomness: Callable[[int], bytes],
        defaults: HandlerOptions,
        compatibility: Compatibility = "strict",
        routing_headers: frozenset[str] = ROUTING_HEADERS,
        allow_mutable: bool = False,
    ) -> None:
        """`randomness(n)` gives n random bytes; `defaults` must be those the catalog has;
        `allow_mutable`: the engine is for development, and code may change behind an address."""
        self._catalog = catalog
        self._discover = discover
        self._defaults = defaults
        self._compatibility: Compatibility = compatibility
        self._plans = Planner(
            *(catalog, clock, randomness, defaults, compatibility, routing_headers),
            same_version=SameVersion(adapters),
        )
        self._resolver = Resolver(adapters, allow_mutable=allow_mutable)
        self._shelf = Shelf(catalog, writer, clock)
        self._endpoints: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        self.retirements = Retirements(self._shelf, self._plans)

    async def register(self, request: Registration) -> Registered:
        """Register an endpoint, or find that it is registered.

        Raises BadRequest for a target that is none, DiscoveryError for a version that its platform
        does not have, an endpoint that cannot be used or one that breaks promises of active
        revisions, AdapterUnavailable, Conflict for an endpoint that is being retired, StoreError if
        nothing could be stored.
        """
        reference = await self._resolver.registered(request)
        if reference.evidence is Evidence.MUTABLE:
            request = replace(request, force=True)  # other code may be there by now
        if request.protection:
            request = replace(request, connection=self._protected(request, reference.adapter))
        headers = request.connection.headers
        identity = self._plans.identity(reference, headers)
        # The table holds a lock only as long as somebody here does.
        lock = self._endpoints.setdefault(identity, asyncio.Lock())
        async with lock:
            known = self._plans.known(request, reference)
            if known is not None and not request.force:
                present(request.connection)
                return Registered(known, Outcome.UNCHANGED)
            discovered = await self._discover(reference, request.connection)
            if request.dry_run:
                return self._plans.registration(request, reference, discovered)
            return await self._shelf.unbroken(self._register(request, reference, discovered))

    def _protected(self, request: Registration, adapter: str) -> Connection:
        given = request.connection.secret_headers
        headers = self._resolver.protected(adapter, given, request.protection)
        return replace(request.connection, secret_headers=headers)

    async def modify(self, wanted: Modification) -> Modified:
        """Change how a deployment is reached and what is noted of it, and what it serves if
        `overwrite` is asked for.

        What is pinned to it uses the new connection from its next attempt on. Raises NotFound;
        BadRequest for a target that the deployment's adapter does not take; DiscoveryError for an
        endpoint that cannot be used; Conflict if unfinished invocations could not go on there, the
        address changed meanwhile, or either is being retired; StoreError.
        """
        known = self._shelf.staying(wanted.deployment_id)
        if wanted.protection is not None:
            given = wanted.secret_headers or ()
            secrets = self._resolver.protected(known.adapter, given, wanted.protection)
            wanted = replace(wanted, secret_headers=secrets)
        connection = modify.connection_of(known, wanted)
        reference = await self._resolver.modified(known, wanted, connection.access)
        discovered = None
        if wanted.overwrite or reference.uri != known.uri:
            discovered = await self._discover(reference, connection)
        return await self._shelf.unbroken(self._modify(wanted, reference, discovered))

    async def promote(
        self, deployment_id: str, *, dry_run: bool = False, actor: str = ""
    ) -> Promoted:
        """Let a deployment take the new requests of all its services again, without a check.

        Raises NotFound, StoreError, Conflict if it is being retired.
        """
        step = self._promote(deployment_id, dry_run=dry_run, actor=actor)
        return await self._shelf.unbroken(step)

    async def configure(
        self, service: str, changes: ServiceChanges, *, actor: str = ""
    ) -> ServiceRevision:
        """Change settings of a service's active revision; its next registration brings its own.

        The record of its deployment tells which, and who did it. Raises NotFound, BadRequest,
        StoreError.
        """
        return await self._shelf.unbroken(self._configure(service, changes, actor))

    async def remove(self, deployment_id: str, *, force: bool = False, actor: str = "") -> None:
        """Remove a deployment; the next-newest revision of its services becomes active again.

        Without `force` only a drained one. Raises NotFound; Conflict, saying what still needs it;
        StoreError.
        """
        await self._shelf.unbroken(self._remove(deployment_id, force=force, actor=actor))

    async def remove_mutable(self) -> list[Deployment]:
        """Remove what only an engine for development takes; what is pinned there waits for an
        operator. Returns what was removed. Raises StoreError."""
        mutable = [
            known for known in self._catalog.deployments() if known.evidence is Evidence.MUTABLE
        ]
        for known in mutable:
            await self.remove(known.id, force=True, actor="an engine without --dev")
        return mutable

    # --- steps: judged and stored as one, then shown -------------------------------------------

    async def _register(
        self, request: Registration, reference: EndpointReference, discovered: Discovered
    ) -> Registered:
        async with self._shelf.turn:
            planned = self._plans.registration(request, reference, discovered)
            deployment = planned.deployment
            if planned.outcome is Outcome.CREATED:
                await self._shelf.add(deployment, request.actor)
            elif planned.outcome is Outcome.OVERWRITTEN:
                before = self._shelf.known(deployment.id).services.values()
                change = (history.FORCED, history.renewed(before, deployment.services.values()))
                after = await self._shelf.change(
                    deployment, request.actor, change, at=deployment.created_at
                )
                return replace(planned, deployment=after)
            return planned

    async def _modify(
        self, wanted: Modification, asked: EndpointReference, discovered: Discovered | None
    ) -> Modified:
        async with self._shelf.turn:
            known = self._shelf.staying(wanted.deployment_id)
            reference = asked if wanted.target is not None else reference_of(known)
            connection = modify.connection_of(known, wanted)
            unseen = wanted.overwrite or reference.uri != known.uri
            if unseen and (discovered is None or asked.uri != reference.uri):
                raise Conflict(
                    f"the address of deployment '{known.id}' was changed at the same time, to"
                    f" '{known.uri}'; look at it, and try again"
                )
            self._plans.find(reference, connection.headers)  # must not be on its way out
            after = modify.connected(known, reference, connection, discovered if unseen else None)
            if wanted.metadata is not None:
                after = replace(after, metadata=wanted.metadata)
            warnings: list[str] = []
            if discovered is not None and unseen:
                after, warnings = self._served(wanted, known, after, discovered)
            if after == known:
                return Modified(known)
            after, more = await self._move(wanted, known, after)
            return Modified(after, (*warnings, *more))

    def _served(
        self,
        wanted: Modification,
        known: Deployment,
        after: Deployment,
        discovered: Discovered,
    ) -> tuple[Deployment, list[str]]:
        """What the deployment serves there from now on, and what may surprise about it."""
        services = discovered.manifest.services
        if not wanted.overwrite:
            return after, modify.surprises(known, services)
        broken = findings(self._catalog, services, self._compatibility)
        broken += dropped(self._catalog, known, services)
        return replace(after, services=self._plans.revisions(known.id, discovered)), broken

    async def _move(
        self, wanted: Modification, known: Deployment, after: Deployment
    ) -> tuple[Deployment, list[str]]:
        """Store a changed connection, unless something unfinished could not go on there: that is
        refused, or with `overwrite` told."""
        versions = (after.min_version, after.max_version)
        same = versions == (known.min_version, known.max_version)
        warnings: list[str] = []

        def judge(tx: Tx) -> None:
            stuck = {} if same else table.beyond_versions(tx, known.id, *versions)
            if stuck and not wanted.overwrite:
                raise Conflict(
                    f"{modify.unspoken(after, stuck)}. Use an endpoint that speaks it, or wait"
                    " until they have finished."
                )
            if stuck:
                warnings.append(f"{modify.unspoken(after, stuck)}.")

        if wanted.dry_run:
            await self._shelf.look(judge)
            return after, warnings
        changes = modify.differences(known, after)
        if wanted.overwrite:
            detail = history.renewed(known.services.values(), after.services.values())
            changes.append((history.OVERWRITTEN, detail))
        return await self._shelf.change(after, wanted.actor, *changes, judge=judge), warnings

    async def _promote(self, deployment_id: str, *, dry_run: bool, actor: str) -> Promoted:
        async with self._shelf.turn:
            known = self._shelf.staying(deployment_id)
            planned = promotion(self._catalog, known)
            if dry_run or not planned.services:
                return planned
            renewed = [planned.deployment.services[name] for name in planned.services]
            change = (history.PROMOTED, history.renewed(known.services.values(), renewed))
            after = await self._shelf.change(planned.deployment, actor, change)
            return replace(planned, deployment=after)

    async def _configure(
        self, service: str, changes: ServiceChanges, actor: str
    ) -> ServiceRevision:
        async with self._shelf.turn:
            before = self._catalog.latest(service)
            if before is None:
                raise NotFound(f"The requested service '{service}' does not exist")
            after = changed(before, changes, self._defaults)
            if after is not before:
                known = self._shelf.known(before.deployment_id)
                owner = replace(known, services={**known.services, service: after})
                change = (history.CONFIGURED, f"{service}: {told(changes)}")
                await self._shelf.change(owner, actor, change)
            return after

    async def _remove(self, deployment_id: str, *, force: bool, actor: str) -> None:
        async with self._shelf.turn:
            known = self._catalog.deployment(deployment_id)
            if known is None:
                raise NotFound(
                    f"not found in the schema registry: deployment with id '{deployment_id}'"
                )
            await self._shelf.remove(known, actor, force=force)
