"""What the entries of a journal hold, field by field, as JSON. One row a command.

Payloads stay bytes here; whoever writes the text makes lists of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from steadfaas import ids
from steadfaas.machine.status import Kind
from steadfaas.wire import messages as m
from steadfaas.wire.fields import Message
from steadfaas.wire.messages import MessageType as T

Json: TypeAlias = dict[str, Any]

_DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Callee:
    """What is known of a handler that is called. Retentions are in milliseconds."""

    kind: Kind
    completion_retention: int = _DAY
    journal_retention: int = _DAY


def _nobody(service: str, handler: str) -> Callee | None:
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an entry's JSON holds that the entry does not.

    `callee_ids` are the ids of what a journal called, by the number of the notification that told
    them (see `callee_ids`); `callee` looks a handler up by service and name.
    """

    callee_ids: Mapping[int, str] = field(default_factory=dict)
    callee: Callable[[str, str], Callee | None] = _nobody


NOTHING_KNOWN: Final = Surroundings()


# --- parts of entries --------------------------------------------------------------------------


def _failure(failure: m.Failure) -> Json:
    metadata = [{"key": each.key, "value": each.value} for each in failure.metadata]
    shown: Json = {"code": failure.code, "message": failure.message}
    return {"Failure": {**shown, "metadata": metadata} if metadata else shown}


def _either(value: m.Value | None, failure: m.Failure | None) -> str | Json:
    if failure is not None:
        return _failure(failure)
    return "Void" if value is None else {"Success": value.content}


def result_of(message: Any) -> str | Json:
    """The result of a message whose fields are named as most are."""
    return _either(message.value, getattr(message, "failure", None))


def outcome(frame_type: int, completion: m.Completion) -> Json:
    """What a completion brought, under the name the format has for it."""
    if completion.invocation_id is not None:
        return {"invocation_id": completion.invocation_id}
    if completion.state_keys is not None:
        return {"state_keys": _keys(completion.state_keys)}
    return {} if frame_type == T.SLEEP_COMPLETION else {"result": result_of(completion)}


def completion_tag(completion: m.Completion) -> str:
    """What a completion brought, in a word."""
    if completion.invocation_id is not None:
        return "InvocationId"
    return "StateKeys" if completion.state_keys is not None else tag(result_of(completion))


def tag(result: str | Json) -> str:
    """A result without what it carries: `Success`, `Failure` or `Void`."""
    return result if isinstance(result, str) else next(iter(result))


def signal_id(signal: m.SignalNotification | m.SendSignalCommand) -> Json:
    """By what a signal is known: its number or its name."""
    if signal.signal_name is not None:
        return {"Name": signal.signal_name}
    return {"Index": signal.idx or 0}


def _headers(headers: Iterable[m.Header]) -> list[Json]:
    return [{"name": header.key, "value": header.value} for header in headers]


def _key(key: bytes) -> str:
    return key.decode("utf-8", "replace")


def _keys(keys: m.StateKeys | None) -> list[str]:
    return [] if keys is None else [_key(each) for each in keys.keys]


# --- calls -------------------------------------------------------------------------------------

_Call: TypeAlias = m.CallCommand | m.OneWayCallCommand

#: Kind of service, and kind of handler where a service has more than one.
_TARGETS: Final[dict[Kind, tuple[str, str | None]]] = {
    Kind.SERVICE: ("Service", None),
    Kind.OBJECT_EXCLUSIVE: ("VirtualObject", "Exclusive"),
    Kind.OBJECT_SHARED: ("VirtualObject", "Shared"),
    Kind.WORKFLOW_RUN: ("Workflow", "Workflow"),
    Kind.WORKFLOW_SHARED: ("Workflow", "Shared"),
}

#: The format has a place for traces. Calls carry none.
_NO_SPAN: Final[Json] = {
    "span_context": {
        "trace_id": [0] * 16,
        "span_id": [0] * 8,
        "trace_flags": 0,
        "is_remote": False,
        "trace_state": "",
    },
    "cause": None,
}


def target_text(call: _Call) -> str:
    """Whom a call means: `Service/handler` or `Service/key/handler`."""
    parts = [call.service_name, call.key, call.handler_name]
    return "/".join(parts if call.key else parts[::2])


def _request(call: _Call, around: Surroundings) -> Json:
    callee = around.callee(call.service_name, call.handler_name)
    if callee is None:
        callee = Callee(Kind.OBJECT_EXCLUSIVE if call.key else Kind.SERVICE)
    return {
        "invocation_id": around.callee_ids.get(call.invocation_id_notification_idx),
        "invocation_target": _target(call, callee.kind),
        "span_context": _NO_SPAN,
        "parameter": call.parameter,
        "headers": _headers(call.headers),
        "idempotency_key": call.idempotency_key,
        "completion_retention_duration": _duration(callee.completion_retention),
        "journal_retention_duration": _duration(callee.journal_retention),
    }


def _target(call: _Call, kind: Kind) -> Json:
    service, handler = _TARGETS[kind]
    if handler is None:
        target = {"name": call.service_name, "handler": call.handler_name}
    else:
        target = {
            "name": call.service_name,
            "key": call.key,
            "handler": call.handler_name,
            "handler_ty": handler,
        }
    return {service: {**target, "scope": None}}


