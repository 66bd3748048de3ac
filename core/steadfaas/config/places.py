"""Where each value came from: a line of the file, a variable, or an option."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from steadfaas.config.problems import KeyPath, Problem

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Places:
    """The file, the line of each of its keys, and the keys whose values came from elsewhere.

    `names` are those of the deployments, in their order.
    """

    file: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    elsewhere: dict[KeyPath, str] = field(default_factory=dict)
    names: list[str | None] = field(default_factory=list)

    def moved(self, path: KeyPath, source: str) -> None:
        """The value of a key, and all that is in it, now comes from another source."""
        for known in [known for known in self.elsewhere if known[: len(path)] == path]:
            del self.elsewhere[known]
        self.elsewhere[path] = source

    def problem(self, path: KeyPath, message: str) -> Problem:
        """What is wrong at a key, with the place that it came from."""
        source, line = self.origin(path)
        return Problem(source, line, self.spelled(path), message)

    def origin(self, path: KeyPath) -> tuple[str, int | None]:
        """The source of a key, and its line or that of the innermost table around it."""
        around = [path[:length] for length in range(len(path), 0, -1)]
        for known in around:
            if known in self.elsewhere:
                return self.elsewhere[known], None
        line = next((self.lines[known] for known in around if known in self.lines), None)
        return self.file, line

    def spelled(self, path: KeyPath) -> str:
        """The key in full: `deployments[2].keep (greeter)`. Deployments count from 1."""
        text = "".join(_spelled(part) for part in path).removeprefix(".")
        match path:
            case ("deployments", int(number), *_) if number < len(self.names):
                name = self.names[number]
                return f"{text} ({name})" if name and len(name) <= _LONGEST_NAME else text
        return text


def _spelled(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part + 1}]"
    return f".{part}" if _BARE.fullmatch(part) else f'."{part}"'


def at(tree: Any, path: KeyPath) -> Any:
    """What stands at a key; None where there is nothing."""
    for part in path:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
