"""What a file makes of a server: the plan. Decided from what was asked before, without an effect.

What is wrong for good (a target that is none, an interface that breaks, two entries that want the
same service) is refused, and a plan with a refusal is not carried out at all. What is only late (a
platform that builds, a limit of calls) holds up nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from steadfaas.rollout.entry_steps import entry_step
from steadfaas.rollout.judged import Judged
from steadfaas.rollout.plan import DeploymentStep, Plan, ServiceStep
from steadfaas.rollout.policy import Platforms, goes_and_stays
from steadfaas.rollout.rivals import without_rivals
from steadfaas.rollout.service_steps import as_stored, service_step
from steadfaas.rollout.world import Json, World

if TYPE_CHECKING:
    from steadfaas.config import Declared


def decide(
    declared: Declared,
    world: World,
    judged: Sequence[Judged],
    *,
    now: int,
    platforms: Platforms,
) -> Plan:
    """The plan for a file. `now` is in ms since the epoch; `judged` has one for each entry."""
    judged = without_rivals(judged)
    deployments = tuple(entry_step(each, world, now) for each in judged)
    known = [as_stored(*each, world) for each in zip(judged, deployments, strict=True)]
    services = tuple(
        service_step(name, wanted, world, known)
        for name, wanted in sorted(declared.services.items())
    )
    retire, stays = goes_and_stays(
        judged,
        world,
        targets=_targets(judged),
        now=now,
        platforms=platforms,
    )
    basis = _basis(world, deployments, services)
    return Plan(deployments, services, tuple(retire), tuple(stays), basis)


def _targets(judged: Iterable[Judged]) -> dict[str, str]:
    """The deployments that the file's targets lead to, and the entry of each."""
    return {
        each.deployment_id: each.entry.name for each in judged if each.deployment_id is not None
    }


def _basis(
    world: World, deployments: Iterable[DeploymentStep], services: Iterable[ServiceStep]
) -> Json:
    """Who takes the new requests of the services that the plan is about."""
    names = {name for step in deployments for name in step.services}
    names |= {step.service for step in services}
    return {name: _owner(world.services.get(name)) for name in sorted(names)}


def _owner(view: Mapping[str, object] | None) -> Json | None:
    if view is None:
        return None
    return {"deployment_id": view["deployment_id"], "revision": view["revision"]}
