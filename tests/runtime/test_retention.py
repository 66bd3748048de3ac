"""What is finished is kept as long as was agreed, and no longer; requests go on meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import restate

from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.testing import Steadfaas
from tests.runtime.in_kit import crash_for, idle, output, post, result, until

# Retentions that a service does not set are those of production here.
pytestmark = [pytest.mark.asyncio, pytest.mark.steadfaas(defaults=HandlerOptions())]

DAY = timedelta(days=1)
NONE = timedelta(0)


def _service(
    name: str, journal: timedelta | None, result: timedelta | None
) -> tuple[restate.Service, list[int]]:
    """A service with these retentions, and a list that grows with each run."""
    runs: list[int] = []
    service = restate.Service(name, journal_retention=journal, idempotency_retention=result)

    @service.handler()
    async def work(ctx: restate.Context) -> int:
        await ctx.run_typed("step", lambda: 1)
        runs.append(1)
        return len(runs)

    return service, runs


def _rows(kit: Steadfaas) -> dict[str, int]:
    reader = kit._host.running.store.reader
    return {
        table: reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("invocation", "journal", "attempt", "state", "promise", "timer", "listener")
    }


async def test_results_and_journals_go_when_their_time_is_over(steadfaas: Steadfaas) -> None:
    short, runs = _service("Short", 2 * DAY, 30 * DAY)
    await steadfaas.deploy(restate.app([short]))
    first = await post(steadfaas, "/Short/work", key="one")
    plain = await post(steadfaas, "/Short/work")
    assert (result(first), result(plain)) == (1, 2)
    id, plain_id = first.headers["x-restate-id"], plain.headers["x-restate-id"]
    await idle(steadfaas)
    before = _rows(steadfaas)
    assert before["invocation"] == 2
    assert result(await output(steadfaas, plain_id)) == 2

    async def again() -> None:
        reply = await post(steadfaas, "/Short/work", key="one")
        assert (result(reply), reply.headers["x-restate-id"]) == (1, id)

    # Not a moment too early …
    await steadfaas.advance(2 * DAY - timedelta(milliseconds=1))
    await again()
    assert _rows(steadfaas) == before
    # … then the journals, and with its journal the plain one, while requests go on.
    await steadfaas.advance("2 s")
    rows = _rows(steadfaas)
    assert (rows["journal"], rows["invocation"], rows["attempt"]) == (0, 1, 0)
    assert (await output(steadfaas, plain_id)).status == 404
    for _ in range(27):
        await steadfaas.advance(DAY)
        await again()
    await steadfaas.advance(DAY - timedelta(seconds=3))
    await again()
    assert _rows(steadfaas)["invocation"] == 1
    await steadfaas.advance("3 s")
    assert sum(_rows(steadfaas).values()) == 0
    fresh = await post(steadfaas, "/Short/work", key="one")
    assert (result(fresh), fresh.headers["x-restate-id"]) == (3, id)
    assert len(runs) == 3
    await idle(steadfaas)


@pytest.mark.parametrize(
    ("journal", "kept", "key", "invocations", "journals"),
    [
        (NONE, None, None, 0, 0),
        (NONE, DAY, None, 0, 0),
        (NONE, DAY, "one", 1, 0),
        (DAY, NONE, "one", 0, 0),
        (DAY, NONE, None, 1, 3),
    ],
)
async def test_what_is_left_right_after_the_result(
    steadfaas: Steadfaas,
    journal: timedelta,
    kept: timedelta | None,
    key: str | None,
    invocations: int,
    journals: int,
) -> None:
    service, _ = _service("S", journal, kept)
    await steadfaas.deploy(restate.app([service]))
    reply = await post(steadfaas, "/S/work", key=key)
    assert result(reply) == 1
    await idle(steadfaas)
    rows = _rows(steadfaas)
    assert (rows["invocation"], rows["journal"]) == (invocations, journals)
    left = await output(steadfaas, reply.headers["x-restate-id"])
    assert left.status == (200 if invocations else 404)
    # Whatever is left goes when its day is over.
    await steadfaas.advance(DAY + timedelta(seconds=2))
    assert sum(_rows(steadfaas).values()) == 0


async def test_what_is_kept_if_nothing_is_said(steadfaas: Steadfaas) -> None:
    service, _ = _service("S", None, None)
    await steadfaas.deploy(restate.app([service]))
    assert result(await post(steadfaas, "/S/work", key="one")) == 1
    assert result(await post(steadfaas, "/S/work")) == 2
    await steadfaas.advance("23h 59m")
    rows = _rows(steadfaas)
    assert (rows["invocation"], rows["journal"]) == (2, 6)
    await steadfaas.advance("2 min")
    assert sum(_rows(steadfaas).values()) == 0


async def test_a_callee_without_retention_still_answers_its_callers(steadfaas: Steadfaas) -> None:
    brief = restate.Service("Brief", journal_retention=NONE)
    gate = asyncio.Event()
    inside: list[int] = []

    @brief.handler()
    async def work(ctx: restate.Context) -> str:
        inside.append(1)
        await gate.wait()
        return "done"

    @brief.handler()
    async def call(ctx: restate.Context) -> str:
        return await ctx.service_call(work, arg=None)

    await steadfaas.deploy(restate.app([brief]))
    called = asyncio.ensure_future(post(steadfaas, "/Brief/call"))
    sent = await steadfaas.send("Brief/work")
    path = f"/restate/invocation/{sent.text_id}/attach"
    attached = [asyncio.ensure_future(steadfaas.request("GET", path)) for _ in range(3)]
    await until(lambda: len(inside) == 2)
    waiters = steadfaas._host.running.waiters
    await until(lambda: len(waiters._waiting.get(sent.id, ())) == 3)
    gate.set()
    assert result(await called) == "done"
    assert [result(reply) for reply in await asyncio.gather(*attached)] == ["done"] * 3
    await idle(steadfaas)
    assert sum(_rows(steadfaas).values()) == 0


@pytest.mark.steadfaas(defaults=HandlerOptions(journal_retention=0))
async def test_a_workflow_goes_with_its_state_and_promises(steadfaas: Steadfaas) -> None:
    flow = restate.Workflow("Flow")
    seen: list[str | None] = []

    @flow.main(workflow_retention=30 * DAY)
    async def run_it(ctx: restate.WorkflowContext) -> str:
        seen.append(await ctx.get("who", type_hint=str))
        ctx.set("who", "me")
        await ctx.promise("p", type_hint=str).resolve("kept")
        return "done"

    @flow.handler()
    async def peek(ctx: restate.WorkflowSharedContext) -> list[str | None]:
        who = await ctx.get("who", type_hint=str)
        return [who, await ctx.promise("p", type_hint=str).peek()]

    await steadfaas.deploy(restate.app([flow]))
    assert result(await post(steadfaas, "/Flow/k/run_it")) == "done"
    assert result(await post(steadfaas, "/Flow/k/peek")) == ["me", "kept"]
    await steadfaas.advance(30 * DAY - timedelta(milliseconds=1))
    assert result(await post(steadfaas, "/Flow/k/peek")) == ["me", "kept"]
    assert (await post(steadfaas, "/Flow/k/run_it")).status == 409
    await steadfaas.advance("2 s")
    assert sum(_rows(steadfaas).values()) == 0
    assert result(await post(steadfaas, "/Flow/k/peek")) == [None, None]
    assert result(await post(steadfaas, "/Flow/k/run_it")) == "done"
    assert set(seen) == {None}
    await idle(steadfaas)


async def test_what_expired_while_the_engine_was_down(steadfaas: Steadfaas) -> None:
    short, _ = _service("Short", DAY, DAY)
    await steadfaas.deploy(restate.app([short]))
    for _ in range(250):  # more than one step of the sweep
        await steadfaas.send("Short/work")
    await idle(steadfaas)
    assert _rows(steadfaas)["invocation"] == 250
    await crash_for(steadfaas, "2 days")
    seen: list[int] = []

    def gone() -> bool:
        seen.append(_rows(steadfaas)["invocation"])
        return seen[-1] == 0

    settling = asyncio.ensure_future(steadfaas.settle())
    await until(gone)
    await settling
    assert list(dict.fromkeys(seen)) == [250, 150, 50, 0], "in steps, between other work"
    assert sum(_rows(steadfaas).values()) == 0
    assert result(await post(steadfaas, "/Short/work")) == 251
    await idle(steadfaas)


async def test_a_workflow_that_is_not_kept_leaves_nothing_to_the_next(
    steadfaas: Steadfaas,
) -> None:
    flow = restate.Workflow("Flow")

    @flow.main(workflow_retention=NONE)
    async def run_it(ctx: restate.WorkflowContext) -> list[str | None]:
        who = await ctx.get("who", type_hint=str)
        before = [who, await ctx.promise("p", type_hint=str).peek()]
        ctx.set("who", "me")
        await ctx.promise("p", type_hint=str).resolve("kept")
        return before

    await steadfaas.deploy(restate.app([flow]))
    assert result(await post(steadfaas, "/Flow/k/run_it")) == [None, None]
    assert result(await post(steadfaas, "/Flow/k/run_it")) == [None, None]
    await idle(steadfaas)
    assert sum(_rows(steadfaas).values()) == 0
