"""Whether new revisions keep the promises of those that they replace.

`strict` (the default) follows the published versioning guide: callers of a service keep working, so
its type may not change and none of its handlers may go. `restate-1.7` does as that server does,
which refuses a changed type only. Adding handlers, adding services, and leaving whole services out
is always fine: a service that is left out stays active where it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from steadfaas.deployments.catalog import Catalog, ServiceRevision
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
    kept = {handler.name for handler in service.handlers}
    lost = sorted(active.handlers.keys() - kept)
    if not lost:
        return []
    names = ", ".join(f"'{name}'" for name in lost)
    return [
        f"detected a new service revision for '{service.name}' without the"
        f" {'handler' if len(lost) == 1 else 'handlers'} {names} of revision {active.revision}."
        " Handlers cannot be removed or renamed across revisions."
    ]
