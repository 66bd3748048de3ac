"""The messages of the service protocol, versions 5 to 7, and the frame types that carry them.

Read it beside the protocol: names and numbers are the protocol's. Three places need care. SetState
has its value in field 3 and Output and Input in 14. ProposeRunCompletion carries bare bytes where
everything else carries a `Value`. The two call commands number their fields differently from 4 on.

`name` is the entry's name for people, field 12 of nearly every command. Where the protocol has a
second field called `name`, that one is `signal_name` here.
"""
# A call as a field's default is the point of `fields`: it makes a dataclass field, nothing shared.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from steadfaas.wire.codec import prepare
from steadfaas.wire.fields import (
    Message,
    boolean,
    enumeration,
    nested,
    nested_list,
    octet_strings,
    octets,
    string,
    strings,
    uint32,
    uint32s,
    uint64,
)


class MessageType(IntEnum):
    """Frame types. Control below 0x0400, commands below 0x8000, above them notifications.

    The hot path should bind the members it compares with to module constants.
    """

    START = 0x0000
    SUSPENSION = 0x0001
    ERROR = 0x0002
    END = 0x0003
    COMMAND_ACK = 0x0004
    PROPOSE_RUN_COMPLETION = 0x0005
    AWAITING_ON = 0x0006
    PROPOSE_RUN_COMPLETION_ACK = 0x0007

    INPUT = 0x0400
    OUTPUT = 0x0401
    GET_LAZY_STATE = 0x0402
    SET_STATE = 0x0403
    CLEAR_STATE = 0x0404
    CLEAR_ALL_STATE = 0x0405
    GET_LAZY_STATE_KEYS = 0x0406
    GET_EAGER_STATE = 0x0407
    GET_EAGER_STATE_KEYS = 0x0408
    GET_PROMISE = 0x0409
    PEEK_PROMISE = 0x040A
    COMPLETE_PROMISE = 0x040B
    SLEEP = 0x040C
    CALL = 0x040D
    ONE_WAY_CALL = 0x040E
    SEND_SIGNAL = 0x0410
    RUN = 0x0411
    ATTACH_INVOCATION = 0x0412
    GET_INVOCATION_OUTPUT = 0x0413
    COMPLETE_AWAKEABLE = 0x0414

    GET_LAZY_STATE_COMPLETION = 0x8002
    GET_LAZY_STATE_KEYS_COMPLETION = 0x8006
    GET_PROMISE_COMPLETION = 0x8009
    PEEK_PROMISE_COMPLETION = 0x800A
    COMPLETE_PROMISE_COMPLETION = 0x800B
    SLEEP_COMPLETION = 0x800C
    CALL_COMPLETION = 0x800D
    CALL_INVOCATION_ID = 0x800E
    RUN_COMPLETION = 0x8011
    ATTACH_INVOCATION_COMPLETION = 0x8012
    GET_INVOCATION_OUTPUT_COMPLETION = 0x8013

    SIGNAL = 0xFBFF


class CombinatorType(IntEnum):
    """When a `Future` node counts as completed (v7)."""

    UNKNOWN = 0
    FIRST_COMPLETED = 1
    ALL_COMPLETED = 2
    FIRST_SUCCEEDED_OR_ALL_FAILED = 3
    ALL_SUCCEEDED_OR_FIRST_FAILED = 4


class ErrorBehavior(IntEnum):
    """What an endpoint wants done after its `Error` (v7)."""

    RETRY = 0
    PAUSE = 1
    FAIL = 2


# --- values inside messages -------------------------------------------------------------------


@dataclass(slots=True, eq=False, repr=False)
class Void(Message):
    """Nothing, said on purpose: a field of its own on the wire, of length 0."""


@dataclass(slots=True, eq=False, repr=False)
class Value(Message):
    """A user's value, as the handler serialised it."""

    content: bytes = octets(1)


@dataclass(slots=True, eq=False, repr=False)
class FailureMetadata(Message):
    """One pair of a failure's metadata."""

    key: str = string(1)
    value: str = string(2)


@dataclass(slots=True, eq=False, repr=False)
class Failure(Message):
    """A terminal failure: an HTTP-like code, a sentence, and metadata from version 6 on."""

    code: int = uint32(1)
    message: str = string(2)
    metadata: list[FailureMetadata] = nested_list(3, FailureMetadata)


@dataclass(slots=True, eq=False, repr=False)
class Header(Message):
    """One header of an invocation."""

    key: str = string(1)
    value: str = string(2)


