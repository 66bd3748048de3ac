"""What happened to an invocation, and what it waits for, in words for asserts and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steadfaas import ids
from steadfaas.durations import format_duration
from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.failure import FailureRecord, describe_command, type_name
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Status
from steadfaas.runtime.engine import Engine
from steadfaas.store import invocations
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of a journal: `type` as in `Run` or `SleepCompletion`, `name` if it has one.

    `message` is the decoded message of steadfaas.wire.messages.
    """

    index: int
    type: str
    name: str
    message: Any

    def __str__(self) -> str:
        return f"{self.index:>3} {self.type}{' ' + self.name if self.name else ''}"


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
        row = COMMANDS.get(frame_type)
        kind: type[Any] = m.Completion
        if row is not None:
            kind = row.message
        elif frame_type == T.INPUT:
            kind = m.InputCommand
        elif frame_type == T.SIGNAL:
            kind = m.SignalNotification
        message = decode(kind, payload)
        entries.append(
            JournalEntry(index, type_name(frame_type), getattr(message, "name", ""), message)
        )
    return entries


def target_of(inv: Invocation) -> str:
    """`Service/handler` or `Service/key/handler`."""
    parts = [inv.service, inv.handler] if inv.key is None else [inv.service, inv.key, inv.handler]
    return "/".join(parts)


def situation(inv: Invocation, now: int) -> str:
    """What an unfinished invocation is at, and what it waits for."""
    name = f"{target_of(inv)} ({ids.format_invocation(inv.id)})"
    match inv.status:
        case Status.SUSPENDED:
            return f"{name} is suspended; it waits for {_awaited(inv, now)}"
        case Status.PAUSED:
            return f"{name} is paused after its attempts ran out: {_failed(inv.failure)}"
        case Status.BACKING_OFF:
            return f"{name} retries {_when(inv.due_at, now)}: {_failed(inv.failure)}"
        case Status.PENDING:
            return f"{name} stands in line for key '{inv.key}'"
        case Status.SCHEDULED:
            return f"{name} starts {_when(inv.due_at, now)}"
        case status:
            return f"{name} is {status.name.lower()}"


def _awaited(inv: Invocation, now: int) -> str:
    awaits = decode(m.Suspension, inv.awaits or b"")
    things = [_completion(inv, completion, now) for completion in awaits.waiting_completions]
    for index in awaits.waiting_signals:
        if index >= ids.FIRST_AWAKEABLE_SIGNAL:
            things.append(f"awakeable {ids.format_awakeable(inv.id, index)}")
    things += [f"signal '{name}'" for name in awaits.waiting_named_signals]
    return " or ".join(things) or "a cancellation"


def _completion(inv: Invocation, completion: int, now: int) -> str:
    for frame_type, payload in inv.journal:
        row = COMMANDS.get(frame_type)
        if row is None:
            continue
        command: Any = decode(row.message, payload)
        if completion not in (
            getattr(command, "result_completion_id", 0),
            getattr(command, "invocation_id_notification_idx", 0),
        ):
            continue
        match command:
            case m.SleepCommand():
                return f"a sleep that ends {_when(command.wake_up_time, now)}"
            case m.CallCommand():
                key = f"{command.key}/" if command.key else ""
                return f"the result of {command.service_name}/{key}{command.handler_name}"
            case m.GetPromiseCommand():
                return f"promise '{command.key}'"
            case m.AttachInvocationCommand():
                return f"the result of {command.invocation_id or 'another invocation'}"
            case _:
                return describe_command(frame_type, getattr(command, "name", ""))
    return f"completion {completion}"


def _when(at: int | None, now: int) -> str:
    if at is None or at <= now:
        return "now"
    if at - now > 200_000 * 86_400_000:
        return "never"
    return f"in {format_duration(at - now)}"


def _failed(failure: FailureRecord | None) -> str:
    if failure is None:
        return "no failure is recorded"
    text = f"{failure.code} {failure.message.splitlines()[0] if failure.message else ''}"
    if failure.recorded or failure.issued:
        text += (
            f" (command {failure.command_index}: recorded {failure.recorded or 'nothing'},"
            f" the code now issues {failure.issued or 'nothing'})"
        )
    return text
