"""The checkout under test, and its project file."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def import_path(*folders: Path) -> dict[str, str]:
    """This process's variables with the folders in front of the import path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def run(
    *command: str, folder: Path, variables: Mapping[str, str] | None = None, timeout: float = 60
) -> str:
    """What a command prints, with the programs of this environment; it must end well."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **import_path(ROOT / "core", ROOT / "adapters"),
            "PATH": programs,
            "PYTHONDONTWRITEBYTECODE": "1",
            **(variables or {}),
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> list[Path]:
    """Every Python file that ships."""
    return sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "adapters").rglob("*.py")])
