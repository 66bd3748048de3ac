"""How far a deployment is from being drained, in words."""

from __future__ import annotations

from typing import Any, Final

import typer

from steadfaas.cli import render

UNKNOWN: Final = "-"


def state(deployment: dict[str, Any], owners: dict[str, list[str]]) -> str:
    """active, draining or drained. A server without drain states tells only who is active."""
    if drain := deployment.get("drain"):
        return str(drain["state"])
    return "active" if owners.get(deployment["id"]) else UNKNOWN


def unfinished(deployment: dict[str, Any]) -> str:
    """How many unfinished invocations need it."""
    drain = deployment.get("drain")
    return str(drain["unfinished"]) if drain else UNKNOWN


def when(deployment: dict[str, Any], name: str) -> str:
    """One of the times in the drain state."""
    return render.moment((deployment.get("drain") or {}).get(name)) or UNKNOWN


def counts(drain: dict[str, Any]) -> str:
    """`2 running, 3 sleeping`; what there is none of is left out."""
    return ", ".join(f"{count} {name}" for name, count in drain.get("counts", {}).items() if count)


def facts(drain: dict[str, Any]) -> list[tuple[str, str]]:
    """All about it, for `print_facts`."""
    return [
        ("state", str(drain["state"])),
        ("takes new", ", ".join(drain.get("active_services", []))),
        ("unfinished", str(drain["unfinished"])),
        ("of these", counts(drain)),
        ("oldest", _oldest(drain.get("oldest"))),
        ("next wake-up", render.moment(drain.get("next_wake_up"))),
        ("drained not before", render.moment(drain.get("earliest_drained_at"))),
    ]


def print_blockers(deployment: dict[str, Any]) -> None:
    """The invocations that it waits for, one a line, and how many more there are."""
    drain = deployment.get("drain") or {}
    blockers = drain.get("blockers") or []
    if not blockers:
        return
    typer.echo("\nwaits for")
    for blocker in blockers:
        typer.echo(f"  {blocker}")
    more = int(drain["unfinished"]) - len(blockers)
    if more > 0:
        typer.echo(f"  and {more} more; see 'steadfaas invocations list'")


def one_line(drain: dict[str, Any]) -> str:
    """The whole state as progress shows it."""
    words = [f"{drain['state']}: {drain['unfinished']} unfinished"]
    if kinds := counts(drain):
        words[0] += f" ({kinds})"
    if services := drain.get("active_services"):
        words.append(f"takes the new requests of {', '.join(services)}")
    if at := render.moment(drain.get("next_wake_up")):
        words.append(f"next wake-up {at}")
    if at := render.moment(drain.get("earliest_drained_at")):
        words.append(f"drained not before {at}")
    return " · ".join(words)


def _oldest(oldest: dict[str, Any] | None) -> str:
    if not oldest:
        return ""
    return f"{oldest['invocation_id']} {oldest['target']} of {render.moment(oldest['created_at'])}"
