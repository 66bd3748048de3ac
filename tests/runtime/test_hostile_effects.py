"""Odd answers whose consequences reach further than their own attempt, one engine each."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from steadfaas.wire import messages as m
from steadfaas.wire.messages import MessageType as T
from tests.runtime.endpoint import (
    END,
    Endpoint,
    Exchange,
    Script,
    answers,
    complete,
    frame,
    key_of,
    output,
    run,
    service,
    suspension,
)
from tests.runtime.hostile_world import (
    OBJECT,
    PLAIN,
    RETRIES,
    SERVICES,
    Control,
    World,
    attempts_of,
    check_store,
    eventually,
    fine,
    hostile,
    running,
)

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

DONE = output() + END
MIB = 1024 * 1024
CLEAR = frame(m.ClearAllStateCommand())


def beside_fine(script: Script) -> Script:
    """A script for everything but the well-behaved handlers."""

    async def chosen(exchange: Exchange) -> None:
        if not await fine(exchange):
            await script(exchange)

    return chosen


def played(
    data_dir: Path,
    script: Script,
    scene: Callable[[World, Endpoint], Awaitable[Any]],
    **settings: Any,
) -> None:
    """Play a scene with an engine; then check its store, and that it can start again."""

    async def test() -> None:
        async with Endpoint(*SERVICES, script=beside_fine(script)) as endpoint:
            async with hostile(data_dir, endpoint, **settings) as world:
                await Control(world).once()
                await scene(world, endpoint)
                await Control(world).once()
            check_store(data_dir)
            async with running(data_dir, **settings) as world:
                await Control(world).once()
            check_store(data_dir)

    run(test(), seconds=60)


async def asked(endpoint: Endpoint, times: int) -> bool:
    """Whether there were this many exchanges."""
    return len(endpoint.exchanges) >= times


def call(service: str, handler: str, key: str = "", *, first: int = 1) -> bytes:
    return frame(
        m.CallCommand(
            service_name=service,
            handler_name=handler,
            key=key,
            invocation_id_notification_idx=first,
            result_completion_id=first + 1,
        )
    )


# --- it heals ----------------------------------------------------------------------------------


def test_call_of_an_unknown_service_heals_when_it_is_registered(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        results = exchange.messages(T.CALL_COMPLETION)
        if results:
            await exchange.answer(output(results[0].value.content), END)
        elif exchange.messages(T.CALL):
            await exchange.answer(suspension(2))
        else:
            await exchange.answer(call("Later", "fine"), suspension(2))

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{PLAIN}/run")
        seen = await world.until(id, "backing-off")
        assert seen["last_failure"]["restate_code"] == "RT0018"
        async with Endpoint(service("Later", "fine"), script=answers(output(b"later"), END)) as new:
            await world.register(new)
            await world.until(id, "completed")
            assert (await world.output(id)).body == b"later"
            assert len(new.exchanges) == 1

    played(tmp_path, script, scene)


def test_endpoint_that_goes_and_comes_back(tmp_path: Path) -> None:
    async def scene(world: World, endpoint: Endpoint) -> None:
        await endpoint.stop()
        id = await world.send(f"{PLAIN}/run")
        seen = await world.until(id, "backing-off")
        assert seen["last_failure"]["restate_code"] == "RT0010"
        await endpoint.listen()
        await world.until(id, "completed")

    played(tmp_path, complete, scene)


# --- late and early ----------------------------------------------------------------------------


def test_frames_before_a_pause_are_stored_while_the_answer_goes_on(tmp_path: Path) -> None:
    """A second observer sees what the first one did before it has ended."""
    going_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if exchange.path.endswith("/look"):
            state = {each.key: each.value for each in exchange.start.state_map}
            await exchange.answer(output(state.get(b"seen", b"nothing")), END)
            return
        await exchange.head()
        await exchange.send(frame(m.SetStateCommand(key=b"seen", value=m.Value(content=b"early"))))
        await going_on.wait()
        await exchange.send(DONE)
        await exchange.end()

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{OBJECT}/k/run")

        async def seen() -> bool:
            return (await world.call(f"{OBJECT}/k/look")).body == b"early"

        await eventually(seen)
        assert (await world.describe(id))["status"] == "running"
        going_on.set()
        await world.until(id, "completed")
        assert len(attempts_of(endpoint, id)) == 1

    played(tmp_path, script, scene)


@pytest.mark.parametrize("action", ["kill", "cancel"])
def test_answer_to_an_attempt_that_is_over_changes_nothing(tmp_path: Path, action: str) -> None:
    """Frames of a killed attempt come too late; those of a cancelled one count."""
    going_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await going_on.wait()
        try:
            await exchange.send(frame(m.SetStateCommand(key=b"k", value=m.Value())) + DONE)
            await exchange.end()
        except OSError:
            await exchange.close()

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{OBJECT}/k/run")
        await world.until(id, "running")
        assert await world.act(id, action) in (200, 202)
        going_on.set()
        seen = await world.until(id, "completed")
        await asyncio.sleep(0.1)
        assert await world.describe(id) == seen
        reply = await world.output(id)
        assert reply.status == (409 if action == "kill" else 200)

    played(tmp_path, script, scene)


# --- places ------------------------------------------------------------------------------------


async def _never_ends(exchange: Exchange) -> None:
    """A complete answer whose connection stays open."""
    await exchange.head()
    await exchange.send(DONE)


async def _hangs(exchange: Exchange) -> None:
    await exchange.head()


def test_complete_answer_that_does_not_end_holds_no_place(tmp_path: Path) -> None:
    async def scene(world: World, endpoint: Endpoint) -> None:
        started = time.monotonic()
        for _ in range(20):
            assert (await world.call(f"{PLAIN}/run")).body == b'"done"'
        assert time.monotonic() - started < 2
        await world.until_idle()

    played(tmp_path, _never_ends, scene, max_concurrency_per_deployment=2)


def test_hanging_deployment_leaves_room_for_others(tmp_path: Path) -> None:
    async def scene(world: World, endpoint: Endpoint) -> None:
        async with Endpoint(service("Hanging", "run"), script=_hangs) as hanging:
            await world.register(hanging)
            sent = [await world.send("Hanging/run") for _ in range(10)]
            await eventually(lambda: asked(hanging, 3))
            control = Control(world)
            async with control.beside():
                await asyncio.sleep(0.3)
            assert len(hanging.exchanges) == 3
            hanging.script = complete
            for id in sent:
                await world.act(id, "kill")
            await world.until_idle()

    limits = {"max_concurrency": 6, "max_concurrency_per_deployment": 3}
    played(tmp_path, complete, scene, **limits)


def test_stop_amid_hanging_answers(tmp_path: Path) -> None:
    """What came stays; what did not come is asked for again after the restart."""

    async def script(exchange: Exchange) -> None:
        if exchange.messages(T.RUN):
            await complete(exchange)
        else:
            await exchange.head()
            await exchange.send(frame(m.RunCommand(result_completion_id=1)))

    async def test() -> None:
        async with Endpoint(*SERVICES, script=script) as endpoint:
            async with hostile(tmp_path, endpoint) as world:
                sent = [await world.send(f"{PLAIN}/run") for _ in range(20)]
                await eventually(lambda: asked(endpoint, 20))
                await asyncio.sleep(0.1)
                stopping = time.monotonic()
            assert time.monotonic() - stopping < 3
            check_store(tmp_path)
            async with running(tmp_path) as world:
                for id in sent:
                    seen = await world.until(id, "completed")
                    assert seen["attempts"][0]["outcome"] == "interrupted"
                    assert len(attempts_of(endpoint, id)) == 2
                await world.until_idle()
            check_store(tmp_path)

    run(test())


# --- much --------------------------------------------------------------------------------------


def test_ten_thousand_commands_in_one_answer(tmp_path: Path) -> None:
    slowest = 0.0

    async def scene(world: World, endpoint: Endpoint) -> None:
        nonlocal slowest
        control = Control(world)
        async with control.beside():
            started = time.monotonic()
            reply = await world.call(f"{OBJECT}/k/run")
            seconds = time.monotonic() - started
        assert (reply.status, reply.body) == (200, b'"done"')
        assert len(endpoint.exchanges) < 10_000
        slowest = control.slowest
        print(f"{seconds:.2f} s; the slowest well-behaved call took {slowest:.3f} s")

    played(tmp_path, answers(CLEAR * 9_990, DONE), scene)
    assert slowest < 1.5


def test_ten_thousand_sends_in_one_answer(tmp_path: Path) -> None:
    """Each makes an invocation; the well-behaved ones between them get their turns."""
    many = 2000
    sends = b"".join(
        frame(
            m.OneWayCallCommand(
                service_name=PLAIN, handler_name="fine", invocation_id_notification_idx=number
            )
        )
        for number in range(1, many + 1)
    )

    async def scene(world: World, endpoint: Endpoint) -> None:
        control = Control(world)
        async with control.beside():
            assert (await world.call(f"{PLAIN}/run")).status == 200
            await eventually(lambda: asked(endpoint, many))
        print(f"the slowest well-behaved call took {control.slowest:.3f} s")
        assert control.slowest < 5

    played(tmp_path, answers(sends, DONE), scene)


def test_journal_limit(tmp_path: Path) -> None:
    """It fails with a code of its own, keeps what it had, and goes on under a higher limit."""
    limit = 50

    async def test() -> None:
        script = beside_fine(answers(CLEAR * 80, DONE))
        async with Endpoint(*SERVICES, script=script) as endpoint:
            async with hostile(tmp_path, endpoint, max_journal_entries=limit) as world:
                id = await world.send(f"{OBJECT}/k/run")
                await asyncio.sleep(0.5)
                seen = await world.describe(id)
                assert seen["last_failure"]["restate_code"] == "SF0001"
                assert {each["outcome"] for each in seen["attempts"]} == {"SF0001"}
                assert 2 <= len(attempts_of(endpoint, id)) <= 8
                assert len(attempts_of(endpoint, id)[-1].journal) == limit
                await Control(world).once()
            check_store(tmp_path)
            endpoint.script = complete
            async with running(tmp_path) as world:
                await world.until(id, "completed")
            check_store(tmp_path)

    run(test())


def test_journal_limit_in_bytes(tmp_path: Path) -> None:
    large = frame(m.SetStateCommand(key=b"k", value=m.Value(content=bytes(60_000))))

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{OBJECT}/k/run")
        await asyncio.sleep(0.3)
        seen = await world.describe(id)
        assert seen["last_failure"]["restate_code"] == "SF0002"
        assert len(attempts_of(endpoint, id)) <= 7
        stored = attempts_of(endpoint, id)[-1].journal
        assert sum(len(each.payload) for each in stored) <= limits["max_journal_bytes"]

    limits = {"max_body_bytes": 65_536, "max_frame_bytes": 65_536, "max_journal_bytes": 131_072}
    played(tmp_path, answers(large * 4, DONE), scene, **limits)


def test_endless_answer(tmp_path: Path) -> None:
    """A flood without pause and end is cut off at the journal's limit, and is never collected."""
    large = frame(m.SetStateCommand(key=b"k", value=m.Value(content=bytes(MIB))))

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        try:
            for _ in range(2000):
                await exchange.send(large)
        except OSError:
            await exchange.close()

    async def scene(world: World, endpoint: Endpoint) -> None:
        gc.collect()
        tracemalloc.start()
        try:
            id = await world.send(f"{OBJECT}/k/run")
            seen = await world.until(id, "backing-off", seconds=20)
            await world.act(id, "kill")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert seen["last_failure"]["restate_code"] == "SF0002"
        print(f"at most {peak / MIB:.0f} MiB")
        assert peak < 100 * MIB

    limits = {"max_body_bytes": 2 * MIB, "max_frame_bytes": 2 * MIB, "max_journal_bytes": 16 * MIB}
    played(tmp_path, script, scene, **limits)


