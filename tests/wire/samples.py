"""The captured bodies under tests/data/wire, as frames and as the messages they describe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steadfaas.wire.fields import MANY_MESSAGE, MANY_UINT32, MESSAGE, Message, specs
from steadfaas.wire.messages import MESSAGES

DATA = Path(__file__).parent.parent / "data" / "wire"

#: The field that has another name here, because `name` is the entry's: see messages.py.
_SIGNAL_NAME = "3:name"


@dataclass(frozen=True, slots=True)
class SampleFrame:
    """One captured frame. `where` names it in test output."""

    where: str
    type: int
    flags: int
    raw: bytes
    fields: list[tuple[str, Any]]

    @property
    def payload(self) -> bytes:
        return self.raw[8:]

    def message(self) -> Message:
        """The message, built from the sample's own decoding."""
        return build(MESSAGES[self.type], self.fields)


@dataclass(frozen=True, slots=True)
class SampleBody:
    """The frames of one captured request or response."""

    where: str
    frames: list[SampleFrame]

    @property
    def raw(self) -> bytes:
        return b"".join(frame.raw for frame in self.frames)


def bodies() -> list[SampleBody]:
    """Every list of frames in every file."""
    return [
        _body(f"{path.stem}/{number}", items)
        for path in sorted(DATA.glob("*.json"))
        for number, items in enumerate(_frame_lists(json.loads(path.read_text())))
    ]


def frames() -> list[SampleFrame]:
    """Every frame of every body."""
    return [frame for body in bodies() for frame in body.frames]


def build(cls: type[Message], pairs: list[Any]) -> Message:
    """A message from `[["1:key", value], ...]`, as the samples' README describes it."""
    message = cls()
    known = specs(cls)
    for label, value in pairs:
        number, name = label.split(":")
        if label == _SIGNAL_NAME and "signal_name" in known:
            name = "signal_name"
        spec = known[name]
        assert spec.number == int(number), f"{cls.__name__}.{name}"
        if spec.kind in (MESSAGE, MANY_MESSAGE):
            value = build(spec.message or cls, value)
        elif isinstance(value, dict):
            value = bytes.fromhex(value["hex"]) if "hex" in value else value["utf8"].encode()
        elif isinstance(getattr(message, name), int):
            value = type(getattr(message, name))(value)  # random_seed is a text in JSON
        if isinstance(getattr(message, name), list) and spec.kind != MANY_UINT32:
            getattr(message, name).append(value)
        else:
            setattr(message, name, value)
    return message


def _frame_lists(node: Any) -> Iterator[list[dict[str, Any]]]:
    if isinstance(node, dict):
        for child in node.values():
            yield from _frame_lists(child)
    elif isinstance(node, list):
        if node and isinstance(node[0], dict) and "flags" in node[0]:
            yield node
        else:
            for child in node:
                yield from _frame_lists(child)


def _body(where: str, items: list[dict[str, Any]]) -> SampleBody:
    return SampleBody(
        where,
        [
            SampleFrame(
                where=f"{where}/{position}/{item['name']}",
                type=int(item["type"], 16),
                flags=int(item["flags"], 16),
                raw=bytes.fromhex(item["hex"]),
                fields=item["fields"],
            )
            for position, item in enumerate(items)
        ],
    )
