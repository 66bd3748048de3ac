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
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from steadfaas.clock import Time
from steadfaas.deployments import history, modify
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog, Deployment, HandlerOptions, ServiceRevision
from steadfaas.deployments.compat import Compatibility, dropped, findings
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.drain import drain_of
from steadfaas.deployments.headers import Connection, Headers
from steadfaas.deployments.modify import Modification, Modified
from steadfaas.deployments.plan import Planner, reference_of
from steadfaas.deployments.promote import Promoted, promotion
from steadfaas.deployments.records import to_rows
from steadfaas.deployments.requests import Outcome, Registered, Registration
from steadfaas.deployments.secrets import secret_headers
from steadfaas.deployments.settings import ServiceChanges, changed, told
from steadfaas.errors import BadRequest, Conflict, DiscoveryError, NotFound
from steadfaas.spi import Access, EndpointReference, Evidence, Promise, Protects
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

# A platform may have to be asked more than once, or get a new version ready first.
_RESOLVE_SECONDS: Final = 45.0

_T = TypeVar("_T")


class Registry:
    """Changes what is registered. Belongs to one event loop."""

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
        self._writer = writer
        self._adapters = adapters
        self._discover = discover
        self._clock = clock
        self._defaults = defaults
        self._compatibility: Compatibility = compatibility
        self._plans = Planner(catalog, clock, randomness, defaults, compatibility, routing_headers)
        self._allow_mutable = allow_mutable
        self._endpoints: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        # Revision numbers and compatibility are judged and stored as one step.
        self._commit = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def register(self, request: Registration) -> Registered:
        """Register an endpoint, or find that it is registered.

        Raises BadRequest for a target that is none, DiscoveryError for a version that its platform
        does not have, an endpoint that cannot be used or one that breaks promises of active
        revisions, AdapterUnavailable, StoreError if nothing could be stored.
        """
        reference = await self._resolve(request)
        if reference.evidence is Evidence.MUTABLE:
            request = replace(request, force=True)  # other code may be there by now
        if request.protection:
            request = replace(request, connection=self._protected(request, reference))
        headers = request.connection.headers
        identity = self._plans.identity(reference, headers)
        # The table holds a lock only as long as somebody here does.
        lock = self._endpoints.setdefault(identity, asyncio.Lock())
        async with lock:
            known = self._plans.find(reference, headers)
            if known is not None and not request.force:
                return Registered(known, Outcome.UNCHANGED)
            discovered = await self._discover(reference, request.connection)
            if request.dry_run:
                return self._plans.registration(request, reference, discovered)
            return await self._unbroken(self._register(request, reference, discovered))

    async def modify(self, wanted: Modification) -> Modified:
        """Change how a deployment is reached, and what it serves if `overwrite` is asked for.

        What is pinned to it uses the new connection from its next attempt on. Raises NotFound;
        BadRequest for a target that the deployment's adapter does not take; DiscoveryError for an
        endpoint that cannot be used; Conflict if unfinished invocations could not go on there, or
        the address changed meanwhile; StoreError.
        """
        known = self._known(wanted.deployment_id)
        connection = modify.connection_of(known, wanted)
        reference, discovered = await self._destination(known, wanted, connection.access), None
        if wanted.overwrite or reference.uri != known.uri:
            discovered = await self._discover(reference, connection)
        return await self._unbroken(self._modify(wanted, reference, discovered))

    async def promote(
        self, deployment_id: str, *, dry_run: bool = False, actor: str = ""
    ) -> Promoted:
        """Let a deployment take the new requests of all its services again, without a check.

        Raises NotFound, StoreError.
        """
        return await self._unbroken(self._promote(deployment_id, dry_run=dry_run, actor=actor))

    async def configure(
        self, service: str, changes: ServiceChanges, *, actor: str = ""
    ) -> ServiceRevision:
        """Change settings of a service's active revision; its next registration brings its own.

        The record of its deployment tells which, and who did it. Raises NotFound, BadRequest,
        StoreError.
        """
        return await self._unbroken(self._configure(service, changes, actor))

    async def remove(self, deployment_id: str, *, force: bool = False) -> None:
        """Remove a deployment; the next-newest revision of its services becomes active again.

        Without `force` only a drained one. Raises NotFound; Conflict, saying what still needs it;
        StoreError.
        """
        await self._unbroken(self._remove(deployment_id, force=force))

    async def remove_mutable(self) -> list[Deployment]:
        """Remove what only an engine for development takes; what is pinned there waits for an
        operator. Returns what was removed. Raises StoreError."""
        mutable = [
            known for known in self._catalog.deployments() if known.evidence is Evidence.MUTABLE
        ]
        for known in mutable:
            await self.remove(known.id, force=True)
        return mutable

    # --- steps: judged and stored as one, then shown -------------------------------------------

    async def _register(
        self, request: Registration, reference: EndpointReference, discovered: Discovered
    ) -> Registered:
        async with self._commit:
            planned = self._plans.registration(request, reference, discovered)
            if planned.outcome is Outcome.CREATED:
                row, revisions = to_rows(planned.deployment)
                await self._writer.write(lambda tx: table.insert(tx, row, revisions))
                self._catalog.put(planned.deployment)
            elif planned.outcome is Outcome.OVERWRITTEN:
                await self._replace(planned.deployment)
            return planned

    async def _modify(
        self, wanted: Modification, asked: EndpointReference, discovered: Discovered | None
    ) -> Modified:
        async with self._commit:
            known = self._known(wanted.deployment_id)
            reference = asked if wanted.target is not None else reference_of(known)
            connection = modify.connection_of(known, wanted)
            unseen = wanted.overwrite or reference.uri != known.uri
            if unseen and (discovered is None or asked.uri != reference.uri):
                raise Conflict(
                    f"the address of deployment '{known.id}' was changed at the same time, to"
                    f" '{known.uri}'; look at it, and try again"
                )
            seen = discovered if unseen else None
            after = modify.connected(known, reference, connection, seen)
            warnings: list[str] = []
            if discovered is not None and unseen:
                after, warnings = self._served(wanted, known, after, discovered)
            if after == known:
                return Modified(known)
            if not wanted.dry_run:
                after = self._noted(wanted, known, after)
            warnings += await self._move(wanted, known, after)
            return Modified(after, tuple(warnings))

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

    def _noted(self, wanted: Modification, known: Deployment, after: Deployment) -> Deployment:
        changes = modify.differences(known, after)
        if wanted.overwrite:
            detail = history.renewed(known.services.values(), after.services.values())
            changes.append((history.OVERWRITTEN, detail))
        return history.noted(after, self._clock.now(), wanted.actor, *changes)

    async def _move(self, wanted: Modification, known: Deployment, after: Deployment) -> list[str]:
        """Store a changed connection, unless something unfinished could not go on there: that is
        refused, or with `overwrite` told."""
        row, revisions = to_rows(after)
        versions = (after.min_version, after.max_version)
        same = versions == (known.min_version, known.max_version)

        def unit(tx: Tx) -> list[str]:
            stuck = {} if same else table.beyond_versions(tx, known.id, *versions)
            if stuck and not wanted.overwrite:
                raise Conflict(
                    f"{modify.unspoken(after, stuck)}. Use an endpoint that speaks it, or wait"
                    " until they have finished."
                )
            if not wanted.dry_run:
                table.replace(tx, row, revisions)
            return [f"{modify.unspoken(after, stuck)}."] if stuck else []

        warnings = await self._writer.write(unit)
        if not wanted.dry_run:
            self._catalog.put(after)
        return warnings

    async def _promote(self, deployment_id: str, *, dry_run: bool, actor: str) -> Promoted:
        async with self._commit:
            known = self._known(deployment_id)
            planned = promotion(self._catalog, known)
            if dry_run or not planned.services:
                return planned
            renewed = [planned.deployment.services[name] for name in planned.services]
            change = (history.PROMOTED, history.renewed(known.services.values(), renewed))
            after = history.noted(planned.deployment, self._clock.now(), actor, change)
            await self._replace(after)
            return replace(planned, deployment=after)

    async def _configure(
        self, service: str, changes: ServiceChanges, actor: str
    ) -> ServiceRevision:
        async with self._commit:
            before = self._catalog.latest(service)
            if before is None:
                raise NotFound(f"The requested service '{service}' does not exist")
            after = changed(before, changes, self._defaults)
            if after is not before:
                known = self._known(before.deployment_id)
                owner = replace(known, services={**known.services, service: after})
                change = (history.CONFIGURED, f"{service}: {told(changes)}")
                await self._replace(history.noted(owner, self._clock.now(), actor, change))
            return after

    async def _remove(self, deployment_id: str, *, force: bool) -> None:
        def unit(tx: Tx) -> None:
            if not force:
                now = self._clock.now()
                drain = drain_of(tx, self._catalog, deployment_id, now=now, blockers=1)
                if drain.active_services or drain.unfinished:
                    raise Conflict(drain.explain(deployment_id))
            table.delete(tx, deployment_id)

        async with self._commit:
            if self._catalog.deployment(deployment_id) is None:
                raise NotFound(
                    f"not found in the schema registry: deployment with id '{deployment_id}'"
                )
            await self._writer.write(unit)
            self._catalog.remove(deployment_id)

    async def _replace(self, deployment: Deployment) -> None:
        row, revisions = to_rows(deployment)
        await self._writer.write(lambda tx: table.replace(tx, row, revisions))
        self._catalog.put(deployment)

    async def _unbroken(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Let a step finish even if its caller goes away: what is stored must also be shown."""
        task = asyncio.ensure_future(step)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    # --- looking up ----------------------------------------------------------------------------

    def _known(self, deployment_id: str) -> Deployment:
        known = self._catalog.deployment(deployment_id)
        if known is None:
            raise NotFound(f"The requested deployment '{deployment_id}' does not exist")
        return known

    async def _destination(
        self, known: Deployment, wanted: Modification, access: Access
    ) -> EndpointReference:
        if wanted.target is None:
            return reference_of(known)
        adapter = self._adapters.get(known.adapter)
        with _named(wanted.field_name):
            return await _in_time(adapter.resolve(wanted.target, access))

    def _protected(self, request: Registration, reference: EndpointReference) -> Connection:
        adapter = self._adapters.get(reference.adapter)
        with _named("protection"):
            if not isinstance(adapter, Protects):
                raise BadRequest(
                    f"{adapter.name} knows no protection of endpoints; name the headers themselves"
                    " ('secret_headers')"
                )
            given = dict(request.connection.secret_headers)
            headers = secret_headers({**given, **adapter.protect(request.protection)})
        return replace(request.connection, secret_headers=headers)

    async def _resolve(self, request: Registration) -> EndpointReference:
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
