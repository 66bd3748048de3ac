"""`steadfaas audit`: who did what to deployments, and on what evidence."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.commands import Json
from steadfaas.cli.rollout.options import Config, known_address

_PAGE: Final = 1000  # what the server gives at most at once


def audit(
    deployment: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this deployment, which may be gone.")
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Of this kind: registered, promoted, removed, …"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show who registered, changed, retired and removed deployments, newest first.

    Example: steadfaas audit --deployment dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    known_address(config)
    found = _newest({"subject": deployment, "action": action}, limit)
    if as_json:
        render.print_json(found)
        return
    rows = [
        (
            render.moment(entry["at"]),
            str(entry["actor"]),
            str(entry["action"]),
            str(entry["subject"]),
            _said(entry["detail"]),
        )
        for entry in found["entries"]
    ]
    render.print_table(("AT", "BY", "WHAT", "DEPLOYMENT", "DETAIL"), rows, empty="No entries.")


def _newest(query: dict[str, str | int | None], limit: int) -> dict[str, Any]:
    """So many entries, in as many pages as it takes; `next` as the last of them has it."""
    entries: list[Any] = []
    after: int | None = None
    while True:
        size = min(limit - len(entries), _PAGE)
        page = admin.call("GET", "/audit", query={**query, "limit": size, "after": after})
        entries += page["entries"]
        after = page.get("next")
        if after is None or len(entries) >= limit:
            return {**page, "entries": entries}


def _said(detail: dict[str, Any]) -> str:
    """What a line has room for; --json has all of it."""
    found = detail.get("found") or {}
    parts = [
        str(detail.get("uri") or ""),
        str(detail.get("change") or ""),
        _services(detail.get("services") or {}),
        "by force" if detail.get("forced") else "",
        f"{found['unfinished']} unfinished" if "unfinished" in found else "",
    ]
    return render.first_line("; ".join(part for part in parts if part), 160)


def _services(services: dict[str, int]) -> str:
    return ", ".join(f"{name} {revision}" for name, revision in services.items())
