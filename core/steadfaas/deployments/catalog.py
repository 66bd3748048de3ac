"""What is registered, in memory: the view that every request looks at.

All values are immutable and complete: settings are resolved and checks prepared when a revision is
built, so that a request costs two dictionary look-ups. A registration or removal builds new tables
beside the old ones and swaps them in one assignment; whoever holds a revision keeps a valid one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from steadfaas.deployments.input_check import InputCheck
from steadfaas.deployments.options import HandlerOptions, handler_options, service_options
from steadfaas.errors import NotFound
from steadfaas.spi import Evidence
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
    "Deployment",
    "Handler",
    "HandlerOptions",
    "ServiceRevision",
    "build_revision",
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


class Catalog:
    """All deployments, and the active revision of each service."""

    __slots__ = ("_active", "_deployments")

    def __init__(self, deployments: Iterable[Deployment] = ()) -> None:
        self._deployments: dict[str, Deployment] = {}
        self._active: dict[str, ServiceRevision] = {}
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

    def deployment(self, id: str) -> Deployment | None:
        """The deployment of this id, also when it takes no new requests any more."""
        return self._deployments.get(id)

    # --- looked at by operators ----------------------------------------------------------------

    def deployments(self) -> list[Deployment]:
        """All deployments, oldest first."""
        return sorted(self._deployments.values(), key=lambda known: (known.created_at, known.id))

    def services(self) -> list[ServiceRevision]:
        """The active revision of every service, by name."""
        return [self._active[name] for name in sorted(self._active)]

    def active_services(self, deployment_id: str) -> list[ServiceRevision]:
        """The revisions of this deployment that take new requests, by name."""
        return [known for known in self.services() if known.deployment_id == deployment_id]

    # --- changed by registrations and removals, after their commit ------------------------------

    def put(self, deployment: Deployment) -> None:
        """Add a deployment, or take it in place of the one with its id."""
        self.replace({**self._deployments, deployment.id: deployment}.values())

    def remove(self, deployment_id: str) -> None:
        """Forget a deployment. The next-newest revision of its services becomes active again."""
        self.replace(known for known in self._deployments.values() if known.id != deployment_id)

    def replace(self, deployments: Iterable[Deployment]) -> None:
        """Take these deployments in place of all that are known."""
        table = {deployment.id: deployment for deployment in deployments}
        active: dict[str, ServiceRevision] = {}
        for deployment in table.values():
            for name, revision in deployment.services.items():
                rival = active.get(name)
                if rival is None or rival.revision < revision.revision:
                    active[name] = revision
        self._deployments, self._active = table, active
