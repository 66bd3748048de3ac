"""Whether new revisions keep the promises of those that they replace.

`strict` (the default) follows the published versioning guide: callers of a service keep working, so
its type may not change and none of its handlers may go. `restate-1.7` does as that server does,
which refuses a changed type only. Adding handlers, adding services, and leaving whole services out
is always fine: a service that is left out stays active where it is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Literal

from steadfaas.deployments.catalog import Catalog, Deployment, ServiceRevision
from steadfaas.errors import DiscoveryError
from steadfaas.wire.manifest import ServiceManifest

Compatibility = Literal["strict", "restate-1.7"]
CODE = "META0006"


def findings(
    catalog: Catalog, services: Iterable[ServiceManifest], mode: Compatibility
) -> list[str]:
    """One sentence for each promise of an active revision that these services break."""
    broken: list[str] = []
    for service in services:
        active = catalog.latest(service.name)
        if active is not None:
            broken += _type_change(active, service)
            if mode == "strict":
                broken += _lost_handlers(active, service)
    return broken


def dropped(catalog: Catalog, known: Deployment, services: Iterable[ServiceManifest]) -> list[str]:
    """One sentence for each service that takes requests here and is not among these any more: a
    deployment that is overwritten gives it up."""
    kept = {service.name for service in services}
    return [
        f"'{active.name}' is not served here any more: {_heir(catalog, active)}."
        for active in catalog.active_services(known.id)
        if active.name not in kept
    ]


def lost_handlers(active: ServiceRevision, kept: Container[str]) -> str:
    """The handlers of a revision that are not kept, as words: `handlers 'buy', 'sell'`."""
    lost = sorted(name for name in active.handlers if name not in kept)
    names = ", ".join(f"'{name}'" for name in lost)
    return f"{'handler' if len(lost) == 1 else 'handlers'} {names}" if lost else ""


def refusal(broken: list[str]) -> DiscoveryError:
    """The error that lists every finding and says how to go on."""
    return DiscoveryError(
        " ".join(broken)
        + " Keep the interface, or give the changed service another name; to register it all the"
        " same, set 'breaking' (--breaking).",
        code=CODE,
        status=409,
    )


def _type_change(active: ServiceRevision, service: ServiceManifest) -> list[str]:
    if active.type is service.type:
        return []
    return [
        f"detected a new service revision for '{service.name}' changing the service type from"
        f" {active.type.name} (revision {active.revision}) to {service.type.name}. Service type"
        " cannot be changed across revisions."
    ]


def _lost_handlers(active: ServiceRevision, service: ServiceManifest) -> list[str]:
    lost = lost_handlers(active, {handler.name for handler in service.handlers})
    if not lost:
        return []
    return [
        f"detected a new service revision for '{service.name}' without the {lost} of revision"
        f" {active.revision}. Handlers cannot be removed or renamed across revisions."
    ]


def _heir(catalog: Catalog, active: ServiceRevision) -> str:
    others = [
        known
        for known in catalog.revisions(active.name)
        if known.deployment_id != active.deployment_id
        and (owner := catalog.deployment(known.deployment_id)) is not None
        and owner.retiring is None
    ]
    if not others:
        return "nobody serves it"
    return f"revision {others[0].revision} of {others[0].deployment_id} takes its new requests"
