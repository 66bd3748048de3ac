"""What was done to deployments, as it is kept when they are gone: with what it was based on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from steadfaas.deployments import history
from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.drain import Drain
from steadfaas.store import audit as table
from steadfaas.store.port import Tx
from steadfaas.wire.jsonshape import encode

REGISTERED: Final = "registered"
REMOVED: Final = "removed"
RETIREMENT_BEGUN: Final = "retirement begun"
REMOVING_ARTIFACT: Final = "removing artifact"
ARTIFACT_REMOVED: Final = "artifact removed"
CALLED_OFF: Final = "retirement called off"

ACTIONS: Final = (
    REGISTERED,
    *history.CHANGES,
    RETIREMENT_BEGUN,
    REMOVING_ARTIFACT,
    ARTIFACT_REMOVED,
    CALLED_OFF,
    REMOVED,
)


@dataclass(frozen=True, slots=True)
class Act:
    """Something done to a deployment; `detail` is a JSON object."""

    action: str
    deployment: str
    detail: Mapping[str, Any]


def write(tx: Tx, at: int, by: str, *acts: Act) -> None:
    """Keep what was done at a time (ms since the epoch), in the transaction that does it."""
    actor = history.actor(by)
    for act in acts:
        table.write(tx, at, actor, act.action, act.deployment, encode(act.detail))


def registered(deployment: Deployment) -> Act:
    """A new deployment."""
    detail = {**_what(deployment), "immutable_by": deployment.evidence.value}
    return Act(REGISTERED, deployment.id, detail)


def changed(deployment: Deployment, count: int) -> list[Act]:
    """The latest changes of a deployment, so many."""
    changes = deployment.changes[len(deployment.changes) - count :]
    return [
        Act(change.what, deployment.id, {"uri": deployment.uri, "change": change.detail})
        for change in changes
    ]


def removed(deployment: Deployment, found: Drain, *, forced: bool) -> Act:
    """A deployment that goes, and what needed it then."""
    detail = {**_what(deployment), "forced": forced, "found": _found(found)}
    return Act(REMOVED, deployment.id, detail)


def begun(deployment: Deployment, found: Drain, evidence: Mapping[str, Any]) -> Act:
    """A retirement that begins: what needed the deployment then, and what whoever asked knows."""
    detail = {**_what(deployment), "found": _found(found), "evidence": evidence}
    return Act(RETIREMENT_BEGUN, deployment.id, detail)


def removing_artifact(deployment: Deployment, evidence: Mapping[str, Any]) -> Act:
    """A retirement whose platform is about to be asked to remove the version."""
    return Act(REMOVING_ARTIFACT, deployment.id, {"uri": deployment.uri, "evidence": evidence})


def artifact_removed(deployment: Deployment, evidence: Mapping[str, Any]) -> Act:
    """A retirement whose platform has the version no more, as whoever removed it says."""
    return Act(ARTIFACT_REMOVED, deployment.id, {"uri": deployment.uri, "evidence": evidence})


def called_off(deployment: Deployment) -> Act:
    """A retirement that is no more."""
    return Act(CALLED_OFF, deployment.id, {"uri": deployment.uri})


def _what(deployment: Deployment) -> dict[str, Any]:
    services: Iterable[tuple[str, int]] = (
        (name, known.revision) for name, known in sorted(deployment.services.items())
    )
    return {"uri": deployment.uri, "adapter": deployment.adapter, "services": dict(services)}


def _found(drain: Drain) -> dict[str, Any]:
    # As the store had it in the transaction of the entry, and so at its time.
    return {
        "state": drain.state.value,
        "active_services": drain.active_services,
        "unfinished": drain.unfinished,
        "counts": dict(drain.counts),
    }
