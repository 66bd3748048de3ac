"""Journal entries as JSON, in the shapes that Restate's clients know from `sys_journal`.

`entry_json` holds everything, payloads as arrays of byte values; `entry_lite_json` says what
happened and leaves payloads out. Both name an entry by two words: `{"Command": {"Run": …}}`.

A call does not hold its callee's id: the notification that answers it does. And it does not say
what kind of handler it calls: the catalogue does. `Surroundings` brings both; without them the id
is null and the kind is guessed from the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from steadfaas.machine.failure import type_name
from steadfaas.query.journal_fields import (
    COMMANDS,
    NOTHING_KNOWN,
    Callee,
    Json,
    Row,
    Surroundings,
    completion_tag,
    outcome,
    result_of,
    signal_id,
    tag,
    target_text,
)
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode
from steadfaas.wire.messages import MessageType as T

__all__ = [
    "NOTHING_KNOWN",
    "Callee",
    "Facts",
    "Surroundings",
    "callee_ids",
    "entry_json",
    "entry_lite_json",
    "entry_type",
    "facts",
]

_FIRST_NOTIFICATION: Final = 0x8000
#: The last millisecond of the year 9999, for sleeps that no calendar holds.
_END_OF_CALENDAR: Final = 253_402_300_799_999


class Facts(NamedTuple):
    """What can be told of an entry in a column of its own. None: does not apply.

    `name` is empty for a command without one. `sleep_wakeup_at` is in ms since the epoch.
    """

    name: str | None = None
    invoked_id: str | None = None
    invoked_target: str | None = None
    sleep_wakeup_at: int | None = None
    promise_name: str | None = None


def entry_type(frame_type: int) -> str:
    """`Command: Run`, `Notification: Signal`; a number where the type has no name."""
    return f"{_side(frame_type)}: {_kind_name(frame_type)}"


def callee_ids(entries: Iterable[tuple[int, bytes]]) -> dict[int, str]:
    """Who was called, by notification number, from frame types and payloads of a whole journal."""
    told = (
        _read(m.Completion, payload)
        for frame_type, payload in entries
        if frame_type == T.CALL_INVOCATION_ID
    )
    return {
        each.completion_id: each.invocation_id
        for each in told
        if each is not None and each.invocation_id is not None
    }


def entry_json(frame_type: int, payload: bytes, around: Surroundings = NOTHING_KNOWN) -> str:
    """The whole entry as JSON text. A damaged payload gives `{"unreadable": reason}` inside."""
    name = _kind_name(frame_type)
    try:
        return _text(_whole(frame_type, name, payload, around))
    except MalformedMessage as error:
        return _text({_side(frame_type): {name: {"unreadable": error.message}}})


def entry_lite_json(frame_type: int, payload: bytes, around: Surroundings = NOTHING_KNOWN) -> str:
    """The entry without payloads as JSON text. A damaged payload gives an entry without fields."""
    name = _kind_name(frame_type)
    try:
        return _text(_lite(frame_type, name, payload, around))
    except MalformedMessage:
        return _text({_side(frame_type): {name: {}}})


def facts(frame_type: int, payload: bytes, around: Surroundings = NOTHING_KNOWN) -> Facts:
    """The facts of an entry; none of a notification, or of a damaged payload."""
    row = COMMANDS.get(frame_type)
    command = None if row is None else _read(row.message, payload)
    match command:
        case None:
            return Facts()
        case m.CallCommand() | m.OneWayCallCommand():
            called = around.callee_ids.get(command.invocation_id_notification_idx)
            return Facts(command.name, called, target_text(command))
        case m.SleepCommand():
            wake_up = min(command.wake_up_time, _END_OF_CALENDAR)
            return Facts(command.name, sleep_wakeup_at=wake_up)
        case m.GetPromiseCommand() | m.PeekPromiseCommand() | m.CompletePromiseCommand():
            return Facts(command.name, promise_name=command.key)
        case _:
            return Facts(command.name)


# --- the two forms -----------------------------------------------------------------------------


def _whole(frame_type: int, name: str, payload: bytes, around: Surroundings) -> Json:
    if frame_type == T.SIGNAL:
        signal = decode(m.SignalNotification, payload)
        fields: Json = {"id": signal_id(signal), "result": result_of(signal)}
        return {"Notification": {"Signal": fields}}
    if frame_type >= _FIRST_NOTIFICATION:
        completion = decode(m.Completion, payload)
        fields = {"completion_id": completion.completion_id, **outcome(frame_type, completion)}
        return {"Notification": {"Completion": {name: fields}}}
    row = COMMANDS.get(frame_type)
    if row is None:
        return {"Command": {name: {}}}
    command: Any = decode(row.message, payload)
    return {"Command": {name: {**row.fields(command, around), "name": command.name}}}


def _lite(frame_type: int, name: str, payload: bytes, around: Surroundings) -> Json:
    if frame_type == T.SIGNAL:
        signal = decode(m.SignalNotification, payload)
        ((kind, value),) = signal_id(signal).items()
        id = {f"Signal{kind}": value}
        return {"Notification": {"ty": "Signal", "id": id, "result": tag(result_of(signal))}}
    if frame_type >= _FIRST_NOTIFICATION:
        completion = decode(m.Completion, payload)
        number = {"CompletionId": completion.completion_id}
        ty = {"Completion": name}
        return {"Notification": {"ty": ty, "id": number, "result": completion_tag(completion)}}
    row = COMMANDS.get(frame_type)
    if row is None:
        return {"Command": {name: {}}}
    command: Any = decode(row.message, payload)
    return {"Command": {name: _without_payloads(row, command, row.fields(command, around))}}


def _without_payloads(row: Row, command: Any, fields: Json) -> Json:
    request = fields.get("request")
    if request is not None:
        fields = {
            "invocation_id": request["invocation_id"],
            "invocation_target": request["invocation_target"],
            **fields,
        }
    kept = {name: value for name, value in fields.items() if name not in row.payloads}
    if "result" in kept:
        kept["result"] = tag(kept["result"])
    if row.named and command.name:
        kept["name"] = command.name
    return kept


def _text(value: Json) -> str:
    # Payloads are bytes up to here; as a list they are what the format wants.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=list)


def _read(cls: Any, payload: bytes) -> Any:
    try:
        return decode(cls, payload)
    except MalformedMessage:
        return None


def _side(frame_type: int) -> str:
    return "Notification" if frame_type >= _FIRST_NOTIFICATION else "Command"


def _kind_name(frame_type: int) -> str:
    return type_name(frame_type).removesuffix("Completion")
