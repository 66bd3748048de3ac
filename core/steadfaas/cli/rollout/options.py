"""What `plan`, `apply`, `gc` and `status` are told: the file, and what beats it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from steadfaas.config import Declared, Engine

CONFIG_VARIABLE: Final = "STEADFAAS_CONFIG"

Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar=CONFIG_VARIABLE,
        show_envvar=False,
        help="The file that says what is deployed.  [default: ./steadfaas.toml]",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Put a value over the file's: deployments.NAME.keep=5. May be repeated.",
    ),
]


def declared(config: Path | None, sets: list[str] | None) -> Declared:
    """What a file declares, checked whole; commands speak to the engine that it names from now on,
    unless an option or a variable says otherwise. Raises CommandError."""
    # Loaded here: pydantic would double the time of every other command.
    from steadfaas.config import DEFAULT_CONFIG_FILE, SettingsError, engine_of, load_file

    if config is None and not sets and not DEFAULT_CONFIG_FILE.exists():
        raise CommandError(
            f"There is no {DEFAULT_CONFIG_FILE} here. Name the file with --config FILE.",
            ExitCode.USAGE,
        )
    try:
        found = load_file(config, sets=sets or ())
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.REFUSED) from error
    _speak_to(engine_of(found))
    return found.declared


def known_address(config: Path | None) -> None:
    """Speak to the engine that a file names, for a command that needs nothing else of it: whatever
    else is wrong with the file does not matter. Raises CommandError if it cannot be read."""
    if config is None:
        return
    from steadfaas.config import SettingsError, engine_of_file

    try:
        _speak_to(engine_of_file(config))
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.REFUSED) from error


def file_here() -> None:
    """Speak to the engine that the settings file names, if there is one: for commands that are not
    told of any. Raises CommandError if it cannot be read, for another may be meant."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    if not chosen and not Path("steadfaas.toml").exists():
        return
    try:
        known_address(Path(chosen or "steadfaas.toml"))
    except CommandError as error:
        error.message += f" It may name the engine that is meant; {admin.URL_OPTION} does too."
        raise


def _speak_to(engine: Engine | None) -> None:
    if engine is None:
        admin.fall_back_on()
    else:
        admin.fall_back_on(engine.url, engine.source)
