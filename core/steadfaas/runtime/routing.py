"""Which deployment an attempt goes to, or may be sent to, and why not to another."""

from __future__ import annotations

from typing import Final

from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.deployments.retirement import being_retired
from steadfaas.errors import AttemptFailure, BadRequest
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import kind_of
from steadfaas.wire.version import negotiate

# Where operators may send an invocation, beside a deployment's id: where it is, or to the newest.
KEEP: Final = "keep"
LATEST: Final = "latest"


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
    version = version_for(inv, deployment)
    return None if version is None else (deployment, version)


def version_for(inv: Invocation, deployment: Deployment) -> int | None:
    """The protocol version to speak: the journal's, if there is one. None: it is not spoken."""
    version = inv.version or negotiate(deployment.min_version, deployment.max_version)
    if version is None or not deployment.min_version <= version <= deployment.max_version:
        return None
    return version


def chosen(catalog: Catalog, inv: Invocation, choice: str) -> Deployment:
    """The deployment that an operator names: `keep`, `latest` or an id.

    Raises BadRequest if there is none, Conflict if it is being retired.
    """
    id: str | None = choice
    if choice == KEEP and inv.deployment is not None:
        id = inv.deployment
    elif choice in (KEEP, LATEST):
        newest = catalog.latest(inv.service)
        id = None if newest is None else newest.deployment_id
    if id is None:
        raise BadRequest(f"no deployment serves '{inv.service}'")
    found = catalog.deployment(id)
    if found is None:
        raise gone(id)
    if found.retiring is not None:
        raise being_retired(id)
    return found


def gone(deployment_id: str) -> BadRequest:
    """The refusal of a deployment that is not registered, or not any more."""
    return BadRequest(f"the deployment '{deployment_id}' does not exist")


def misfit(inv: Invocation, deployment: Deployment) -> str | None:
    """Why a deployment cannot go on with an invocation, said of the deployment; None if it can."""
    handler = f"{inv.service}/{inv.handler}"
    revision = deployment.services.get(inv.service)
    found = None if revision is None else revision.handlers.get(inv.handler)
    if revision is None or found is None:
        return f"does not serve '{handler}'"
    if kind_of(revision.type, found.kind) is not inv.kind:
        return f"serves '{handler}' as another kind of handler"
    if version_for(inv, deployment) is None:
        wanted = (
            "one that this engine speaks"
            if inv.version is None
            else f"{inv.version}, in which the journal of the invocation is written"
        )
        return (
            f"speaks the protocol versions {deployment.min_version} to {deployment.max_version},"
            f" and it must be {wanted}"
        )
    return None


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
