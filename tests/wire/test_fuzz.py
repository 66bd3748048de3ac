"""Any bytes, any message, and protobuf's own library beside ours."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steadfaas.wire.codec import MalformedMessage, decode, encode
from steadfaas.wire.fields import Message
from steadfaas.wire.frame import DEFAULT_MAX_PAYLOAD, FrameReader, encode_frame
from tests.wire.generated import all_classes, any_messages, damaged_payloads
from tests.wire.oracle import oracle_class, oracle_message

quick = settings(
    max_examples=250,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


#: Where we refuse and protobuf's library need not: it takes a known field of another wire type for
#: an unknown one, field number 0 too in a message without fields, and may drop bits above 64.
STRICTER = ("has wire type", "number 0", "exceeds 64 bits")


def judge(cls: type[Message], payload: bytes) -> None:
    """Ours takes what protobuf takes, `STRICTER` apart, and nothing more, and means the same."""
    oracle = oracle_class(cls)()
    try:
        oracle.ParseFromString(payload)
        accepted = True
    except DecodeError:
        accepted = False
    try:
        message = decode(cls, payload)
        refusal = ""
    except MalformedMessage as refused:
        refusal = refused.message
    if refusal:
        assert not accepted or any(words in refusal for words in STRICTER)
    else:
        assert accepted
        assert encode(message) == oracle.SerializeToString()


@quick
@given(st.sampled_from(all_classes()), st.binary(max_size=64))
def test_arbitrary_bytes(cls: type[Message], payload: bytes) -> None:
    judge(cls, payload)


@quick
@given(damaged_payloads())
def test_damaged_messages(damaged: tuple[type[Message], bytes]) -> None:
    judge(*damaged)


@quick
@given(any_messages())
def test_messages_survive_the_wire(message: Message) -> None:
    assert decode(type(message), encode(message)) == message


@quick
@given(any_messages())
def test_payloads_cut_anywhere_are_judged_alike(message: Message) -> None:
    payload = encode(message)
    for end in range(0, len(payload), max(1, len(payload) // 40)):
        judge(type(message), payload[:end])


@quick
@given(any_messages(), any_messages())
def test_protobuf_writes_and_merges_as_we_do(message: Message, other: Message) -> None:
    cls = type(message)
    known = decode(cls, oracle_message(message).SerializeToString())
    assert oracle_message(known).SerializeToString() == encode(known)
    judge(cls, encode(message) + encode(other))
    judge(cls, encode(message) + encode(message))


@quick
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_a_reader_takes_any_bytes(data: bytes, cuts: list[int]) -> None:
    places = sorted(cut for cut in cuts if cut <= len(data))
    whole, pieces = FrameReader(), FrameReader()
    expected = whole.feed(data)
    found = []
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        found += pieces.feed(data[start:end])
    assert found == expected
    assert (pieces.partial, pieces.oversize) == (whole.partial, whole.oversize)
    if whole.oversize is not None:
        assert whole.oversize > DEFAULT_MAX_PAYLOAD
    raw = b"".join(encode_frame(*frame) for frame in expected)
    assert data.startswith(raw)
    assert (raw == data) == (not whole.partial and whole.oversize is None)
