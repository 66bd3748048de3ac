"""`steadfaas invocations`: where a request stands, and which deployment each attempt ran on."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.exits import CommandError, fail

app = typer.Typer(help="Requests and their attempts.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Requests and their attempts."""


@app.command()
def describe(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An invocation id, inv_….")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the server's answer as JSON.")
    ] = False,
) -> None:
    """Show one invocation and all its attempts."""
    try:
        answer = admin.call("GET", f"/invocations/{quote(identifier, safe='')}")
    except CommandError as error:
        fail(error, as_json=as_json)
    if as_json:
        render.print_json(answer)
        return
    render.print_facts(
        [
            ("id", answer["id"]),
            ("target", answer["target"]),
            ("status", answer["status"]),
            ("deployment", answer.get("deployment_id") or "none yet"),
            ("created", render.moment(answer.get("created_at"))),
            ("modified", render.moment(answer.get("modified_at"))),
            ("last failure", _failure(answer.get("last_failure"))),
            ("next retry", render.moment(answer.get("next_retry_at"))),
        ]
    )
    typer.echo()
    _print_attempts(answer.get("attempts", []))


def _failure(failure: object) -> str:
    """The first line of a failure: its stable code and its message."""
    if not isinstance(failure, dict):
        return str(failure or "")
    words = [str(failure.get("restate_code") or ""), str(failure.get("message") or "")]
    lines = " ".join(word for word in words if word).splitlines()
    return lines[0] if lines else ""


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    rows = [
        (
            str(attempt["attempt"]),
            str(attempt.get("deployment_id") or "-"),
            render.moment(attempt.get("started_at")),
            render.moment(attempt.get("ended_at")) or "-",
            str(attempt.get("outcome") or "running"),
        )
        for attempt in attempts
    ]
    render.print_table(
        ("ATTEMPT", "DEPLOYMENT", "STARTED", "ENDED", "OUTCOME"), rows, empty="No attempts yet."
    )
