"""Captured traffic, byte for byte, in both directions."""

from __future__ import annotations

import pytest

from steadfaas.wire.codec import decode, encode
from steadfaas.wire.frame import Frame, FrameReader, encode_frame
from steadfaas.wire.hot import (
    input_payload,
    invocation_id_completion,
    start_payload,
    value_completion,
    void_completion,
)
from steadfaas.wire.messages import MESSAGES, Completion, InputCommand, MessageType, Start
from tests.wire.samples import SampleBody, SampleFrame, bodies, frames

BODIES = bodies()
FRAMES = frames()

#: Frame types that no captured body shows: full duplex, and what no captured handler did.
NOT_CAPTURED = {
    MessageType.COMMAND_ACK,
    MessageType.AWAITING_ON,
    MessageType.PROPOSE_RUN_COMPLETION_ACK,
    MessageType.GET_INVOCATION_OUTPUT,
    MessageType.GET_INVOCATION_OUTPUT_COMPLETION,
}

each_frame = pytest.mark.parametrize("sample", FRAMES, ids=lambda sample: sample.where)
each_body = pytest.mark.parametrize("body", BODIES, ids=lambda body: body.where)


def test_samples_show_every_frame_type_but_the_known_rest() -> None:
    assert set(MESSAGES) - {frame.type for frame in FRAMES} == NOT_CAPTURED


@each_frame
def test_bytes_decode_to_the_fields(sample: SampleFrame) -> None:
    assert decode(MESSAGES[sample.type], sample.payload) == sample.message()


@each_frame
def test_fields_encode_to_the_bytes(sample: SampleFrame) -> None:
    payload = encode(sample.message())
    assert encode_frame(sample.type, payload, sample.flags).hex() == sample.raw.hex()


@each_frame
def test_bytes_survive_decoding_and_encoding(sample: SampleFrame) -> None:
    message = decode(MESSAGES[sample.type], sample.payload)
    assert encode(message).hex() == sample.payload.hex()
    assert message.unknown == b""


@each_body
def test_body_is_its_frames_wherever_it_is_cut(body: SampleBody) -> None:
    raw = body.raw
    expected = [Frame(frame.type, frame.payload, frame.flags) for frame in body.frames]
    for cut in range(len(raw) + 1):
        reader = FrameReader()
        assert reader.feed(raw[:cut]) + reader.feed(raw[cut:]) == expected
        assert not reader.partial
    reader = FrameReader()
    single = [frame for byte in raw for frame in reader.feed(bytes((byte,)))]
    assert single == expected


def _hot_payload(sample: SampleFrame) -> bytes | None:
    """The payload as the engine's short cuts build it, where there is one for this message."""
    match sample.message():
        case Start() as start:
            return start_payload(
                start.id,
                start.debug_id,
                start.known_entries,
                state_map=[(entry.key, entry.value) for entry in start.state_map],
                partial_state=start.partial_state,
                key=start.key,
                retry_count=start.retry_count_since_last_stored_entry,
                duration=start.duration_since_last_stored_entry,
                random_seed=start.random_seed,
            )
        case InputCommand() as command if command.value is not None:
            headers = [(header.key, header.value) for header in command.headers]
            return input_payload(headers, command.value.content)
        case Completion() as completion if completion.value is not None:
            return value_completion(completion.completion_id, completion.value.content)
        case Completion() as completion if completion.void is not None:
            return void_completion(completion.completion_id)
        case Completion() as completion if completion.invocation_id is not None:
            return invocation_id_completion(completion.completion_id, completion.invocation_id)
    return None


SHORT_CUTS = [
    (sample, payload) for sample in FRAMES if (payload := _hot_payload(sample)) is not None
]


def test_every_short_cut_is_captured() -> None:
    kinds = {(sample.type, *(label for label, _ in sample.fields[-1:])) for sample, _ in SHORT_CUTS}
    assert {type_ for type_, _ in kinds} >= {MessageType.START, MessageType.INPUT}
    assert {last for _, last in kinds} >= {"4:void", "5:value", "16:invocation_id"}


@pytest.mark.parametrize(
    ("sample", "payload"), SHORT_CUTS, ids=[sample.where for sample, _ in SHORT_CUTS]
)
def test_short_cuts_build_the_captured_bytes(sample: SampleFrame, payload: bytes) -> None:
    assert payload.hex() == sample.payload.hex()