def _duration(ms: int) -> Json:
    return {"secs": ms // 1000, "nanos": ms % 1000 * 1_000_000}


def _attached(command: m.AttachInvocationCommand | m.GetInvocationOutputCommand) -> Json:
    request, workflow = command.idempotent_request_target, command.workflow_target
    if request is not None:
        fields: Json = {
            "service_name": request.service_name,
            "service_key": request.service_key,
            "service_handler": request.handler_name,
            "idempotency_key": request.idempotency_key,
            "scope": None,
            "partition_key": _partition(
                request.idempotency_key if request.service_key is None else request.service_key
            ),
        }
        return {"IdempotentRequest": fields}
    if workflow is not None:
        fields = {
            "service_name": workflow.workflow_name,
            "key": workflow.workflow_key,
            "partition_key": _partition(workflow.workflow_key),
            "scope": None,
        }
        return {"Workflow": fields}
    return {"InvocationId": command.invocation_id}


def _partition(key: str) -> int:
    return int.from_bytes(ids.key_partition(key), "little")


# --- the commands, in the order of the protocol ------------------------------------------------


class Row(NamedTuple):
    """How a command is shown: its fields, those left out of the short form, and whether that form
    keeps the name."""

    message: type[Message]
    fields: Callable[[Any, Surroundings], Json]
    payloads: tuple[str, ...] = ()
    named: bool = False


def _completable(command: Any, _: Surroundings) -> Json:
    return {"completion_id": command.result_completion_id}


def _keyed(command: Any, _: Surroundings) -> Json:
    """State keys are bytes, promise keys are text."""
    return {"key": _key(command.key) if isinstance(command.key, bytes) else command.key}


def _keyed_completable(command: Any, around: Surroundings) -> Json:
    return {**_keyed(command, around), **_completable(command, around)}


def _attachable(command: Any, around: Surroundings) -> Json:
    return {"target": _attached(command), **_completable(command, around)}


def _input(command: m.InputCommand, _: Surroundings) -> Json:
    payload = b"" if command.value is None else command.value.content
    return {"headers": _headers(command.headers), "payload": payload}


def _set_state(command: m.SetStateCommand, around: Surroundings) -> Json:
    value = b"" if command.value is None else command.value.content
    return {**_keyed(command, around), "value": value}


def _complete_promise(command: m.CompletePromiseCommand, around: Surroundings) -> Json:
    value = _either(command.completion_value, command.completion_failure)
    return {"key": command.key, "value": value, **_completable(command, around)}


def _sleep(command: m.SleepCommand, around: Surroundings) -> Json:
    return {"wake_up_time": command.wake_up_time, **_completable(command, around)}


def _call(command: m.CallCommand, around: Surroundings) -> Json:
    return {
        "request": _request(command, around),
        "invocation_id_completion_id": command.invocation_id_notification_idx,
        "result_completion_id": command.result_completion_id,
    }


def _one_way_call(command: m.OneWayCallCommand, around: Surroundings) -> Json:
    return {
        "request": _request(command, around),
        "invoke_time": command.invoke_time,
        "invocation_id_completion_id": command.invocation_id_notification_idx,
    }


def _send_signal(command: m.SendSignalCommand, _: Surroundings) -> Json:
    return {
        "target_invocation_id": command.target_invocation_id,
        "signal_id": signal_id(command),
        "result": result_of(command),
    }


def _awakeable(command: m.CompleteAwakeableCommand, _: Surroundings) -> Json:
    return {"id": command.awakeable_id, "result": result_of(command)}


COMMANDS: Final[dict[int, Row]] = {
    T.INPUT: Row(m.InputCommand, _input, ("headers", "payload")),
    T.OUTPUT: Row(m.OutputCommand, lambda command, _: {"result": result_of(command)}),
    T.GET_LAZY_STATE: Row(m.GetLazyStateCommand, _keyed_completable),
    T.SET_STATE: Row(m.SetStateCommand, _set_state, ("value",)),
    T.CLEAR_STATE: Row(m.ClearStateCommand, _keyed),
    T.CLEAR_ALL_STATE: Row(m.ClearAllStateCommand, lambda *_: {}),
    T.GET_LAZY_STATE_KEYS: Row(m.GetLazyStateKeysCommand, _completable),
    T.GET_EAGER_STATE: Row(
        m.GetEagerStateCommand,
        lambda command, around: {**_keyed(command, around), "result": result_of(command)},
    ),
    T.GET_EAGER_STATE_KEYS: Row(
        m.GetEagerStateKeysCommand,
        lambda command, _: {"state_keys": _keys(command.value)},
        ("state_keys",),
    ),
    T.GET_PROMISE: Row(m.GetPromiseCommand, _keyed_completable),
    T.PEEK_PROMISE: Row(m.PeekPromiseCommand, _keyed_completable),
    T.COMPLETE_PROMISE: Row(m.CompletePromiseCommand, _complete_promise, ("value",)),
    T.SLEEP: Row(m.SleepCommand, _sleep, named=True),
    T.CALL: Row(m.CallCommand, _call, ("request",), named=True),
    T.ONE_WAY_CALL: Row(m.OneWayCallCommand, _one_way_call, ("request",), named=True),
    T.SEND_SIGNAL: Row(m.SendSignalCommand, _send_signal),
    T.RUN: Row(m.RunCommand, _completable, named=True),
    T.ATTACH_INVOCATION: Row(m.AttachInvocationCommand, _attachable),
    T.GET_INVOCATION_OUTPUT: Row(m.GetInvocationOutputCommand, _attachable),
    T.COMPLETE_AWAKEABLE: Row(m.CompleteAwakeableCommand, _awakeable),
}
