"""Giving the new requests back to a deployment that had them before: its services become newest.

Nothing is discovered and no interface is checked, for this is how to get away from a bad version.
What callers of the present revisions lose by it is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from steadfaas.deployments.catalog import Catalog, Deployment, ServiceRevision
from steadfaas.deployments.compat import lost_handlers


@dataclass(frozen=True, slots=True)
class Promoted:
    """The deployment as it is now (or would be), which of its services were not newest before, and
    a sentence for each thing that callers of the revisions before cannot do any more."""

    deployment: Deployment
    services: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def promotion(catalog: Catalog, deployment: Deployment) -> Promoted:
    """What a promotion would make of this deployment, which is not being retired. No effects."""
    services = {**deployment.services}
    lost: list[str] = []
    for name in sorted(services):
        active = catalog.latest(name)
        assert active is not None, "what such a deployment serves has an active revision"
        if active.deployment_id != deployment.id:
            lost += _lost(active, services[name])
            services[name] = replace(services[name], revision=catalog.next_number(name))
    promoted = tuple(name for name in services if services[name] is not deployment.services[name])
    return Promoted(replace(deployment, services=services), tuple(sorted(promoted)), tuple(lost))


def _lost(active: ServiceRevision, instead: ServiceRevision) -> Iterable[str]:
    if active.type is not instead.type:
        yield (
            f"'{active.name}' becomes a {instead.type.name} again, it was a {active.type.name} in"
            f" revision {active.revision}: requests must be sent as the older version expects them."
        )
    gone = lost_handlers(active, instead.handlers)
    if gone:
        yield (
            f"'{active.name}' loses the {gone} of revision {active.revision}: requests for them are"
            " refused, and those that wait for their start fail until somebody serves them again."
        )
    hidden = sorted(
        name
        for name, handler in active.handlers.items()
        if handler.public and name in instead.handlers and not instead.handlers[name].public
    )
    if hidden:
        yield (
            f"'{active.name}' hides {', '.join(map(repr, hidden))} from the ingress: private in the"
            " promoted version."
        )
