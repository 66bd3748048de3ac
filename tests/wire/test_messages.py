"""Message classes against the protocol's tables, written out once more in the protocol's order."""

from __future__ import annotations

from dataclasses import fields

import pytest

from steadfaas.wire import fields as kinds
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.fields import Message, specs
from steadfaas.wire.messages import (
    MESSAGES,
    CallCommand,
    Completion,
    Failure,
    MessageType,
    Start,
    Value,
    Void,
)
from tests.wire.generated import all_classes

# number name type; "?" marks presence of a scalar, "[]" a list, "|group" a member of a oneof.
TABLE = """
Void
Value 1 content bytes
FailureMetadata 1 key string, 2 value string
Failure 1 code uint32, 2 message string, 3 metadata FailureMetadata[]
Header 1 key string, 2 value string
StateEntry 1 key bytes, 2 value bytes
StateKeys 1 keys bytes[]
IdempotentRequestTarget 1 service_name string, 2 service_key string?, 3 handler_name string, \
4 idempotency_key string, 5 scope string?
WorkflowTarget 1 workflow_name string, 2 workflow_key string, 3 scope string?
Future 1 waiting_completions uint32[], 2 waiting_signals uint32[], \
3 waiting_named_signals string[], 4 nested_futures Future[], 5 combinator_type enum
Start 1 id bytes, 2 debug_id string, 3 known_entries uint32, 4 state_map StateEntry[], \
5 partial_state bool, 6 key string, 7 retry_count_since_last_stored_entry uint32, \
8 duration_since_last_stored_entry uint64, 9 random_seed uint64, 10 scope string?, \
11 limit_key string?, 12 idempotency_key string?
Suspension 1 waiting_completions uint32[], 2 waiting_signals uint32[], \
3 waiting_named_signals string[], 4 awaiting_on Future
Error 1 code uint32, 2 message string, 3 stacktrace string, 4 related_command_index uint32?, \
5 related_command_name string?, 6 related_command_type uint32?, 8 next_retry_delay uint64?, \
9 behavior enum
End
CommandAck 1 command_index uint32
ProposeRunCompletion 1 result_completion_id uint32, 14 value bytes|result, \
15 failure Failure|result
AwaitingOn 1 awaiting_on Future, 2 executing_side_effects bool
ProposeRunCompletionAck 1 completion_id uint32
InputCommand 1 headers Header[], 12 name string, 14 value Value
OutputCommand 12 name string, 14 value Value|result, 15 failure Failure|result
GetLazyStateCommand 1 key bytes, 11 result_completion_id uint32, 12 name string
SetStateCommand 1 key bytes, 3 value Value, 12 name string
ClearStateCommand 1 key bytes, 12 name string
ClearAllStateCommand 12 name string
GetLazyStateKeysCommand 11 result_completion_id uint32, 12 name string
GetEagerStateCommand 1 key bytes, 12 name string, 13 void Void|result, 14 value Value|result
GetEagerStateKeysCommand 12 name string, 14 value StateKeys
GetPromiseCommand 1 key string, 11 result_completion_id uint32, 12 name string
PeekPromiseCommand 1 key string, 11 result_completion_id uint32, 12 name string
CompletePromiseCommand 1 key string, 2 completion_value Value|completion, \
3 completion_failure Failure|completion, 11 result_completion_id uint32, 12 name string
SleepCommand 1 wake_up_time uint64, 11 result_completion_id uint32, 12 name string
CallCommand 1 service_name string, 2 handler_name string, 3 parameter bytes, 4 headers Header[], \
5 key string, 6 idempotency_key string?, 7 scope string?, 8 limit_key string?, \
10 invocation_id_notification_idx uint32, 11 result_completion_id uint32, 12 name string
OneWayCallCommand 1 service_name string, 2 handler_name string, 3 parameter bytes, \
4 invoke_time uint64, 5 headers Header[], 6 key string, 7 idempotency_key string?, \
8 scope string?, 9 limit_key string?, 10 invocation_id_notification_idx uint32, 12 name string
SendSignalCommand 1 target_invocation_id string, 2 idx uint32|signal_id, \
3 signal_name string|signal_id, 4 void Void|result, 5 value Value|result, \
6 failure Failure|result, 12 name string
RunCommand 11 result_completion_id uint32, 12 name string
AttachInvocationCommand 1 invocation_id string|target, \
3 idempotent_request_target IdempotentRequestTarget|target, 4 workflow_target \
WorkflowTarget|target, 11 result_completion_id uint32, 12 name string
GetInvocationOutputCommand 1 invocation_id string|target, \
3 idempotent_request_target IdempotentRequestTarget|target, 4 workflow_target \
WorkflowTarget|target, 11 result_completion_id uint32, 12 name string
CompleteAwakeableCommand 1 awakeable_id string, 2 value Value|result, 3 failure Failure|result, \
12 name string
Completion 1 completion_id uint32, 4 void Void|result, 5 value Value|result, \
6 failure Failure|result, 16 invocation_id string|result, 17 state_keys StateKeys|result
SignalNotification 2 idx uint32|signal_id, 3 signal_name string|signal_id, 4 void Void|result, \
5 value Value|result, 6 failure Failure|result
"""

