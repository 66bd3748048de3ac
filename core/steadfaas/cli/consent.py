"""Asking before something is lost.

Nobody can answer where there is no terminal. There a command that would ask refuses instead, and
names the flag: a script that hangs, or one that goes on unasked, helps nobody.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import typer

from steadfaas.cli.exits import CommandError, ExitCode

_CI: Final = "CI"


def given(yes: bool) -> bool:
    """Whether the user has agreed beforehand: by `--yes`, or because CI=true."""
    return yes or os.environ.get(_CI, "").lower() in ("true", "1")


def ask(question: str, *, yes: bool) -> None:
    """Return if the user agrees, now or beforehand.

    Raises CommandError: USAGE without a terminal, REFUSED when the answer is no.
    """
    if given(yes):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError(
            f"{question} Nobody can answer here, so nothing was done; add --yes.", ExitCode.USAGE
        )
    if not typer.confirm(question, err=True):
        raise CommandError("Nothing was done.", ExitCode.REFUSED)
