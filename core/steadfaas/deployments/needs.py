"""What needs a deployment, as a value, and how it is added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from steadfaas import ids
from steadfaas.machine.status import Status
from steadfaas.store.deployments import Brief

COUNTS: Final = ("running", "retrying", "suspended", "sleeping", "paused", "queued", "scheduled")


class DrainState(Enum):
    """Where a deployment is on its way out."""

    ACTIVE = "active"  # takes the new requests of some service
    DRAINING = "draining"  # unfinished invocations are pinned to it
    DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class Oldest:
    """The unfinished invocation that was accepted first. `created_at` is in ms since the epoch."""

    id: bytes
    target: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Drain:
    """What needs a deployment. Times are in ms since the epoch.

    `counts` has every name of `COUNTS`. `next_wake_up` is when the first of those that wait for
    their time goes on by itself. Before `earliest_drained_at` a draining deployment is not drained
    unless somebody interferes; None says that nothing is known. `blockers` are the ids of the
    unfinished ones, oldest first, as many as were asked for.
    """

    state: DrainState
    active_services: tuple[str, ...]
    counts: Mapping[str, int]
    unfinished: int
    oldest: Oldest | None
    next_wake_up: int | None
    earliest_drained_at: int | None
    blockers: tuple[bytes, ...]

    def explain(self, deployment_id: str = "") -> str:
        """Why the deployment is not drained, with counts, and what to do next."""
        subject = f"the deployment '{deployment_id}'" if deployment_id else "the deployment"
        if self.state is DrainState.DRAINED:
            return f"{subject} is drained: nothing unfinished needs it."
        reasons, steps = [], []
        if self.active_services:
            reasons.append(f"it takes the new requests of {', '.join(self.active_services)}")
            steps.append(
                "register a newer deployment of these services or promote an older one (to give the"
                " services up, make them private, and see that no other handler calls them)"
            )
        if self.unfinished:
            reasons.append(self._unfinished())
            steps.append(
                f"wait until they have finished{self._not_before()}, cancel them, or pause them and"
                " resume them on another deployment"
            )
        return (
            f"{subject} is not drained: {'; '.join(reasons)}. Next, {'; '.join(steps)}; then delete"
            f" it again. 'force=true' removes it now: {' and '.join(self._losses())}."
        )

    def _losses(self) -> list[str]:
        losses = []
        if self.active_services:
            losses.append("its services go to their next-newest revision, or away with it")
        if self.unfinished:
            losses.append("every attempt of what is pinned to it then fails (RT0011)")
        return losses

    def _unfinished(self) -> str:
        invocations = "invocation needs" if self.unfinished == 1 else "invocations need"
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        text = f"{self.unfinished} unfinished {invocations} it ({counts})"
        if self.oldest is None:
            return text
        return f"{text}, the oldest is {ids.format_invocation(self.oldest.id)} of {self._target()}"

    def _target(self) -> str:
        assert self.oldest is not None
        return f"{self.oldest.target}, accepted {_date(self.oldest.created_at)}"

    def _not_before(self) -> str:
        if self.earliest_drained_at is None:
            return ""
        return f" (not before {_date(self.earliest_drained_at)})"


# --- adding up ---------------------------------------------------------------------------------

_NAMES: Final = {
    Status.SCHEDULED: "scheduled",
    Status.PENDING: "queued",
    Status.READY: "running",
    Status.RUNNING: "running",
    Status.BACKING_OFF: "retrying",
    Status.SUSPENDED: "suspended",
    Status.PAUSED: "paused",
}


def _name(status: Status, pinned: bool, due: bool) -> str:
    if status is Status.SUSPENDED and due:
        return "sleeping"
    if status is Status.READY and not pinned:
        return "queued"  # nothing has begun: it still waits for its turn
    return _NAMES[status]


# By status, whether there is a pin, and whether there is a time at which it is due.
_COUNTED_AS: Final = {
    (int(status), pinned, due): _name(status, pinned, due)
    for status in _NAMES
    for pinned in (False, True)
    for due in (False, True)
}
# These wait for their time to come, among other things maybe.
_TIMED: Final = frozenset({"retrying", "sleeping", "scheduled"})
_WAKES_WHEN_DUE: Final = frozenset({int(Status.BACKING_OFF), int(Status.SCHEDULED)})


class Tally:
    """Adds up what is unfinished for one deployment."""

    __slots__ = ("counts", "next_wake_up", "not_before")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self.next_wake_up: int | None = None
        self.not_before: int | None = None  # no sooner can everything pinned have ended

    def add(
        self,
        status: int,
        pinned: bool,
        asleep: int,
        first_due: int | None,
        last_due: int | None,
        size: int = 1,
    ) -> None:
        """Count some that are alike, due between these times."""
        name = _COUNTED_AS[status, pinned, first_due is not None]
        self.counts[name] += size
        if first_due is None or last_due is None or name not in _TIMED:
            return
        if self.next_wake_up is None or first_due < self.next_wake_up:
            self.next_wake_up = first_due
        # One that merely sleeps among other things may be woken by those, at any time.
        sure = status in _WAKES_WHEN_DUE or asleep
        if pinned and sure and (self.not_before is None or last_due > self.not_before):
            self.not_before = last_due

    def drain(self, active: Iterable[str], named: list[Brief], *, now: int, blockers: int) -> Drain:
        """The result. `named` are the oldest, one at least if there is one."""
        services, unfinished = tuple(sorted(active)), sum(self.counts.values())
        state = _state(services, unfinished)
        bound = self.not_before if state is DrainState.DRAINING else None
        return Drain(
            state=state,
            active_services=services,
            counts=self.counts,
            unfinished=unfinished,
            oldest=Oldest(named[0].id, named[0].target, named[0].created_at) if named else None,
            next_wake_up=self.next_wake_up,
            earliest_drained_at=bound if bound is not None and bound > now else None,
            blockers=tuple([brief.id for brief in named[:blockers]]),
        )


def idle(active: Iterable[str] = ()) -> Drain:
    """What is said of a deployment for which nothing is unfinished."""
    return Tally().drain(active, [], now=0, blockers=0)


def _state(active: tuple[str, ...], unfinished: int) -> DrainState:
    if active:
        return DrainState.ACTIVE
    return DrainState.DRAINING if unfinished else DrainState.DRAINED


def _date(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "the year 10000"  # what no calendar holds
