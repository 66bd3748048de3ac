"""Calls, sends, delays, repeated requests, workflows, results asked for later."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import restate
from restate.serde import BytesSerde

from tests.runtime.in_process import Reply, World, code, eventually, run, world


class Desk:
    """A service that counts how often it really ran, and can be held at a gate."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.service = service = restate.Service("Desk")
        self.flow = flow = restate.Workflow("Flow")
        self.hidden = hidden = restate.Service("Hidden", ingress_private=True)

        @service.handler()
        async def work(ctx: restate.Context, text: str) -> str:
            self.runs += 1
            await self.gate.wait()
            return f"{text} {self.runs}"

        @service.handler()
        async def refuse(ctx: restate.Context, code: int) -> None:
            self.runs += 1
            raise restate.TerminalError(f"refused {self.runs}", status_code=code)

        @service.handler()
        async def work_twice(ctx: restate.Context, key: str) -> list[str]:
            first = await ctx.service_call(work, arg="a", idempotency_key=key)
            second = await ctx.service_call(work, arg="b", idempotency_key=key)
            return [first, second]

        @service.handler()
        async def later(ctx: restate.Context, milliseconds: int) -> str:
            delay = timedelta(milliseconds=milliseconds)
            handle = ctx.service_send(work, arg="later", send_delay=delay)
            return await handle.invocation_id()

        @service.handler()
        async def attach(ctx: restate.Context, id: str) -> str:
            return await ctx.attach_invocation(id, type_hint=str)

        @service.handler()
        async def ask_hidden(ctx: restate.Context, name: str) -> str:
            return await ctx.service_call(secret, arg=name)

        @hidden.handler()
        async def secret(ctx: restate.Context, name: str) -> str:
            return f"psst, {name}"

        @flow.main()
        async def run(ctx: restate.WorkflowContext, who: str) -> str:
            self.runs += 1
            ctx.set("who", who)
            word = await ctx.promise("word", type_hint=str)
            return f"{who} {word}"

        @flow.handler()
        async def tell(ctx: restate.WorkflowSharedContext, word: str) -> None:
            await ctx.promise("word", type_hint=str).resolve(word)

        @flow.handler()
        async def deny(ctx: restate.WorkflowSharedContext, why: str) -> None:
            await ctx.promise("word", type_hint=str).reject(why, 499)

        @flow.handler()
        async def peek(ctx: restate.WorkflowSharedContext) -> list[str | None]:
            word = await ctx.promise("word", type_hint=str).peek()
            return [await ctx.get("who", type_hint=str), word]

        @flow.handler()
        async def wait(ctx: restate.WorkflowSharedContext) -> str:
            return await ctx.promise("word", type_hint=str)

        @service.handler()
        async def start_flow(ctx: restate.Context, key: str) -> str:
            return await ctx.workflow_call(run, key=key, arg="called")

        self.services = (service, flow, hidden)


async def _output(here: World, id: str) -> Reply:
    return await here.get(f"/restate/invocation/{id}/output")


# --- sends and delays --------------------------------------------------------------------------


def test_a_delayed_send_waits_and_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint:
            async with world(tmp_path, endpoint) as here:
                begun = time.time()
                id = await here.send("/Desk/work", "x", delay="300ms")
                short = await here.send("/Desk/work", "short", delay="20ms")
                assert await here.result(short) == "short 1"
                assert (await here.look(id))["status"] == "scheduled"
                assert (await _output(here, id)).status == 470
            async with world(tmp_path) as here:
                assert await here.result(id) == "x 2"
                assert time.time() - begun >= 0.3

    run(test())


