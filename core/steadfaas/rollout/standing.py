"""How things stand on a server: what is current, what is on its way out, and what holds it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from steadfaas.rollout.policy import PLATFORM_KEEPS, PlatformKeeps
from steadfaas.rollout.world import Json, Known, World

_BLOCKERS: Final = 5


@dataclass(frozen=True, slots=True)
class Current:
    """A service, the deployment that takes its new requests, and the older ones that serve it."""

    service: str
    type: str
    revision: int
    deployment: Known
    older: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Older:
    """A deployment that takes no new requests: what it waits for, by the first of what it does."""

    deployment: Known
    state: str
    blockers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything on one screen. `at_risk` is what a platform may remove while it is needed."""

    services: tuple[Current, ...]
    draining: tuple[Older, ...]
    drained: tuple[Older, ...]
    at_risk: tuple[Known, ...]


def standing(
    world: World, *, blockers: Callable[[Known], Iterable[str]], platform_keeps: PlatformKeeps
) -> Standing:
    """How things stand. `blockers` gives the invocations that a draining deployment waits for."""
    idle = [known for known in world.deployments.values() if not world.active_services(known.id)]
    idle.sort(key=lambda known: (known.created_at, known.id))
    older = [
        Older(
            known,
            _state(known, platform_keeps),
            tuple(list(blockers(known))[:_BLOCKERS]) if known.unfinished else (),
        )
        for known in idle
    ]
    return Standing(
        services=tuple(
            _current(world, view)
            for _, view in sorted(world.services.items())
            if view["deployment_id"] in world.deployments  # it may have come in between
        ),
        draining=tuple(each for each in older if each.deployment.unfinished),
        drained=tuple(each for each in older if not each.deployment.unfinished),
        at_risk=tuple(known for known in world.deployments.values() if risk(known)),
    )


def risk(known: Known) -> Json | None:
    """When and why its platform may remove it too early; None if there is no such risk."""
    expires: Json = known.view.get("expires") or {}
    return expires if expires.get("at_risk") else None


def _current(world: World, view: Json) -> Current:
    name = str(view["name"])
    older = [
        known
        for known in world.deployments.values()
        if name in known.revisions and known.id != view["deployment_id"]
    ]
    older.sort(key=lambda known: known.revisions[name], reverse=True)
    deployment = world.deployments[view["deployment_id"]]
    return Current(name, str(view["ty"]), int(view["revision"]), deployment, tuple(older))


def _state(known: Known, platform_keeps: PlatformKeeps) -> str:
    if known.unfinished:
        return "draining"
    if known.retiring is not None:
        return "retiring"
    return PLATFORM_KEEPS if platform_keeps(known.view) else "drained"
