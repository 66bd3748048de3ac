"""Virtual time: what fires when, in which order, and that nobody waits for real."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import restate

from steadfaas.testing import InvocationFailed, Steadfaas
from tests.kit.shop import app, checkout

pytestmark = pytest.mark.asyncio

DAY = 86_400_000


def clocks(seen: list[Any], kit: Steadfaas) -> Any:
    """Handlers that note when they get on."""
    service = restate.Service("Clocks")

    @service.handler()
    async def sleep(ctx: restate.Context, seconds: float) -> None:
        await ctx.sleep(timedelta(seconds=seconds))
        seen.append((seconds, kit.now()))

    @service.handler()
    async def chain(ctx: restate.Context, days: list[int]) -> list[float]:
        times = [await ctx.time()]
        for day in days:
            await ctx.sleep(timedelta(days=day))
            times.append(await ctx.time())
        return times

    @service.handler()
    async def later(ctx: restate.Context, seconds: float) -> None:
        ctx.service_send(sleep, 0.0, send_delay=timedelta(seconds=seconds))

    @service.handler()
    async def daily(ctx: restate.Context, left: int) -> None:
        seen.append(kit.now())
        if left:
            ctx.service_send(daily, left - 1, send_delay=timedelta(days=1))

    return app(service)


async def test_time_stands_still_by_itself(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    before = steadfaas.now()
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.settle()
    assert steadfaas.now() == before
    assert order.status == "suspended"


async def test_a_sleep_ends_at_its_millisecond(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance(timedelta(days=2) - timedelta(milliseconds=1))
    assert order.status == "suspended"
    await steadfaas.advance("1 ms")
    assert order.status == "completed"


async def test_sleeps_end_in_order_of_time(steadfaas: Steadfaas) -> None:
    seen: list[Any] = []
    await steadfaas.deploy(clocks(seen, steadfaas))
    start = steadfaas.now()
    for seconds in (30.0, 0.001, 86400.0, 30.0, 1.234, 7.0):
        await steadfaas.send("Clocks/sleep", seconds)
    await steadfaas.advance("2 days")
    assert seen == [
        (seconds, start + round(seconds * 1000))
        for seconds in (0.001, 1.234, 7.0, 30.0, 30.0, 86400.0)
    ]


async def test_a_chain_of_sleeps_within_one_advance(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(clocks([], steadfaas))
    start = steadfaas.now()
    chain = await steadfaas.send("Clocks/chain", [1, 2, 3])
    await steadfaas.advance("10 days")
    assert chain.status == "completed"
    times = await chain.result()
    assert [round(time * 1000) - start for time in times] == [0, DAY, 3 * DAY, 6 * DAY]
    assert steadfaas.now() == start + 10 * DAY


async def test_a_result_moves_time_as_far_as_it_needs(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(clocks([], steadfaas))
    start = steadfaas.now()
    await steadfaas.call("Clocks/chain", [1, 2, 3])
    assert steadfaas.now() == start + 6 * DAY


async def test_results_that_are_awaited_together(steadfaas: Steadfaas) -> None:
    seen: list[Any] = []
    await steadfaas.deploy(clocks(seen, steadfaas))
    start = steadfaas.now()
    await asyncio.gather(*(steadfaas.call("Clocks/sleep", s) for s in (5.0, 1.0, 3.0, 1.0)))
    assert seen == [(s, start + s * 1000) for s in (1.0, 1.0, 3.0, 5.0)]


async def test_delayed_sends_of_callers_and_handlers(steadfaas: Steadfaas) -> None:
    seen: list[Any] = []
    await steadfaas.deploy(clocks(seen, steadfaas))
    start = steadfaas.now()
    late = await steadfaas.send("Clocks/sleep", 0.0, delay="1h 30m")
    assert late.status == "scheduled"
    await steadfaas.call("Clocks/later", 20.5)
    await steadfaas.run_until_idle()
    assert seen == [(0.0, start + 20_500), (0.0, start + 5_400_000)]
    assert steadfaas.now() == start + 5_400_000


async def test_until_idle_stops_at_its_limit(steadfaas: Steadfaas) -> None:
    seen: list[Any] = []
    await steadfaas.deploy(clocks(seen, steadfaas))
    start = steadfaas.now()
    await steadfaas.send("Clocks/daily", 1000)
    await steadfaas.run_until_idle("5 days")
    assert seen == [start + day * DAY for day in range(6)]


async def test_retries_back_off_in_virtual_time(steadfaas: Steadfaas) -> None:
    service = restate.Service("Flaky")
    tries: list[int] = []

    @service.handler(
        invocation_retry_policy=restate.InvocationRetryPolicy(
            initial_interval=timedelta(seconds=10),
            exponentiation_factor=3.0,
            max_interval=timedelta(hours=1),
        )
    )
    async def work(ctx: restate.Context) -> int:
        tries.append(steadfaas.now())
        if len(tries) < 4:
            raise RuntimeError("not yet")
        return len(tries)

    await steadfaas.deploy(app(service))
    assert await steadfaas.call("Flaky/work") == 4
    waits = [later - earlier for earlier, later in pairwise(tries)]
    for wait, interval in zip(waits, (10_000, 30_000, 90_000), strict=True):
        assert interval <= wait < interval * 1.3, waits


async def test_a_step_that_is_retried_by_the_handler(steadfaas: Steadfaas) -> None:
    service = restate.Service("Steps")
    tries: list[int] = []

    def attempt() -> str:
        tries.append(steadfaas.now())
        if len(tries) < 3:
            raise RuntimeError("no")
        return "done"

    @service.handler()
    async def work(ctx: restate.Context) -> str:
        options = restate.RunOptions[str](
            initial_retry_interval=timedelta(minutes=5),
            max_retry_interval=timedelta(hours=1),
            max_attempts=10,
        )
        return await ctx.run_typed("step", attempt, options)

    await steadfaas.deploy(app(service))
    assert await steadfaas.call("Steps/work") == "done"
    assert tries[1] - tries[0] >= 300_000


async def test_retention_passes_in_virtual_time(steadfaas: Steadfaas) -> None:
    service = restate.Service("Kept", idempotency_retention=timedelta(hours=2))
    runs: list[int] = []

    @service.handler()
    async def once(ctx: restate.Context) -> int:
        runs.append(1)
        return len(runs)

    await steadfaas.deploy(app(service))
    first = await steadfaas.send("Kept/once", idempotency_key="a")
    assert await first.result() == 1
    await steadfaas.advance("1h 59m")
    again = await steadfaas.send("Kept/once", idempotency_key="a")
    assert again.id == first.id
    assert await again.result() == 1
    await steadfaas.advance("2 min")
    assert first.status == "unknown"
    fresh = await steadfaas.send("Kept/once", idempotency_key="a")
    assert await fresh.result() == 2


async def test_a_result_that_the_engine_may_forget_at_once(steadfaas: Steadfaas) -> None:
    service = restate.Service("Forgetful", journal_retention=timedelta(0))

    @service.handler()
    async def add(ctx: restate.Context, numbers: list[int]) -> int:
        if not numbers:
            raise restate.TerminalError("nothing to add", 422)
        return sum(numbers)

    await steadfaas.deploy(app(service))
    sent = await steadfaas.send("Forgetful/add", [1, 2])
    await steadfaas.settle()
    assert sent.status == "unknown"
    assert await sent.result() == 3
    with pytest.raises(InvocationFailed, match="422: nothing to add"):
        await steadfaas.call("Forgetful/add", [])


async def test_ids_and_times_are_those_of_the_last_run() -> None:
    async def once() -> list[Any]:
        async with Steadfaas(seed="a test") as kit:
            deployed = await kit.deploy(checkout("v1"))
            orders = [await kit.send("Checkout/place", {"id": n}) for n in range(5)]
            kit.fail(times=3)
            await kit.run_until_idle()
            ids = [order.text_id for order in orders]
            times = [(a.started_at, a.ended_at) for order in orders for a in order.attempts]
            return [deployed.id, ids, times, kit.now()]

    first = await once()
    for _ in range(10):
        assert await once() == first


async def test_steps_in_threads_keep_their_order(steadfaas: Steadfaas) -> None:
    """Also where one takes longer than the one before it: both are short."""
    service = restate.Service("Threads")
    ran: list[int] = []
    idle = threading.Event()

    def work(n: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        idle.wait(0.004 - n * 0.001)
        ran.append(n)
        return asyncio.run(_itself(n))  # it has no loop, as in production

    @service.handler()
    async def step(ctx: restate.Context, n: int) -> int:
        return await ctx.run_typed("step", lambda: work(n))

    await steadfaas.deploy(app(service))
    sent = [await steadfaas.send("Threads/step", n, delay="1s") for n in range(4)]
    await steadfaas.run_until_idle()
    assert [await one.result() for one in sent] == ran == [0, 1, 2, 3]


async def _itself(n: int) -> int:
    return n


async def test_a_step_in_a_thread_may_wait_for_the_loop(steadfaas: Steadfaas) -> None:
    service = restate.Service("Waits")
    loop = asyncio.get_running_loop()

    @service.handler()
    async def step(ctx: restate.Context) -> int:
        def ask() -> int:
            return asyncio.run_coroutine_threadsafe(_itself(7), loop).result()

        return await ctx.run_typed("ask", ask)

    await steadfaas.deploy(app(service))
    assert await steadfaas.call("Waits/step") == 7


async def test_another_test_has_other_ids() -> None:
    async with Steadfaas(seed="a") as one, Steadfaas(seed="b") as two:
        ids = {(await kit.deploy(checkout("v1"))).id for kit in (one, two)}
    assert len(ids) == 2
