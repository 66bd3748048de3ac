"""`steadfaas plan`: what a file would change, shown before anything is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from steadfaas.cli import render
from steadfaas.cli.commands import Json
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout.options import Config, Sets, declared

if TYPE_CHECKING:
    from steadfaas.rollout.plan import Plan

_ANEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def plan(
    config: Config = None,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save it for 'apply --plan FILE'.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As Markdown, for a comment on a change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what 'apply' would do for a file: register, promote, update, retire, or refuse.

    Asks every platform where its target leads, and every new version what it serves. Changes
    nothing.

    Exit codes: 0 can be applied, 1 something is refused, 75 something is not ready yet.

    Example: steadfaas plan --config steadfaas.toml --set deployments.greeter.keep=5
    """
    from steadfaas.cli.rollout.connect import connect
    from steadfaas.cli.rollout.gather import make_plan
    from steadfaas.rollout import document, words

    if markdown and as_json:
        raise typer.BadParameter("it is either --json or --markdown")

    wanted = declared(config, sets)
    server = connect()
    made = make_plan(wanted, server)
    if out is not None:
        _save(out, document.saved(made, wanted, server.server, made_at=_now()))
    if as_json:
        render.print_json(document.to_json(made, server.server))
    else:
        for line in words.markdown(made) if markdown else words.lines(made):
            typer.echo(line)
    raise typer.Exit(exit_code(made))


def exit_code(made: Plan) -> ExitCode:
    """1 if something is refused for good, else 75 if something is not ready, else 0."""
    if made.refused:
        return ExitCode.REFUSED
    return ExitCode.TRY_LATER if made.late else ExitCode.DONE


def read(path: Path) -> dict[str, Any]:
    """A saved plan. Raises CommandError."""
    from steadfaas.rollout import document

    try:
        return document.opened(json.loads(path.read_bytes()))
    except json.JSONDecodeError:
        why = "it is not JSON"
    except UnicodeDecodeError:
        why = "it is no text"
    except ValueError as error:
        why = str(error)
    except OSError as error:
        raise CommandError(
            f"The plan {path} cannot be read: {error.strerror or error}.", ExitCode.USAGE
        ) from error
    raise no_plan(path, why)


def no_plan(path: Path, why: str) -> CommandError:
    """What is said of a file that is no saved plan."""
    return CommandError(
        f"{path} is no saved plan: {why}. Make one with 'steadfaas plan --out {path}'.",
        ExitCode.USAGE,
    )


def _save(path: Path, content: dict[str, Any]) -> None:
    try:
        # What `${NAME}` stood for is in it in clear: it is for its owner.
        with os.fdopen(os.open(path, _ANEW, mode=0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise CommandError(
            f"The plan cannot be saved as {path}: {error.strerror or error}.", ExitCode.USAGE
        ) from error


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