def test_oversize_message(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(frame(m.RunCommand(result_completion_id=1))) if len(
            exchange.journal
        ) == 1 else None
        await exchange.send(b"\x04\x01\x00\x00" + (40 * MIB).to_bytes(4, "big"))

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{PLAIN}/run")
        seen = await world.until(id, "paused")  # the next attempt would be as large
        assert seen["last_failure"]["restate_code"] == "RT0003"
        assert len(attempts_of(endpoint, id)) == 1
        assert await world.act(id, "resume") == 200
        await world.until(id, "paused")
        assert [each.type for each in attempts_of(endpoint, id)[-1].journal] == [T.INPUT, T.RUN]

    played(tmp_path, script, scene)


def test_large_bodies_go_through_both_ways(tmp_path: Path) -> None:
    body = bytes(range(256)) * 12 * 1024

    async def script(exchange: Exchange) -> None:
        await exchange.answer(output(exchange.input[::-1]), END)

    async def scene(world: World, endpoint: Endpoint) -> None:
        reply = await world.call(f"{PLAIN}/run", body)
        assert reply.body == body[::-1]

    played(tmp_path, script, scene)


def test_a_loop_that_looks_like_work_ends_at_the_journal_limit(tmp_path: Path) -> None:
    """Each cancel is news, so each attempt may follow at once; but not for ever."""

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{PLAIN}/run")
        seen = await world.until(id, "backing-off")
        assert seen["last_failure"]["restate_code"] == "SF0001"
        assert len(attempts_of(endpoint, id)) <= 60

    played(tmp_path, _signal_itself(1), scene, max_journal_entries=100)


# --- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("%00", "\x00"),
        ("a%00b", "a\x00b"),
        ("%EF%BF%BF%F4%8F%BF%BF", "\uffff\U0010ffff"),
        ("%2F..%2F%25", "/../%"),
        ("%0D%0Ax:%20y", "\r\nx: y"),
        ("k" * 4000, "k" * 4000),
    ],
    ids=["nul", "nul-inside", "non-characters", "path", "line-break", "long"],
)
def test_strange_keys_of_requests(tmp_path: Path, text: str, key: str) -> None:
    """They arrive as they were, have a line and state of their own, and are found again."""

    async def script(exchange: Exchange) -> None:
        assert key_of(exchange) == exchange.start.key == key
        count = len(exchange.start.state_map)
        if len(exchange.journal) == 1:
            value = m.SetStateCommand(key=b"n%d" % count, value=m.Value(content=b"v"))
            await exchange.answer(frame(value), output(b"%d" % count), END)

    async def scene(world: World, endpoint: Endpoint) -> None:
        replies = [await world.call(f"{OBJECT}/{text}/run") for _ in range(3)]
        assert [reply.body for reply in replies] == [b"0", b"1", b"2"]

    played(tmp_path, script, scene)


