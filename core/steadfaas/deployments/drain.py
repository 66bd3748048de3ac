"""What still needs a deployment: nothing unfinished is pinned to a drained one, or can be routed
to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steadfaas.deployments.catalog import Catalog, ServiceRevision
from steadfaas.machine.status import Status
from steadfaas.store import deployments as table
from steadfaas.store.port import Reader


@dataclass(frozen=True, slots=True)
class Usage:
    """What needs a deployment now."""

    deployment_id: str
    active: tuple[ServiceRevision, ...]  # these take new requests
    waiting: int  # unfinished invocations of those services that have no pin yet
    pinned: Mapping[Status, int]

    @property
    def drained(self) -> bool:
        """Nothing needs the deployment any more."""
        return not self.active and not self.pinned

    def explain(self) -> str:
        """Why the deployment is not drained, with counts, and the next step."""
        reasons, steps = [], []
        if self.active:
            reasons.append(f"it takes the new requests of {self._services()}{self._not_started()}")
            steps.append("register a newer deployment of these services")
        if self.pinned:
            total = sum(self.pinned.values())
            subject = "invocation is" if total == 1 else "invocations are"
            reasons.append(f"{total} unfinished {subject} pinned to it ({self._by_status()})")
            steps.append("wait until they have finished, or cancel them")
        return (
            f"the deployment '{self.deployment_id}' is not drained: {'; '.join(reasons)}."
            f" Next, {' and '.join(steps)}, then delete it again; 'force=true' removes it now, and"
            " every attempt of what is pinned to it then fails (RT0011)."
        )

    def _services(self) -> str:
        return ", ".join(f"{known.name} (revision {known.revision})" for known in self.active)

    def _not_started(self) -> str:
        return f", {self.waiting} of them not started yet" if self.waiting else ""

    def _by_status(self) -> str:
        return ", ".join(
            f"{count} {status.name.lower().replace('_', '-')}"
            for status, count in sorted(self.pinned.items())
        )


def usage(reader: Reader, catalog: Catalog, deployment_id: str) -> Usage:
    """What needs this deployment. In a transaction, the answer holds until its end."""
    active = tuple(catalog.active_services(deployment_id))
    unpinned = table.unpinned_unfinished(reader) if active else {}
    pinned = table.pinned_unfinished(reader, deployment_id)
    return Usage(
        deployment_id=deployment_id,
        active=active,
        waiting=sum(unpinned.get(known.name, 0) for known in active),
        pinned={Status(status): count for status, count in pinned.items()},
    )
