"""What the codec takes, refuses and writes, case by case."""

# A call as a field's default makes a dataclass field, as in messages.py.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass

import pytest

from steadfaas.errors import ProtocolViolation, Verdict
from steadfaas.wire.codec import (
    MAX_DEPTH,
    MalformedMessage,
    decode,
    encode,
    prepare,
    varint,
)
from steadfaas.wire.fields import Message, nested, string, uint32
from steadfaas.wire.hot import start_payload, value_completion
from steadfaas.wire.messages import (
    AttachInvocationCommand,
    CallCommand,
    Completion,
    End,
    Error,
    Failure,
    FailureMetadata,
    Future,
    Header,
    InputCommand,
    OutputCommand,
    ProposeRunCompletion,
    RunCommand,
    SendSignalCommand,
    SleepCommand,
    Start,
    StateEntry,
    StateKeys,
    Suspension,
    Value,
    Void,
    WorkflowTarget,
)
from tests.wire.generated import UNKNOWN_NUMBER, UNKNOWN_WIRE_TYPES, unknown_field
from tests.wire.oracle import oracle_class


def nested_payload(levels: int) -> bytes:
    """A Future in a Future, `levels` deep."""
    payload = b""
    for _ in range(levels):
        payload = b"\x22" + varint(len(payload)) + payload
    return payload


def group(levels: int) -> bytes:
    return b"\xa3\x06" * levels + b"\xa4\x06" * levels


# Each row: why it is refused, the class it is read as, the bytes, words of the message.
MALFORMED: list[tuple[str, type[Message], str, str]] = [
    ("tag without its value", RunCommand, "58", "ends inside"),
    ("varint without its end", RunCommand, "5880", "ends inside"),
    ("tag without its end", RunCommand, "80", "ends inside"),
    ("length missing", RunCommand, "62", "ends inside"),
    ("length without its end", RunCommand, "6280", "ends inside"),
    ("text shorter than announced", RunCommand, "620361", "ends inside"),
    ("bytes shorter than announced", Value, "0a0561", "ends inside"),
    ("nested message shorter than announced", OutputCommand, "720a0a01", "ends inside"),
    ("nested field leaves its message", OutputCommand, "72020a02" + "6161", "ends inside"),
    ("nested varint leaves its message", OutputCommand, "7a0208805801", "ends inside"),
    ("nested length is the neighbour's", OutputCommand, "72010a" + "00", "ends inside"),
    ("nested tag leaves its message", OutputCommand, "7a018801", "ends inside"),
    ("nested bytes too short by one", OutputCommand, "72ca010ac801" + "61" * 199, "ends inside"),
    ("length of 4 GiB", Value, "0affffffff0f61", "ends inside"),
    ("length above 32 bits", Value, "0affffffff1f61", "exceeds 32 bits"),
    ("length in six bytes", Value, "0a818080808000" + "61", "longer than five"),
    ("tag above 32 bits", Value, "8a80808010" + "00", "exceeds 32 bits"),
    ("tag in six bytes", Value, "8a8080808000" + "00", "longer than five"),
    ("varint in eleven bytes", RunCommand, "58" + "80" * 10 + "00", "longer than ten"),
    ("varint above 64 bits", RunCommand, "58" + "ff" * 9 + "02", "exceeds 64 bits"),
    ("field number 0, varint", RunCommand, "0001", "number 0"),
    ("field number 0, bytes", RunCommand, "0200", "number 0"),
    ("field number 0 in a group", RunCommand, "a30600" + "00a406", "number 0"),
    ("zero byte at the end", RunCommand, "580100", "number 0"),
    ("number as bytes", RunCommand, "5a0101", "field 11 has wire type 2"),
    ("number as fixed32", RunCommand, "5d01000000", "field 11 has wire type 5"),
    ("number as fixed64", SleepCommand, "09" + "01" * 8, "field 1 has wire type 1"),
    ("text as a number", RunCommand, "6001", "field 12 has wire type 0"),
    ("message as a number", OutputCommand, "7001", "field 14 has wire type 0"),
    ("message as a group", OutputCommand, "7374", "field 14 has wire type 3"),
    ("list of numbers as fixed32", Suspension, "0d01000000", "field 1 has wire type 5"),
    ("end of a group as a known field", RunCommand, "5c", "field 11 has wire type 4"),
    ("wire type 6", RunCommand, "a606", "wire type 6"),
    ("wire type 7", RunCommand, "a706", "wire type 7"),
    ("wire type 7 in a group", RunCommand, "a3060fa406", "wire type 7"),
    ("group without end", RunCommand, "a306", "ends inside"),
    ("group with another's end", RunCommand, "a306ac06", "not opened"),
    ("groups crossed", RunCommand, "a306ab06a406ac06", "not opened"),
    ("end of no group", RunCommand, "a406", "not opened"),
    ("group leaves its message", OutputCommand, "7202a306" + "a406", "ends inside"),
    ("unknown bytes too short", RunCommand, "a2060261", "ends inside"),
    ("unknown fixed32 too short", RunCommand, "a506616161", "ends inside"),
    ("unknown fixed64 too short", RunCommand, "a10661616161616161", "ends inside"),
    ("unknown field leaves its message", OutputCommand, "7203a2060261", "ends inside"),
    ("text is not UTF-8", RunCommand, "6201ff", "UTF-8"),
    ("text is a surrogate", RunCommand, "6203eda080", "UTF-8"),
    ("text is overlong", RunCommand, "6202c080", "UTF-8"),
    ("text in a list is not UTF-8", Suspension, "1a01ff", "UTF-8"),
    ("nested text is not UTF-8", InputCommand, "0a030a01ff", "UTF-8"),
    ("text is cut inside a character", RunCommand, "6202e282", "UTF-8"),
    ("packed number cut", Suspension, "0a0180" + "1a0161", "ends inside"),
    ("packed number above 64 bits", Suspension, "0a0a" + "ff" * 9 + "02", "exceeds 64 bits"),
    ("futures too deep", Future, nested_payload(MAX_DEPTH + 1).hex(), "too deeply"),
    ("futures far too deep", Future, nested_payload(20_000).hex(), "too deeply"),
    ("groups too deep", Value, group(MAX_DEPTH + 1).hex(), "too deeply"),
    ("groups far too deep", Value, group(20_000).hex(), "too deeply"),
]


