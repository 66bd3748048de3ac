"""A crash at any moment: nothing acknowledged is lost, no committed step runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import restate

from steadfaas.testing import Steadfaas, stories
from steadfaas.testing.asgi import AsgiApp
from tests.kit.shop import app, checkout, waiting

pytestmark = pytest.mark.asyncio

JSON = {"content-type": "application/json"}


async def until(seen: Callable[[], bool]) -> None:
    """Let others get on, until this is seen."""
    for _ in range(1000):
        if seen():
            return
        await asyncio.sleep(0)
    raise AssertionError("never seen")


def bank(ran: list[str]) -> AsgiApp:
    """An object that takes two steps and a nap for each transfer, and a service that calls it."""
    account = restate.VirtualObject("Account")

    @account.handler()
    async def add(ctx: restate.ObjectContext, name: str) -> int:
        await ctx.run_typed(f"{name}-check", lambda: ran.append(f"{name}-check"))
        await ctx.sleep(timedelta(seconds=5))
        await ctx.run_typed(f"{name}-book", lambda: ran.append(f"{name}-book"))
        balance = (await ctx.get("balance", type_hint=int) or 0) + 1
        ctx.set("balance", balance)
        return balance

    service = restate.Service("Bank")

    @service.handler()
    async def transfer(ctx: restate.Context, name: str) -> int:
        return await ctx.object_call(add, "main", name)

    return app(account, service)


async def test_while_an_exchange_runs(steadfaas: Steadfaas) -> None:
    service = restate.Service("Slow")
    entered, leave, ended = asyncio.Event(), asyncio.Event(), []

    @service.handler()
    async def work(ctx: restate.Context) -> str:
        await ctx.run_typed("first", lambda: "kept")
        entered.set()
        try:
            await leave.wait()
        except asyncio.CancelledError:
            ended.append("stopped")
            raise
        return "done"

    await steadfaas.deploy(app(service))
    sent = await steadfaas.send("Slow/work")
    await entered.wait()
    await steadfaas.crash()
    assert ended == ["stopped"]
    leave.set()
    assert await sent.result() == "done"
    assert sent.attempts.outcomes == ["suspended", "interrupted", "completed"]


async def test_while_it_backs_off(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    steadfaas.fail(status=429, retry_after="1h")
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("30 min")
    await steadfaas.crash()
    assert order.status == "backing-off"
    await steadfaas.advance("29 min")
    assert order.status == "backing-off"
    await steadfaas.advance("1 min")
    assert order.status == "suspended"


async def test_while_it_waits(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    sent = await steadfaas.send("Waits/awakeable")
    await steadfaas.settle()
    [line] = steadfaas.unfinished()
    await steadfaas.crash()
    assert steadfaas.unfinished() == [line]
    await steadfaas.resolve(line.rpartition(" ")[2], "there")
    assert await sent.result() == "there"


async def test_while_it_stands_in_line(steadfaas: Steadfaas) -> None:
    ran: list[str] = []
    await steadfaas.deploy(bank(ran))
    sent = [await steadfaas.send("Account/a/add", name) for name in "xyz"]
    await steadfaas.settle()
    assert [one.status for one in sent] == ["suspended", "pending", "pending"]
    await steadfaas.crash()
    assert [one.status for one in sent] == ["suspended", "pending", "pending"]
    assert [await one.result() for one in sent] == [1, 2, 3]


async def test_while_a_request_waits_for_its_answer(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    asked = asyncio.create_task(steadfaas.request("POST", "Checkout/place", b"{}", JSON))
    await until(lambda: bool(steadfaas.unfinished()))
    await steadfaas.crash()
    with pytest.raises(ConnectionResetError, match="crashed before it answered"):
        await asked
    await steadfaas.run_until_idle()
    assert steadfaas.unfinished() == []


async def test_while_another_waits_for_a_result(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    result = asyncio.create_task(steadfaas.call("Checkout/place", {}))
    await until(lambda: bool(steadfaas.sent))
    for _ in range(5):
        await steadfaas.crash()
        await asyncio.sleep(0)
    assert await result == {"by": "v1"}


@pytest.mark.parametrize("always_replay", [False, True])
async def test_at_every_turn_of_the_loop(always_replay: bool) -> None:
    """Crash after 0, 1, 2, … turns, until the work is over before the crash comes."""
    turns, crashes = 0, 0
    while await _crash_after(turns, always_replay=always_replay):
        crashes += 1
        turns += 1 if turns < 60 else 7
    assert crashes > 40


async def _crash_after(turns: int, *, always_replay: bool) -> bool:
    """Whether the crash came while something was under way."""
    ran: list[str] = []
    async with Steadfaas(seed=turns, always_replay=always_replay) as kit:
        await kit.deploy(bank(ran))
        tasks = [asyncio.create_task(_transfer(kit, name)) for name in ("ann", "bob")]
        for _ in range(turns):
            await asyncio.sleep(0)
        under_way = not all(task.done() for task in tasks)
        committed = _committed(kit)
        await kit.crash()
        assert committed <= _committed(kit), "an acknowledged step was lost"
        before = list(ran)
        results = await asyncio.gather(*tasks)
        assert sorted(results) == [1, 2]
        for name in committed:
            assert ran.count(name) == before.count(name) == 1, f"{name} ran again: {ran}"
        assert kit.state("Account/main") == {"balance": 2}
        return under_way


async def _transfer(kit: Steadfaas, name: str) -> Any:
    """As a careful client: with an idempotency key, and again if nobody answered."""
    while True:
        try:
            return await kit.call("Bank/transfer", name, idempotency_key=name)
        except ConnectionResetError:
            continue


def _committed(kit: Steadfaas) -> set[str]:
    """The steps whose results are stored, of all invocations."""
    engine = kit._host.running
    rows = engine.store.reader.execute("SELECT id FROM invocation").fetchall()
    names: set[str] = set()
    for (id,) in rows:
        inv = stories.load(engine, id)
        assert inv is not None
        journal = stories.journal(inv)
        done = {e.message.completion_id for e in journal if e.type == "RunCompletion"}
        names |= {
            e.name for e in journal if e.type == "Run" and e.message.result_completion_id in done
        }
    return names
