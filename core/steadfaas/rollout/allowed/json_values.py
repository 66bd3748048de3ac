"""JSON values as JSON Schema sees them: their kinds, which are the same, how to show them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

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


def key_of(value: Any) -> Hashable:
    """A key that is the same for values that are: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return "object", frozenset((name, key_of(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(map(key_of, value))
    return isinstance(value, bool), value


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same."""
    return key_of(one) == key_of(other)


Values = Mapping[Hashable, Any]  # by their keys, in the order of the schema


def by_key(values: Iterable[Any]) -> Values:
    """Values, each of them once."""
    found: dict[Hashable, Any] = {}
    for value in values:
        found.setdefault(key_of(value), value)
    return found


def show(value: Any) -> str:
    """A value for people: strings in single quotes, all else as JSON, cut where it is long."""
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def show_all(values: Iterable[Any]) -> str:
    """Several values for people; of many, the first few."""
    shown = [show(value) for value in values]
    rest = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
