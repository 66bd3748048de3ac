"""A plan in words: for a terminal, and in Markdown for a comment under a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from steadfaas.rollout import interface
from steadfaas.rollout.judged import Trouble
from steadfaas.rollout.plan import Action, Callers, DeploymentStep, Plan, ServiceStep
from steadfaas.rollout.settings import UNLIMITED

_WIDTH: Final = max(len(action.value) for action in Action)
_INDENT: Final = " " * (_WIDTH + 2)
_PAST: Final = {
    Action.REGISTER: "to register",
    Action.PROMOTE: "to promote",
    Action.UPDATE: "to update",
    Action.UNCHANGED: "unchanged",
    Action.RETIRE: "to retire",
    Action.REFUSED: "refused",
    Action.LATER: "not yet",
}


def lines(plan: Plan) -> Iterator[str]:
    """The plan, a step and its facts at a time."""
    for step in plan.deployments:
        yield _line(step.action, _deployment(step))
        yield from (f"{_INDENT}{fact}" for fact in _deployment_facts(step))
    for settings in plan.services:
        yield _line(settings.action, f"{settings.service} settings")
        yield from (f"{_INDENT}{fact}" for fact in _service_facts(settings))
    for retired in plan.retire:
        yield _line(Action.RETIRE, f"{retired.name} {retired.deployment_id} {retired.uri}")
        yield f"{_INDENT}drained, {retired.evidence['age']} old"
    yield summary(plan)


def summary(plan: Plan) -> str:
    """How many steps there are of each kind, in one sentence."""
    counts = plan.counts()
    if not counts:
        return "Nothing is declared."
    parts = [f"{counts[each.value]} {_PAST[each]}" for each in Action if each.value in counts]
    return f"Plan: {', '.join(parts)}."


def stays(plan: Plan) -> Iterator[str]:
    """The old versions that stay, and why."""
    for each in plan.stays:
        yield f"{'stays'.ljust(_WIDTH)}  {each.name} {each.deployment_id} {each.uri}"
        yield f"{_INDENT}{each.why}"


def markdown(plan: Plan) -> Iterator[str]:
    """The plan as Markdown: a table of what is done, and what changes for callers below."""
    yield f"### steadfaas: {summary(plan).removeprefix('Plan: ')}"
    yield ""
    yield "| | What | Version |"
    yield "| --- | --- | --- |"
    for step in plan.deployments:
        yield _row(step.action, f"`{step.name}`", _code(step.uri or step.target))
    for settings in plan.services:
        yield _row(settings.action, f"settings of `{settings.service}`", "")
    for retired in plan.retire:
        yield _row(Action.RETIRE, f"`{retired.name}`", _code(retired.uri))
    facts = [(step.name, list(_deployment_facts(step))) for step in plan.deployments]
    facts += [(step.service, list(_service_facts(step))) for step in plan.services]
    for name, found in facts:
        if found:
            yield from ("", f"**{_plain(name)}**", "", *(f"- {_code(fact)}" for fact in found))


def _line(action: Action, text: str) -> str:
    return f"{action.value.ljust(_WIDTH)}  {text}"


def _deployment(step: DeploymentStep) -> str:
    leads = f" → {step.uri}" if step.uri and step.uri.rstrip("/") != step.target.rstrip("/") else ""
    known = f" ({step.deployment_id})" if step.deployment_id else ""
    return f"{step.name}  {step.target}{leads}{known}"


def _deployment_facts(step: DeploymentStep) -> Iterator[str]:
    if step.trouble is not None:
        yield _said(step.trouble)
    if step.calls_off:
        yield "its retirement is called off"
    for each in step.differences:
        if not each.is_new:
            yield f"{each.service}, after revision {each.before_revision}"
        yield from (f"  {line}" if not each.is_new else line for line in interface.lines(each))
    yield from map(_caller, step.callers)
    yield from (
        f"{name.replace('_', ' ')}: {_value(name, step.changes[name])}" for name in step.changes
    )
    yield from (f"note: {note}" for note in step.notes)


def _said(trouble: Trouble) -> str:
    # Some sentences begin with their code.
    code = f"[{trouble.code}] "
    return (
        f"{'' if trouble.message.startswith(code) or not trouble.code else code}{trouble.message}"
    )


def _caller(found: Callers) -> str:
    what = f"{found.service}/{found.handler}"
    one = found.invocations == 1
    number = f"{found.invocations} {'invocation' if one else 'invocations'}"
    if found.deployment_id is None:
        begun, them = ("has", "it") if one else ("have", "them")
        return f"! {number} of {what} {begun} not begun, and nobody will serve {them}"
    return f"! {number} on {found.deployment_id} called {what}"


def _service_facts(step: ServiceStep) -> Iterator[str]:
    if step.trouble is not None:
        yield step.trouble.message
    for name, value in step.changes.items():
        if isinstance(value, dict):
            before = step.before.get(name) or {}
            for key in value:
                yield f"retry {key}: {_retry(key, before.get(key))} → {_retry(key, value[key])}"
        else:
            yield f"{name}: {_was(step.before.get(name))} → {_text(value)}"
    yield from (f"note: {note}" for note in step.notes)


def _retry(key: str, value: Any) -> str:
    """A value of a retry policy, as the file would have it."""
    match key, value:
        case "max_attempts", None:
            return "unlimited"
        case "max_attempts", int() if value >= UNLIMITED:
            return "unlimited"
        case "on_max_attempts", str():
            return value.lower()
        case _, float():
            return f"{value:g}"
    return _was(value)


def _was(value: Any) -> str:
    return "none" if value is None else _text(value)


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _value(name: str, value: Any) -> str:
    if name == "additional_headers":
        return ", ".join(value) or "none"  # a value may be a secret
    if isinstance(value, dict):
        return ", ".join(f"{key}={value[key]}" for key in value) or "none"
    return str(value)


def _row(action: Action, what: str, version: str) -> str:
    return f"| **{action.value}** | {what} | {version} |"


def _code(text: str) -> str:
    """A text as code in Markdown, whatever is in it."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text.replace('|', chr(92) + '|')}{fence}" if text else ""


def _plain(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_[]<>|" else char for char in text)
