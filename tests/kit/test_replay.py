"""Always-replay: what is not deterministic is found, every time; what is, is left alone."""

from __future__ import annotations

import datetime
import random
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from random import choice as chosen_directly
from random import random as drawn_directly
from typing import Any

import pytest
import restate

from steadfaas.testing import NonDeterminism, Steadfaas
from steadfaas.testing.asgi import AsgiApp
from tests.kit.shop import app, checkout, waiting

pytestmark = pytest.mark.asyncio


def branching(decide: Callable[[], bool], *, nap: bool = False) -> AsgiApp:
    """A handler whose way hangs on `decide`, called outside any step."""
    service = restate.Service("Branch")

    @service.handler()
    async def take(ctx: restate.Context) -> str:
        if nap:
            await ctx.sleep(timedelta(days=1))
        if decide():
            await ctx.run_typed("left", lambda: None)
        else:
            await ctx.run_typed("right", lambda: None)
        return "there"

    return app(service)


DECISIONS: dict[str, Callable[[], bool]] = {
    "random": lambda: random.random() < 0.5,
    "rarely": lambda: random.random() < 0.01,
    "in the middle": lambda: 0.4 < random.random() < 0.6,
    "randint": lambda: random.randint(1, 6) == 3,
    "randrange": lambda: random.randrange(100) % 2 == 0,
    "choice": lambda: random.choice(["a", "b", "c"]) == "b",
    "choices": lambda: random.choices("ab", k=1) == ["a"],
    "getrandbits": lambda: random.getrandbits(1) == 1,
    "uniform": lambda: random.uniform(-1, 1) > 0,
    "gauss": lambda: random.gauss(0, 1) > 0,
    "sample": lambda: random.sample(range(10), 2)[0] > 4,
    "shuffle": lambda: _shuffled()[0] == 0,
    "two draws": lambda: random.random() < random.random(),
    "imported by name": lambda: drawn_directly() < 0.5,
    "a choice imported by name": lambda: chosen_directly("ab") == "a",
    "drawn until it fits": lambda: _drawn_until(0.3, 0.7) < 0.5,
}


def _shuffled() -> list[int]:
    items = [0, 1, 2]
    random.shuffle(items)
    return items


def _drawn_until(low: float, high: float) -> float:
    while not low < (drawn := random.random()) < high:
        pass
    return drawn


@pytest.mark.parametrize("decision", DECISIONS)
async def test_chance_is_found_every_time(decision: str) -> None:
    for seed in range(30):
        random.seed(seed)
        async with Steadfaas(seed=seed, always_replay=True) as kit:
            await kit.deploy(branching(DECISIONS[decision]))
            with pytest.raises(NonDeterminism):
                await kit.call("Branch/take")


@pytest.mark.parametrize("seed", range(5))
async def test_chance_in_the_last_exchange(seed: int) -> None:
    """Nothing would replay it in production, unless an answer is lost."""
    service = restate.Service("Late")

    @service.handler()
    async def toss(ctx: restate.Context) -> str:
        await ctx.sleep(timedelta(days=1))
        return "heads" if random.random() < 0.5 else "tails"

    random.seed(seed)
    async with Steadfaas(seed=seed, always_replay=True) as kit:
        await kit.deploy(app(service))
        with pytest.raises(NonDeterminism, match="Output") as caught:
            await kit.call("Late/toss")
    assert "heads" in str(caught.value)
    assert "tails" in str(caught.value)


async def test_a_clock_or_an_id_in_a_command() -> None:
    values: list[Callable[[], str]] = [
        lambda: str(time.time_ns()),
        lambda: str(uuid.uuid4()),
        lambda: datetime.datetime.now(datetime.UTC).isoformat(),
    ]
    service = restate.Service("Stamp")

    @service.handler()
    async def stamp(ctx: restate.Context, which: int) -> str:
        return values[which]()

    async with Steadfaas(always_replay=True) as kit:
        await kit.deploy(app(service))
        for which in range(len(values)):
            with pytest.raises(NonDeterminism, match="Stamp/stamp"):
                await kit.call("Stamp/stamp", which)


