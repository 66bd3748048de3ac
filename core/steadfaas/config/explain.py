"""Turns what the models found into sentences that name the place and what is allowed there.

What a `${NAME}` stood for is never repeated: variables often hold secrets. Nor is anything of
headers and protection, where somebody may have written the secret itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from steadfaas.config.places import Places, at
from steadfaas.config.problems import KeyPath, Problem
from steadfaas.config.shape import expected_at, unknown

_MOST: Final = 60


def explained(error: ValidationError, written: Any, places: Places) -> Iterator[Problem]:
    """The problems of one model; `written` is all that was given, before `${NAME}` was replaced."""
    for found in error.errors():
        yield from _problems(found, written, places)


def _problems(found: ErrorDetails, written: Any, places: Places) -> Iterator[Problem]:
    path, context = _path(found["loc"]), found.get("ctx", {})
    match found["type"]:
        case "twice":
            return  # told with both places, see `load`
        case "misfits":
            for names, reason in context["all"]:
                blamed = next((name for name in names if name in written), names[0])
                yield places.problem((blamed,), f"{reason}.")
        case "member" | "refused":
            path = (*path, *context.get("member", ()))
            yield places.problem(path, f"{context['reason']}.")
        case "extra_forbidden":
            yield places.problem(path, unknown(path))
        case "missing":
            yield places.problem(path, f"it is missing; expected {expected_at(path)}.")
        case "value_error" if isinstance(at(written, path), dict):
            yield places.problem(path, f"{context['error']}.")
        case _:
            yield places.problem(path, _sentence(path, found, at(written, path)))


def _path(location: tuple[str | int, ...]) -> KeyPath:
    """The place in the file: without the tag that tells a secret from a text."""
    match location:
        case ("deployments", int(), "headers", _, _, *_):
            return (*location[:4], *location[5:])
    return location


def _sentence(path: KeyPath, found: ErrorDetails, value: Any) -> str:
    expected = f"expected {expected_at(path)}"
    match path:
        case ("deployments", _, "headers" | "protection", *_):
            return f"{expected}."
    if isinstance(value, str) and value != found["input"]:
        return f"{expected}, got what {_shown(value)} stands for."
    reason = str(found.get("ctx", {}).get("error", ""))
    return f"{expected}, got {_shown(value)}{f': {reason}' if reason else ''}."


def _shown(value: Any) -> str:
    """A value as the file has it, cut to a length that can be read."""
    match value:
        case str() | bool() | int() | float():
            text = json.dumps(value, ensure_ascii=False)
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            text = str(value)
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"
