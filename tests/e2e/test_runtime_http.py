"""What only real sockets and real time show: endpoints that die and come back at their address,
callers that hang up, orderly restarts, bodies as HTTP carries them, handlers that are silent.

The same promises are tested in virtual time in tests/runtime.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import restate
from restate.serde import BytesSerde

from tests.runtime.desk import Desk
from tests.runtime.in_process import LOOPBACK, World, code, eventually, run, world
from tests.runtime.story import Story
from tests.runtime.works import Works

pytestmark = pytest.mark.e2e


def _deployments(view: Any) -> set[str]:
    return {attempt["deployment_id"] for attempt in view["attempts"]}


async def _resolve(here: World, story: Story, word: str = "go") -> None:
    name = await story.awakeables.get()
    reply = await here.post(f"/restate/awakeables/{name}/resolve", word)
    assert reply.status == 202


# --- endpoints that die and come back ----------------------------------------------------------


def test_a_pinned_invocation_waits_for_its_deployment_while_that_is_down(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            id = await here.send("/Story/tell")
            old = (await here.until(id, "suspended"))["deployment_id"]
            await first.die()
            await here.register(second)
            await _resolve(here, one)
            view = await here.until(id, "backing-off", attempts=4)
            assert view["last_failure"]["restate_code"] == "RT0010"
            await first.start()
            assert await here.result(id) == ["one", "go", "one", "one"]
            assert _deployments(await here.look(id)) == {old}
            assert second.exchanges == []

    run(test())


def test_an_endpoint_that_dies_in_the_middle_of_an_attempt(tmp_path: Path) -> None:
    async def test() -> None:
        story = Story("one")
        async with code(*story.services) as first, world(tmp_path, first) as here:
            id = await here.send("/Book/k/write")
            await story.entered.wait()
            await here.until(id, "running")
            await first.die()
            view = await here.until(id, "backing-off")
            assert view["last_failure"]["restate_code"] == "RT0010"
            story.gate.set()
            await first.start()
            assert await here.result(id) == "one"
            await here.idle()

    run(test())


def test_a_deployment_that_was_down_from_the_start_keeps_the_pin_too(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            await first.die()
            id = await here.send("/Story/which")
            await here.until(id, "backing-off")
            await here.register(second)
            assert await here.call("/Story/which") == "two"
            await first.start()
            assert await here.result(id) == "one"

    run(test())


def test_a_deployment_that_was_removed_by_request_holds_its_invocations(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            id = await here.send("/Story/tell")
            old = (await here.until(id, "suspended"))["deployment_id"]
            await here.register(second)
            gone = await here.ask("DELETE", f"{here.admin}/deployments/{old}?force=true")
            assert gone.status == 202
            await _resolve(here, one)
            view = await here.until(id, "backing-off", attempts=2)
            assert view["last_failure"]["restate_code"] == "RT0011"
            assert old in view["last_failure"]["message"]
            assert second.exchanges == []
            assert (await here.operate(id, "kill")).status == 200

    run(test())


# --- orderly restarts --------------------------------------------------------------------------


def test_an_attempt_that_a_shutdown_cuts_off_is_repeated_on_its_pin(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        two.gate.set()
        async with code(*one.services) as first, code(*two.services) as second:
            async with world(tmp_path, first) as here:
                id = await here.send("/Book/k/write")
                await here.until(id, "running")
                await here.register(second)
                queued = await here.send("/Book/k/write")
                await here.until(queued, "pending")
            async with world(tmp_path) as here:
                view = await here.until(id, "running")
                outcomes = [attempt["outcome"] for attempt in view["attempts"]]
                assert outcomes == ["interrupted", "running"]
                one.gate.set()
                assert await here.result(id) == "one"
                assert await here.result(queued) == "two"
                await here.idle()

    run(test())


def test_suspended_work_goes_on_where_it_started_after_a_shutdown(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with code(*one.services) as first, code(*two.services) as second:
            async with world(tmp_path, first) as here:
                id = await here.send("/Story/tell")
                old = (await here.until(id, "suspended"))["deployment_id"]
            async with world(tmp_path) as here:
                assert await here.register(second) != old
                one.failures = 3
                await _resolve(here, one)
                assert await here.result(id) == ["one", "go", "one", "one"]
                assert _deployments(await here.look(id)) == {old}
                assert second.exchanges == []
                assert await here.call("/Story/which") == "two"
                await here.idle()

    run(test())


def test_what_became_due_while_the_engine_was_down_in_good_order(tmp_path: Path) -> None:
    async def test() -> None:
        desk, works = Desk(), Works()
        async with code(*desk.services, works.service) as endpoint:
            async with world(tmp_path, endpoint) as here:
                begun = time.time()
                sent = await here.send("/Desk/work", "x", delay="300ms")
                asleep = await here.send("/Works/sleep", 300)
                past = await here.send("/Works/sleep", 30)
                await here.until(asleep, "suspended")
                await here.until(past, "suspended", "completed")
            await asyncio.sleep(0.05)  # one of them is due while nobody is there
            async with world(tmp_path) as here:
                assert await here.result(past) == "awake"
                assert (await here.look(asleep))["status"] == "suspended"
                assert (await here.look(sent))["status"] == "scheduled"
                assert await here.result(asleep) == "awake"
                assert await here.result(sent) == "x 1"
                assert time.time() - begun >= 0.3
                assert len((await here.look(asleep))["attempts"]) == 2
                await here.idle()

    run(test())


def test_keys_and_workflows_are_known_after_a_shutdown(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        key = {"idempotency-key": "one"}
        async with code(*desk.services) as endpoint:
            async with world(tmp_path, endpoint) as here:
                first = await here.post("/Desk/work", "a", headers=key)
                desk.gate.clear()
                cut_off = await here.send("/Desk/work", "c", idempotency_key="two")
                await here.until(cut_off, "running")
                await here.call("/Flow/k/tell", "go")
                assert await here.call("/Flow/k/run", "me") == "me go"
            desk.gate.set()
            async with world(tmp_path) as here:
                again = await here.post("/Desk/work", "b", headers=key)
                assert (again.json(), again.id) == ("a 1", first.id)
                other = await here.post("/Desk/work", "d", headers={"idempotency-key": "two"})
                assert other.id == cut_off
                assert other.json().startswith("c ")
                assert (await here.get("/restate/workflow/Flow/k/output")).json() == "me go"
                assert await here.call("/Flow/k/peek") == ["me", "go"]
                assert (await here.post("/Flow/k/run", "you")).status == 409
                await here.idle()

    run(test())


# --- callers and bodies ------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_caller_may_hang_up_and_come_back(tmp_path: Path, reset: bool) -> None:
    async def test() -> None:
        desk = Desk()
        desk.gate.clear()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            _, caller = await asyncio.open_connection(LOOPBACK, here.ingress_port)
            caller.write(
                b"POST /Desk/work HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
                b'idempotency-key: one\r\ncontent-length: 3\r\n\r\n"a"'
            )
            await desk.entered.wait()
            if reset:
                no_goodbye = struct.pack("ii", 1, 0)
                connection = caller.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_goodbye)
            caller.close()
            if reset:  # one that is only closed may still read, so the engine goes on waiting
                await eventually(lambda: not len(here.engine.waiters))
            assert desk.runs == 1
            desk.gate.set()
            headers = {"idempotency-key": "one"}
            assert (await here.post("/Desk/work", "b", headers=headers)).json() == "a 1"
            assert desk.runs == 1
            await here.idle()

    run(test())


def test_concurrent_duplicates_over_connections_of_their_own(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        desk.gate.clear()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            headers = {"idempotency-key": "one"}
            calls = [
                asyncio.ensure_future(here.post("/Desk/work", str(number), headers=headers))
                for number in range(20)
            ]
            await desk.entered.wait()
            again = await here.post("/Desk/work/send", "again", headers=headers)
            assert again.json()["status"] == "PreviouslyAccepted"
            desk.gate.set()
            replies = await asyncio.gather(*calls)
            assert desk.runs == 1
            assert {reply.status for reply in replies} == {200}
            assert {reply.id for reply in replies} == {again.json()["invocationId"]}
            assert len({reply.body for reply in replies}) == 1
            await here.idle()

    run(test())


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_bodies_of_all_sizes_go_in_and_out(tmp_path: Path, size: int) -> None:
    async def test() -> None:
        echo = restate.Service("Echo")

        raw: Any = {
            "accept": "*/*",
            "content_type": "application/octet-stream",
            "input_serde": BytesSerde(),
            "output_serde": BytesSerde(),
        }

        @echo.handler("plain", **raw)
        async def plain(ctx: restate.Context, body: bytes) -> bytes:
            return body

        @echo.handler("step", **raw)
        async def step(ctx: restate.Context, body: bytes) -> bytes:
            name, told = ctx.awakeable(type_hint=str)
            ctx.resolve_awakeable(name, "go")
            await told
            return body

        body = (bytes(number % 251 for number in range(1000)) * (size // 1000 + 1))[:size]
        async with code(echo) as endpoint, world(tmp_path, endpoint) as here:
            for handler in ("plain", "step"):
                headers = {"content-type": "image/png"} if body else None
                reply = await here.post(f"/Echo/{handler}", data=body, headers=headers)
                assert reply.status == 200, reply.body[:200]
                assert reply.body == body

    run(test())


# --- real time ---------------------------------------------------------------------------------


def test_an_attempt_that_is_silent_for_too_long_is_dropped(tmp_path: Path) -> None:
    async def test() -> None:
        slow = restate.Service("Slow", abort_timeout=timedelta(milliseconds=60))
        runs: list[int] = []

        @slow.handler()
        async def think(ctx: restate.Context) -> str:
            runs.append(1)
            if len(runs) < 3:
                await asyncio.sleep(5)
            return "thought"

        async with code(slow) as endpoint, world(tmp_path, endpoint) as here:
            id = await here.send("/Slow/think")
            assert await here.result(id) == "thought"
            outcomes = [attempt["outcome"] for attempt in (await here.look(id))["attempts"]]
            assert outcomes == ["RT0001", "RT0001", "completed"]

    run(test())


def test_retries_of_one_do_not_hold_up_another(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        works.failures = 10**9
        async with code(works.service) as endpoint, world(tmp_path, endpoint) as here:
            for _ in range(30):
                await here.send("/Works/unbounded")
            begun = time.perf_counter()
            for _ in range(20):
                assert await here.call("/Works/sleep", 0) == "awake"
            assert time.perf_counter() - begun < 5

    run(test())