@pytest.mark.parametrize("text", ["%ff", "%C3%28", "%ED%A0%80", "k" * 65_536])
def test_keys_that_are_refused(tmp_path: Path, text: str) -> None:
    async def scene(world: World, endpoint: Endpoint) -> None:
        reply = await world.call(f"{OBJECT}/{text}/run")
        assert 400 <= reply.status < 500

    played(tmp_path, complete, scene)


# --- itself and its like -----------------------------------------------------------------------


def test_self_call_on_an_exclusive_key_can_be_killed(tmp_path: Path) -> None:
    """It waits for itself by design; nobody else does, and a kill frees the key."""

    async def script(exchange: Exchange) -> None:
        if exchange.input == b"again" and len(exchange.journal) == 1:
            await exchange.answer(call(OBJECT, "run", key="k"), suspension(2))
        else:
            await complete(exchange)

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{OBJECT}/k/run", b"again")
        await world.until(id, "suspended")
        child = (await _journal_ids(world, id))[0]
        assert (await world.describe(child))["status"] == "pending"
        assert (await world.call(f"{OBJECT}/other/run")).status == 200
        behind = await world.send(f"{OBJECT}/k/run")
        assert await world.act(id, "kill") == 200
        for each in (id, child, behind):
            await world.until(each, "completed")
        assert (await world.output(behind)).status == 200
        assert (await world.call(f"{OBJECT}/k/run")).status == 200

    played(tmp_path, script, scene)


