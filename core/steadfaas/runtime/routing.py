"""Which deployment an attempt goes to, and the failure where there is none."""

from __future__ import annotations

from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.errors import AttemptFailure
from steadfaas.machine.invocation import Invocation
from steadfaas.wire.version import negotiate


def route(catalog: Catalog, inv: Invocation) -> tuple[Deployment, int] | None:
    """The pinned deployment, whatever its state; without a pin, the newest that serves it."""
    if inv.deployment is not None:
        deployment = catalog.deployment(inv.deployment)
    else:
        revision = catalog.latest(inv.service)
        newest = None if revision is None else revision.deployment_id
        deployment = None if newest is None else catalog.deployment(newest)
    if deployment is None:
        return None
    version = inv.version or negotiate(deployment.min_version, deployment.max_version)
    if version is None or not deployment.min_version <= version <= deployment.max_version:
        return None
    return deployment, version


def unroutable(catalog: Catalog, inv: Invocation) -> AttemptFailure:
    """Why `route` found nothing."""
    if inv.deployment is None:
        return AttemptFailure(
            "RT0011", f"no deployment serves '{inv.service}'; register one that does"
        )
    deployment = catalog.deployment(inv.deployment)
    if deployment is None:
        return AttemptFailure(
            "RT0011",
            f"the pinned deployment {inv.deployment} is not registered any more;"
            " pause it and resume it on another deployment, or kill it",
        )
    return AttemptFailure(
        "RT0013",
        f"deployment {deployment.id} speaks protocol versions {deployment.min_version} to"
        f" {deployment.max_version}, the invocation began with {inv.version}",
    )
