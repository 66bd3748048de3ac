"""A test that waits in vain is told who waits for what."""

from __future__ import annotations

import asyncio

import pytest
import restate

from steadfaas.testing import InvocationFailed, Steadfaas, Stuck
from tests.kit.shop import app, waiting

pytestmark = pytest.mark.asyncio


async def stuck(kit: Steadfaas, target: str, body: object = None) -> str:
    sent = await kit.send(target, body)
    with pytest.raises(Stuck) as caught:
        await sent.result()
    assert sent.text_id in str(caught.value)
    return str(caught.value)


async def test_an_awakeable_with_its_id(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    said = await stuck(steadfaas, "Waits/awakeable")
    id = said.rpartition("awakeable ")[2].strip()
    assert steadfaas.sent[0].awakeables == [id]
    await steadfaas.resolve(id, "thanks")
    assert steadfaas.sent[0].awakeables == []
    assert await steadfaas.sent[0].result() == "thanks"


async def test_an_awakeable_is_rejected(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    id = (await stuck(steadfaas, "Waits/awakeable")).rpartition("awakeable ")[2].strip()
    await steadfaas.reject(id, "no, thanks")
    with pytest.raises(InvocationFailed, match="no, thanks"):
        await steadfaas.sent[0].result()


async def test_the_call_of_a_stuck_callee(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    said = await stuck(steadfaas, "Waits/call")
    assert "it waits for the result of Waits/awakeable (inv_1" in said
    callee = said.partition("the result of Waits/awakeable (")[2].partition(")")[0]
    assert f"Waits/awakeable ({callee}) is suspended; it waits for awakeable sign_1" in said


async def test_a_signal(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    assert "it waits for signal 'go'" in await stuck(steadfaas, "Waits/signal")


async def test_a_promise(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    assert "Signup/ada/run" in (said := await stuck(steadfaas, "Signup/ada/run"))
    assert "it waits for promise 'clicked'" in said
    await steadfaas.call("Signup/ada/click", "yes")
    assert await steadfaas.sent[0].result() == "yes"


async def test_a_key_that_another_holds(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    holder = await steadfaas.send("Lock/door/hold")
    said = await stuck(steadfaas, "Lock/door/hold")
    held = f"stands in line for key 'door', which Lock/door/hold ({holder.text_id}) holds"
    assert held in said


async def test_a_pause_with_its_failure(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    said = await stuck(steadfaas, "Waits/broken")
    assert "is paused after its attempts ran out: RT0007" in said
    assert "the printer is on fire" in said
    broken = steadfaas.sent[0]
    assert broken.status == "paused"
    assert len(broken.attempts) == 3
    await broken.resume()
    assert len(broken.attempts) == 4


async def test_what_takes_longer_than_allowed(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    sent = await steadfaas.send("Waits/either")
    with pytest.raises(Stuck) as caught:
        await sent.result(within="30 days")
    said = str(caught.value)
    assert "has no result within 30d" in said
    assert "a sleep that ends in 1000d" in said
    assert "awakeable sign_1" in said
    assert await sent.result(within="1000 days") == "late"


async def test_one_that_was_cancelled_before_it_began(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    sent = await steadfaas.send("Waits/awakeable", delay="1h")
    await sent.cancel()
    with pytest.raises((Stuck, InvocationFailed), match="cancel"):
        await sent.result()


async def test_a_handler_that_waits_for_something_real() -> None:
    service = restate.Service("Hangs")
    never = asyncio.Event()

    @service.handler()
    async def hang(ctx: restate.Context) -> None:
        await never.wait()

    async with Steadfaas(patience=0.1) as kit:
        await kit.deploy(app(service))
        sent = await kit.send("Hangs/hang")
        with pytest.raises(Stuck, match=r"no sign of life for 0\.1 s") as caught:
            await sent.result()
        assert f"Hangs/hang ({sent.text_id}) is running" in str(caught.value)
        assert "asyncio.sleep (use ctx.sleep)" in str(caught.value)


async def test_a_handler_that_takes_a_moment_is_waited_for(steadfaas: Steadfaas) -> None:
    service = restate.Service("Thread")

    async def think() -> int:
        return await asyncio.to_thread(sum, range(200_000))

    @service.handler()
    async def work(ctx: restate.Context) -> int:
        return await ctx.run_typed("think", think)

    await steadfaas.deploy(app(service))
    assert await steadfaas.call("Thread/work") == sum(range(200_000))
