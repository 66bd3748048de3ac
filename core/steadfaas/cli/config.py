"""`steadfaas config`: what a settings file may hold, and whether one is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steadfaas.cli import render
from steadfaas.cli.commands import Group
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout.options import CONFIG_VARIABLE, Sets

if TYPE_CHECKING:
    from steadfaas.config import ConfigFile, Problem

app = Group("The settings file: what it may hold, and whether one is right.")


@app.verb()
def schema() -> None:
    """Print JSON Schema of the settings file, for editors that complete it.

    Example: steadfaas config schema
    """
    from steadfaas.config.schema import file_schema

    render.print_json(file_schema())


@app.verb()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            envvar=CONFIG_VARIABLE,
            show_envvar=False,
            help="Settings file.  [default: ./steadfaas.toml]",
        ),
    ] = None,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is found as JSON.")] = False,
) -> None:
    """Check a settings file whole: types, names, references to variables. It asks nobody.

    Example: steadfaas config check steadfaas.toml
    """
    from steadfaas.config import DEFAULT_CONFIG_FILE, SettingsError, load_file, missing_secrets

    path = file or DEFAULT_CONFIG_FILE
    try:
        found = load_file(path, sets=sets or ())
    except SettingsError as error:
        if not as_json:
            raise CommandError(str(error), ExitCode.REFUSED) from None
        render.print_json({"file": str(path), "problems": _as_json(error.problems), "notes": []})
        raise typer.Exit(ExitCode.REFUSED) from None
    notes = missing_secrets(found.declared, places=found.places)
    if as_json:
        render.print_json({"file": str(path), "problems": [], "notes": _as_json(notes)})
        return
    typer.echo(_fine(found))
    for note in notes:
        typer.echo(f"Note: {note}", err=True)


def _fine(found: ConfigFile) -> str:
    deployments = render.plural(len(found.declared.deployments), "deployment")
    services = render.plural(len(found.declared.services), "service")
    return f"{found.path} is fine: {deployments}, {services}."


def _as_json(problems: tuple[Problem, ...] | list[Problem]) -> list[dict[str, Any]]:
    return [
        {"source": each.source, "line": each.line, "key": each.key, "message": each.message}
        for each in problems
    ]
