"""`steadfaas deployments wait`: until nothing needs a deployment any more."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from steadfaas.cli import admin, drain, render
from steadfaas.cli.commands import Json, duration
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.progress import Progress


def wait(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="A deployment id, dp_….")],
    drained: Annotated[
        bool, typer.Option("--drained", help="Until it is drained, which is also the default.")
    ] = True,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Wait no longer.")] = "10m",
    every: Annotated[str, typer.Option(metavar="DURATION", help="Look this often.")] = "2s",
    as_json: Json = False,
) -> None:
    """Wait until a deployment is drained. Ends with 75 if it is not within the timeout.

    Example: steadfaas deployments wait dp_10WhCjMVvnlgwL8TRBx8Pu1 --drained --timeout 10m
    """
    answer = _until_drained(
        admin.path("deployments", identifier),
        seconds=duration(timeout, "--timeout") / 1000,
        pause=duration(every, "--every") / 1000,
    )
    if as_json:
        render.print_json(answer)
    else:
        typer.echo(f"{identifier} is drained")


def _until_drained(path: str, *, seconds: float, pause: float) -> dict[str, Any]:
    import time

    deadline = time.monotonic() + seconds
    answer, standing = _look(path)
    with Progress(at_once=True) as progress:
        while answer is None:
            progress.show(standing)
            if time.monotonic() + pause > deadline:
                raise CommandError(f"Not drained in time. {standing}", ExitCode.TRY_LATER)
            time.sleep(pause)
            answer, standing = _look_again(path)
    return answer


def _look_again(path: str) -> tuple[dict[str, Any] | None, str]:
    """As `_look`; waiting goes on while a server that was there is restarted."""
    try:
        return _look(path)
    except CommandError as error:
        if error.exit_code != ExitCode.TRY_LATER:
            raise
        return None, error.message


def _look(path: str) -> tuple[dict[str, Any] | None, str]:
    """The deployment if it is drained, or else how it stands."""
    with admin.next_steps({404: "It may have been removed meanwhile."}):
        answer: dict[str, Any] = admin.call("GET", path)
    found = answer.get("drain")
    if not isinstance(found, dict):
        raise CommandError(
            "This server does not tell what a deployment waits for. Count its invocations with "
            "'steadfaas sql' instead.",
            ExitCode.REFUSED,
        )
    return (answer if found["state"] == "drained" else None), drain.one_line(found)