async def _journal_ids(world: World, id: str) -> list[str]:
    """The invocations that one has called, by its stored journal."""
    from steadfaas import ids
    from steadfaas.store import invocations
    from steadfaas.wire.codec import decode

    reader = world.engine.store.reader
    found = invocations.outline(reader, ids.parse_invocation(id))
    assert found is not None
    told = [
        decode(m.Completion, payload)
        for frame_type, payload in invocations.journal(reader, found.seq)
        if frame_type == T.CALL_INVOCATION_ID
    ]
    return [each.invocation_id for each in told if each.invocation_id]


def _calls_deeper(depth: int) -> Script:
    async def script(exchange: Exchange) -> None:
        level = int(exchange.input or b"0")
        if exchange.messages(T.CALL_COMPLETION):
            await complete(exchange)
        elif exchange.messages(T.CALL) or level >= depth:
            await exchange.answer(suspension(2) if level < depth else suspension())
        else:
            deeper = m.CallCommand(
                service_name=PLAIN,
                handler_name="run",
                parameter=b"%d" % (level + 1),
                invocation_id_notification_idx=1,
                result_completion_id=2,
            )
            await exchange.answer(frame(deeper), suspension(2))

    return script


def test_deep_chain_of_calls_can_be_killed(tmp_path: Path) -> None:
    depth = 1500

    async def scene(world: World, endpoint: Endpoint) -> None:
        id = await world.send(f"{PLAIN}/run")
        await eventually(lambda: asked(endpoint, depth), seconds=30)
        await asyncio.sleep(0.2)
        assert await world.act(id, "kill") == 200
        await world.until(id, "completed")
        last = endpoint.exchanges[-1].headers["x-restate-invocation-id"]
        await world.until(last, "completed")

    played(tmp_path, _calls_deeper(depth), scene)