async def test_a_branch_on_an_id() -> None:
    ids = iter([uuid.UUID(int=n) for n in range(100)])
    async with Steadfaas(always_replay=True) as kit:
        await kit.deploy(branching(lambda: next(ids).int % 2 == 0))
        with pytest.raises(NonDeterminism):
            await kit.call("Branch/take")


async def test_a_replay_that_fails_or_waits() -> None:
    service = restate.Service("Odd")

    @service.handler()
    async def fail(ctx: restate.Context) -> str:
        await ctx.sleep(timedelta(days=1))
        if random.random() < 0.5:
            raise RuntimeError("bad luck")
        return "good luck"

    @service.handler()
    async def wait(ctx: restate.Context) -> str:
        nap = ctx.sleep(timedelta(days=1))
        if random.random() < 0.5:
            await nap
        return "awake"

    async with Steadfaas(always_replay=True) as kit:
        await kit.deploy(app(service))
        for handler in ("fail", "wait"):
            with pytest.raises(NonDeterminism, match=f"Odd/{handler} "):
                await kit.call(f"Odd/{handler}")


async def test_the_report_shows_both_streams() -> None:
    async with Steadfaas(always_replay=True) as kit:
        await kit.deploy(branching(lambda: random.random() < 0.5, nap=True))
        sent = await kit.send("Branch/take")
        with pytest.raises(NonDeterminism) as caught:
            await sent.result()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"Branch/take ({sent.text_id}) took another way when it was replayed:"
    assert lines[1].split() == ["recorded", "replayed"]
    assert lines[2].split() == ["0", "Input", "Input"]
    assert lines[3].split() == ["1", "Sleep", "Sleep"]
    assert sorted(lines[4].split()) == sorted([">>", "2", "Run", "left", "Run", "right"])
    assert lines[5].startswith("The difference: name: ")
    assert "inside ctx.run_typed(...)" in str(caught.value)


def honest() -> AsgiApp:
    """Everything the SDK offers, used as it should be."""
    counter = restate.VirtualObject("Counter")

    @counter.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> int:
        total = (await ctx.get("total", type_hint=int) or 0) + amount
        ctx.set("total", total)
        ctx.set("last", amount)
        ctx.clear("last")
        await ctx.state_keys()
        return total

    service = restate.Service("Honest")

    @service.handler()
    async def steps(ctx: restate.Context) -> float:
        drawn = await ctx.run_typed("draw", random.random)
        await ctx.sleep(timedelta(hours=drawn))
        if drawn > 0.5:
            await ctx.run_typed("more", lambda: time.time_ns())
        return drawn

    @service.handler()
    async def given(ctx: restate.Context) -> str:
        if ctx.random().random() < 0.5:
            await ctx.run_typed("less", lambda: None)
        now = await ctx.time()
        return f"{ctx.uuid()} {now}"

    @service.handler()
    async def calls(ctx: restate.Context) -> int:
        random.random()  # for a log line, say
        one = ctx.object_call(add, "x", 1)
        two = ctx.object_call(add, "x", 2)
        await restate.gather(one, two)
        ctx.object_send(add, "x", 5, send_delay=timedelta(days=1))
        return await one + await two

    @service.handler()
    async def races(ctx: restate.Context) -> str:
        first, _ = await restate.select(
            slow=ctx.sleep(timedelta(days=2)),
            fast=ctx.sleep(timedelta(days=1)),
            step=ctx.run_typed("step", lambda: "ran"),
        )
        naps = [ctx.sleep(timedelta(minutes=n)) for n in (3, 1, 2)]
        async for _ in restate.as_completed(*naps):
            await ctx.run_typed("note", lambda: None)
        return str(first)

    @service.handler()
    async def awaits(ctx: restate.Context) -> str:
        id, future = ctx.awakeable(type_hint=str)
        await ctx.run_typed("tell", lambda: None)
        ctx.resolve_awakeable(id, "self")
        return await future

    @service.handler()
    async def refuses(ctx: restate.Context) -> str:
        try:
            await ctx.run_typed("step", _refuse)
        except restate.TerminalError as error:
            return error.message
        return "?"

    workflow = restate.Workflow("Flow")

    @workflow.main()
    async def run(ctx: restate.WorkflowContext) -> str:
        ctx.set("status", "waiting")
        answer = await ctx.promise("answer", type_hint=str).value()
        ctx.set("status", "done")
        return answer

    @workflow.handler()
    async def answer(ctx: restate.WorkflowSharedContext, value: str) -> str | None:
        await ctx.promise("answer", type_hint=str).resolve(value)
        return await ctx.get("status", type_hint=str)

    return app(counter, service, workflow)