@dataclass(slots=True, eq=False, repr=False)
class StateEntry(Message):
    """One key of eager state with its value."""

    key: bytes = octets(1)
    value: bytes = octets(2)


@dataclass(slots=True, eq=False, repr=False)
class StateKeys(Message):
    """The keys of an object's state."""

    keys: list[bytes] = octet_strings(1)


@dataclass(slots=True, eq=False, repr=False)
class IdempotentRequestTarget(Message):
    """An invocation named by the idempotency key it was sent with."""

    service_name: str = string(1)
    service_key: str | None = string(2, optional=True)
    handler_name: str = string(3)
    idempotency_key: str = string(4)
    scope: str | None = string(5, optional=True)


@dataclass(slots=True, eq=False, repr=False)
class WorkflowTarget(Message):
    """The run of a workflow."""

    workflow_name: str = string(1)
    workflow_key: str = string(2)
    scope: str | None = string(3, optional=True)


@dataclass(slots=True, eq=False, repr=False)
class Future(Message):
    """A node of what a handler waits for (v7): leaves by id, nodes below, and how they combine."""

    waiting_completions: list[int] = uint32s(1)
    waiting_signals: list[int] = uint32s(2)
    waiting_named_signals: list[str] = strings(3)
    nested_futures: list[Future] = nested_list(4, None)
    combinator_type: int = enumeration(5)


# --- control ----------------------------------------------------------------------------------


@dataclass(slots=True, eq=False, repr=False)
class Start(Message):
    """Opens a request: who is invoked, how many journal entries follow, eager state, retry facts.

    `partial_state` true means that keys may exist which `state_map` does not hold. The duration is
    in milliseconds. `random_seed` belongs to version 6, the last three fields to version 7.
    """

    id: bytes = octets(1)
    debug_id: str = string(2)
    known_entries: int = uint32(3)
    state_map: list[StateEntry] = nested_list(4, StateEntry)
    partial_state: bool = boolean(5)
    key: str = string(6)
    retry_count_since_last_stored_entry: int = uint32(7)
    duration_since_last_stored_entry: int = uint64(8)
    random_seed: int = uint64(9)
    scope: str | None = string(10, optional=True)
    limit_key: str | None = string(11, optional=True)
    idempotency_key: str | None = string(12, optional=True)


@dataclass(slots=True, eq=False, repr=False)
class Suspension(Message):
    """Closes an answer: the handler waits for any of these (v5, v6) or for this tree (v7)."""

    waiting_completions: list[int] = uint32s(1)
    waiting_signals: list[int] = uint32s(2)
    waiting_named_signals: list[str] = strings(3)
    awaiting_on: Future | None = nested(4, Future)


@dataclass(slots=True, eq=False, repr=False)
class Error(Message):
    """Closes an answer: the attempt failed. `next_retry_delay` is in milliseconds."""

    code: int = uint32(1)
    message: str = string(2)
    stacktrace: str = string(3)
    related_command_index: int | None = uint32(4, optional=True)
    related_command_name: str | None = string(5, optional=True)
    related_command_type: int | None = uint32(6, optional=True)
    next_retry_delay: int | None = uint64(8, optional=True)
    behavior: int = enumeration(9)


@dataclass(slots=True, eq=False, repr=False)
class End(Message):
    """Closes an answer: the handler ended, and its Output stands."""


@dataclass(slots=True, eq=False, repr=False)
class CommandAck(Message):
    """A command is stored (full duplex only)."""

    command_index: int = uint32(1)


@dataclass(slots=True, eq=False, repr=False)
class ProposeRunCompletion(Message):
    """The result of a run step, to be stored. `value` is bare bytes, not a `Value`."""

    result_completion_id: int = uint32(1)
    value: bytes | None = octets(14, oneof="result")
    failure: Failure | None = nested(15, Failure, oneof="result")


@dataclass(slots=True, eq=False, repr=False)
class AwaitingOn(Message):
    """What the handler waits for just now (v7, full duplex only)."""

    awaiting_on: Future | None = nested(1, Future)
    executing_side_effects: bool = boolean(2)


@dataclass(slots=True, eq=False, repr=False)
class ProposeRunCompletionAck(Message):
    """A proposed result is stored (v7, full duplex only)."""

    completion_id: int = uint32(1)


# --- commands ---------------------------------------------------------------------------------


