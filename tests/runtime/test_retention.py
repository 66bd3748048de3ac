"""What is finished is kept as long as was agreed, and no longer; requests go on meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import restate

from tests.runtime.in_process import World, code, run, world


def _service(
    name: str, journal: int | None, result: int | None
) -> tuple[restate.Service, list[int]]:
    """A service with these retentions in ms, and a list that grows with each run."""
    runs: list[int] = []
    service = restate.Service(
        name,
        journal_retention=None if journal is None else timedelta(milliseconds=journal),
        idempotency_retention=None if result is None else timedelta(milliseconds=result),
    )

    @service.handler()
    async def work(ctx: restate.Context) -> int:
        await ctx.run_typed("step", lambda: 1)
        runs.append(1)
        return len(runs)

    return service, runs


def _rows(here: World) -> dict[str, int]:
    reader = here.engine.store.reader
    return {
        table: reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("invocation", "journal", "attempt", "state", "promise", "timer", "listener")
    }


async def _until_rows(here: World, **wanted: int) -> None:
    """Wait for the sweep, which looks once a second."""
    for _ in range(300):
        rows = _rows(here)
        if all(rows[table] == count for table, count in wanted.items()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {wanted}: {_rows(here)}")


def test_results_and_journals_go_when_their_time_is_over(tmp_path: Path) -> None:
    async def test() -> None:
        short, _ = _service("Short", 200, 1500)
        keyed = {"headers": {"idempotency-key": "one"}}
        async with code(short) as endpoint, world(tmp_path, endpoint) as here:
            first = await here.post("/Short/work", **keyed)
            plain = await here.post("/Short/work")
            assert (first.json(), plain.json()) == (1, 2)
            assert _rows(here)["invocation"] == 2
            assert (await here.get(f"/restate/invocation/{plain.id}/output")).json() == 2
            # First the journals, and with its journal the plain one, while requests go on.
            waiting = asyncio.ensure_future(_until_rows(here, journal=0, invocation=1, attempt=0))
            while not waiting.done():
                again = await here.post("/Short/work", **keyed)
                assert (again.json(), again.id) == (1, first.id)
                await asyncio.sleep(0.05)
            await waiting
            assert (await here.get(f"/restate/invocation/{plain.id}/output")).status == 404
            await _until_rows(here, invocation=0)
            fresh = await here.post("/Short/work", **keyed)
            assert (fresh.json(), fresh.id) == (3, first.id)

    run(test())


@pytest.mark.parametrize(
    ("journal", "result", "headers", "invocations", "journals"),
    [
        (0, None, {}, 0, 0),
        (0, 86_400_000, {}, 0, 0),
        (0, 86_400_000, {"idempotency-key": "one"}, 1, 0),
        (86_400_000, 0, {"idempotency-key": "one"}, 0, 0),
        (86_400_000, 0, {}, 1, 3),
    ],
)
def test_what_is_left_right_after_the_result(
    tmp_path: Path,
    journal: int,
    result: int | None,
    headers: dict[str, str],
    invocations: int,
    journals: int,
) -> None:
    async def test() -> None:
        service, _ = _service("S", journal, result)
        async with code(service) as endpoint, world(tmp_path, endpoint) as here:
            reply = await here.post("/S/work", headers=headers)
            assert reply.json() == 1
            await here.idle()
            rows = _rows(here)
            assert (rows["invocation"], rows["journal"]) == (invocations, journals)
            output = await here.get(f"/restate/invocation/{reply.id}/output")
            assert output.status == (200 if invocations else 404)

    run(test())


def test_a_callee_without_retention_still_answers_its_callers(tmp_path: Path) -> None:
    async def test() -> None:
        gate = asyncio.Event()
        brief = restate.Service("Brief", journal_retention=timedelta(0))

        @brief.handler()
        async def work(ctx: restate.Context) -> str:
            await gate.wait()
            return "done"

        @brief.handler()
        async def call(ctx: restate.Context) -> str:
            return await ctx.service_call(work, arg=None)

        async with code(brief) as endpoint, world(tmp_path, endpoint) as here:
            called = asyncio.ensure_future(here.call("/Brief/call"))
            id = await here.send("/Brief/work")
            attached = [asyncio.ensure_future(here.result(id)) for _ in range(3)]
            await here.until(id, "running")
            await asyncio.sleep(0.02)
            gate.set()
            assert await called == "done"
            assert await asyncio.gather(*attached) == ["done"] * 3
            await here.idle()
            assert sum(_rows(here).values()) == 0

    run(test())


def test_a_workflow_goes_with_its_state_and_promises(tmp_path: Path) -> None:
    async def test() -> None:
        flow = restate.Workflow("Flow")
        seen: list[Any] = []

        @flow.main(workflow_retention=timedelta(milliseconds=300))
        async def run_it(ctx: restate.WorkflowContext) -> str:
            seen.append(await ctx.get("who", type_hint=str))
            ctx.set("who", "me")
            await ctx.promise("p", type_hint=str).resolve("kept")
            return "done"

        @flow.handler()
        async def peek(ctx: restate.WorkflowSharedContext) -> list[Any]:
            who = await ctx.get("who", type_hint=str)
            return [who, await ctx.promise("p", type_hint=str).peek()]

        async with (
            code(flow) as endpoint,
            world(tmp_path, endpoint, journal_retention="0s") as here,
        ):
            assert await here.call("/Flow/k/run_it") == "done"
            assert await here.call("/Flow/k/peek") == ["me", "kept"]
            assert (await here.post("/Flow/k/run_it")).status == 409
            await _until_rows(here, invocation=0, state=0, promise=0)
            assert await here.call("/Flow/k/peek") == [None, None]
            assert await here.call("/Flow/k/run_it") == "done"
            assert set(seen) == {None}

    run(test())


def test_what_expired_while_the_engine_was_down(tmp_path: Path) -> None:
    async def test() -> None:
        short, _ = _service("Short", 50, 50)
        async with code(short) as endpoint:
            async with world(tmp_path, endpoint) as here:
                for _ in range(250):  # more than one step of the sweep
                    await here.call("/Short/work")
            async with world(tmp_path) as here:
                await _until_rows(here, invocation=0, journal=0)
                assert await here.call("/Short/work") == 251

    run(test())


def test_a_workflow_that_is_not_kept_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    async def test() -> None:
        flow = restate.Workflow("Flow")

        @flow.main(workflow_retention=timedelta(0))
        async def run_it(ctx: restate.WorkflowContext) -> list[Any]:
            who = await ctx.get("who", type_hint=str)
            before = [who, await ctx.promise("p", type_hint=str).peek()]
            ctx.set("who", "me")
            await ctx.promise("p", type_hint=str).resolve("kept")
            return before

        async with code(flow) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Flow/k/run_it") == [None, None]
            assert await here.call("/Flow/k/run_it") == [None, None]
            assert sum(_rows(here).values()) == 0

    run(test())
