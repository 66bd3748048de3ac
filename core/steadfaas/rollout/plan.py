"""A plan: what is to be done, step by step, and why. It can be written down and read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from steadfaas.rollout.interface import ServiceDifference
from steadfaas.rollout.judged import Trouble
from steadfaas.rollout.world import Json


class Action(Enum):
    """What becomes of an entry."""

    REGISTER = "register"  # a version that the server does not know
    PROMOTE = "promote"  # one that it knows takes the new requests again
    UPDATE = "update"  # notes, headers or settings are others
    UNCHANGED = "unchanged"
    RETIRE = "retire"  # an old version that the policy lets go
    REFUSED = "refused"  # for good: somebody must change something
    LATER = "later"  # not now: the same plan may work in a while


@dataclass(frozen=True, slots=True)
class Callers:
    """Unfinished work that still calls a handler which goes: how many invocations, and on which
    deployment (None: they have not begun)."""

    service: str
    handler: str
    deployment_id: str | None
    invocations: int


@dataclass(frozen=True, slots=True)
class DeploymentStep:
    """What becomes of one entry of the file.

    `differences` are those of the services whose new requests it takes over, `changes` what of its
    record is another (the body of a PATCH), `calls_off`: its retirement has begun and must end.
    """

    name: str
    target: str
    action: Action
    uri: str = ""
    deployment_id: str | None = None
    services: tuple[str, ...] = ()
    differences: tuple[ServiceDifference, ...] = ()
    callers: tuple[Callers, ...] = ()
    changes: Json = field(default_factory=dict)
    calls_off: bool = False
    notes: tuple[str, ...] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class ServiceStep:
    """What becomes of the settings of one service; `changes` is the body of a PATCH."""

    service: str
    action: Action
    changes: Json = field(default_factory=dict)
    before: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class RetireStep:
    """An old version that goes, and the evidence that it may."""

    name: str
    deployment_id: str
    uri: str
    evidence: Json


@dataclass(frozen=True, slots=True)
class Stays:
    """An old version that stays, and why."""

    name: str
    deployment_id: str
    uri: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be done. `basis` is what of the server it was decided upon."""

    deployments: tuple[DeploymentStep, ...] = ()
    services: tuple[ServiceStep, ...] = ()
    retire: tuple[RetireStep, ...] = ()
    stays: tuple[Stays, ...] = ()
    basis: Json = field(default_factory=dict)

    def actions(self) -> Iterator[Action]:
        """The action of every step."""
        yield from (step.action for step in self.deployments)
        yield from (step.action for step in self.services)
        yield from (Action.RETIRE for _ in self.retire)

    def counts(self) -> dict[str, int]:
        """How many steps there are of each action, in the order of `Action`."""
        found = Counter(self.actions())
        return {action.value: found[action] for action in Action if found[action]}

    @property
    def refused(self) -> bool:
        """Whether something cannot be done for good."""
        return Action.REFUSED in set(self.actions())

    @property
    def late(self) -> bool:
        """Whether something cannot be done yet."""
        return Action.LATER in set(self.actions())

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return set(self.actions()) <= {Action.UNCHANGED, Action.REFUSED, Action.LATER}