def test_a_delayed_send_that_became_due_while_the_engine_was_down(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint:
            async with world(tmp_path, endpoint) as here:
                id = await here.send("/Desk/work", "x", delay="30ms")
            await asyncio.sleep(0.05)
            async with world(tmp_path) as here:
                assert await here.result(id) == "x 1"

    run(test())


def test_a_delayed_send_of_a_handler(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            id = await here.call("/Desk/later", 60)
            assert (await here.look(id))["status"] == "scheduled"
            assert await here.result(id) == "later 1"

    run(test())


def test_a_scheduled_one_can_be_cancelled_and_never_was(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            id = await here.send("/Desk/work", "x", delay="50ms")
            assert (await here.operate(id, "cancel")).status == 200
            assert (await _output(here, id)).status == 404
            await asyncio.sleep(0.08)
            assert desk.runs == 0

    run(test())


# --- repeated requests -------------------------------------------------------------------------


def test_concurrent_duplicates_run_once(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        desk.gate.clear()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            headers = {"idempotency-key": "one"}
            calls = [
                asyncio.ensure_future(here.post("/Desk/work", str(number), headers=headers))
                for number in range(20)
            ]
            await eventually(lambda: desk.runs > 0)
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


def test_a_repetition_gets_the_first_result_also_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint:
            async with world(tmp_path, endpoint) as here:
                first = await here.post("/Desk/work", "a", headers={"idempotency-key": "one"})
                again = await here.post("/Desk/work", "b", headers={"idempotency-key": "one"})
                other = await here.post("/Desk/work", "c", headers={"idempotency-key": "two"})
                assert (first.json(), again.json(), other.json()) == ("a 1", "a 1", "c 2")
                assert "idempotency-expires" in again.headers
            async with world(tmp_path) as here:
                after = await here.post("/Desk/work", "d", headers={"idempotency-key": "one"})
                assert (after.json(), after.id) == ("a 1", first.id)
                assert desk.runs == 2

    run(test())


def test_a_repetition_while_the_engine_is_restarted(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        desk.gate.clear()
        async with code(*desk.services) as endpoint:
            async with world(tmp_path, endpoint) as here:
                id = await here.send("/Desk/work", "a", idempotency_key="one")
                await here.until(id, "running")
            desk.gate.set()
            async with world(tmp_path) as here:
                again = await here.post("/Desk/work", "b", headers={"idempotency-key": "one"})
                assert again.id == id
                assert again.json().startswith("a ")

    run(test())


def test_a_failure_is_a_result_too(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            headers = {"idempotency-key": "one"}
            replies = [await here.post("/Desk/refuse", 418, headers=headers) for _ in range(2)]
            assert [reply.status for reply in replies] == [418, 418]
            assert replies[0].body == replies[1].body
            assert desk.runs == 1

    run(test())


def test_a_key_is_a_key_of_one_handler(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            headers = {"idempotency-key": "one"}
            assert (await here.post("/Desk/work", "a", headers=headers)).status == 200
            assert (await here.post("/Desk/refuse", 418, headers=headers)).status == 418
            by_key = await here.get("/restate/invocation/Desk/work/one/output")
            assert by_key.json() == "a 1"
            assert (await here.get("/restate/invocation/Desk/work/two/output")).status == 404

    run(test())


def test_calls_of_handlers_have_keys_too(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Desk/work_twice", "one") == ["a 1", "a 1"]
            outside = await here.post("/Desk/work", "c", headers={"idempotency-key": "one"})
            assert outside.json() == "a 1"

    run(test())


# --- results asked for later -------------------------------------------------------------------


def test_attach_and_output(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        desk.gate.clear()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            id = await here.send("/Desk/work", "x")
            early = await _output(here, id)
            assert early.status == 470
            assert early.json()["message"] == "the invocation exists but has not completed yet"
            waiting = [asyncio.ensure_future(here.result(id)) for _ in range(3)]
            by_handler = asyncio.ensure_future(here.call("/Desk/attach", id))
            await asyncio.sleep(0.02)
            desk.gate.set()
            assert await asyncio.gather(*waiting, by_handler) == ["x 1"] * 4
            assert (await _output(here, id)).json() == "x 1"
            assert await here.call("/Desk/attach", id) == "x 1"
            unknown = id[:-3] + "zzz"
            assert (await _output(here, unknown)).status == 404
            assert (await here.get(f"/restate/invocation/{unknown}/attach")).status == 404
            lost = await here.post("/Desk/attach", unknown)
            assert (lost.status, lost.json()["message"]) == (404, "not found")
            await here.idle()

    run(test())


def test_a_caller_may_go_away_and_come_back(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        desk.gate.clear()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            headers = {"idempotency-key": "one"}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await here.post("/Desk/work", "a", headers=headers)
            assert desk.runs == 1
            desk.gate.set()
            assert (await here.post("/Desk/work", "b", headers=headers)).json() == "a 1"
            assert desk.runs == 1

    run(test())


# --- workflows ---------------------------------------------------------------------------------


def test_a_workflow_runs_once_per_key(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint:
            async with world(tmp_path, endpoint) as here:
                id = await here.send("/Flow/k/run", "me")
                await here.until(id, "suspended")
                second = await here.post("/Flow/k/run", "you")
                assert second.status == 409
                assert second.json()["message"] == "the workflow method was already invoked"
                assert second.headers["x-restate-error-source"] == "invocation"
                sent = await here.post("/Flow/k/run/send", "you")
                assert sent.json() == {"invocationId": id, "status": "PreviouslyAccepted"}
                called = await here.post("/Desk/start_flow", "k")
                assert (called.status, called.json()["message"]) == (
                    409, "the workflow method was already invoked",
                )  # fmt: skip
                assert (await here.get("/restate/workflow/Flow/k/output")).status == 470
                assert await here.call("/Flow/k/peek") == ["me", None]
                attached = asyncio.ensure_future(here.get("/restate/workflow/Flow/k/attach"))
                waiting = asyncio.ensure_future(here.call("/Flow/k/wait"))
                await asyncio.sleep(0.02)
                await here.call("/Flow/k/tell", "go")
                assert (await attached).json() == "me go"
                assert await waiting == "go"
                again = await here.post("/Flow/k/tell", "stop")
                assert (again.status, again.json()["message"]) == (
                    409, "promise was already completed",
                )  # fmt: skip
            async with world(tmp_path) as here:
                assert (await here.get("/restate/workflow/Flow/k/output")).json() == "me go"
                assert await here.call("/Flow/k/peek") == ["me", "go"]
                assert (await here.post("/Flow/k/run", "you")).status == 409
                assert desk.runs >= 1
                assert (await here.get("/restate/workflow/Flow/other/output")).status == 404

    run(test())


def test_a_promise_may_be_kept_before_the_workflow_starts(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            await here.call("/Flow/k/tell", "early")
            assert await here.call("/Flow/k/run", "me") == "me early"

    run(test())


def test_a_broken_promise_fails_who_waits(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            id = await here.send("/Flow/k/run", "me")
            await here.until(id, "suspended")
            await here.call("/Flow/k/deny", "never")
            reply = await here.get("/restate/workflow/Flow/k/attach")
            assert (reply.status, reply.json()["message"]) == (499, "never")

    run(test())


def test_two_workflows_that_start_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            await here.call("/Flow/k/tell", "go")
            replies = await asyncio.gather(
                *(here.post("/Flow/k/run", str(number)) for number in range(10))
            )
            statuses = sorted(reply.status for reply in replies)
            assert statuses == [200] + [409] * 9
            await here.idle()

    run(test())


# --- who may call what -------------------------------------------------------------------------


def test_a_private_service_answers_handlers_only(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Desk()
        async with code(*desk.services) as endpoint, world(tmp_path, endpoint) as here:
            for path in ("/Hidden/secret", "/Hidden/secret/send"):
                reply = await here.post(path, "me")
                assert (reply.status, reply.json()["message"]) == (
                    400, "the invoked service is not public",
                )  # fmt: skip
            assert await here.call("/Desk/ask_hidden", "me") == "psst, me"

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

        body = bytes(number % 251 for number in range(1000)) * (size // 1000 + 1)
        body = body[:size]
        async with code(echo) as endpoint, world(tmp_path, endpoint) as here:
            for handler in ("plain", "step"):
                headers = {"content-type": "image/png"} if body else None
                reply = await here.post(f"/Echo/{handler}", data=body, headers=headers)
                assert reply.status == 200, reply.body[:200]
                assert reply.body == body

    run(test())
