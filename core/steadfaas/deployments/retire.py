"""Retiring a deployment in steps, so that whoever does it may be interrupted after each.

It begins when nothing needs the deployment any more, and from then on nothing can come to it. Then
its platform's own version is removed, by whoever has the credentials; at last the record goes, by
an ordinary removal. Each step may be asked for again: what is done already is not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from steadfaas.deployments import audit, history
from steadfaas.deployments.audit import Act
from steadfaas.deployments.catalog import Deployment, Retirement
from steadfaas.deployments.plan import Planner
from steadfaas.deployments.shelf import Shelf
from steadfaas.errors import Conflict, Overloaded
from steadfaas.store.port import Tx

# A request to a platform is over after this time (ms), whatever became of it. Who sends one waits
# for a shorter time.
_REMOVING_MS: Final = 120_000


class Retirements:
    """The steps. Each gives the deployment as it is then (with `dry_run`: as it would be), and
    raises NotFound, Conflict and StoreError."""

    def __init__(self, shelf: Shelf, plans: Planner) -> None:
        self._shelf = shelf
        self._plans = plans

    async def begin(
        self,
        deployment_id: str,
        evidence: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        actor: str = "",
    ) -> Deployment:
        """Let nothing come to a deployment any more. Raises Conflict unless it is drained, saying
        what still needs it, and while another one needs the same version.

        `evidence` is what whoever asks knows; it is kept beside what is found here.
        """
        step = self._begin(deployment_id, evidence or {}, dry_run=dry_run, by=actor)
        return await self._shelf.unbroken(step)

    async def removing(
        self,
        deployment_id: str,
        evidence: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        actor: str = "",
    ) -> Deployment:
        """Remember that the platform is about to be asked to remove the version: for two minutes
        nobody takes the deployment back, which would lose its version then. Raises Conflict if it
        is not being retired."""
        step = self._go_on(
            deployment_id,
            lambda retiring, now: replace(retiring, removing_until=now + _REMOVING_MS),
            lambda known: audit.removing_artifact(known, evidence or {}),
            dry_run=dry_run,
            by=actor,
        )
        return await self._shelf.unbroken(step)

    async def artifact_removed(
        self,
        deployment_id: str,
        evidence: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        actor: str = "",
    ) -> Deployment:
        """Remember that the platform has the version no more. Raises Conflict if the deployment is
        not being retired."""
        step = self._go_on(
            deployment_id,
            lambda retiring, now: replace(retiring, artifact_removed_at=now),
            lambda known: audit.artifact_removed(known, evidence or {}),
            dry_run=dry_run,
            by=actor,
        )
        return await self._shelf.unbroken(step)

    async def call_off(
        self, deployment_id: str, *, kept: bool = False, actor: str = ""
    ) -> Deployment:
        """Keep the deployment after all; what it serves counts again. Raises Conflict if its
        platform has the version no more, and Overloaded while it may be about to lose it; `kept`:
        the platform has refused to remove it."""
        return await self._shelf.unbroken(self._call_off(deployment_id, kept, actor))

    async def _begin(
        self, id: str, evidence: Mapping[str, Any], *, dry_run: bool, by: str
    ) -> Deployment:
        async with self._shelf.turn:
            known = self._shelf.known(id)
            if known.retiring is not None:
                return known
            self._check_alone(known)
            retiring = Retirement(self._shelf.clock.now(), history.actor(by))

            def judged(tx: Tx) -> Act:
                return audit.begun(known, self._shelf.drained(tx, id), evidence)

            if dry_run:
                await self._shelf.look(judged)
                return replace(known, retiring=retiring)
            return await self._shelf.mark(known, retiring, by, judged)

    def _check_alone(self, known: Deployment) -> None:
        """Raise Conflict if another deployment leads to the same version, and stays."""
        for other in self._plans.twins(known):
            if other.retiring is None:
                raise Conflict(
                    f"the deployment '{other.id}' leads to the same version at '{other.uri}', and"
                    " would lose it too. Remove the record of one of them alone, with"
                    f" DELETE /deployments/{known.id} for instance."
                )

    async def _go_on(
        self,
        id: str,
        then: Callable[[Retirement, int], Retirement],
        act: Callable[[Deployment], Act],
        *,
        dry_run: bool,
        by: str,
    ) -> Deployment:
        """Take a retirement that has begun one step further, unless its artifact is gone."""
        async with self._shelf.turn:
            known, retiring = self._retired(id)
            if retiring.artifact_removed_at is not None:
                return known
            after = then(retiring, self._shelf.clock.now())
            if dry_run:
                return replace(known, retiring=after)
            done = act(known)
            return await self._shelf.mark(known, after, by, lambda _: done)

    def _retired(self, id: str) -> tuple[Deployment, Retirement]:
        known = self._shelf.known(id)
        if known.retiring is None:
            raise Conflict(
                f"the deployment '{id}' is not being retired: begin with that, so that nothing"
                " can come to it any more, and remove its version from the platform then."
            )
        return known, known.retiring

    async def _call_off(self, id: str, kept: bool, by: str) -> Deployment:
        async with self._shelf.turn:
            known = self._shelf.known(id)
            if known.retiring is None:
                return known
            if known.retiring.artifact_removed_at is not None:
                raise Conflict(
                    f"the platform of the deployment '{id}' has its version no more: nothing could"
                    f" run there. Remove the record too (DELETE /deployments/{id})."
                )
            left = (known.retiring.removing_until or 0) - self._shelf.clock.now()
            if left > 0 and not kept:
                raise Overloaded(
                    f"the platform of the deployment '{id}' may be about to remove its version:"
                    " somebody has asked it to. Look again in a while.",
                    retry_after=-(-left // 1000),
                    status=503,
                )
            act = audit.called_off(known)
            return await self._shelf.mark(known, None, by, lambda _: act)
