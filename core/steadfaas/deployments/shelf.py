"""Where deployments are kept: each step is judged and stored as one, and then shown to requests.

Steps take turns, so that what one of them decides still holds when it is stored. What it stores and
the audit of it are one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from steadfaas.clock import Time
from steadfaas.deployments import audit, history
from steadfaas.deployments.audit import Act
from steadfaas.deployments.catalog import Catalog, Deployment, Retirement
from steadfaas.deployments.drain import Drain, drain_of
from steadfaas.deployments.records import to_rows
from steadfaas.deployments.retirement import being_retired
from steadfaas.errors import Conflict, NotFound
from steadfaas.store import deployments as table
from steadfaas.store.port import Tx, Writer

_T = TypeVar("_T")


class Shelf:
    """The catalogue and the store behind it. All that changes either is called within a `turn`."""

    def __init__(self, catalog: Catalog, writer: Writer, clock: Time) -> None:
        self.catalog = catalog
        self.turn = asyncio.Lock()
        self._writer = writer
        self.clock = clock
        self._running: set[asyncio.Task[Any]] = set()

    async def unbroken(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Let a step finish even if its caller goes away: what is stored must also be shown."""
        task = asyncio.ensure_future(step)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    # --- looking -------------------------------------------------------------------------------

    def known(self, deployment_id: str) -> Deployment:
        """The deployment. Raises NotFound."""
        known = self.catalog.deployment(deployment_id)
        if known is None:
            raise NotFound(f"The requested deployment '{deployment_id}' does not exist")
        return known

    def staying(self, deployment_id: str) -> Deployment:
        """The same. Raises Conflict too, if it is being retired."""
        known = self.known(deployment_id)
        if known.retiring is not None:
            raise being_retired(deployment_id)
        return known

    async def look(self, judge: Callable[[Tx], _T]) -> _T:
        """What `judge` says of the store as it is now, or what it raises."""
        return await self._writer.write(judge)

    def drained(self, tx: Tx, deployment_id: str) -> Drain:
        """That nothing needs a deployment, at this moment. Raises Conflict, saying what does."""
        drain = self.drain(tx, deployment_id)
        if drain.active_services or drain.unfinished:
            raise Conflict(drain.explain(deployment_id))
        return drain

    def drain(self, tx: Tx, deployment_id: str) -> Drain:
        """What needs a deployment, at this moment."""
        return drain_of(tx, self.catalog, deployment_id, now=self.clock.now(), blockers=1)

    # --- changing ------------------------------------------------------------------------------

    async def add(self, deployment: Deployment, by: str) -> None:
        """Keep a new deployment."""
        row, revisions = to_rows(deployment)

        def unit(tx: Tx) -> None:
            table.insert(tx, row, revisions)
            audit.write(tx, deployment.created_at, by, audit.registered(deployment))

        await self._writer.write(unit)
        self.catalog.put(deployment)

    async def change(
        self,
        after: Deployment,
        by: str,
        *changes: tuple[str, str],
        at: int | None = None,
        judge: Callable[[Tx], object] = lambda _: None,
    ) -> Deployment:
        """Put a deployment in place of the one with its id; gives it with these changes noted,
        made at a time (now) in ms since the epoch.

        `judge` looks at the store in the same transaction, and raises what stands in the way.
        """
        now = self.clock.now() if at is None else at
        noted = history.noted(after, now, by, *changes)
        row, revisions = to_rows(noted)

        def unit(tx: Tx) -> None:
            judge(tx)
            table.replace(tx, row, revisions)
            audit.write(tx, now, by, *audit.changed(noted, len(changes)))

        await self._writer.write(unit)
        self.catalog.put(noted)
        return noted

    async def mark(
        self,
        known: Deployment,
        retiring: Retirement | None,
        by: str,
        act: Callable[[Tx], Act],
    ) -> Deployment:
        """Say how far a deployment's retirement has come; gives it as it is then.

        `act` looks at the store in the same transaction, and raises what stands in the way.
        """
        after = replace(known, retiring=retiring)
        row, _ = to_rows(after)

        def unit(tx: Tx) -> None:
            done = act(tx)
            table.update(tx, row)
            audit.write(tx, self.clock.now(), by, done)

        await self._writer.write(unit)
        self.catalog.put(after)
        return after

    async def remove(self, known: Deployment, by: str, *, force: bool) -> None:
        """Let go of a deployment; without `force`, only of a drained one."""

        def unit(tx: Tx) -> None:
            look = self.drain if force else self.drained
            act = audit.removed(known, look(tx, known.id), forced=force)
            table.delete(tx, known.id)
            audit.write(tx, self.clock.now(), by, act)

        await self._writer.write(unit)
        self.catalog.remove(known.id)