@dataclass(slots=True, eq=False, repr=False)
class InputCommand(Message):
    """The request: always the first entry of a journal."""

    headers: list[Header] = nested_list(1, Header)
    value: Value | None = nested(14, Value)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class OutputCommand(Message):
    """The result of the invocation; takes effect with `End`."""

    value: Value | None = nested(14, Value, oneof="result")
    failure: Failure | None = nested(15, Failure, oneof="result")
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class GetLazyStateCommand(Message):
    """Read a key of the state now."""

    key: bytes = octets(1)
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class SetStateCommand(Message):
    """Write a key of the state."""

    key: bytes = octets(1)
    value: Value | None = nested(3, Value)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class ClearStateCommand(Message):
    """Delete a key of the state."""

    key: bytes = octets(1)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class ClearAllStateCommand(Message):
    """Delete the whole state."""

    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class GetLazyStateKeysCommand(Message):
    """List the keys of the state now."""

    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class GetEagerStateCommand(Message):
    """A record of a read from the eager state, with its answer."""

    key: bytes = octets(1)
    void: Void | None = nested(13, Void, oneof="result")
    value: Value | None = nested(14, Value, oneof="result")
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class GetEagerStateKeysCommand(Message):
    """A record of listing the eager state's keys, with its answer."""

    value: StateKeys | None = nested(14, StateKeys)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class GetPromiseCommand(Message):
    """Wait for a workflow's promise."""

    key: str = string(1)
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class PeekPromiseCommand(Message):
    """Look at a workflow's promise without waiting."""

    key: str = string(1)
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class CompletePromiseCommand(Message):
    """Resolve or reject a workflow's promise."""

    key: str = string(1)
    completion_value: Value | None = nested(2, Value, oneof="completion")
    completion_failure: Failure | None = nested(3, Failure, oneof="completion")
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class SleepCommand(Message):
    """Wait until `wake_up_time`, in milliseconds since the epoch."""

    wake_up_time: int = uint64(1)
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class CallCommand(Message):
    """Invoke a handler and wait for its result. An empty `key` means a service without keys."""

    service_name: str = string(1)
    handler_name: str = string(2)
    parameter: bytes = octets(3)
    headers: list[Header] = nested_list(4, Header)
    key: str = string(5)
    idempotency_key: str | None = string(6, optional=True)
    invocation_id_notification_idx: int = uint32(10)
    result_completion_id: int = uint32(11)
    name: str = string(12)
    scope: str | None = string(7, optional=True)
    limit_key: str | None = string(8, optional=True)


@dataclass(slots=True, eq=False, repr=False)
class OneWayCallCommand(Message):
    """Invoke a handler and go on; `invoke_time` in milliseconds since the epoch, 0 for now."""

    service_name: str = string(1)
    handler_name: str = string(2)
    parameter: bytes = octets(3)
    invoke_time: int = uint64(4)
    headers: list[Header] = nested_list(5, Header)
    key: str = string(6)
    idempotency_key: str | None = string(7, optional=True)
    invocation_id_notification_idx: int = uint32(10)
    name: str = string(12)
    scope: str | None = string(8, optional=True)
    limit_key: str | None = string(9, optional=True)


@dataclass(slots=True, eq=False, repr=False)
class SendSignalCommand(Message):
    """Signal another invocation. Signal 1 with `void` cancels it."""

    target_invocation_id: str = string(1)
    idx: int | None = uint32(2, oneof="signal_id")
    signal_name: str | None = string(3, oneof="signal_id")
    void: Void | None = nested(4, Void, oneof="result")
    value: Value | None = nested(5, Value, oneof="result")
    failure: Failure | None = nested(6, Failure, oneof="result")
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class RunCommand(Message):
    """A run step; its result comes by `ProposeRunCompletion`."""

    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class AttachInvocationCommand(Message):
    """Wait for the result of another invocation."""

    invocation_id: str | None = string(1, oneof="target")
    idempotent_request_target: IdempotentRequestTarget | None = nested(
        3, IdempotentRequestTarget, oneof="target"
    )
    workflow_target: WorkflowTarget | None = nested(4, WorkflowTarget, oneof="target")
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class GetInvocationOutputCommand(Message):
    """Look at the result of another invocation without waiting."""

    invocation_id: str | None = string(1, oneof="target")
    idempotent_request_target: IdempotentRequestTarget | None = nested(
        3, IdempotentRequestTarget, oneof="target"
    )
    workflow_target: WorkflowTarget | None = nested(4, WorkflowTarget, oneof="target")
    result_completion_id: int = uint32(11)
    name: str = string(12)


