"""What of a folder is no part of its version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from pathlib import Path
from typing import Final

# Names of files and folders, wherever they are.
_NAMES: Final = (
    *(".git", ".hg", ".svn", ".steadfaas", "steadfaas-data", "restate-data"),
    *(".venv", "__pycache__", "*.py[co]", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"),
    *(".idea", ".DS_Store", "*~", "*.sw?", ".#*", "4913", "*.bak", "*.log"),
)
# A folder with one of these is an environment, or the data of an engine.
_GIVEAWAYS: Final = ("pyvenv.cfg", "steadfaas.db")
# Installed packages are shared by all versions, as those of Python are.
SHARED: Final = "node_modules"


class Ignored:
    """Says of a path, relative and with slashes, whether it is left out.

    A pattern with a slash is compared with the whole path, another one with each name in it.
    """

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        given = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]
        self._names = _any((*_NAMES, *(each for each in given if "/" not in each)))
        self._paths = _any(each for each in given if "/" in each)

    def __call__(self, path: str) -> bool:
        """Whether it is left out, by its own name or with a folder above it."""
        parts = path.split("/")
        return any(
            self._names.match(part) or self._paths.match("/".join(parts[: place + 1]))
            for place, part in enumerate(parts)
        )

    def folder(self, folder: Path) -> bool:
        """Whether a folder is left out because of what it holds."""
        return any((folder / name).exists() for name in _GIVEAWAYS)

    def change(self, path: str) -> bool:
        """Whether a change there cannot make another version."""
        return SHARED in path.split("/") or self(path)


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for all of them; none of them matches nothing."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")
