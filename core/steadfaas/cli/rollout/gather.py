"""Asking all that a plan is decided upon: the server, and for each entry what it would become."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from steadfaas.cli import admin, platforms
from steadfaas.cli.exits import CommandError
from steadfaas.cli.progress import Progress
from steadfaas.cli.rollout.server import Managed
from steadfaas.rollout.decide import decide
from steadfaas.rollout.entry_steps import notes_of
from steadfaas.rollout.plan import Callers, DeploymentStep, Plan, RetireStep, Stays
from steadfaas.rollout.policy import Platforms
from steadfaas.rollout.world import World

if TYPE_CHECKING:
    from steadfaas.config import Declared

# Platforms limit how much they are asked, and each question waits for them.
AT_ONCE: Final = 24

_A = TypeVar("_A")
_B = TypeVar("_B")


def make_plan(declared: Declared, server: Managed, *, retiring: bool = True) -> Plan:
    """The plan for a file, as things are now. Raises CommandError if the server cannot be asked.

    Without `retiring` no platform is asked whether it would let old versions go.
    """
    entries = declared.deployments
    with Progress() as progress:
        judged = each_at_once(
            lambda entry: server.judge(entry, notes_of(entry)),
            entries,
            lambda done: progress.show(f"asked about {done} of {len(entries)}"),
        )
        # Read last: what was registered while platforms were asked is in it.
        world = server.world()
    plan = decide(
        declared,
        world,
        judged,
        now=time.time_ns() // 1_000_000 - server.server.ahead,
        platforms=Platforms(platforms.keeps, platforms.goes_with),
    )
    if retiring:
        plan = _without_needed(plan, world)
    return replace(
        plan, deployments=tuple(_with_callers(step, server) for step in plan.deployments)
    )


def _with_callers(step: DeploymentStep, server: Managed) -> DeploymentStep:
    """The step, with who still calls the handlers that go."""
    found: list[Callers] = []
    try:
        for each in step.differences:
            if each.removed:
                found += server.callers(each.service, each.removed)
    except admin.Unreachable:
        raise
    except CommandError as error:
        note = f"who still calls what goes cannot be told: {error.message}"
        return replace(step, notes=(*step.notes, note))
    return replace(step, callers=tuple(found)) if found else step


def _without_needed(plan: Plan, world: World) -> Plan:
    """The plan, in which those old versions stay that their platform would refuse to remove."""
    # What has begun goes on, and ends with the platform's answer.
    new = [step for step in plan.retire if world.deployments[step.deployment_id].retiring is None]
    if not new:
        return plan
    with Progress() as progress:
        answers = each_at_once(
            _needed_by,
            new,
            lambda done: progress.show(f"asked about {done} of {len(new)} old versions"),
        )
    needed = {step.deployment_id: why for step, why in zip(new, answers, strict=True) if why}
    stays = [
        Stays(step.name, step.deployment_id, step.uri, f"drained, but {needed[step.deployment_id]}")
        for step in plan.retire
        if step.deployment_id in needed
    ]
    return replace(
        plan,
        retire=tuple(step for step in plan.retire if step.deployment_id not in needed),
        stays=(*plan.stays, *stays),
    )


def _needed_by(step: RetireStep) -> str | None:
    """Why the platform of an old version would keep it; None also where that cannot be told."""
    from steadfaas.spi import Foresees

    try:
        # The list does not tell what the platform said of a version.
        view = admin.call("GET", admin.path("deployments", step.deployment_id))
        adapter, reference, access = platforms.recorded(view)
        if not isinstance(adapter, Foresees):
            return None
        return platforms.run(adapter.needed_by(reference, access))
    except admin.Unreachable:
        raise
    except CommandError:
        return None  # retiring it will tell


def each_at_once(
    ask: Callable[[_A], _B], things: Sequence[_A], tell: Callable[[int], None]
) -> list[_B]:
    """What asking about each gave, in their order; some are asked at the same time."""
    with ThreadPoolExecutor(min(AT_ONCE, max(len(things), 1))) as pool:
        asked = [pool.submit(ask, thing) for thing in things]
        if things:
            tell(0)  # the first may take as long as all
        try:
            for done, _ in enumerate(as_completed(asked), 1):
                tell(done)
            return [one.result() for one in asked]
        finally:
            _cancel(asked)


def _cancel(asked: Iterable[Future[_B]]) -> None:
    for one in asked:
        one.cancel()
