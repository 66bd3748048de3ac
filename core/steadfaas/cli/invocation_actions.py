"""`steadfaas invocations cancel`, `kill`, `pause`, `resume`, `purge` and their like.

Each takes any number of queries, or filters, or both. Unless a status is given, it looks only at
those for which the operation makes sense.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import typer

from steadfaas.cli.batches import Order, carry_out
from steadfaas.cli.commands import Group, Json, Yes
from steadfaas.cli.filters import (
    UNFINISHED,
    Handler,
    Key,
    Pinned,
    PinnedTo,
    Queries,
    Service,
    Statuses,
    filters,
    select,
)

_COMPLETED: Final = ("completed",)


class _Simple(NamedTuple):
    """An operation without options. `meant` are the statuses it is for; `asks` says whether it
    asks about a single invocation too."""

    name: str
    meant: tuple[str, ...]
    asks: bool
    about: str


_SIMPLE: Final = (
    _Simple(
        "cancel",
        UNFINISHED,
        True,
        "Ask invocations to stop: their code may tidy up, and what has not begun is gone.\n\n"
        "Example: steadfaas invocations cancel Greeter/greet --status backing-off",
    ),
    _Simple(
        "kill",
        UNFINISHED,
        True,
        "End invocations at once, without running any of their code.\n\n"
        "Example: steadfaas invocations kill --service Greeter --key alice",
    ),
    _Simple(
        "pause",
        ("ready", "running", "backing-off", "suspended"),
        False,
        "Stop trying until somebody resumes. An attempt that is under way ends first.\n\n"
        "Example: steadfaas invocations pause Cart/alice",
    ),
    _Simple(
        "purge",
        _COMPLETED,
        True,
        "Forget completed invocations with their results.\n\n"
        "Example: steadfaas invocations purge Greeter --yes",
    ),
    _Simple(
        "purge-journal",
        _COMPLETED,
        True,
        "Forget the journals of completed invocations; their results stay.\n\n"
        "Example: steadfaas invocations purge-journal --service Greeter",
    ),
)


def add_to(group: Group) -> None:
    """Add all these commands."""
    for each in _SIMPLE:
        _add(group, each)
    group.verb()(resume)
    group.verb("restart-as-new")(restart_as_new)


def _add(group: Group, simple: _Simple) -> None:
    def command(
        queries: Queries = None,
        service: Service = None,
        handler: Handler = None,
        key: Key = None,
        status: Statuses = None,
        deployment: Pinned = None,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        given = filters(service, handler, key, status, deployment)
        selection = select(queries, given, meant=simple.meant)
        carry_out(Order(simple.name, selection, asks=simple.asks), yes=yes, as_json=as_json)

    command.__doc__ = simple.about
    group.verb(simple.name)(command)


def resume(
    queries: Queries = None,
    service: Service = None,
    handler: Handler = None,
    key: Key = None,
    status: Statuses = None,
    pinned_to: PinnedTo = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            metavar="latest|keep|ID",
            help="Go on with the code of this deployment.  [default: keep]",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only those whose journal the code there goes on with."),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Try paused and retrying invocations again now; on another deployment if you say so.

    With --deployment it looks at paused and suspended ones: others cannot be moved.

    Example: steadfaas invocations resume Greeter --deployment latest --check
    """
    moves = deployment not in (None, "keep")
    meant = ("paused", "suspended") if moves else ("paused", "backing-off")
    given = filters(service, handler, key, status, pinned_to)
    options: dict[str, str | int | bool | None] = {"deployment": deployment, "check": check}
    selection = select(queries, given, meant=meant)
    order = Order("resume", selection, options, bulk=not check, asks=moves)
    carry_out(order, yes=yes, as_json=as_json)


def restart_as_new(
    queries: Queries = None,
    service: Service = None,
    handler: Handler = None,
    key: Key = None,
    pinned_to: PinnedTo = None,
    keep: Annotated[
        int, typer.Option("--from", min=0, help="Keep the journal up to this entry; 0: the input.")
    ] = 0,
    deployment: Annotated[
        str | None,
        typer.Option(
            metavar="latest|keep|ID",
            help="With --from: begin with this code.  [default: latest]",
        ),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run completed invocations again, as new ones with the same input.

    Example: steadfaas invocations restart-as-new inv_11BMrezOxK8q4xJaZV9TKs6AmiuzNAOkUr
    """
    given = filters(service, handler, key, None, pinned_to)
    options: dict[str, str | int | bool | None] = {"from": keep or None, "deployment": deployment}
    selection = select(queries, given, meant=_COMPLETED)
    order = Order("restart-as-new", selection, options, bulk=not keep)
    carry_out(order, yes=yes, as_json=as_json)
