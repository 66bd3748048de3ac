"""What becomes of the settings of a service that a file declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from steadfaas.rollout import settings
from steadfaas.rollout.judged import Judged, Trouble
from steadfaas.rollout.plan import Action, DeploymentStep, ServiceStep
from steadfaas.rollout.world import World

if TYPE_CHECKING:
    from steadfaas.config import DeclaredService


def as_stored(judged: Judged, step: DeploymentStep, world: World) -> Judged:
    """What is judged, with the settings that hold. Code that may change is asked anew each time,
    and tells its own, but only a registration brings those; of what is late, none count yet."""
    stays = step.action in (Action.UNCHANGED, Action.UPDATE)
    if step.action is not Action.LATER and not (judged.mutable and stays):
        return judged
    views = (world.services.get(name, view) for name, view in judged.served.items())
    return replace(judged, services=tuple(views))


def service_step(
    name: str, declared: DeclaredService, world: World, judged: Sequence[Judged]
) -> ServiceStep:
    """The step for one service; `judged` are all entries, with the settings that hold."""
    view = next((each.served[name] for each in judged if name in each.served), None)
    view = view or world.services.get(name)
    if view is None:
        return _unserved(name, judged)
    if declared.workflow_completion_retention is not None and view.get("ty") != "Workflow":
        return ServiceStep(
            name,
            Action.REFUSED,
            trouble=Trouble(f"'{name}' is no workflow, and has no workflow_completion_retention"),
        )
    changes, before = settings.changes(declared, view)
    notes = []
    if changes.get("inactivity_timeout") and view.get("inactivity_timeout") == "0s":
        del changes["inactivity_timeout"], before["inactivity_timeout"]
        notes.append("inactivity_timeout has no effect on request/response deployments")
    if "retry_policy" in changes and not world.server.ours:
        del changes["retry_policy"], before["retry_policy"]
        notes.append("this server takes retry policies from the code only: retry is not applied")
    action = Action.UPDATE if changes else Action.UNCHANGED
    return ServiceStep(name, action, changes, before, tuple(notes))


def _unserved(name: str, judged: Sequence[Judged]) -> ServiceStep:
    if any(each.trouble is not None for each in judged):
        trouble = Trouble(f"nobody serves '{name}' yet", later=True)
        return ServiceStep(name, Action.LATER, trouble=trouble)
    trouble = Trouble(f"nobody serves '{name}': correct the name, or deploy what does")
    return ServiceStep(name, Action.REFUSED, trouble=trouble)
