"""Cutting bodies into frames: any chunks, tails, limits."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from steadfaas.wire.frame import (
    DEFAULT_MAX_PAYLOAD,
    FLAG_ACK,
    Frame,
    FrameReader,
    encode_frame,
)

FRAMES = [
    Frame(0x0411, b"\x58\x01", 0),
    Frame(0x0005, b"", FLAG_ACK),
    Frame(0xFFFF, b"\x00" * 300, 0xFFFF),
    Frame(0x0003, b""),
]
BODY = b"".join(encode_frame(*frame) for frame in FRAMES)


def test_a_frame_is_type_flags_length_payload() -> None:
    assert encode_frame(0x0411, b"abc", FLAG_ACK).hex() == "0411800000000003616263"
    assert encode_frame(0xFBFF, b"") == bytes.fromhex("fbff000000000000")


def test_random_chunks_give_the_same_frames() -> None:
    rng = random.Random(20)
    for _ in range(500):
        cuts = sorted(rng.choices(range(len(BODY) + 1), k=rng.randint(0, 12)))
        chunks = [BODY[a:b] for a, b in zip([0, *cuts], [*cuts, len(BODY)], strict=True)]
        reader = FrameReader()
        assert [frame for chunk in chunks for frame in reader.feed(chunk)] == FRAMES
        assert reader.oversize is None
        assert not reader.partial


@pytest.mark.parametrize("length", range(1, len(encode_frame(*FRAMES[0]))))
def test_a_cut_frame_is_partial(length: int) -> None:
    reader = FrameReader()
    assert reader.feed(BODY + encode_frame(*FRAMES[0])[:length]) == FRAMES
    assert reader.partial


def test_a_tail_shorter_than_a_header_is_partial() -> None:
    reader = FrameReader()
    assert reader.feed(BODY) == FRAMES
    assert reader.feed(b"tail") == []
    assert reader.partial


def test_nothing_fed_is_nothing_pending() -> None:
    reader = FrameReader()
    assert reader.feed(b"") == []
    assert not reader.partial


@pytest.mark.parametrize("chunk", [1, 7, 8, 9, 4096])
def test_oversize_keeps_what_came_before_and_ignores_what_follows(chunk: int) -> None:
    body = encode_frame(1, b"x" * 10) + encode_frame(2, b"y" * 11) + encode_frame(3, b"")
    reader = FrameReader(max_payload=10)
    found = [frame for at in range(0, len(body), chunk) for frame in reader.feed(body[at:][:chunk])]
    assert found == [Frame(1, b"x" * 10)]
    assert reader.oversize == 11
    assert not reader.partial
    assert reader.feed(encode_frame(3, b"")) == []


def test_the_default_limit_is_inclusive() -> None:
    header = encode_frame(1, b"")[:4]
    at_limit, above = FrameReader(), FrameReader()
    at_limit.feed(header + DEFAULT_MAX_PAYLOAD.to_bytes(4, "big"))
    above.feed(header + (DEFAULT_MAX_PAYLOAD + 1).to_bytes(4, "big"))
    assert (at_limit.oversize, at_limit.partial) == (None, True)
    assert (above.oversize, above.partial) == (DEFAULT_MAX_PAYLOAD + 1, False)


@pytest.mark.parametrize("chunk", [1000, 65_536])
def test_a_long_frame_in_chunks_is_whole_and_costs_about_itself(chunk: int) -> None:
    payload = random.Random(7).randbytes(4_000_000)
    body = encode_frame(0x0401, payload) + encode_frame(0x0003, b"")
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    reader = FrameReader()
    tracemalloc.start()
    try:
        frames = [frame for piece in chunks for frame in reader.feed(piece)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frames == [Frame(0x0401, payload), Frame(0x0003, b"")]
    assert peak < 3.5 * len(payload)


def test_an_announced_length_is_not_allocated() -> None:
    reader = FrameReader()
    tracemalloc.start()
    try:
        reader.feed(bytes.fromhex("0401000002000000") + b"start")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reader.partial
    assert peak < 10_000
