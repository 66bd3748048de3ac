"""Calls, sends, delays, repeated requests, workflows, results asked for later."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import restate
from restate.serde import BytesSerde

from steadfaas.servers.http1 import Reply
from steadfaas.testing import Steadfaas
from tests.runtime.desk import Desk
from tests.runtime.in_kit import (
    Watched,
    crash_for,
    get,
    handle,
    idle,
    output,
    post,
    result,
    told,
    until,
)

pytestmark = pytest.mark.asyncio

DAY = 86_400_000
INVOKED_TWICE = (409, "the workflow method was already invoked")


@pytest.fixture
def desk() -> Desk:
    """The handlers of the test; `_deploy` serves them."""
    return Desk()


async def _deploy(steadfaas: Steadfaas, desk: Desk) -> None:
    await steadfaas.deploy(Watched(*desk.services))


# --- sends and delays --------------------------------------------------------------------------


async def test_a_delayed_send_waits_and_survives_a_crash(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    start = steadfaas.now()
    late = await steadfaas.send("Desk/work", "x", delay="3 days")
    short = await steadfaas.send("Desk/work", "short", delay="20 ms")
    assert await short.result() == "short 1"
    assert steadfaas.now() == start + 20
    assert late.status == "scheduled"
    assert (await output(steadfaas, late.text_id)).status == 470
    await steadfaas.crash()
    assert late.status == "scheduled"
    assert await late.result() == "x 2"
    assert steadfaas.now() == start + 3 * DAY
    await idle(steadfaas)


async def test_a_delayed_send_that_became_due_while_the_engine_was_down(
    steadfaas: Steadfaas, desk: Desk
) -> None:
    await _deploy(steadfaas, desk)
    late = await steadfaas.send("Desk/work", "x", delay="30 min")
    await crash_for(steadfaas, "1h")
    await steadfaas.settle()
    assert late.status == "completed"
    assert await late.result() == "x 1"
    await idle(steadfaas)


async def test_a_delayed_send_of_a_handler(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    start = steadfaas.now()
    late = handle(steadfaas, await steadfaas.call("Desk/later", 60))
    assert late.status == "scheduled"
    assert steadfaas.now() == start
    assert await late.result() == "later 1"
    assert steadfaas.now() == start + 60
    await idle(steadfaas)


async def test_a_scheduled_one_can_be_cancelled_and_never_was(
    steadfaas: Steadfaas, desk: Desk
) -> None:
    await _deploy(steadfaas, desk)
    late = await steadfaas.send("Desk/work", "x", delay="50 ms")
    await late.cancel()
    assert late.status == "unknown"
    assert (await output(steadfaas, late.text_id)).status == 404
    await steadfaas.advance("1 day")
    assert desk.runs == 0
    await idle(steadfaas)


# --- repeated requests -------------------------------------------------------------------------


async def test_concurrent_duplicates_run_once(steadfaas: Steadfaas, desk: Desk) -> None:
    desk.gate.clear()
    await _deploy(steadfaas, desk)
    calls = [
        asyncio.create_task(post(steadfaas, "Desk/work", str(number), "one"))
        for number in range(20)
    ]
    await until(desk.entered.is_set)
    again = json.loads((await post(steadfaas, "Desk/work/send", "again", "one")).body)
    assert again["status"] == "PreviouslyAccepted"
    desk.gate.set()
    replies = await asyncio.gather(*calls)
    assert desk.runs == 1
    assert {reply.status for reply in replies} == {200}
    assert {reply.headers["x-restate-id"] for reply in replies} == {again["invocationId"]}
    assert len({reply.body for reply in replies}) == 1
    await idle(steadfaas)


async def test_a_repetition_gets_the_first_result_also_after_a_crash(
    steadfaas: Steadfaas, desk: Desk
) -> None:
    await _deploy(steadfaas, desk)
    first = await post(steadfaas, "Desk/work", "a", "one")
    again = await post(steadfaas, "Desk/work", "b", "one")
    other = await post(steadfaas, "Desk/work", "c", "two")
    assert [result(reply) for reply in (first, again, other)] == ["a 1", "a 1", "c 2"]
    assert "idempotency-expires" in again.headers
    await steadfaas.crash()
    after = await post(steadfaas, "Desk/work", "d", "one")
    assert result(after) == "a 1"
    assert after.headers["x-restate-id"] == first.headers["x-restate-id"]
    assert desk.runs == 2
    await idle(steadfaas)


async def test_a_repetition_of_what_a_crash_cut_off(steadfaas: Steadfaas, desk: Desk) -> None:
    desk.gate.clear()
    await _deploy(steadfaas, desk)
    sent = await steadfaas.send("Desk/work", "a", idempotency_key="one")
    await until(desk.entered.is_set)
    assert sent.status == "running"
    await steadfaas.crash()
    desk.gate.set()
    again = await post(steadfaas, "Desk/work", "b", "one")
    assert again.headers["x-restate-id"] == sent.text_id
    assert result(again) == "a 2"
    assert sent.attempts.outcomes == ["interrupted", "completed"]
    await idle(steadfaas)


async def test_a_failure_is_a_result_too(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    replies = [await post(steadfaas, "Desk/refuse", 418, "one") for _ in range(2)]
    assert [told(reply) for reply in replies] == [(418, "refused 1")] * 2
    assert replies[0].body == replies[1].body
    assert desk.runs == 1
    await idle(steadfaas)


async def test_a_key_is_a_key_of_one_handler(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    assert (await post(steadfaas, "Desk/work", "a", "one")).status == 200
    assert (await post(steadfaas, "Desk/refuse", 418, "one")).status == 418
    assert result(await output(steadfaas, "Desk/work/one")) == "a 1"
    assert (await output(steadfaas, "Desk/work/two")).status == 404
    await idle(steadfaas)


async def test_calls_of_handlers_have_keys_too(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    assert await steadfaas.call("Desk/work_twice", "one") == ["a 1", "a 1"]
    assert await steadfaas.call("Desk/work", "c", idempotency_key="one") == "a 1"
    assert desk.runs == 1
    await idle(steadfaas)


# --- results asked for later -------------------------------------------------------------------


async def _attached(steadfaas: Steadfaas, id: str) -> Reply:
    return await get(steadfaas, f"/restate/invocation/{id}/attach")


async def test_attach_and_output(steadfaas: Steadfaas, desk: Desk) -> None:
    desk.gate.clear()
    await _deploy(steadfaas, desk)
    sent = await steadfaas.send("Desk/work", "x")
    id = sent.text_id
    early = await output(steadfaas, id)
    assert told(early) == (470, "the invocation exists but has not completed yet")
    waiting = [asyncio.create_task(_attached(steadfaas, id)) for _ in range(3)]
    by_handler = await steadfaas.send("Desk/attach", id)
    waiters = steadfaas._host.running.waiters._waiting
    await until(lambda: by_handler.status == "suspended" and len(waiters.get(sent.id, ())) == 3)
    desk.gate.set()
    assert [result(reply) for reply in await asyncio.gather(*waiting)] == ["x 1"] * 3
    assert await by_handler.result() == "x 1"
    assert result(await output(steadfaas, id)) == "x 1"
    assert result(await _attached(steadfaas, id)) == "x 1"
    assert await steadfaas.call("Desk/attach", id) == "x 1"
    unknown = id[:-3] + "zzz"
    assert (await output(steadfaas, unknown)).status == 404
    assert (await _attached(steadfaas, unknown)).status == 404
    assert told(await post(steadfaas, "Desk/attach", unknown)) == (404, "not found")
    await idle(steadfaas)


async def test_a_caller_may_go_away_and_come_back(steadfaas: Steadfaas, desk: Desk) -> None:
    desk.gate.clear()
    await _deploy(steadfaas, desk)
    gone = asyncio.create_task(post(steadfaas, "Desk/work", "a", "one"))
    await until(desk.entered.is_set)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert desk.runs == 1
    assert len(steadfaas._host.running.waiters) == 0
    desk.gate.set()
    assert result(await post(steadfaas, "Desk/work", "b", "one")) == "a 1"
    assert desk.runs == 1
    await idle(steadfaas)


# --- workflows ---------------------------------------------------------------------------------


async def _workflow(steadfaas: Steadfaas, key: str, what: str) -> Reply:
    return await get(steadfaas, f"/restate/workflow/Flow/{key}/{what}")


async def test_a_workflow_runs_once_per_key(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    flow = await steadfaas.send("Flow/k/run", "me")
    await steadfaas.settle()
    assert flow.status == "suspended"
    second = await post(steadfaas, "Flow/k/run", "you")
    assert told(second) == INVOKED_TWICE
    assert second.headers["x-restate-error-source"] == "invocation"
    sent = await post(steadfaas, "Flow/k/run/send", "you")
    assert json.loads(sent.body) == {"invocationId": flow.text_id, "status": "PreviouslyAccepted"}
    assert told(await post(steadfaas, "Desk/start_flow", "k")) == INVOKED_TWICE
    assert (await _workflow(steadfaas, "k", "output")).status == 470
    assert await steadfaas.call("Flow/k/peek") == ["me", None]
    attached = asyncio.create_task(_workflow(steadfaas, "k", "attach"))
    waiting = asyncio.create_task(post(steadfaas, "Flow/k/wait"))
    await until(lambda: len(steadfaas._host.running.waiters) == 2)
    await steadfaas.settle()
    assert await steadfaas.call("Flow/k/tell", "go") is None
    assert result(await attached) == "me go"
    assert result(await waiting) == "go"
    again = await post(steadfaas, "Flow/k/tell", "stop")
    assert told(again) == (409, "promise was already completed")
    await steadfaas.crash()
    assert result(await _workflow(steadfaas, "k", "output")) == "me go"
    assert await steadfaas.call("Flow/k/peek") == ["me", "go"]
    assert (await post(steadfaas, "Flow/k/run", "you")).status == 409
    assert desk.runs == len(flow.attempts)
    assert (await _workflow(steadfaas, "other", "output")).status == 404
    await idle(steadfaas)


async def test_a_promise_may_be_kept_before_the_workflow_starts(
    steadfaas: Steadfaas, desk: Desk
) -> None:
    await _deploy(steadfaas, desk)
    await steadfaas.call("Flow/k/tell", "early")
    assert await steadfaas.call("Flow/k/run", "me") == "me early"
    await idle(steadfaas)


async def test_a_broken_promise_fails_who_waits(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    flow = await steadfaas.send("Flow/k/run", "me")
    await steadfaas.settle()
    assert flow.status == "suspended"
    await steadfaas.call("Flow/k/deny", "never")
    assert told(await _workflow(steadfaas, "k", "attach")) == (499, "never")
    await idle(steadfaas)


async def test_two_workflows_that_start_at_once(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    await steadfaas.call("Flow/k/tell", "go")
    replies = await asyncio.gather(
        *(post(steadfaas, "Flow/k/run", str(number)) for number in range(10))
    )
    assert sorted(reply.status for reply in replies) == [200] + [409] * 9
    await idle(steadfaas)


# --- who may call what -------------------------------------------------------------------------


async def test_a_private_service_answers_handlers_only(steadfaas: Steadfaas, desk: Desk) -> None:
    await _deploy(steadfaas, desk)
    for path in ("Hidden/secret", "Hidden/secret/send"):
        reply = await post(steadfaas, path, "me")
        assert told(reply) == (400, "the invoked service is not public")
    assert await steadfaas.call("Desk/ask_hidden", "me") == "psst, me"
    await idle(steadfaas)


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
async def test_bodies_of_all_sizes_go_in_and_out(steadfaas: Steadfaas, size: int) -> None:
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
        name, awaited = ctx.awakeable(type_hint=str)
        ctx.resolve_awakeable(name, "go")
        await awaited
        return body

    body = (bytes(number % 251 for number in range(1000)) * (size // 1000 + 1))[:size]
    headers = {"content-type": "image/png"} if body else {}
    await steadfaas.deploy(Watched(echo))
    for handler in ("plain", "step"):
        reply = await steadfaas.request("POST", f"/Echo/{handler}", body, headers)
        assert reply.status == 200, reply.body[:200]
        assert reply.body == body
    await idle(steadfaas)
