"""Which invocations a command is about: what people name, and the filters that all of them share.

A query is what the official command line takes too: an invocation's id, `Service`,
`Service/handler`, `Object/key` or `Object/key/handler`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode

UNFINISHED: Final = (
    *("pending", "scheduled", "ready", "running"),
    *("backing-off", "suspended", "paused"),
)
STATUSES: Final = (*UNFINISHED, "completed")
# The server's own limit for one page of a list.
PAGE: Final = 1000

Queries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUERY",
        help="An id, Service, Service/handler, Object/key or Object/key/handler.",
        show_default=False,
    ),
]
Service = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this service.")]
Handler = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this handler.")]
Key = Annotated[str | None, typer.Option(metavar="KEY", help="Only of this key.")]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help=f"Only with this status, and may be repeated: {', '.join(STATUSES)}.",
    ),
]
Pinned = Annotated[
    str | None,
    typer.Option(
        "--deployment", "--pinned-to", metavar="ID", help="Only what is pinned to this one."
    ),
]
# For commands whose --deployment says where invocations go.
PinnedTo = Annotated[
    str | None,
    typer.Option("--pinned-to", metavar="ID", help="Only what is pinned to this deployment."),
]


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that must all hold; an empty one holds for everything."""

    service: str | None = None
    handler: str | None = None
    key: str | None = None
    status: tuple[str, ...] = ()
    deployment: str | None = None

    def fields(self) -> dict[str, Any]:
        """Those that are given, as the API names them."""
        given = {
            "service": self.service,
            "handler": self.handler,
            "key": self.key,
            "status": list(self.status),
            "deployment": self.deployment,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Selection:
    """Either single invocations, or all that one of these conditions holds for."""

    ids: tuple[str, ...]
    conditions: tuple[dict[str, Any], ...]


def filters(
    service: str | None,
    handler: str | None,
    key: str | None,
    status: list[str] | None,
    deployment: str | None,
) -> Filters:
    """The filters of a command's options. Raises BadParameter for a status that there is not."""
    for one in status or ():
        if one not in STATUSES:
            raise typer.BadParameter(
                f"'{one}' is no status; there are {', '.join(STATUSES)}", param_hint="--status"
            )
    return Filters(service, handler, key, tuple(status or ()), deployment)


def select(queries: list[str] | None, given: Filters, *, meant: tuple[str, ...]) -> Selection:
    """What the user named; `meant` are the statuses that count unless others were given.

    Raises CommandError (USAGE) for nothing at all, and for ids beside other conditions.
    """
    ids = tuple(dict.fromkeys(query for query in queries or () if query.startswith("inv_")))
    others = [query for query in queries or () if not query.startswith("inv_")]
    fields = given.fields()
    if ids and (others or fields):
        raise CommandError(
            "Give invocation ids alone, or other queries and filters, not both.", ExitCode.USAGE
        )
    if not (ids or others or fields):
        raise CommandError(
            "Say which invocations: an id, Service, Service/handler, Object/key, or a filter "
            "such as --service NAME. See --help.",
            ExitCode.USAGE,
        )
    fields.setdefault("status", list(meant))
    conditions = [{"target": query, **fields} for query in others] or [fields]
    return Selection(ids, () if ids else tuple(conditions))


def found(
    condition: dict[str, Any], *, limit: int, newest: bool = False, sample: int | None = None
) -> Iterator[dict[str, Any]]:
    """The server's pages of invocations for which the condition holds; `limit` rows in all."""
    after = None
    while limit > 0:
        page = {"limit": min(limit, PAGE), "after": after, "newest": newest, "sample": sample}
        answer = admin.call("GET", "/invocations", query={**condition, **page})
        yield answer
        limit -= len(answer["invocations"])
        after = answer.get("next")
        # A sample is counted from each page's beginning.
        if after is None or sample is not None:
            return
