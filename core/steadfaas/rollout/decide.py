"""What a file makes of a server: the plan. Decided from what was asked before, without an effect.

What is wrong for good (a target that is none, an interface that breaks, two entries that want the
same service) is refused, and a plan with a refusal is not carried out at all. What is only late (a
platform that builds, a limit of calls) holds up nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from steadfaas.rollout import settings
from steadfaas.rollout.interface import difference
from steadfaas.rollout.judged import Judged, Trouble
from steadfaas.rollout.plan import Action, DeploymentStep, Plan, ServiceStep
from steadfaas.rollout.policy import Platforms, goes_and_stays
from steadfaas.rollout.world import NAME, Json, Known, World, millis

if TYPE_CHECKING:
    from steadfaas.config import Declared, DeclaredDeployment, DeclaredService

_INSISTING: Final = "breaking = true"

Headers = frozenset[tuple[str, str]]


def decide(
    declared: Declared,
    world: World,
    judged: Sequence[Judged],
    *,
    now: int,
    platforms: Platforms,
) -> Plan:
    """The plan for a file. `now` is in ms since the epoch; `judged` has one for each entry."""
    judged = _without_rivals(judged)
    deployments = tuple(_deployment(each, world, now) for each in judged)
    known = [_as_stored(*each, world) for each in zip(judged, deployments, strict=True)]
    services = tuple(
        _service(name, wanted, world, known) for name, wanted in sorted(declared.services.items())
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


# --- entries -----------------------------------------------------------------------------------


def _deployment(judged: Judged, world: World, now: int) -> DeploymentStep:
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


def _targets(judged: Iterable[Judged]) -> dict[str, str]:
    """The deployments that the file's targets lead to, and the entry of each."""
    return {
        each.deployment_id: each.entry.name for each in judged if each.deployment_id is not None
    }


# --- entries beside one another ----------------------------------------------------------------


def _without_rivals(judged: Sequence[Judged]) -> list[Judged]:
    """The same, with trouble for those that lead to one version, or want the same service: each
    apply would take it from the other."""
    # Headers that choose what answers at one address make it several. They may hold secrets, and
    # are not said.
    claims: defaultdict[tuple[str, Headers], list[str]] = defaultdict(list)
    for each in judged:
        if each.trouble is None:
            claims[f"version {each.uri}", frozenset(each.headers.items())].append(each.entry.name)
            for name in each.served:
                claims[f"'{name}'", frozenset()].append(each.entry.name)
    rivalries: defaultdict[str, list[str]] = defaultdict(list)
    for (what, _), names in claims.items():
        for name in names if len(names) > 1 else ():
            rivalries[name].append(f"{what} is what {_all(names)} want")
    return [_rival(each, rivalries[each.entry.name]) for each in judged]


def _rival(judged: Judged, rivalries: Sequence[str]) -> Judged:
    if not rivalries:
        return judged
    trouble = Trouble(f"{'; '.join(rivalries)}. Only one of them can have it.")
    return replace(judged, trouble=trouble)


def _all(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


# --- settings of services ----------------------------------------------------------------------


def _as_stored(judged: Judged, step: DeploymentStep, world: World) -> Judged:
    """What is judged, with the settings that hold. Code that may change is asked anew each time,
    and tells its own, but only a registration brings those; of what is late, none count yet."""
    stays = step.action in (Action.UNCHANGED, Action.UPDATE)
    if step.action is not Action.LATER and not (judged.mutable and stays):
        return judged
    views = (world.services.get(name, view) for name, view in judged.served.items())
    return replace(judged, services=tuple(views))


def _service(
    name: str, declared: DeclaredService, world: World, judged: Sequence[Judged]
) -> ServiceStep:
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


# --- what it was decided upon ------------------------------------------------------------------


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