@pytest.mark.parametrize(
    ("cls", "payload", "words"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED]
)
def test_malformed_payloads_are_refused(cls: type[Message], payload: str, words: str) -> None:
    with pytest.raises(MalformedMessage, match=words) as caught:
        decode(cls, bytes.fromhex(payload))
    assert cls.__name__ in caught.value.message


def test_a_malformed_message_is_a_protocol_violation() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(RunCommand, b"\x58")
    assert caught.value.code == "RT0012"
    assert caught.value.verdict is Verdict.BUG
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, MAX_DEPTH])
def test_nesting_is_taken_as_deep_as_protobuf_takes_it(levels: int) -> None:
    payload = nested_payload(levels)
    assert encode(decode(Future, payload)) == payload
    assert oracle_class(Future).FromString(payload).SerializeToString() == payload
    assert decode(Value, group(levels)).unknown == group(levels)


# Each row: what is taken though it is not canonical, class, bytes, and what it means.
TOLERATED: list[tuple[str, str, Message]] = [
    ("fields in another order", "620161" + "5801", RunCommand(1, "a")),
    ("zero scalars written", "5800" + "6200", RunCommand()),
    ("scalar twice, the last counts", "5801" + "5802", RunCommand(2)),
    ("scalar twice, the last zero", "5801" + "5800", RunCommand(0)),
    ("padded varint", "588100", RunCommand(1)),
    ("padded varint of ten bytes", "5881" + "80" * 8 + "00", RunCommand(1)),
    ("padded tag", "d80001", RunCommand(1)),
    ("padded length", "62810061", RunCommand(0, "a")),
    ("uint32 cut to 32 bits", "58" + varint(2**32 + 5).hex(), RunCommand(5)),
    ("uint32 from a negative number", "58" + "ff" * 9 + "01", RunCommand(2**32 - 1)),
    ("bool of any number", "2880808080" + "10", Start(partial_state=True)),
    ("bool above one", "2802", Start(partial_state=True)),
    ("negative enumeration", "48" + "ff" * 9 + "01", Error(behavior=-1)),
    ("enumeration cut to 32 bits", "48" + varint(2**32 + 2).hex(), Error(behavior=2)),
    ("numbers unpacked", "0801" + "0802", Suspension([1, 2])),
    ("numbers unpacked, cut to 32 bits", "08" + varint(2**32 + 7).hex(), Suspension([7])),
    ("numbers packed", "0a020102", Suspension([1, 2])),
    ("numbers in both forms", "0801" + "0a0402ac0203" + "0804", Suspension([1, 2, 300, 3, 4])),
    ("no numbers, packed", "0a00", Suspension()),
    ("packed numbers cut to 32 bits", "0a05" + varint(2**32 + 7).hex(), Suspension([7])),
    ("value twice, merged", "72030a0161" + "7200", OutputCommand(Value(b"a"))),
    ("value twice, the last content counts", "72030a0161" * 2, OutputCommand(Value(b"a"))),
    (
        "failure twice, merged",
        "7a020801" + "7a031201" + "62" + "7a021a00",
        OutputCommand(failure=Failure(1, "b", [FailureMetadata()])),
    ),
    (
        "suspension tree twice, merged",
        "22030a0101" + "22030a0102" + "22022801",
        Suspension(awaiting_on=Future([1, 2], combinator_type=1)),
    ),
    (
        "oneof: the last member counts",
        "72030a0161" + "7a020801",
        OutputCommand(failure=Failure(1)),
    ),
    (
        "oneof: an earlier member starts anew",
        "7a020801" + "7200" + "7a03120162",
        OutputCommand(failure=Failure(0, "b")),
    ),
    (
        "oneof: scalars and messages",
        "1001" + "1a0161" + "2200" + "2a00",
        SendSignalCommand(signal_name="a", value=Value()),
    ),
    ("oneof: an empty text counts", "0a00", AttachInvocationCommand(invocation_id="")),
    (
        "oneof: a message over a text",
        "0a0161" + "22020a00",
        AttachInvocationCommand(workflow_target=WorkflowTarget()),
    ),
    ("value of two contents", "72060a01610a0162", OutputCommand(Value(b"b"))),
    ("value with a padded length", "72050a82006161", OutputCommand(Value(b"aa"))),
]


