"""Letting the user change a JSON document in an editor."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import typer

from steadfaas.cli.exits import CommandError, ExitCode


def edit_object(value: dict[str, Any]) -> dict[str, Any]:
    """The JSON object as it looks after $VISUAL or $EDITOR was closed.

    What is no JSON object can be edited again on a terminal. Raises CommandError otherwise.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    while True:
        text = _edit(text)
        try:
            return _object(text)
        except ValueError as error:
            sentence = f"What you wrote is not a JSON object ({error})."
            again = sys.stdin.isatty() and typer.confirm(
                f"{sentence} Edit again?", default=True, err=True
            )
            if not again:
                raise CommandError(f"{sentence} Nothing was done.", ExitCode.REFUSED) from error


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it must begin with a brace")
    return value


def _edit(text: str) -> str:
    # Loaded here: no other command needs them.
    import shlex
    import subprocess
    import tempfile

    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="steadfaas-") as folder:
        file = Path(folder) / "edit.json"
        file.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(command), str(file)], check=False)
        except (OSError, ValueError) as error:
            raise CommandError(
                f"Cannot start the editor '{command}': {error}. Set EDITOR to one that is there.",
                ExitCode.REFUSED,
            ) from error
        if done.returncode != 0:
            raise CommandError(
                f"The editor '{command}' ended with {done.returncode}. Nothing was done.",
                ExitCode.REFUSED,
            )
        return file.read_text(encoding="utf-8")
