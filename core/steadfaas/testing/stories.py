"""What happened to an invocation, and what it waits for, in words for asserts and reports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from steadfaas import ids
from steadfaas.durations import format_duration
from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.failure import FailureRecord, describe_command, type_name
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Status
from steadfaas.runtime.engine import Engine
from steadfaas.store import invocations, keys
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T

_LONGEST_LABEL: Final = 60
_NEVER: Final = 200_000 * 86_400_000


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of a journal: `type` as in `Run` or `SleepCompletion`, `name` if it has one.

    `label` is the entry as reports show it (`Run charge`, `Call Stock/reserve`, `SetState total`),
    `message` the decoded message of steadfaas.wire.messages.
    """

    index: int
    type: str
    name: str
    label: str
    message: Any

    def __str__(self) -> str:
        return f"{self.index:>3} {self.label}"


def load(engine: Engine, id: bytes) -> Invocation | None:
    """The invocation as it is now; None if it is unknown or forgotten."""
    found = engine.outline(id)
    if found is None:
        return None
    return engine.ledger.lives.get(found.seq) or invocations.load(engine.store.reader, found.seq)


def journal(inv: Invocation) -> list[JournalEntry]:
    """The journal, decoded."""
    entries = []
    for index, (frame_type, payload) in enumerate(inv.journal):
        message = _decoded(frame_type, payload)
        name = getattr(message, "name", "")
        text = label(frame_type, payload)
        entries.append(JournalEntry(index, type_name(frame_type), name, text, message))
    return entries


def steps(inv: Invocation) -> dict[str, Any]:
    """The results of its steps by name; the failure of one that failed."""
    names: dict[int, str] = {}
    results: dict[str, Any] = {}
    for frame_type, payload in inv.journal:
        message = _decoded(frame_type, payload)
        if frame_type == T.RUN:
            names[message.result_completion_id] = message.name
        elif frame_type == T.RUN_COMPLETION and message.completion_id in names:
            content = b"" if message.value is None else message.value.content
            results[names[message.completion_id]] = message.failure or plain(content)
    return results


def awakeables(inv: Invocation) -> list[str]:
    """The ids of the awakeables that a suspended invocation waits for."""
    signals = decode(m.Suspension, inv.awaits or b"").waiting_signals
    return [
        ids.format_awakeable(inv.id, index)
        for index in signals
        if index >= ids.FIRST_AWAKEABLE_SIGNAL
    ]


