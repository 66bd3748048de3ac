"""What is registered, in memory: the view that every request looks at.

All values are immutable and complete: settings are resolved and checks prepared when a revision is
built, so that a request costs two dictionary look-ups. A registration or removal builds new tables
beside the old ones and swaps them in one assignment; whoever holds a revision keeps a valid one.
Then those who watch are told.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from steadfaas.deployments.input_check import InputCheck
from steadfaas.deployments.options import HandlerOptions, handler_options, service_options
from steadfaas.deployments.retirement import Retirement
from steadfaas.errors import NotFound
from steadfaas.spi import ANYBODY, Access, Endpoint, Evidence
from steadfaas.wire.manifest import (
    HandlerKind,
    HandlerManifest,
    OutputRule,
    ProtocolMode,
    ServiceManifest,
    ServiceType,
)

__all__ = [
    "Catalog",
    "Change",
    "Deployment",
    "Handler",
    "HandlerOptions",
    "Retirement",
    "ServiceRevision",
    "build_revision",
    "is_http",
    "preferred",
]


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler as one revision serves it. `public` takes the service's word into account."""

    name: str
    kind: HandlerKind
    public: bool
    options: HandlerOptions
    manifest: HandlerManifest
    input: InputCheck
    output_type: str | None  # the content type of a result
    empty_output_type: str | None  # the content type of a result without bytes

    def check_input(self, content_type: str | None, has_body: bool) -> str | None:
        """The sentence for a request that this handler does not take, or None."""
        return self.input.fault(content_type, has_body)


@dataclass(frozen=True, slots=True)
class ServiceRevision:
    """One service as one deployment serves it. `options` hold where a handler sets nothing."""

    name: str
    type: ServiceType
    revision: int
    deployment_id: str
    handlers: dict[str, Handler]
    public: bool
    manifest: ServiceManifest
    options: HandlerOptions = field(default_factory=HandlerOptions)


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did to a deployment. `at` is in ms since the epoch."""

    at: int
    by: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A registered endpoint reference and what it serves. `created_at` is in ms since the epoch."""

    id: str
    uri: str
    headers: tuple[tuple[str, str], ...]  # lower-case names, sent with every exchange
    min_version: int
    max_version: int
    protocol_mode: ProtocolMode
    http_version: str
    sdk_version: str | None
    created_at: int
    metadata: Mapping[str, str]
    adapter: str
    services: dict[str, ServiceRevision] = field(default_factory=dict)
    evidence: Evidence = Evidence.ASSERTED
    facts: Mapping[str, str] = field(default_factory=dict)  # what the platform said of the version
    access: Access = ANYBODY
    secret_headers: tuple[tuple[str, str], ...] = ()  # names, and where each secret stands
    compression: str | None = None  # what its SDK offers for bodies
    changes: tuple[Change, ...] = ()  # the latest ones, oldest first
    retiring: Retirement | None = None

    @property
    def over_http(self) -> bool:
        """Whether HTTP reaches it; otherwise its adapter carries the requests."""
        return is_http(self.uri)

    @property
    def endpoint(self) -> Endpoint:
        """How its adapter calls it."""
        return Endpoint(self.uri, self.access, self.compression, self.facts)

    @property
    def versions(self) -> list[str]:
        """What callers may name it by: `key:value` for each pair of its metadata."""
        return [f"{key}:{value}" for key, value in self.metadata.items()]


def is_http(uri: str) -> bool:
    """Whether an address is one that HTTP reaches."""
    return uri.startswith("http")


def build_revision(
    manifest: ServiceManifest, *, revision: int, deployment_id: str, defaults: HandlerOptions
) -> ServiceRevision:
    """A service with everything resolved that requests will ask for."""
    return ServiceRevision(
        name=manifest.name,
        type=manifest.type,
        revision=revision,
        deployment_id=deployment_id,
        handlers={
            handler.name: _build_handler(handler, manifest, defaults)
            for handler in manifest.handlers
        },
        public=not manifest.options.ingress_private,
        manifest=manifest,
        options=service_options(manifest, defaults),
    )


