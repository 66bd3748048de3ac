"""Reads members of decoded JSON objects, and says in one sentence what is wrong with them.

Endpoints are not trusted: every member is checked for its type and range before anything relies on
it. A missing member and an explicit null are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

# Numbers are counts and milliseconds. The bound is what a signed 64-bit column can hold.
MAX_NUMBER: Final = 2**63 - 1
# Documents nest by a handful of levels, JSON schemas by some dozens; parsers fall at about 1000.
MAX_DEPTH: Final = 128


class BadShape(ValueError):
    """A JSON document is not of the expected form; the text says where and how."""


def decode(body: bytes | str) -> dict[str, Any]:
    """The JSON object in `body`. Raises BadShape for anything else, NaN and deep nesting too."""
    try:
        document = json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise BadShape(f"it is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # also broken UTF-8 and absurdly long integers
        raise BadShape(f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadShape(f"it is {_kind(document)}, not an object")
    _check_depth(document)
    return document


def encode(value: object) -> str:
    """Compact JSON in pure ASCII, so that even lone surrogates survive being stored."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def text(obj: Mapping[str, Any], key: str, where: str) -> str | None:
    """A string, or None where the member is missing."""
    value = obj.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(where, key, "a string", value)
    return value


def flag(obj: Mapping[str, Any], key: str, where: str) -> bool | None:
    """A boolean, or None where the member is missing."""
    value = obj.get(key)
    if value is not None and not isinstance(value, bool):
        raise _wrong(where, key, "true or false", value)
    return value


def whole(obj: Mapping[str, Any], key: str, where: str) -> int | None:
    """An integer from 0 to 2^63 - 1, or None where the member is missing."""
    value = obj.get(key)
    if value is None:
        return None
    # bool is an int in Python, but true is not a number in JSON.
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(where, key, "a whole number", value)
    if not 0 <= value <= MAX_NUMBER:
        raise BadShape(f"'{key}' of {where} is out of range: expected 0 to 2^63 - 1")
    return value


def number(obj: Mapping[str, Any], key: str, where: str) -> float | None:
    """A finite number, not negative, or None where the member is missing."""
    value = obj.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(where, key, "a number", value)
    if not 0 <= value <= MAX_NUMBER:
        raise BadShape(f"'{key}' of {where} is out of range: expected 0 to 2^63 - 1")
    return float(value)


def child(obj: Mapping[str, Any], key: str, where: str) -> dict[str, Any] | None:
    """An object, or None where the member is missing."""
    value = obj.get(key)
    if value is not None and not isinstance(value, dict):
        raise _wrong(where, key, "an object", value)
    return value


def children(obj: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """A list of objects. A missing one is refused."""
    value = obj.get(key)
    if not isinstance(value, list):
        raise _wrong(where, key, "a list of objects", value)
    for item in value:
        if not isinstance(item, dict):
            raise BadShape(f"'{key}' of {where} must hold objects only, but holds {_kind(item)}")
    return value


def texts(obj: Mapping[str, Any], key: str, where: str) -> dict[str, str]:
    """An object of strings; empty where the member is missing."""
    value = child(obj, key, where) or {}
    for name, item in value.items():
        if not isinstance(item, str):
            raise BadShape(
                f"{show(name)} in '{key}' of {where} must be a string, but is {_kind(item)}"
            )
    return value


def show(untrusted: str) -> str:
    """Somebody else's text, quoted and cut, fit to stand in an error message."""
    return ascii(untrusted if len(untrusted) <= 80 else untrusted[:77] + "...")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError(f"the number {literal[:20]} is too large")
    return value


def _refuse(literal: str) -> float:
    raise ValueError(f"{literal} is not a JSON number")


def _check_depth(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise BadShape(f"it is nested more than {MAX_DEPTH} levels deep")


def _wrong(where: str, key: str, expected: str, value: object) -> BadShape:
    if value is None:
        return BadShape(f"'{key}' of {where} is missing: expected {expected}")
    return BadShape(f"'{key}' of {where} must be {expected}, but is {_kind(value)}")


_KINDS: Final = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS[type(value)]