@pytest.mark.parametrize(
    ("payload", "meaning"), [row[1:] for row in TOLERATED], ids=[row[0] for row in TOLERATED]
)
def test_other_encoders_are_understood_as_protobuf_does(payload: str, meaning: Message) -> None:
    raw = bytes.fromhex(payload)
    cls = type(meaning)
    assert decode(cls, raw) == meaning
    assert oracle_class(cls).FromString(raw).SerializeToString() == encode(meaning)


# Each row: a rule of canonical writing, the message, its bytes.
CANONICAL: list[tuple[str, Message, str]] = [
    ("nothing set", End(), ""),
    (
        "fields ascend whatever the class's order",
        InputCommand([], Value(b"x"), "n"),
        "62016e72030a0178",
    ),
    ("plain zero is left out", RunCommand(0, ""), ""),
    ("optional zero is written", Error(related_command_index=0), "2000"),
    ("optional empty text is written", CallCommand(idempotency_key=""), "3200"),
    ("oneof empty bytes are written", ProposeRunCompletion(1, b""), "08017200"),
    ("oneof zero is written", SendSignalCommand(idx=0), "1000"),
    ("void is a tag and a zero", Completion(1, void=Void()), "08012200"),
    ("an empty value is a tag and a zero", Completion(1, value=Value()), "08012a00"),
    ("empty keys are a tag and a zero", Completion(1, state_keys=StateKeys()), "08018a0100"),
    ("empty items of a list are written", StateKeys([b"", b"a"]), "0a000a0161"),
    ("empty messages of a list are written", Start(state_map=[StateEntry()]), "2200"),
    ("numbers are packed", Suspension([1, 300], [17]), "0a0301ac02120111"),
    ("negative enumerations take ten bytes", Error(behavior=-1), "48" + "ff" * 9 + "01"),
    ("64 bits", SleepCommand(2**64 - 1), "08" + "ff" * 9 + "01"),
    ("127 bytes", Value(b"x" * 127), "0a7f" + "78" * 127),
    ("128 bytes", Value(b"x" * 128), "0a8001" + "78" * 128),
]


@pytest.mark.parametrize(
    ("message", "payload"), [row[1:] for row in CANONICAL], ids=[row[0] for row in CANONICAL]
)
def test_messages_have_one_form(message: Message, payload: str) -> None:
    assert encode(message).hex() == payload
    assert decode(type(message), bytes.fromhex(payload)) == message


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 129, 130, 198, 200, 300, 16_500, 70_000])
def test_values_of_every_length_class(size: int) -> None:
    output = OutputCommand(Value(b"v" * size))
    assert decode(OutputCommand, encode(output)) == output


