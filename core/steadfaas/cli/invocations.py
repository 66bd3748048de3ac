"""`steadfaas invocations`: where requests stand, and what operators do about them."""

from __future__ import annotations

from typing import Annotated

import typer

from steadfaas.cli import admin, invocation_actions, invocation_views, journal, render
from steadfaas.cli.commands import Group, Json
from steadfaas.cli.filters import (
    STATUSES,
    Handler,
    Key,
    Pinned,
    Service,
    Statuses,
    filters,
    found,
)

app = Group("Requests and their attempts.")

_Id = Annotated[str, typer.Argument(metavar="ID", help="An invocation id, inv_….")]
_WHICH = "See 'steadfaas invocations list'; a completed one is forgotten after its retention."


@app.verb("list")
def list_invocations(
    query: Annotated[
        str | None,
        typer.Argument(help="An id, Service, Service/handler, Object/key or Object/key/handler."),
    ] = None,
    service: Service = None,
    handler: Handler = None,
    key: Key = None,
    status: Statuses = None,
    deployment: Pinned = None,
    everything: Annotated[bool, typer.Option("--all", help="Completed ones too.")] = False,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="Begin with the oldest.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List unfinished invocations, the newest first.

    Example: steadfaas invocations list --service Greeter --status paused --status backing-off
    """
    condition = filters(service, handler, key, status, deployment).fields()
    if everything:
        condition.setdefault("status", list(STATUSES))
    if query is not None:
        condition["target"] = query
    pages = list(found(condition, limit=limit, newest=not oldest_first))
    rows = [one for page in pages for one in page["invocations"]]
    if as_json:
        render.print_json({**pages[-1], "invocations": rows})
        return
    invocation_views.print_list(rows)
    if "next" in pages[-1]:
        typer.echo(f"There may be more than these {len(rows)}: raise --limit.", err=True)


@app.verb()
def describe(identifier: _Id, as_json: Json = False) -> None:
    """Show one invocation: its pin, all attempts, and why it does not go on.

    Example: steadfaas invocations describe inv_11BMrezOxK8q4xJaZV9TKs6AmiuzNAOkUr
    """
    with admin.next_steps({404: _WHICH}):
        answer = admin.call("GET", admin.path("invocations", identifier))
    if as_json:
        render.print_json(answer)
    else:
        invocation_views.print_detail(answer)


@app.verb("journal")
def show_journal(identifier: _Id, as_json: Json = False) -> None:
    """Show what an invocation has done so far: its commands and what came back.

    Example: steadfaas invocations journal inv_11BMrezOxK8q4xJaZV9TKs6AmiuzNAOkUr
    """
    with admin.next_steps({404: _WHICH}):
        answer = admin.call("GET", admin.path("invocations", identifier, "journal"))
    if as_json:
        render.print_json(answer)
    else:
        journal.print_journal(answer["entries"])


invocation_actions.add_to(app)
