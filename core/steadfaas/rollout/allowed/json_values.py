"""JSON values as JSON Schema sees them: their kinds, which are the same, how to show them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from steadfaas.rollout.allowed.keywords import is_number

_SHOWN: Final = 5
_WIDEST: Final = 40


def kind_of(value: Any) -> str:
    """One of the kinds in `keywords.KINDS`. 1.0 is an integer, and true is no number."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if value == int(value) else "fraction"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same. 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if is_number(one) and is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def member(value: Any, values: Iterable[Any]) -> bool:
    """Whether a value is among others."""
    return any(equal(value, other) for other in values)


def show(value: Any) -> str:
    """A value for people: strings in single quotes, all else as JSON, cut where it is long."""
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def show_all(values: Iterable[Any]) -> str:
    """Several values for people; of many, the first few."""
    shown = [show(value) for value in values]
    rest = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