def plain(content: bytes) -> Any:
    """A value from JSON; None for nothing, the bytes themselves if they are something else."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content


def label(frame_type: int, payload: bytes) -> str:
    """A journal entry as one reads it: its type, and what tells it from others of the type."""
    message = _decoded(frame_type, payload)
    what = type_name(frame_type)
    match message:
        case m.CallCommand() | m.OneWayCallCommand():
            key = f"{message.key}/" if message.key else ""
            what = f"{what} {message.service_name}/{key}{message.handler_name}"
        case m.SetStateCommand() | m.ClearStateCommand() | m.GetEagerStateCommand():
            what = f"{what} {_text(message.key)}"
        case m.GetLazyStateCommand():
            what = f"{what} {_text(message.key)}"
        case m.GetPromiseCommand() | m.PeekPromiseCommand() | m.CompletePromiseCommand():
            what = f"{what} {message.key}"
        case m.OutputCommand() if message.failure is not None:
            what = f"{what} failure {message.failure.code} {message.failure.message}"
        case m.OutputCommand() if message.value is not None:
            what = f"{what} {_text(message.value.content)}"
        case m.Completion() if message.failure is not None:
            what = f"{what} failure {message.failure.code} {message.failure.message}"
    name = getattr(message, "name", "")
    what = f"{what} {name}" if name else what
    return what if len(what) <= _LONGEST_LABEL else f"{what[: _LONGEST_LABEL - 1]}…"


def _decoded(frame_type: int, payload: bytes) -> Any:
    row = COMMANDS.get(frame_type)
    if row is not None:
        return decode(row.message, payload)
    if frame_type == T.INPUT:
        return decode(m.InputCommand, payload)
    if frame_type == T.SIGNAL:
        return decode(m.SignalNotification, payload)
    return decode(m.Completion, payload)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def target_of(inv: Invocation) -> str:
    """`Service/handler` or `Object/key/handler`."""
    parts = [inv.service, inv.handler] if inv.key is None else [inv.service, inv.key, inv.handler]
    return "/".join(parts)


def named(inv: Invocation) -> str:
    """Target and id."""
    return f"{target_of(inv)} ({ids.format_invocation(inv.id)})"


def situation(engine: Engine, inv: Invocation) -> str:
    """What an unfinished invocation is at, and what it waits for."""
    now = engine.clock.now()
    match inv.status:
        case Status.SUSPENDED:
            what = f"is suspended; it waits for {_awaited(inv, now)}"
        case Status.PAUSED:
            what = f"is paused after its attempts ran out: {failed(inv.failure)}"
        case Status.BACKING_OFF:
            what = f"retries {_when(inv.due_at, now)}: {failed(inv.failure)}"
        case Status.PENDING:
            what = f"stands in line for key '{inv.key}', which {_holder(engine, inv)} holds"
        case Status.SCHEDULED if inv.wants is not None:
            what = f"waits for a deployment that carries {inv.wants}"
        case Status.SCHEDULED:
            what = f"starts {_when(inv.due_at, now)}"
        case Status.RUNNING:
            what = "is running: its handler has not answered"
        case Status.READY:
            what = "is ready; it waits for a free slot (limits of concurrency)"
        case status:
            what = f"is {status.name.lower()}"
    return f"{named(inv)} {what}"


def _holder(engine: Engine, inv: Invocation) -> str:
    reader = engine.store.reader
    seq = keys.head_of_line(reader, inv.service, inv.key or "")
    holder = None if seq is None else invocations.load(reader, seq)
    return "another" if holder is None else named(holder)


def _awaited(inv: Invocation, now: int) -> str:
    awaits = decode(m.Suspension, inv.awaits or b"")
    things = [_completion(inv, completion, now) for completion in awaits.waiting_completions]
    things += [f"awakeable {id}" for id in awakeables(inv)]
    things += [f"signal '{name}'" for name in awaits.waiting_named_signals]
    return " or ".join(things) or "a cancellation"


def _completion(inv: Invocation, completion: int, now: int) -> str:
    for frame_type, payload in inv.journal:
        row = COMMANDS.get(frame_type)
        if row is None:
            continue
        command: Any = decode(row.message, payload)
        told_id = getattr(command, "invocation_id_notification_idx", 0)
        if completion not in (getattr(command, "result_completion_id", 0), told_id):
            continue
        match command:
            case m.SleepCommand():
                return f"a sleep that ends {_when(command.wake_up_time, now)}"
            case m.CallCommand():
                key = f"{command.key}/" if command.key else ""
                target = f"{command.service_name}/{key}{command.handler_name}"
                return f"the result of {target}{_told(inv, told_id)}"
            case m.GetPromiseCommand():
                return f"promise '{command.key}'"
            case m.AttachInvocationCommand():
                return f"the result of {command.invocation_id or 'another invocation'}"
            case _:
                return describe_command(frame_type, getattr(command, "name", ""))
    return f"completion {completion}"


def _told(inv: Invocation, completion: int) -> str:
    """The id of a callee, as the journal tells it, in brackets."""
    for frame_type, payload in inv.journal:
        if frame_type == T.CALL_INVOCATION_ID:
            told = decode(m.Completion, payload)
            if told.completion_id == completion:
                return f" ({told.invocation_id})"
    return ""


def _when(at: int | None, now: int) -> str:
    if at is None or at <= now:
        return "now"
    if at - now > _NEVER:
        return "never"
    return f"in {format_duration(at - now)}"


def failed(failure: FailureRecord | None) -> str:
    """Why an attempt failed, in one line."""
    if failure is None:
        return "no failure is recorded"
    text = f"{failure.code} {failure.message.splitlines()[0] if failure.message else ''}".strip()
    if failure.recorded or failure.issued:
        text += (
            f" (command {failure.command_index}: recorded {failure.recorded or 'nothing'},"
            f" the code now issues {failure.issued or 'nothing'})"
        )
    return text
