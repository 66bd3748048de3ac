"""The use cases of deployments: register one, remove one.

Registration is idempotent by address: the same endpoint (address and routing headers) is discovered
once, and registering it again changes nothing unless forced. A deployment is stored first and then
shown to requests; removal likewise. Two registrations of one endpoint wait for each other, so that
the second finds the first one's result.

Intended differences from the stock server:

* It answers 501 to a removal that is not forced, and leaves the judgement to its CLI. Here the
  engine judges, in the same transaction: it refuses (409) while the deployment takes new requests
  for some service or anything unfinished is pinned to it, and removes it otherwise.
* A revision that drops handlers is refused unless `breaking` (see `compat`); what a `breaking` or
  `force` registration broke is listed in its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from steadfaas import ids
from steadfaas.clock import Time
from steadfaas.deployments.adapters import DEFAULT, Adapters
from steadfaas.deployments.catalog import (
    Catalog,
    Deployment,
    HandlerOptions,
    ServiceRevision,
    build_revision,
)
from steadfaas.deployments.compat import Compatibility, findings, refusal
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.drain import usage
from steadfaas.deployments.records import to_rows
from steadfaas.errors import BadRequest, Conflict, NotFound
from steadfaas.spi import EndpointReference, Evidence
from steadfaas.store import deployments as table
from steadfaas.store.port import Tx, Writer

Headers = tuple[tuple[str, str], ...]
Discover = Callable[[EndpointReference, Headers], Awaitable[Discovered]]

# Of two registrations with one address, these headers make two endpoints: they choose what answers.
ROUTING_HEADERS: Final = frozenset({"host", "cloudflare-workers-version-overrides"})

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody asks to register. `headers` have lower-case names."""

    target: str
    headers: Headers = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    adapter: str = DEFAULT
    breaking: bool = False
    force: bool = False
    dry_run: bool = False


class Outcome(Enum):
    """What a registration did, or would do."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class Registered:
    """The deployment as it is now (or would be), and the promises that were broken on request."""

    deployment: Deployment
    outcome: Outcome
    broken: tuple[str, ...] = ()


class Registry:
    """Registers and removes deployments. Belongs to one event loop."""

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
        """`randomness(n)` gives n random bytes; `defaults` must be those the catalog has."""
        self._catalog = catalog
        self._writer = writer
        self._adapters = adapters
        self._discover = discover
        self._clock = clock
        self._randomness = randomness
        self._defaults = defaults
        self._compatibility: Compatibility = compatibility
        self._routing_headers = routing_headers
        self._allow_mutable = allow_mutable
        self._endpoints: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        # Revision numbers and compatibility are judged and stored as one step.
        self._commit = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def register(self, request: Registration) -> Registered:
        """Register an endpoint, or find that it is registered.

        Raises BadRequest for a target that is none, DiscoveryError for an endpoint that cannot be
        used or breaks promises of active revisions, StoreError if nothing could be stored.
        """
        reference = self._resolve(request)
        identity = self._identity(reference, request.headers)
        # The table holds a lock only as long as somebody here does.
        lock = self._endpoints.setdefault(identity, asyncio.Lock())
        async with lock:
            known = self._find(identity)
            if known is not None and not request.force:
                return Registered(known, Outcome.UNCHANGED)
            discovered = await self._discover(reference, request.headers)
            if request.dry_run:
                return self._plan(request, reference, discovered)
            return await self._unbroken(self._store(request, reference, discovered))

    async def remove(self, deployment_id: str, *, force: bool = False) -> None:
        """Remove a deployment; the next-newest revision of its services becomes active again.

        Without `force` only a drained one. Raises NotFound; Conflict, saying what still needs it;
        StoreError.
        """
        await self._unbroken(self._remove(deployment_id, force=force))

    # --- steps ---------------------------------------------------------------------------------

    def _resolve(self, request: Registration) -> EndpointReference:
        adapter = self._adapters.get(request.adapter)
        try:
            reference = adapter.parse(request.target)
        except BadRequest as error:
            raise BadRequest(
                f"The request field 'uri' is invalid. Reason: {error.message}"
            ) from error
        if reference.evidence is Evidence.MUTABLE and not self._allow_mutable:
            raise BadRequest(
                f"The request field 'uri' is invalid. Reason: {request.target} may lead to another"
                " version later; use an address that always leads to the same one."
            )
        return reference

    async def _store(
        self, request: Registration, reference: EndpointReference, discovered: Discovered
    ) -> Registered:
        async with self._commit:
            planned = self._plan(request, reference, discovered)
            deployment, revisions = to_rows(planned.deployment)
            write = table.insert if planned.outcome is Outcome.CREATED else table.replace
            await self._writer.write(lambda tx: write(tx, deployment, revisions))
            self._catalog.put(planned.deployment)
            return planned

    async def _remove(self, deployment_id: str, *, force: bool) -> None:
        def unit(tx: Tx) -> None:
            needs = usage(tx, self._catalog, deployment_id)
            if not force and not needs.drained:
                raise Conflict(needs.explain())
            table.delete(tx, deployment_id)

        async with self._commit:
            if self._catalog.deployment(deployment_id) is None:
                raise NotFound(
                    f"not found in the schema registry: deployment with id '{deployment_id}'"
                )
            await self._writer.write(unit)
            self._catalog.remove(deployment_id)

    async def _unbroken(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Let a step finish even if its caller goes away: what is stored must also be shown."""
        task = asyncio.ensure_future(step)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    # --- planning: no effects ------------------------------------------------------------------

    def _plan(
        self, request: Registration, reference: EndpointReference, discovered: Discovered
    ) -> Registered:
        broken = findings(self._catalog, discovered.manifest.services, self._compatibility)
        if broken and not (request.breaking or request.force):
            raise refusal(broken)
        known = self._find(self._identity(reference, request.headers))
        now = self._clock.now()
        id = known.id if known else self._mint(now)
        manifest = discovered.manifest
        deployment = Deployment(
            id=id,
            uri=reference.uri,
            headers=request.headers,
            min_version=manifest.min_version,
            max_version=manifest.max_version,
            protocol_mode=manifest.protocol_mode,
            http_version=discovered.http_version,
            sdk_version=discovered.sdk_version,
            created_at=now,
            metadata=request.metadata,
            adapter=reference.adapter,
            services=self._revisions(id, discovered),
            evidence=reference.evidence,
        )
        outcome = Outcome.OVERWRITTEN if known else Outcome.CREATED
        return Registered(deployment, outcome, tuple(broken))

    def _revisions(self, deployment_id: str, discovered: Discovered) -> dict[str, ServiceRevision]:
        revisions = {}
        for service in discovered.manifest.services:
            active = self._catalog.latest(service.name)
            revisions[service.name] = build_revision(
                service,
                revision=active.revision + 1 if active else 1,
                deployment_id=deployment_id,
                defaults=self._defaults,
            )
        return revisions

    def _mint(self, now: int) -> str:
        return ids.format_deployment(ids.mint_ulid(now, self._randomness(10)))

    def _identity(self, reference: EndpointReference, headers: Headers) -> object:
        routing = frozenset(pair for pair in headers if pair[0] in self._routing_headers)
        return reference.adapter, reference.uri, routing

    def _find(self, identity: object) -> Deployment | None:
        """The newest deployment of this endpoint."""
        for known in reversed(self._catalog.deployments()):
            reference = EndpointReference(known.adapter, known.uri, known.evidence)
            if self._identity(reference, known.headers) == identity:
                return known
        return None
