"""Looks for invocations that wait for a version, whenever a deployment comes or changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from steadfaas.clock import Clock
from steadfaas.deployments.catalog import Deployment
from steadfaas.runtime import versions
from steadfaas.runtime.ledger import Ledger
from steadfaas.runtime.work import Work

# So many share a unit of work; a thousand that start at once are no reason to stall requests.
_AT_ONCE: Final = 200
# After a failed transaction (a full disk, say) they are looked for again after this time (ms).
_LOOK_AGAIN_MS: Final = 1000


class Submit(Protocol):
    """Queues a unit of work; `failed` is told if it could not be stored."""

    def __call__(
        self, change: Callable[[Work], object], failed: Callable[[BaseException], None], /
    ) -> None: ...


class Landing:
    """What a deployment was waited for by, page by page."""

    def __init__(self, ledger: Ledger, clock: Clock, submit: Submit) -> None:
        self._ledger = ledger
        self._clock = clock
        self._submit = submit
        self._stopped = False

    def look(self, deployment: Deployment) -> None:
        """Pin and start what waits for this deployment."""
        if deployment.metadata:
            self._go_on(deployment, 0)

    def stop(self) -> None:
        """Look no more: the next start will."""
        self._stopped = True

    def _go_on(self, deployment: Deployment, after: int) -> None:
        if not self._stopped:
            self._submit(
                partial(self._page, deployment, after), partial(self._failed, deployment, after)
            )

    def _page(self, deployment: Deployment, after: int, work: Work) -> None:
        last = versions.land(self._ledger, work, deployment, after, _AT_ONCE)
        if last is not None:
            work.tx.after(self._go_on, deployment, last)

    def _failed(self, deployment: Deployment, after: int, error: BaseException) -> None:
        if not self._stopped:
            again = partial(self._go_on, deployment, after)
            self._clock.call_at(self._clock.now() + _LOOK_AGAIN_MS, again)