def test_cancels_of_another_invocation_are_bounded(tmp_path: Path) -> None:
    """Somebody who cancels without end must not make another's journal grow without end."""
    target = ""

    async def script(exchange: Exchange) -> None:
        if exchange.path.startswith(f"/invoke/{OBJECT}") and exchange.input == b"wait":
            await exchange.answer(suspension(signals=(17,)))
            return
        cancels = [frame(m.SendSignalCommand(target_invocation_id=target, idx=1, void=m.Void()))]
        await exchange.answer(*cancels * 15, DONE)

    async def scene(world: World, endpoint: Endpoint) -> None:
        nonlocal target
        target = await world.send(f"{OBJECT}/k/run", b"wait")
        await world.until(target, "suspended")
        for _ in range(10):
            assert (await world.call(f"{PLAIN}/run")).status == 200
        await world.act(target, "resume")
        await asyncio.sleep(0.1)
        assert len(attempts_of(endpoint, target)[-1].journal) <= 60

    played(tmp_path, script, scene, max_journal_entries=20)


# --- it never spins ----------------------------------------------------------------------------


def _signal_itself(index: int) -> Script:
    async def script(exchange: Exchange) -> None:
        signal = m.SendSignalCommand(
            target_invocation_id=exchange.start.debug_id, idx=index, void=m.Void()
        )
        await exchange.answer(frame(signal), suspension(signals=(index,)))

    return script


async def _waits_for_the_past(exchange: Exchange) -> None:
    if len(exchange.journal) == 1:
        past = m.SleepCommand(wake_up_time=1, result_completion_id=1)
        await exchange.answer(frame(past), suspension(1))
    else:
        await exchange.answer(CLEAR, suspension(1))


def _delays(milliseconds: int) -> Script:
    return answers(frame(m.Error(message="no", next_retry_delay=milliseconds)))


async def _retry_after_a_millisecond(exchange: Exchange) -> None:
    await exchange.head(429, headers={"retry-after": "0.001"})
    await exchange.end()


SPINS: dict[str, Script] = {
    "signals itself": _signal_itself(17),
    "waits for the past": _waits_for_the_past,
    "delay of 0": _delays(0),
    "delay of 1": _delays(1),
    "retry after 1 ms": _retry_after_a_millisecond,
}


@pytest.fixture(scope="module")
def spins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Exchanges within a second of the first, for each."""
    data_dir = tmp_path_factory.mktemp("spins")

    async def script(exchange: Exchange) -> None:
        await SPINS[exchange.input.decode()](exchange)

    async def test() -> dict[str, int]:
        async with Endpoint(*SERVICES, script=beside_fine(script)) as endpoint:
            async with hostile(data_dir, endpoint, max_journal_entries=500) as world:
                control = Control(world)
                async with control.beside():
                    sent = {
                        name: await world.send(f"{OBJECT}/{number}/run", name.encode())
                        for number, name in enumerate(SPINS)
                    }
                    await asyncio.sleep(1.2)
            check_store(data_dir)
            counts = {}
            for name, id in sent.items():
                exchanges = attempts_of(endpoint, id)
                counts[name] = sum(each.at <= exchanges[0].at + 1 for each in exchanges)
            return counts

    return run(test())


@pytest.mark.parametrize(
    "name",
    [
        "signals itself",
        "waits for the past",
        "delay of 0",
        "delay of 1",
        "retry after 1 ms",
    ],
)
def test_it_never_spins(spins: dict[str, int], name: str) -> None:
    assert spins[name] <= 8


def test_short_intervals_are_what_these_tests_say() -> None:
    """The counts above mean something only with retries as short as this."""
    assert RETRIES["retryPolicyInitialInterval"] == 20