def _refuse() -> str:
    raise restate.TerminalError("not today", 418)


@pytest.mark.steadfaas(always_replay=True)
async def test_no_false_alarm(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(honest())
    for handler in ("steps", "given", "calls", "races", "awaits", "refuses"):
        for _ in range(3):
            await steadfaas.call(f"Honest/{handler}")
    flow = await steadfaas.send("Flow/a/run")
    await steadfaas.settle()
    await steadfaas.call("Flow/a/answer", "yes")
    assert await flow.result() == "yes"
    await steadfaas.run_until_idle()


@pytest.mark.steadfaas(always_replay=True)
async def test_replays_store_nothing(steadfaas: Steadfaas) -> None:
    """The same as without: journals, attempts, state, how often steps ran."""
    ran: list[str] = []
    await steadfaas.deploy(checkout("v1", ran))
    await steadfaas.deploy(honest())
    order = await steadfaas.send("Checkout/place", {})
    await order.result()
    total = await steadfaas.call("Counter/k/add", 7)
    assert ran == ["charge", "ship"]
    assert order.attempts.outcomes == ["suspended", "suspended", "suspended", "completed"]
    assert [entry.type for entry in order.journal].count("Output") == 1
    assert total == 7
    assert steadfaas.state("Counter/k") == {"total": 7}


@pytest.mark.steadfaas(always_replay=True)
async def test_faults_and_crashes_are_no_differences(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    steadfaas.cut(after=1)
    steadfaas.fail(attempts=3)
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("1 day")
    await steadfaas.crash()
    assert await order.result() == {"by": "v1"}


async def test_invocations_side_by_side() -> None:
    """Each has its own chance: the unsteady ones are found, the steady ones are not."""
    service = restate.Service("Mixed")

    @service.handler()
    async def unsteady(ctx: restate.Context, n: int) -> str:
        if random.random() < 0.5:
            await ctx.sleep(timedelta(seconds=1 + n))
        else:
            await ctx.run_typed("step", lambda: None)
        return "there"

    @service.handler()
    async def steady(ctx: restate.Context, n: int) -> float:
        await ctx.sleep(timedelta(seconds=1 + n % 3))
        return await ctx.run_typed("draw", random.random)

    async with Steadfaas(always_replay=True) as kit:
        await kit.deploy(app(service))
        sent = [await kit.send(f"Mixed/{'unsteady' if n % 2 else 'steady'}", n) for n in range(40)]
        await kit.run_until_idle()
        with pytest.raises(NonDeterminism) as caught:
            kit.check_replays()
        found = [one.text_id in str(caught.value) for one in sent]
        assert found == [bool(n % 2) for n in range(40)]
        kit.check_replays()  # told once


async def test_random_is_real_again_afterwards() -> None:
    before = _sources()
    async with Steadfaas(always_replay=True), Steadfaas(always_replay=True):
        assert random.random != before[0]
        assert len({random.random() for _ in range(100)}) == 100, "outside handlers, it is real"
    assert _sources() == before


def _sources() -> list[Any]:
    generator: Any = vars(random)["_inst"]
    return [random.random, random.getrandbits, drawn_directly, dict(vars(generator))]


@pytest.mark.steadfaas(always_replay=True)
async def test_a_cancellation_is_no_difference(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    sent: Any = await steadfaas.send("Waits/awakeable")
    await steadfaas.settle()
    await sent.cancel()
    with pytest.raises(AssertionError, match="409"):
        await sent.result()