@dataclass(slots=True, eq=False, repr=False)
class CompleteAwakeableCommand(Message):
    """Resolve or reject an awakeable, which is a signal to the invocation its id names."""

    awakeable_id: str = string(1)
    value: Value | None = nested(2, Value, oneof="result")
    failure: Failure | None = nested(3, Failure, oneof="result")
    name: str = string(12)


# --- notifications ----------------------------------------------------------------------------


@dataclass(slots=True, eq=False, repr=False)
class Completion(Message):
    """The result of a command. The frame type says of which; that limits the variants."""

    completion_id: int = uint32(1)
    void: Void | None = nested(4, Void, oneof="result")
    value: Value | None = nested(5, Value, oneof="result")
    failure: Failure | None = nested(6, Failure, oneof="result")
    invocation_id: str | None = string(16, oneof="result")
    state_keys: StateKeys | None = nested(17, StateKeys, oneof="result")


@dataclass(slots=True, eq=False, repr=False)
class SignalNotification(Message):
    """A signal that arrived, by number or by name."""

    idx: int | None = uint32(2, oneof="signal_id")
    signal_name: str | None = string(3, oneof="signal_id")
    void: Void | None = nested(4, Void, oneof="result")
    value: Value | None = nested(5, Value, oneof="result")
    failure: Failure | None = nested(6, Failure, oneof="result")


#: The message class a frame type carries. A type that is not here is a protocol violation.
MESSAGES: Final[dict[int, type[Message]]] = {
    MessageType.START: Start,
    MessageType.SUSPENSION: Suspension,
    MessageType.ERROR: Error,
    MessageType.END: End,
    MessageType.COMMAND_ACK: CommandAck,
    MessageType.PROPOSE_RUN_COMPLETION: ProposeRunCompletion,
    MessageType.AWAITING_ON: AwaitingOn,
    MessageType.PROPOSE_RUN_COMPLETION_ACK: ProposeRunCompletionAck,
    MessageType.INPUT: InputCommand,
    MessageType.OUTPUT: OutputCommand,
    MessageType.GET_LAZY_STATE: GetLazyStateCommand,
    MessageType.SET_STATE: SetStateCommand,
    MessageType.CLEAR_STATE: ClearStateCommand,
    MessageType.CLEAR_ALL_STATE: ClearAllStateCommand,
    MessageType.GET_LAZY_STATE_KEYS: GetLazyStateKeysCommand,
    MessageType.GET_EAGER_STATE: GetEagerStateCommand,
    MessageType.GET_EAGER_STATE_KEYS: GetEagerStateKeysCommand,
    MessageType.GET_PROMISE: GetPromiseCommand,
    MessageType.PEEK_PROMISE: PeekPromiseCommand,
    MessageType.COMPLETE_PROMISE: CompletePromiseCommand,
    MessageType.SLEEP: SleepCommand,
    MessageType.CALL: CallCommand,
    MessageType.ONE_WAY_CALL: OneWayCallCommand,
    MessageType.SEND_SIGNAL: SendSignalCommand,
    MessageType.RUN: RunCommand,
    MessageType.ATTACH_INVOCATION: AttachInvocationCommand,
    MessageType.GET_INVOCATION_OUTPUT: GetInvocationOutputCommand,
    MessageType.COMPLETE_AWAKEABLE: CompleteAwakeableCommand,
    MessageType.GET_LAZY_STATE_COMPLETION: Completion,
    MessageType.GET_LAZY_STATE_KEYS_COMPLETION: Completion,
    MessageType.GET_PROMISE_COMPLETION: Completion,
    MessageType.PEEK_PROMISE_COMPLETION: Completion,
    MessageType.COMPLETE_PROMISE_COMPLETION: Completion,
    MessageType.SLEEP_COMPLETION: Completion,
    MessageType.CALL_COMPLETION: Completion,
    MessageType.CALL_INVOCATION_ID: Completion,
    MessageType.RUN_COMPLETION: Completion,
    MessageType.ATTACH_INVOCATION_COMPLETION: Completion,
    MessageType.GET_INVOCATION_OUTPUT_COMPLETION: Completion,
    MessageType.SIGNAL: SignalNotification,
}

for _message in MESSAGES.values():
    prepare(_message)
