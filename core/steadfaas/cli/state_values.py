"""State of a key: how the API carries it, and how people read and write it.

Values are bytes, nearly always JSON. In an editor the state is one JSON object: a value that is
JSON stands there as itself, other text as `{"$text": "…"}`, other bytes as `{"$base64": "…"}`. A
value that nobody touched keeps its very bytes, spaces and all.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

_TEXT: Final = "$text"
_BASE64: Final = "$base64"

State = dict[str, bytes]


def from_api(values: Mapping[str, Mapping[str, str]]) -> State:
    """The bytes of `{"n": {"utf8": "1"}}`."""
    return {
        name: value["utf8"].encode() if "utf8" in value else b64decode(value["base64"])
        for name, value in values.items()
    }


def to_api(state: State) -> dict[str, list[int]]:
    """As a change of state is sent."""
    return {name: list(value) for name, value in state.items()}


def shown(value: bytes) -> tuple[str, str]:
    """Text or base64 of a value, and which of them it is."""
    text = _decoded(value)
    if text is None:
        return b64encode(value).decode(), "base64"
    return text, "utf8"


def to_edit(state: State) -> dict[str, Any]:
    """The state as an editor shows it."""
    return {name: _to_edit(value) for name, value in state.items()}


def from_edit(edited: Mapping[str, Any], before: State) -> State:
    """The state that an editor left, with the bytes of `before` where nothing changed.

    Raises ValueError with the sentence for what cannot be understood.
    """
    untouched = to_edit(before)
    return {
        name: before[name]
        if name in before and _same(untouched[name], value)
        else _from_edit(name, value)
        for name, value in edited.items()
    }


def compact(value: object) -> bytes:
    """A JSON value as SDKs write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _to_edit(value: bytes) -> Any:
    text = _decoded(value)
    if text is None:
        return {_BASE64: b64encode(value).decode()}
    try:
        parsed = json.loads(text)
    except ValueError:
        return {_TEXT: text}
    # What looks like our own marks is not mistaken for them.
    return {_TEXT: text} if _is_marked(parsed) else parsed


def _from_edit(name: str, value: Any) -> bytes:
    if not _is_marked(value):
        return compact(value)
    [(mark, text)] = value.items()
    if not isinstance(text, str):
        raise ValueError(f"'{mark}' of '{name}' must be a text")
    try:
        return text.encode() if mark == _TEXT else b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"'{mark}' of '{name}' cannot be read: {error}") from error


def _is_marked(value: object) -> bool:
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in (_TEXT, _BASE64)


def _same(one: Any, other: Any) -> bool:
    # Python holds 1, 1.0 and true for equal; JSON does not.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
