"""Hypothesis strategies for every message class, made from the classes' own field tables."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from steadfaas.wire.codec import encode, varint
from steadfaas.wire.fields import (
    BOOL,
    BYTES,
    ENUM,
    MANY_BYTES,
    MANY_MESSAGE,
    MANY_STRING,
    MANY_UINT32,
    MESSAGE,
    STRING,
    UINT32,
    UINT64,
    Message,
    Spec,
    specs,
)
from steadfaas.wire.messages import MESSAGES

UNKNOWN_NUMBER = 1000


def nested_classes(cls: type[Message]) -> list[type[Message]]:
    """The message classes that `cls` has as fields, itself left out."""
    inside = {spec.message: None for spec in specs(cls).values() if spec.message}
    return [message for message in inside if message is not None]


def all_classes() -> list[type[Message]]:
    """Every message class, the nested ones included, in a stable order."""
    found: dict[type[Message], None] = {}
    pending = list(MESSAGES.values())
    while pending:
        cls = pending.pop()
        if cls not in found:
            found[cls] = None
            pending.extend(nested_classes(cls))
    return sorted(found, key=lambda cls: cls.__name__)


def unknown_field(wire_type: int) -> bytes:
    """A well-formed field that no message knows."""
    tag = varint(UNKNOWN_NUMBER << 3 | wire_type)
    inside = {
        0: b"\xac\x02",
        1: b"12345678",
        2: b"\x03abc",
        3: b"\x08\x01" + varint(UNKNOWN_NUMBER << 3 | 4),
        5: b"1234",
    }
    return tag + inside[wire_type]


UNKNOWN_WIRE_TYPES = (0, 1, 2, 3, 5)

_UINT32 = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
_UINT64 = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
_BYTES = st.one_of(st.binary(max_size=12), st.binary(min_size=120, max_size=140))
_TEXT = st.text(max_size=12)
_UNKNOWN = st.one_of(st.just(b""), st.sampled_from([unknown_field(t) for t in UNKNOWN_WIRE_TYPES]))

_VALUES: dict[int, st.SearchStrategy[Any]] = {
    UINT32: _UINT32,
    UINT64: _UINT64,
    BOOL: st.booleans(),
    ENUM: st.one_of(st.integers(0, 4), st.integers(-(2**31), 2**31 - 1)),
    MANY_UINT32: st.lists(_UINT32, max_size=4),
    BYTES: _BYTES,
    STRING: _TEXT,
    MANY_BYTES: st.lists(_BYTES, max_size=3),
    MANY_STRING: st.lists(_TEXT, max_size=3),
}


def messages(cls: type[Message], depth: int = 3) -> st.SearchStrategy[Message]:
    """Messages of one class, with at most one member of each oneof; `depth` bounds recursion."""

    @st.composite
    def build(draw: st.DrawFn) -> Message:
        message = cls(unknown=draw(_UNKNOWN))
        chosen: set[str] = set()
        for name, spec in specs(cls).items():
            if spec.oneof in chosen or not draw(st.booleans()):
                continue
            if spec.oneof:
                chosen.add(spec.oneof)
            setattr(message, name, draw(_value(cls, spec, depth)))
        return message

    return build()


def any_messages() -> st.SearchStrategy[Message]:
    """Messages of any class."""
    return st.sampled_from(all_classes()).flatmap(messages)


@st.composite
def damaged_payloads(draw: st.DrawFn) -> tuple[type[Message], bytes]:
    """A class and almost one of its payloads: a few bytes changed, added or cut."""
    message = draw(any_messages())
    payload = bytearray(encode(message))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(payload)))
        patch = draw(st.binary(max_size=3))
        payload[at : at + draw(st.integers(0, 2))] = patch
    return type(message), bytes(payload)


def _value(cls: type[Message], spec: Spec, depth: int) -> st.SearchStrategy[Any]:
    if spec.kind == MESSAGE:
        return messages(spec.message or cls, depth)
    if spec.kind == MANY_MESSAGE:
        if depth == 0:
            return st.just([])
        return st.lists(messages(spec.message or cls, depth - 1), max_size=2)
    return _VALUES[spec.kind]
