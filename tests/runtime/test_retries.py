"""Steps, sleeps and retries: what is done stays done, and what fails is tried as was agreed."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import restate

from tests.runtime.in_process import HASTY, code, run, world

TEN_MS = timedelta(milliseconds=10)


class Works:
    """Steps that fail as often as they are told."""

    def __init__(self) -> None:
        self.runs = 0
        self.failures = 0
        self.gate = asyncio.Event()
        self.service = service = restate.Service("Works", invocation_retry_policy=HASTY)

        def step() -> int:
            self.runs += 1
            if self.runs <= self.failures:
                raise RuntimeError(f"failure {self.runs}")
            return self.runs

        @service.handler()
        async def bounded(ctx: restate.Context, attempts: int) -> int:
            options = restate.RunOptions[int](
                max_attempts=attempts, initial_retry_interval=TEN_MS, retry_interval_factor=1.0
            )
            return await ctx.run_typed("step", step, options)

        @service.handler()
        async def unbounded(ctx: restate.Context) -> int:
            return await ctx.run_typed("step", step)

        @service.handler()
        async def caught(ctx: restate.Context) -> str:
            options = restate.RunOptions[int](max_attempts=2, initial_retry_interval=TEN_MS)
            try:
                await ctx.run_typed("step", step, options)
            except restate.TerminalError:
                return "went on without it"
            return "no failure"

        @service.handler()
        async def three(ctx: restate.Context) -> list[int]:
            return [await ctx.run_typed(f"step {number}", step) for number in range(3)]

        @service.handler()
        async def sleep(ctx: restate.Context, milliseconds: int) -> str:
            await ctx.sleep(timedelta(milliseconds=milliseconds))
            return "awake"

        @service.handler()
        async def many_sleeps(ctx: restate.Context, count: int) -> int:
            sleeps = [ctx.sleep(timedelta(milliseconds=5 * number)) for number in range(count)]
            await restate.gather(*sleeps)
            return count

        @service.handler()
        async def timeout(ctx: restate.Context) -> str:
            _, value = ctx.awakeable(type_hint=str)
            match await restate.select(value=value, late=ctx.sleep(timedelta(milliseconds=40))):
                case ["late", _]:
                    return "too late"
            return "in time"

        @service.handler()
        async def same_again(ctx: restate.Context) -> list[object]:
            seen = [ctx.random().random(), str(ctx.uuid()), await ctx.time()]
            self.runs += 1
            self.seen.append(seen)
            if self.runs < 3:
                raise RuntimeError("once more")
            return seen

        self.seen: list[list[object]] = []


def test_a_step_gives_up_after_its_attempts(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        works.failures = 1000
        async with (
            code(works.service) as endpoint,
            world(tmp_path, endpoint, retry_max_attempts="2") as here,
        ):
            reply = await here.post("/Works/bounded", 4)
            assert reply.status == 500
            assert reply.headers["x-restate-error-source"] == "invocation"
            assert "failure 4" in reply.json()["message"]
            # The step's own policy bounds it, not the invocation's two attempts.
            assert works.runs == 4

    run(test())


def test_a_step_that_succeeds_in_time(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        works.failures = 3
        async with code(works.service) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Works/bounded", 4) == 4
            works.runs, works.failures = 0, 5
            assert await here.call("/Works/unbounded") == 6
            works.runs, works.failures = 0, 1000
            assert await here.call("/Works/caught") == "went on without it"
            assert works.runs == 2

    run(test())


def test_a_step_that_is_done_is_never_done_again(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        async with code(works.service) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Works/three") == [1, 2, 3]
            assert works.runs == 3

    run(test())


def test_a_sleep_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        async with code(works.service) as endpoint:
            async with world(tmp_path, endpoint) as here:
                begun = time.time()
                id = await here.send("/Works/sleep", 300)
                past = await here.send("/Works/sleep", 30)
                await here.until(id, "suspended")
                await here.until(past, "suspended", "completed")
            await asyncio.sleep(0.05)  # one of them is due while nobody is there
            async with world(tmp_path) as here:
                assert await here.result(past) == "awake"
                assert (await here.look(id))["status"] == "suspended"
                assert await here.result(id) == "awake"
                assert time.time() - begun >= 0.3
                assert len((await here.look(id))["attempts"]) == 2
                await here.idle()

    run(test())


def test_many_sleeps_of_one_handler(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        async with code(works.service) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Works/many_sleeps", 20) == 20
            assert await here.call("/Works/timeout") == "too late"
            timers = here.engine.store.reader.execute("SELECT count(*) FROM timer").fetchone()
            assert timers == (0,)
            await here.idle()

    run(test())


def test_chance_and_time_are_the_same_in_every_attempt(tmp_path: Path) -> None:
    async def test() -> None:
        works = Works()
        async with code(works.service) as endpoint, world(tmp_path, endpoint) as here:
            seen = await here.call("/Works/same_again")
            assert works.seen == [seen] * 3
            works.runs = 2
            assert await here.call("/Works/same_again") != seen

    run(test())


def test_an_attempt_that_is_silent_for_too_long_is_dropped(tmp_path: Path) -> None:
    async def test() -> None:
        slow = restate.Service(
            "Slow", abort_timeout=timedelta(milliseconds=60), invocation_retry_policy=HASTY
        )
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