TYPES = {
    kinds.UINT32: "uint32",
    kinds.UINT64: "uint64",
    kinds.BOOL: "bool",
    kinds.ENUM: "enum",
    kinds.BYTES: "bytes",
    kinds.STRING: "string",
    kinds.MANY_UINT32: "uint32[]",
    kinds.MANY_BYTES: "bytes[]",
    kinds.MANY_STRING: "string[]",
}


def _row(cls: type[Message]) -> str:
    parts = []
    for name, spec in specs(cls).items():
        nested = (spec.message or cls).__name__
        kind = {kinds.MESSAGE: nested, kinds.MANY_MESSAGE: f"{nested}[]"} | TYPES
        mark = f"|{spec.oneof}" if spec.oneof else ""
        if spec.presence and not spec.oneof and spec.kind != kinds.MESSAGE:
            mark = "?"
        parts.append(f"{spec.number} {name} {kind[spec.kind]}{mark}")
    return f"{cls.__name__} {', '.join(parts)}".strip()


def test_fields_are_the_protocols() -> None:
    assert sorted(_row(cls) for cls in all_classes()) == sorted(TABLE.strip().splitlines())


@pytest.mark.parametrize("cls", all_classes(), ids=lambda cls: cls.__name__)
def test_every_field_is_on_the_wire(cls: type[Message]) -> None:
    assert {field.name for field in fields(cls)} == {*specs(cls), "unknown"}


@pytest.mark.parametrize("cls", all_classes(), ids=lambda cls: cls.__name__)
def test_an_empty_message_has_no_bytes(cls: type[Message]) -> None:
    assert encode(cls()) == b""
    assert decode(cls, b"") == cls()


@pytest.mark.parametrize("cls", all_classes(), ids=lambda cls: cls.__name__)
def test_messages_are_slotted_and_do_not_share_lists(cls: type[Message]) -> None:
    one, other = cls(), cls()
    assert not hasattr(one, "__dict__")
    for name in specs(cls):
        if isinstance(getattr(one, name), list):
            assert getattr(one, name) is not getattr(other, name)


def test_every_frame_type_has_a_message() -> None:
    assert set(MESSAGES) == set(MessageType)


def test_a_completion_has_its_commands_low_byte() -> None:
    commands = {kind.name: kind for kind in MessageType if 0x0400 <= kind < 0x8000}
    for kind in MessageType:
        if kind.name.endswith("_COMPLETION") and kind >= 0x8000:
            command = commands[kind.name.removesuffix("_COMPLETION")]
            assert kind == 0x8000 | command & 0xFF
    assert MessageType.CALL_INVOCATION_ID == 0x8000 | MessageType.ONE_WAY_CALL & 0xFF


def test_equality_takes_class_fields_and_unknown_fields() -> None:
    assert Value(b"x") == Value(b"x")
    assert Value(b"x") != Value(b"y")
    assert Value(b"x") != Value(b"x", unknown=b"\x10\x01")
    assert Completion(1, void=Void()) != Completion(1)
    assert Void() != Value()
    assert Void() != object()


def test_repr_shows_what_is_set() -> None:
    assert repr(Completion(2, value=Value(b"x"))) == (
        "Completion(completion_id=2, value=Value(content=b'x'))"
    )
    assert repr(Completion(void=Void())) == "Completion(void=Void())"
    assert repr(Start()) == "Start()"
    assert repr(CallCommand("S", "h", key="k")) == (
        "CallCommand(service_name='S', handler_name='h', key='k')"
    )
    assert repr(Failure(404, "no", unknown=b"\x20\x01")) == (
        "Failure(code=404, message='no', unknown=b' \\x01')"
    )
