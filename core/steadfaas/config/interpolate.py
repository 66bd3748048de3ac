"""`${NAME}` in texts: replaced by an environment variable.

`${NAME:-text}` takes the text where the variable is not set or empty; `$$` is a dollar sign; a
dollar sign before anything else is just that (`lambda:greeter@$LATEST`). What a variable holds is
read by the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MARK: Final = re.compile(r"\$\$|\$\{|\}")


class Unresolved(ValueError):
    """A text names a variable that has no value, or that stands for itself."""


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables replaced. Raises Unresolved."""
    return _filled(text, environ, ())


def _filled(text: str, environ: Mapping[str, str], within: tuple[str, ...]) -> str:
    """`within` are the variables that the text came from, outermost first."""
    parts, place = [], 0
    while (found := text.find("$", place)) >= 0:
        parts.append(text[place:found])
        if text.startswith("$$", found):
            parts.append("$")
            place = found + 2
        elif text.startswith("${", found):
            place = _end(text, found)
            parts.append(_value(text[found + 2 : place - 1], environ, within))
        else:
            parts.append("$")
            place = found + 1
    parts.append(text[place:])
    return "".join(parts)


def _end(text: str, start: int) -> int:
    """Behind the brace that closes the one at `start`."""
    depth = 0
    for mark in _MARK.finditer(text, start):
        depth += {"${": 1, "}": -1, "$$": 0}[mark[0]]
        if depth == 0:
            return mark.end()
    raise Unresolved("a '${' has no '}'; write '$$' for a dollar sign")


def _value(inner: str, environ: Mapping[str, str], within: tuple[str, ...]) -> str:
    name, has_default, default = inner.partition(":-")
    if not _NAME.fullmatch(name):
        raise Unresolved(
            "between '${' and '}' stands the name of a variable, or NAME:-DEFAULT; "
            "write '$$' for a dollar sign"
        )
    if name in within:
        circle = " -> ".join((*within[within.index(name) :], name))
        raise Unresolved(f"the variables go round in a circle: {circle}")
    value = environ.get(name)
    if has_default and not value:
        return _filled(default, environ, within)
    if value is None:
        named = f", which {within[-1]} names," if within else ""
        raise Unresolved(
            f"the variable {name}{named} is not set; write ${{{name}:-…}} for a default"
        )
    return _filled(value, environ, (*within, name))
