"""A plan as JSON: for scripts, and to be saved and applied later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from steadfaas.rollout import interface
from steadfaas.rollout.judged import Trouble
from steadfaas.rollout.plan import DeploymentStep, Plan, ServiceStep
from steadfaas.rollout.world import Json, Server

if TYPE_CHECKING:
    from steadfaas.config import Declared

FORMAT: Final = "steadfaas-plan/1"
_PROMISED: Final = ("deployments", "services", "takes new requests", "retire")


def to_json(plan: Plan, server: Server) -> Json:
    """The whole plan, for scripts. Callers, old versions and troubles have their own fields."""
    return {
        "server": {"url": server.url, "version": server.version},
        "summary": plan.counts(),
        "deployments": [_deployment(step) for step in plan.deployments],
        "services": [_service(step) for step in plan.services],
        **old_versions(plan),
    }


def old_versions(plan: Plan) -> Json:
    """What of a plan is about old versions."""
    return {
        "retire": [asdict(step) for step in plan.retire],
        "stays": [asdict(each) for each in plan.stays],
    }


def saved(plan: Plan, declared: Declared, server: Server, *, made_at: str) -> Json:
    """The plan with what it was made of, to be applied later. Secrets are references in it."""
    return {
        "format": FORMAT,
        "made_at": made_at,
        "declared": declared.to_json(),
        "promised": promised(plan),
        "plan": to_json(plan, server),
    }


def opened(found: Any) -> Json:
    """A saved plan with all its parts. Raises ValueError for anything else."""
    if not isinstance(found, dict) or "format" not in found:
        raise ValueError("it has no 'format'")
    if found["format"] != FORMAT:
        raise ValueError(f"its format is {found['format']!r}, not {FORMAT!r}")
    match found:
        case {
            "declared": dict(),
            "promised": dict(promises),
            "plan": {"server": {"url": str()}},
        } if all(isinstance(promises.get(kind), dict) for kind in _PROMISED):
            return found
    raise ValueError("a part of it is missing, or was changed")


def promised(plan: Plan) -> Json:
    """What must be the same when the plan is made again, so that it is still the one that was
    shown: what is done, and who takes the new requests before."""
    return {
        "deployments": {
            step.name: {
                "action": step.action.value,
                "uri": step.uri,
                "deployment_id": step.deployment_id,
                "changes": _shown(step.changes),
                "calls off": step.calls_off,
                "interface": {
                    each.service: "; ".join(interface.lines(each)) for each in step.differences
                },
            }
            for step in plan.deployments
        },
        "services": {
            step.service: {"action": step.action.value, "changes": step.changes}
            for step in plan.services
        },
        "takes new requests": dict(plan.basis),
        "retire": {step.deployment_id: {"name": step.name} for step in plan.retire},
    }


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One sentence for each promise of a saved plan that does not hold any more."""
    found = []
    for kind in _PROMISED[:3]:
        was, now = before[kind], after[kind]
        for name in sorted({*was, *now}):
            if was.get(name) != now.get(name):
                found.append(f"{kind}, {name}: {_differs(was.get(name), now.get(name))}")
    for id in sorted(set(before["retire"]) - set(after["retire"])):
        found.append(f"retire, {id}: it may not go any more")
    return found


def _differs(was: Any, now: Any) -> str:
    if not isinstance(was, dict) or not isinstance(now, dict):
        return f"was {_said(was)}, is {_said(now)}"
    names = [name for name in (*was, *(set(now) - set(was))) if was.get(name) != now.get(name)]
    parts = (f"{name} was {_said(was.get(name))}, is {_said(now.get(name))}" for name in names)
    return "; ".join(parts)


def _said(value: Any) -> str:
    if value in (None, "", {}, []):
        return "none"
    match value:
        case dict():
            return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
        case list():
            return ", ".join(map(_said, value))
    return str(value)


# --- parts -------------------------------------------------------------------------------------


def _deployment(step: DeploymentStep) -> Json:
    return {
        "name": step.name,
        "action": step.action.value,
        "target": step.target,
        "uri": step.uri or None,
        "deployment_id": step.deployment_id,
        "services": list(step.services),
        "differences": [interface.to_json(each) for each in step.differences],
        "callers": [asdict(each) for each in step.callers],
        "changes": _shown(step.changes),
        "notes": list(step.notes),
        "error": trouble(step.trouble),
    }


def _shown(changes: Json) -> Json:
    """Changes without the values of headers, which may be secrets."""
    headers = changes.get("additional_headers")
    return changes if headers is None else {**changes, "additional_headers": sorted(headers)}


def _service(step: ServiceStep) -> Json:
    return {
        "service": step.service,
        "action": step.action.value,
        "changes": step.changes,
        "before": step.before,
        "notes": list(step.notes),
        "error": trouble(step.trouble),
    }


def trouble(found: Trouble | None) -> Json | None:
    """Why something cannot be done, as all commands say it."""
    return None if found is None else asdict(found)
