"""Exit codes, and how a command ends with one.

Scripts decide from the code: 75 (EX_TEMPFAIL) is the only one worth a second try with the same
words.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import NoReturn

import typer

from steadfaas.errors import SteadfaasError, Verdict


class ExitCode(IntEnum):
    """What the end of a command means."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    TRY_LATER = 75


class CommandError(Exception):
    """A command cannot be carried out: what to tell the user, and how to end."""

    def __init__(
        self,
        message: str,
        exit_code: ExitCode,
        *,
        status: int | None = None,
        code: str | None = None,
        passing: bool = False,
    ) -> None:
        """`passing`: the reason may pass by itself, whatever the exit code says."""
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.status = status
        self.code = code
        self.passing = passing


def exit_code_of(error: SteadfaasError) -> ExitCode:
    """The exit code that an error's verdict asks for."""
    later = error.verdict in (Verdict.RETRY, Verdict.THROTTLED)
    return ExitCode.TRY_LATER if later else ExitCode.REFUSED


def fail(error: CommandError, *, as_json: bool = False) -> NoReturn:
    """Print the error to standard error and end the command."""
    if as_json:
        body = {"message": error.message, "status": error.status, "restate_code": error.code}
        typer.echo(json.dumps({name: value for name, value in body.items() if value}), err=True)
    else:
        typer.echo(f"Error: {error.message}", err=True)
    raise typer.Exit(error.exit_code)
