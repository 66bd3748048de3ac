"""The body of an answer: however it is cut into chunks, paused, broken off or left open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
import tracemalloc

import pytest

from steadfaas.errors import Verdict
from steadfaas.wire import messages as m
from steadfaas.wire.frame import encode_frame
from steadfaas.wire.messages import MessageType as T
from tests.runtime.endpoint import (
    END,
    Exchange,
    Script,
    answers,
    frame,
    listening,
    output,
    run,
    suspension,
)
from tests.transport.exchanging import ABORT, CONTENT_TYPE, Outcome, exchange, transport

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
STEP = frame(m.RunCommand(result_completion_id=1, name="step"))
SLEEP = frame(m.SleepCommand(wake_up_time=7, result_completion_id=2))


def exchanged(script: Script, *, max_frame: int = MIB, body: bytes = b"") -> Outcome:
    """One exchange with an endpoint that answers so."""

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url, max_frame=max_frame, body=body)

    return run(test())


def types(outcome: Outcome) -> list[int]:
    return [each.type for each in outcome.frames]


# --- chunks ------------------------------------------------------------------------------------


def test_many_frames_in_a_chunk() -> None:
    result = exchanged(answers(STEP, SLEEP, output(), END))
    assert result.failure is None
    assert types(result) == [T.RUN, T.SLEEP, T.OUTPUT, T.END]
    assert len(result.batches) == 1


def test_a_frame_in_each_chunk() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head()
        for part in (STEP, SLEEP, output(), END):
            await asked.send(part)
        await asked.end()

    result = exchanged(script)
    assert result.failure is None
    assert types(result) == [T.RUN, T.SLEEP, T.OUTPUT, T.END]


def test_a_byte_in_each_chunk() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head()
        for value in STEP + output(b"x" * 300) + END:
            await asked.send(bytes((value,)))
        await asked.end()

    result = exchanged(script)
    assert result.failure is None
    assert types(result) == [T.RUN, T.OUTPUT, T.END]


def test_a_slow_drip_is_no_silence() -> None:
    """The abort timeout counts the time between chunks, not the time in all."""

    async def script(asked: Exchange) -> None:
        await asked.head()
        for value in STEP + END:
            await asked.send(bytes((value,)))
            await asyncio.sleep(ABORT / 10)
        await asked.end()

    result = exchanged(script)
    assert result.failure is None
    assert types(result) == [T.RUN, T.END]
    assert result.seconds > ABORT


def test_length_instead_of_chunks() -> None:
    data = STEP + output() + END

    async def script(asked: Exchange) -> None:
        await asked.head(headers={"content-length": str(len(data))}, chunked=False)
        await asked.send(data)
        await asked.end()

    result = exchanged(script)
    assert result.failure is None
    assert types(result) == [T.RUN, T.OUTPUT, T.END]


def test_empty_answer_is_complete() -> None:
    """What it means that nothing closes it is for the machine to say."""
    result = exchanged(answers())
    assert result.failure is None
    assert result.batches == []


def test_big_bodies_both_ways() -> None:
    there, back = bytes(range(256)) * 12 * 1024, bytes(reversed(range(256))) * 12 * 1024

    async def script(asked: Exchange) -> None:
        assert asked.body == there
        await asked.answer(output(back), END)

    result = exchanged(script, body=there, max_frame=4 * MIB)
    assert result.failure is None
    assert back in result.frames[0].payload


# --- early hand-over ---------------------------------------------------------------------------


def test_frames_before_a_pause_are_handed_over_during_it() -> None:
    async def test() -> None:
        going_on = asyncio.Event()

        async def script(asked: Exchange) -> None:
            await asked.head()
            await asked.send(STEP + SLEEP[:5])
            await going_on.wait()
            await asked.send(SLEEP[5:] + END)
            await asked.end()

        async with listening(script) as endpoint, transport() as through:
            seen = Outcome()
            task = asyncio.create_task(exchange(through, endpoint.url, outcome=seen))
            await asyncio.sleep(ABORT / 2)
            assert [[each.type for each in batch] for batch in seen.batches] == [[T.RUN]]
            going_on.set()
            await task
            assert types(seen) == [T.RUN, T.SLEEP, T.END]
            assert seen.failure is None

    run(test())


@pytest.mark.parametrize("closing", [END, suspension(1), frame(m.Error(message="no"))])
def test_the_closing_frame_is_handed_over_at_once(closing: bytes) -> None:
    """Nobody waits for an endpoint that takes its time to end what is complete."""

    async def script(asked: Exchange) -> None:
        await asked.head()
        await asked.send(STEP + closing)

    result = exchanged(script)
    assert [len(batch) for batch in result.batches] == [2]
    assert result.at[0] < ABORT / 2


def test_a_flood_is_handed_over_in_portions() -> None:
    """An answer that never pauses must not pile up in memory until it ends."""
    large = frame(m.SetStateCommand(key=b"k", value=m.Value(content=bytes(MIB - 100))))

    async def script(asked: Exchange) -> None:
        await asked.head()
        for _ in range(24):
            await asked.send(large)
        await asked.send(END)
        await asked.end()

    result = exchanged(script)
    assert result.failure is None
    assert len(result.frames) == 25
    assert max(sum(len(each.payload) for each in batch) for batch in result.batches) < 6 * MIB


def test_a_flood_of_small_frames_is_handed_over_in_portions() -> None:
    small = frame(m.ClearAllStateCommand())

    async def script(asked: Exchange) -> None:
        await asked.head()
        await asked.send(small * 20_000)
        await asked.send(END)
        await asked.end()

    result = exchanged(script)
    assert len(result.frames) == 20_001
    assert max(len(batch) for batch in result.batches) <= 1024


# --- broken off --------------------------------------------------------------------------------


async def _cut(asked: Exchange) -> None:
    await asked.head()
    await asked.send(STEP + SLEEP + output()[:7])
    await asked.reset()


async def _cut_after_a_pause(asked: Exchange) -> None:
    await asked.head()
    await asked.send(STEP + SLEEP)
    await asyncio.sleep(ABORT / 3)
    await asked.reset()


async def _ended_early(asked: Exchange) -> None:
    await asked.head()
    await asked.send(STEP + SLEEP)
    await asked.close()


async def _ended_before_its_length(asked: Exchange) -> None:
    await asked.head(headers={"content-length": "1000"}, chunked=False)
    await asked.send(STEP + SLEEP)
    await asked.close()


async def _garbage_for_a_chunk(asked: Exchange) -> None:
    await asked.head()
    await asked.send(STEP + SLEEP)
    await asyncio.sleep(ABORT / 3)
    await asked.raw(b"not a chunk size\r\n")


async def _all_at_once(asked: Exchange) -> None:
    """Head, frames and the end of the connection arrive together."""
    content_type = asked.headers["content-type"]
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: 1000\r\n\r\n"
    await asked.raw(head.encode() + STEP + SLEEP)
    await asked.close()


@pytest.mark.parametrize(
    "script",
    [
        _cut,
        _cut_after_a_pause,
        _ended_early,
        _ended_before_its_length,
        _all_at_once,
    ],
)
def test_frames_before_the_cut_are_handed_over(script: Script) -> None:
    result = exchanged(script)
    assert result.failure is not None
    assert (result.code, result.failure.verdict) == ("RT0010", Verdict.RETRY)
    assert types(result) == [T.RUN, T.SLEEP]


def test_frames_before_garbage_are_handed_over() -> None:
    """The HTTP library does not tell us of a broken chunk: it ends as silence."""
    result = exchanged(_garbage_for_a_chunk)
    assert result.code in ("RT0001", "RT0010")
    assert types(result) == [T.RUN, T.SLEEP]


@pytest.mark.parametrize("reset", [False, True])
def test_frames_that_arrive_together_with_the_cut_are_handed_over(reset: bool) -> None:
    """The loop is busy while frames and cut arrive, so that it finds both at the same moment."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: 1000\r\n\r\n"
    may_cut = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head.encode())
            may_cut.wait(5)
            connection.sendall(STEP + SLEEP)
            if reset:
                time.sleep(0.02)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def test(address: str) -> Outcome:
        def keep_the_loop_busy() -> None:
            may_cut.set()
            time.sleep(0.1)

        asyncio.get_running_loop().call_later(0.05, keep_the_loop_busy)
        async with transport() as through:
            return await exchange(through, address, abort=5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        try:
            result = run(test(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        finally:
            may_cut.set()
            server.join()
    assert result.code == "RT0010"
    assert types(result) == [T.RUN, T.SLEEP]


def test_ends_inside_a_frame() -> None:
    result = exchanged(answers(STEP, SLEEP[:-1]))
    assert result.code == "RT0012"
    assert types(result) == [T.RUN]


@pytest.mark.parametrize("sent", [b"", STEP, STEP + SLEEP[:6]])
def test_silence_inside_the_body(sent: bytes) -> None:
    async def script(asked: Exchange) -> None:
        await asked.head()
        if sent:
            await asked.send(sent)

    result = exchanged(script)
    assert result.code == "RT0001"
    assert types(result) == ([T.RUN] if sent else [])
    assert 0.9 * ABORT <= result.seconds < ABORT + 1


# --- too much ----------------------------------------------------------------------------------


def test_oversize_is_refused_by_its_header() -> None:
    """What was announced is neither awaited nor allocated; what came before stays."""

    async def script(asked: Exchange) -> None:
        await asked.head()
        await asked.send(STEP + encode_frame(T.OUTPUT, b"")[:4] + (40 * MIB).to_bytes(4, "big"))
        with contextlib.suppress(OSError):
            for _ in range(40):
                await asked.send(bytes(MIB))

    tracemalloc.start()
    try:
        result = exchanged(script, max_frame=32 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.failure is not None
    assert (result.code, result.failure.verdict) == ("RT0003", Verdict.TOO_LARGE)
    assert str(40 * MIB) in result.failure.message
    assert types(result) == [T.RUN]
    assert peak < 20 * MIB


def test_announced_but_not_sent_costs_no_memory() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head()
        await asked.send(encode_frame(T.OUTPUT, b"")[:4] + (32 * MIB).to_bytes(4, "big"))

    tracemalloc.start()
    try:
        result = exchanged(script, max_frame=32 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.code == "RT0001"
    assert peak < 10 * MIB


def test_largest_frame_is_taken_and_one_byte_more_is_not() -> None:
    for extra, code in ((0, None), (1, "RT0003")):
        payload = bytes(1000 + extra)
        result = exchanged(answers(encode_frame(T.OUTPUT, payload), END), max_frame=1000)
        assert result.code == code


def test_oversize_beside_others() -> None:
    """One exchange's oversize answer costs the one beside it nothing."""

    async def script(asked: Exchange) -> None:
        if asked.headers["x-who"] == "large":
            await asked.answer(encode_frame(T.OUTPUT, bytes(2 * MIB)), END)
        else:
            await asked.answer(STEP, output(), END)

    async def test() -> list[Outcome]:
        async with listening(script) as endpoint, transport() as through:
            return await asyncio.gather(
                *(
                    exchange(through, endpoint.url, headers={"x-who": who}, abort=5)
                    for who in ("large", "good") * 5
                )
            )

    assert [result.code for result in run(test())] == ["RT0003", None] * 5


# --- behind the closing frame ------------------------------------------------------------------


def test_frames_behind_the_closing_frame_do_not_fail_it() -> None:
    """They are handed over for the machine to ignore, or dropped; the answer is complete."""
    result = exchanged(answers(output(), END, STEP, b"\xff" * 3))
    assert types(result)[:2] == [T.OUTPUT, T.END]


def test_endless_answer_behind_the_closing_frame_is_cut() -> None:
    """A complete answer holds its place no longer than a moment, whatever still drips in."""

    async def test() -> tuple[Outcome, float]:
        gone = asyncio.Event()
        started = time.monotonic()

        async def script(asked: Exchange) -> None:
            await asked.head()
            await asked.send(output() + END)
            try:
                for _ in range(600):
                    await asked.send(b"x")
                    await asyncio.sleep(0.01)
            except OSError:
                gone.set()

        async with listening(script) as endpoint, transport() as through:
            result = await exchange(through, endpoint.url, abort=30)
            async with asyncio.timeout(3):
                await gone.wait()
            return result, time.monotonic() - started

    result, seconds = run(test())
    assert result.failure is None
    assert types(result)[:2] == [T.OUTPUT, T.END]
    assert seconds < 3


def test_silence_behind_the_closing_frame_ends_soon() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head()
        await asked.send(output() + END)

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url, abort=30)

    result = run(test())
    assert types(result) == [T.OUTPUT, T.END]
    assert result.seconds < 3


# --- an answer before the request was read -----------------------------------------------------


@pytest.mark.parametrize("then", ["close", "keep reading", "keep silent"])
def test_refused_before_the_body_was_read(then: str) -> None:
    """Gateways answer 413 to a body that they will not read."""

    async def early(asked: Exchange) -> None:
        await asked.head(413, headers={"content-length": "0"}, chunked=False)
        if then == "close":
            await asked.close()
        elif then == "keep silent":
            await asyncio.sleep(5)

    async def test() -> Outcome:
        async with listening(answers(END)) as endpoint, transport() as through:
            endpoint.before_body = early
            return await exchange(through, endpoint.url, body=bytes(8 * MIB), abort=2)

    result = run(test())
    assert result.code == "RT0019"
    assert result.seconds < 2


def test_body_that_nobody_reads() -> None:
    async def early(asked: Exchange) -> None:
        await asyncio.sleep(5)

    async def test() -> Outcome:
        async with listening(answers(END)) as endpoint, transport() as through:
            endpoint.before_body = early
            return await exchange(through, endpoint.url, body=bytes(32 * MIB))

    result = run(test())
    assert result.code == "RT0001"
    assert result.seconds < 2
