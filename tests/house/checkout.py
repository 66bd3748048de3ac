"""The checkout under test, and its project file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def import_path(*folders: Path) -> dict[str, str]:
    """This process's variables with the folders in front of the import path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def sources() -> list[Path]:
    """Every Python file that ships."""
    return sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "adapters").rglob("*.py")])