@pytest.mark.parametrize("value", [0, 1, *(2**n + d for n in range(7, 64, 7) for d in (-1, 0, 1))])
def test_varints_of_every_length(value: int) -> None:
    assert decode(SleepCommand, encode(SleepCommand(value))).wake_up_time == value


@pytest.mark.parametrize("wire_type", UNKNOWN_WIRE_TYPES)
def test_unknown_fields_are_kept_at_every_level(wire_type: int) -> None:
    extra = unknown_field(wire_type)
    message = InputCommand(
        [Header("k", "v", unknown=extra), Header(unknown=extra * 2)],
        Value(b"content", unknown=extra),
        "name",
        unknown=extra,
    )
    payload = encode(message)
    assert payload.count(extra) == 5
    assert payload.endswith(extra)
    assert decode(InputCommand, payload) == message


def test_unknown_fields_move_behind_the_known_ones() -> None:
    first, second = unknown_field(0), unknown_field(2)
    message = decode(RunCommand, first + b"\x58\x01" + second + b"\x62\x01a")
    assert message == RunCommand(1, "a", unknown=first + second)
    assert encode(message) == b"\x58\x01\x62\x01a" + first + second


def test_unknown_fields_of_a_merged_message_are_joined() -> None:
    first, second = unknown_field(0), unknown_field(5)
    parts = (first, second, encode(Value(b"a")))
    payload = b"".join(b"\x72" + varint(len(part)) + part for part in parts)
    assert decode(OutputCommand, payload) == OutputCommand(Value(b"a", unknown=first + second))


@dataclass(slots=True, eq=False, repr=False)
class Chain(Message):
    """What no message of the protocol has: itself as a plain field, and a oneof inside that."""

    rest: Chain | None = nested(1, None)
    number: int | None = uint32(2, oneof="kind")
    text: str | None = string(3, oneof="kind")


prepare(Chain)


def test_merging_goes_down_and_keeps_oneofs() -> None:
    first = Chain(Chain(Chain(number=1), number=1))
    second = Chain(Chain(Chain(number=2), text="b"))
    assert decode(Chain, encode(first) + encode(second)) == second
    third = Chain(Chain(text="c"), number=3)
    merged = Chain(Chain(Chain(number=1), text="c"), number=3)
    assert decode(Chain, encode(first) + encode(third)) == merged


def test_plain_fields_count_as_depth_too() -> None:
    chain = Chain()
    for _ in range(MAX_DEPTH):
        chain = Chain(chain)
    assert decode(Chain, encode(chain)) == chain
    with pytest.raises(MalformedMessage, match="too deeply"):
        decode(Chain, encode(Chain(chain)))


def test_known_numbers_are_only_unknown_elsewhere() -> None:
    assert UNKNOWN_NUMBER > 17
    assert decode(End, b"\x58\x01").unknown == b"\x58\x01"


@pytest.mark.parametrize(
    "message",
    [
        RunCommand(-1),
        RunCommand(2**32),
        SleepCommand(-1),
        SleepCommand(2**64),
        Suspension([-1]),
        Suspension([2**32]),
        Error(behavior=2**31),
        Error(behavior=-(2**31) - 1),
        RunCommand(1, "\ud800"),
    ],
    ids=repr,
)
def test_what_a_field_cannot_hold_is_not_written(message: Message) -> None:
    with pytest.raises(ValueError, match=r"32 bits|64 bits|negative|surrogates"):
        encode(message)


def test_short_cuts_write_what_encode_writes_at_the_edges() -> None:
    start = Start(
        b"", "", 0, [StateEntry(b"", b""), StateEntry(b"k" * 200, b"v" * 40_000)], True, "é" * 90
    )
    assert encode(start) == start_payload(
        b"",
        "",
        0,
        state_map=[(b"", b""), (b"k" * 200, b"v" * 40_000)],
        partial_state=True,
        key="é" * 90,
    )
    counted = Start(b"i", "d", 70_000, [], False, "", 2**32 - 1, 2**64 - 1, 2**63)
    assert encode(counted) == start_payload(
        b"i", "d", 70_000, retry_count=2**32 - 1, duration=2**64 - 1, random_seed=2**63
    )
    assert encode(Completion(0, value=Value(b""))) == value_completion(0, b"")
    assert encode(Completion(300, value=Value(b"x" * 126))) == value_completion(300, b"x" * 126)
    for wrong in (-1, 2**32):
        with pytest.raises(ValueError, match=r"negative|32 bits"):
            start_payload(b"i", "d", wrong)
