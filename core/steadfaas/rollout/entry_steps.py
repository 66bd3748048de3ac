"""What becomes of one entry of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from steadfaas.rollout.interface import difference
from steadfaas.rollout.judged import Judged, Trouble
from steadfaas.rollout.plan import Action, DeploymentStep
from steadfaas.rollout.world import NAME, Json, Known, World, millis

if TYPE_CHECKING:
    from steadfaas.config import DeclaredDeployment

_INSISTING: Final = "breaking = true"


def entry_step(judged: Judged, world: World, now: int) -> DeploymentStep:
    """The step for an entry, as it was judged; `now` is in ms since the epoch."""
    entry = judged.entry
    step = DeploymentStep(
        name=entry.name,
        target=entry.target,
        action=Action.UNCHANGED,
        uri=judged.uri,
        deployment_id=judged.deployment_id,
        services=tuple(sorted(judged.served)),
        notes=judged.notes,
        trouble=judged.trouble,
    )
    if judged.trouble is not None:
        return replace(step, action=Action.LATER if judged.trouble.later else Action.REFUSED)
    step = replace(step, notes=(*step.notes, *_left_behind(judged, world)))
    if judged.deployment_id is None:
        return _registration(step, judged, world)
    known = world.deployments.get(judged.deployment_id)
    trouble = _is_going(known, now)
    if trouble is not None:
        return replace(
            step, action=Action.LATER if trouble.later else Action.REFUSED, trouble=trouble
        )
    assert known is not None
    return _known(step, judged, world, known)


def _left_behind(judged: Judged, world: World) -> list[str]:
    """What says of services that this version does not serve any more where they stay."""
    return [
        f"it does not serve '{name}': its requests still go to {known.id}, which cannot go before"
        " somebody else serves it"
        for known in world.versions_of(judged.entry.name)
        for name in world.active_services(known.id)
        if name not in judged.served and known.id != judged.deployment_id
    ]


def _registration(step: DeploymentStep, judged: Judged, world: World) -> DeploymentStep:
    differences = tuple(
        difference(world.services.get(name), view) for name, view in sorted(judged.served.items())
    )
    broken = judged.broken
    if not world.server.ours:
        # A Restate server does not mind handlers that go; their callers do.
        broken = tuple(_sentence(each.service) for each in differences if each.breaking)
    refused = broken and not judged.entry.breaking
    return replace(
        step,
        action=Action.REFUSED if refused else Action.REGISTER,
        differences=differences,
        notes=(*step.notes, *broken) if broken and not refused else step.notes,
        trouble=_breaks(broken) if refused else None,
    )


def _sentence(service: str) -> str:
    return f"callers of '{service}' lose handlers, or its type changes."


def _breaks(broken: Iterable[str]) -> Trouble:
    return Trouble(
        f"{' '.join(broken)} Keep the interface, or give the changed service another name; to"
        f" deploy it all the same, write '{_INSISTING}'.",
        code="META0006",
    )


def _is_going(known: Known | None, now: int) -> Trouble | None:
    """Why nothing can be done with a version that the server knew when it was asked."""
    if known is None:
        return Trouble("it was removed while this was asked", later=True)
    if known.retiring is None:
        return None
    said = f"its version is being retired ({known.id}), and its platform"
    if known.retiring.get("artifact_removed_at"):
        return Trouble(f"{said} has removed it")
    until = known.retiring.get("removing_until")
    if until is not None and now < millis(str(until)):
        return Trouble(f"{said} may be deleting it at this moment", later=True)
    return None


def _known(step: DeploymentStep, judged: Judged, world: World, known: Known) -> DeploymentStep:
    changes, notes = _record_changes(judged, known, world)
    elsewhere = set(known.revisions) - set(world.active_services(known.id))
    action = Action.PROMOTE if elsewhere or known.retiring else Action.UNCHANGED
    if action is Action.UNCHANGED and changes:
        action = Action.UPDATE
    differences = [
        difference(world.services.get(name), view) for name, view in sorted(judged.served.items())
    ]
    if judged.mutable and not all(each.is_empty for each in differences):
        action = Action.REGISTER  # other code is there by now
    return replace(
        step,
        action=action,
        differences=tuple(
            each for each in differences if not each.is_empty or action is Action.PROMOTE
        ),
        changes=changes,
        calls_off=known.retiring is not None,
        notes=(*step.notes, *notes),
    )


def _record_changes(judged: Judged, known: Known, world: World) -> tuple[Json, list[str]]:
    """The body of the PATCH that makes its record what the file says."""
    view, entry, notes = known.view, judged.entry, []
    changes: Json = {}
    wanted = notes_of(entry)
    if known.name not in (None, entry.name):
        notes.append(f"it was a version of '{known.name}' until now")
    if known.metadata != wanted:
        if world.server.ours:
            changes["metadata"] = wanted
        else:
            notes.append(_notes_stay(known, entry.name))
    if dict(judged.headers) != (view.get("additional_headers") or {}):
        changes["additional_headers"] = dict(judged.headers)
    if dict(judged.secret_headers) != (view.get("secret_headers") or {}):
        changes["secret_headers"] = dict(judged.secret_headers)
    if entry.assume_role_arn not in (None, view.get("assume_role_arn")):
        changes["assume_role_arn"] = entry.assume_role_arn
    elif view.get("assume_role_arn") and not entry.assume_role_arn:
        notes.append(
            f"it keeps the role {view['assume_role_arn']}: a role can be changed, not taken away"
        )
    return changes, notes


def _notes_stay(known: Known, name: str) -> str:
    said = "this server cannot change the notes of a deployment: they stay as they were"
    if known.name == name:
        return said
    return f"{said}, and 'gc' never takes it for a version of '{name}'"


def notes_of(entry: DeclaredDeployment) -> dict[str, str]:
    """The notes that a deployment of this entry has: its own, and the entry's name."""
    return {**entry.metadata, NAME: entry.name}
