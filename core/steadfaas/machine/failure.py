"""The last failed attempt of an invocation, as it is stored and shown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from steadfaas.errors import AttemptFailure
from steadfaas.wire.messages import MessageType

JOURNAL_MISMATCH = 570
# Characters kept of a text that an endpoint chose: the record is written again with every change.
LONGEST_TEXT: Final = 16_384


@dataclass(slots=True)
class FailureRecord:
    """Why the latest attempt failed. `code` is the RT code, `http_code` what a caller would see.

    For a journal mismatch (RT0016), `recorded` and `issued` are the two commands at
    `command_index`: the one in the journal and the one that the code issued this time, as "Type" or
    "Type name".
    """

    code: str
    http_code: int
    message: str
    at: int
    attempt: int
    deployment: str | None = None
    command_index: int | None = None
    command_name: str | None = None
    command_type: str | None = None
    recorded: str | None = None
    issued: str | None = None
    stacktrace: str = ""

    def to_json(self) -> str:
        """The stored form; absent fields are left out."""
        return json.dumps({k: v for k, v in asdict(self).items() if v not in (None, "")})

    @classmethod
    def from_json(cls, text: str) -> FailureRecord:
        """The reverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        fields.setdefault("message", "")
        fields.setdefault("stacktrace", "")
        return cls(**fields)


def type_name(frame_type: int) -> str:
    """The name of a frame type as users know it: `OneWayCall` for 0x040E."""
    try:
        name = MessageType(frame_type).name
    except ValueError:
        return f"0x{frame_type:04x}"
    return "".join(part.capitalize() for part in name.split("_"))


def describe_command(frame_type: int, name: str | None) -> str:
    """A command as one reads it: `Run charge-card`, or `Sleep` where it has no name."""
    return f"{type_name(frame_type)} {cut(name)}" if name else type_name(frame_type)


def cut(text: str) -> str:
    """The text, or its beginning where it is too long to be kept."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def record(
    failure: AttemptFailure, *, now: int, attempt: int, deployment: str | None, recorded: str | None
) -> FailureRecord:
    """The record of `failure`. `recorded` is the journal's command at the index it blames."""
    mismatch = failure.code == "RT0016"
    issued = (
        describe_command(failure.command_type, failure.command_name)
        if mismatch and failure.command_type is not None
        else None
    )
    return FailureRecord(
        code=failure.code,
        http_code=failure.http_code,
        message=cut(failure.message),
        at=now,
        attempt=attempt,
        deployment=deployment,
        command_index=failure.command_index,
        command_name=None if failure.command_name is None else cut(failure.command_name),
        command_type=None if failure.command_type is None else type_name(failure.command_type),
        recorded=recorded if mismatch else None,
        issued=issued,
        stacktrace=cut(failure.stacktrace),
    )