def _build_handler(
    handler: HandlerManifest, service: ServiceManifest, defaults: HandlerOptions
) -> Handler:
    # An endpoint that says nothing about its output gives JSON, as all SDKs did before they said.
    gives = handler.output or OutputRule(content_type="application/json")
    private = service.options.ingress_private or handler.options.ingress_private
    return Handler(
        name=handler.name,
        kind=handler.kind,
        public=not private,
        options=handler_options(handler, service, defaults),
        manifest=handler,
        input=InputCheck.of(handler.input),
        output_type=gives.content_type,
        empty_output_type=gives.content_type if gives.set_content_type_if_empty else None,
    )


# Told of each deployment that came, changed (as it is now) or went (None).
Watcher = Callable[[Deployment | None], None]
# For a service and a version, as callers name it: the revisions that carry it, newest last.
_Carriers = dict[tuple[str, str], list[ServiceRevision]]


class Catalog:
    """All deployments, and the active revision of each service: its newest one whose deployment is
    not being retired."""

    __slots__ = (
        "__weakref__", "_active", "_active_of", "_carriers", "_deployments", "_ordered",
        "_revisions", "_watchers", "version",
    )  # fmt: skip

    def __init__(self, deployments: Iterable[Deployment] = ()) -> None:
        self.version = 0  # another one after each change
        self._deployments: dict[str, Deployment] = {}
        self._ordered: list[Deployment] = []
        self._revisions: dict[str, list[ServiceRevision]] = {}  # of each service, newest last
        self._active: dict[str, ServiceRevision] = {}
        self._active_of: dict[str, list[ServiceRevision]] = {}  # those of a deployment, by name
        self._carriers: _Carriers = {}
        self._watchers: list[Watcher] = []
        self.replace(deployments)

    # --- looked at by requests -----------------------------------------------------------------

    def latest(self, service: str) -> ServiceRevision | None:
        """The revision that takes new requests, or None if nobody serves this name."""
        return self._active.get(service)

    def handler(self, service: str, handler: str) -> tuple[ServiceRevision, Handler]:
        """The active revision and its handler. Raises NotFound with the sentence for the caller."""
        revision = self._active.get(service)
        if revision is None:
            raise NotFound(
                f"service '{service}' not found, make sure to register the service before calling"
                " it."
            )
        found = revision.handlers.get(handler)
        if found is None:
            raise NotFound(
                f"the service '{service}' exists, but the handler '{handler}' was not found, check"
                " that the handler exists in the latest registered service version."
            )
        return revision, found

    def carriers(self, service: str, version: str) -> Iterator[ServiceRevision]:
        """The revisions of a service whose deployments have this `key:value` in their metadata,
        newest first."""
        return reversed(self._carriers.get((service, version), ()))

    def deployment(self, id: str) -> Deployment | None:
        """The deployment of this id, also when it takes no new requests any more."""
        return self._deployments.get(id)

    # --- looked at by operators ----------------------------------------------------------------

    def deployments(self) -> list[Deployment]:
        """All deployments, oldest first."""
        return list(self._ordered)

    def services(self) -> list[ServiceRevision]:
        """The active revision of every service, by name."""
        return [self._active[name] for name in sorted(self._active)]

    def active_services(self, deployment_id: str) -> list[ServiceRevision]:
        """The revisions of this deployment that take new requests, by name."""
        return list(self._active_of.get(deployment_id, ()))

    def active_names(self) -> dict[str, tuple[str, ...]]:
        """The services that each deployment takes new requests of, where there are any."""
        found = {id: tuple([one.name for one in known]) for id, known in self._active_of.items()}
        return {id: names for id, names in found.items() if names}

    def revisions(self, service: str) -> list[ServiceRevision]:
        """Every revision of a service, newest first, those of retiring deployments too."""
        return self._revisions.get(service, [])[::-1]

    def next_number(self, service: str) -> int:
        """The number of the next revision of a service: higher than that of any there is."""
        known = self._revisions.get(service)
        return known[-1].revision + 1 if known else 1

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after each change from now on."""
        self._watchers.append(watcher)

    # --- changed by registrations and removals, after their commit ------------------------------

    def put(self, deployment: Deployment) -> None:
        """Add a deployment, or take it in place of the one with its id."""
        self._exchange(deployment.id, deployment)

    def remove(self, deployment_id: str) -> None:
        """Forget a deployment. The next-newest revision of its services becomes active again, of
        those whose deployments are not being retired."""
        self._exchange(deployment_id, None)

    def replace(self, deployments: Iterable[Deployment]) -> None:
        """Take these deployments in place of all that are known."""
        table = {deployment.id: deployment for deployment in deployments}
        revisions: dict[str, list[ServiceRevision]] = {}
        for deployment in table.values():
            for name, revision in deployment.services.items():
                revisions.setdefault(name, []).append(revision)
        for known in revisions.values():
            known.sort(key=_revision_number)
        newest = {name: _newest(known, table) for name, known in revisions.items()}
        active = {name: one for name, one in newest.items() if one is not None}
        active_of: dict[str, list[ServiceRevision]] = {}
        for name in sorted(active):
            active_of.setdefault(active[name].deployment_id, []).append(active[name])
        self._deployments, self._ordered = table, sorted(table.values(), key=_age)
        self._revisions, self._active, self._active_of = revisions, active, active_of
        self._carriers = _carriers(table, revisions)
        self.version += 1

    def _exchange(self, id: str, after: Deployment | None) -> None:
        """The same as `replace` with one deployment exchanged; costs little beside thousands."""
        before = self._deployments.get(id)
        table = {**self._deployments}
        ordered = [known for known in self._ordered if known is not before]
        if after is None:
            table.pop(id, None)
        else:
            table[id] = after
            insort(ordered, after, key=_age)
        revisions, active = {**self._revisions}, {**self._active}
        owners = {id}  # whose active services may change
        for name in _served(before) | _served(after):
            rival = active.pop(name, None)
            known = [one for one in revisions.pop(name, ()) if one.deployment_id != id]
            if after is not None and name in after.services:
                insort(known, after.services[name], key=_revision_number)
            if known:
                revisions[name] = known
            if (newest := _newest(known, table)) is not None:
                active[name] = newest
            owners |= {one.deployment_id for one in (rival, active.get(name)) if one is not None}
        active_of = {**self._active_of}
        for owner in owners:
            active_of[owner] = _active_of(table.get(owner), active)
        self._deployments, self._ordered = table, ordered
        self._revisions, self._active, self._active_of = revisions, active, active_of
        self._carriers = _carriers_with(self._carriers, before, after)
        self.version += 1
        for watcher in self._watchers:
            watcher(after)


def preferred(carriers: Iterable[ServiceRevision], handler: str) -> ServiceRevision | None:
    """The first revision that serves the handler; the first of all if none does."""
    first = None
    for revision in carriers:
        if handler in revision.handlers:
            return revision
        first = first or revision
    return first


def _age(deployment: Deployment) -> tuple[int, str]:
    return deployment.created_at, deployment.id


def _revision_number(revision: ServiceRevision) -> int:
    return revision.revision


def _newest(
    known: list[ServiceRevision], deployments: Mapping[str, Deployment]
) -> ServiceRevision | None:
    """Which of these takes new requests, newest last; None: all are being retired."""
    for revision in reversed(known):
        if deployments[revision.deployment_id].retiring is None:
            return revision
    return None


def _served(deployment: Deployment | None) -> set[str]:
    return set() if deployment is None else set(deployment.services)


def _carriers(
    table: Mapping[str, Deployment], revisions: Mapping[str, list[ServiceRevision]]
) -> _Carriers:
    found: _Carriers = {}
    for name, known in revisions.items():
        for revision in known:
            for version in table[revision.deployment_id].versions:
                found.setdefault((name, version), []).append(revision)
    return found


def _carriers_with(
    carriers: _Carriers, before: Deployment | None, after: Deployment | None
) -> _Carriers:
    """The same with one deployment exchanged."""
    owner = {known.id for known in (before, after) if known is not None}
    gone, came = _carried(before), _carried(after)
    if not gone and not came:
        return carriers
    found = {**carriers}
    for key in gone | came:
        known = [one for one in found.pop(key, ()) if one.deployment_id not in owner]
        if after is not None and key in came:
            insort(known, after.services[key[0]], key=_revision_number)
        if known:
            found[key] = known
    return found


def _carried(deployment: Deployment | None) -> set[tuple[str, str]]:
    # Nothing may come to what is being retired, also if it is asked for by name.
    if deployment is None or deployment.retiring is not None:
        return set()
    return {(name, version) for name in deployment.services for version in deployment.versions}


def _active_of(
    deployment: Deployment | None, active: Mapping[str, ServiceRevision]
) -> list[ServiceRevision]:
    if deployment is None:
        return []
    return [
        active[name] for name in sorted(deployment.services)
        if name in active and active[name].deployment_id == deployment.id
    ]  # fmt: skip
