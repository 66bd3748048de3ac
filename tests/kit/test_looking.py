"""What asserts can see: attempts, journal, failures, state, timelines."""

from __future__ import annotations

from datetime import timedelta

import pytest
import restate

from steadfaas.errors import Conflict
from steadfaas.testing import InvocationFailed, Refused, Steadfaas
from steadfaas.testing.asgi import AsgiApp
from tests.kit.shop import app, checkout, waiting

pytestmark = pytest.mark.asyncio


def counter() -> AsgiApp:
    service = restate.VirtualObject("Counter")

    @service.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> int:
        total = (await ctx.get("total", type_hint=int) or 0) + amount
        ctx.set("total", total)
        return total

    return app(service)


async def test_attempts(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(checkout("v1"), name="blue")
    start = steadfaas.now()
    order = await steadfaas.send("Checkout/place", {})
    assert await order.result() == {"by": "v1"}
    attempts = order.attempts
    assert attempts.outcomes == ["suspended", "suspended", "suspended", "completed"]
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    assert attempts[-1].started_at == start + 2 * 86_400_000
    assert attempts.deployments == {v1}
    assert repr(attempts).startswith("[blue suspended, ")


async def test_the_journal(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("1 day")
    assert [entry.label for entry in order.journal] == [
        "Input", "Run charge", "RunCompletion", "Sleep",
    ]  # fmt: skip
    await order.result()
    steps = [entry.name for entry in order.journal if entry.type == "Run"]
    assert steps == ["charge", "ship"]
    assert order.journal[-1].label == 'Output {"by":"v1"}'.replace(":", ": ")
    assert order.journal[3].message.wake_up_time == steadfaas.now()


async def test_steps(steadfaas: Steadfaas) -> None:
    service = restate.Service("Steps")

    def refuse() -> str:
        raise restate.TerminalError("no", 418)

    @service.handler()
    async def work(ctx: restate.Context) -> None:
        await ctx.run_typed("number", lambda: {"n": 7})
        await ctx.run_typed("nothing", lambda: None)
        await ctx.run_typed("refused", refuse)

    await steadfaas.deploy(app(service))
    sent = await steadfaas.send("Steps/work")
    with pytest.raises(InvocationFailed, match="418: no"):
        await sent.result()
    assert list(sent.steps) == ["number", "nothing", "refused"]
    assert (sent.steps["number"], sent.steps["nothing"]) == ({"n": 7}, None)
    assert sent.steps["refused"].code == 418


async def test_state(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(counter())
    key = "a/b ? 50% ü"
    await steadfaas.call(f"Counter/{key}/add", 2)
    assert await steadfaas.call(f"Counter/{key}/add", 3) == 5
    assert steadfaas.state(f"Counter/{key}") == {"total": 5}
    assert steadfaas.state("Counter/other") == {}
    with pytest.raises(ValueError, match="write `Object/key`"):
        steadfaas.state("Counter")


async def test_code_that_changed_under_its_address(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("1 day")
    changed = restate.Service("Checkout")

    @changed.handler()
    async def place(ctx: restate.Context, order: object) -> None:
        await ctx.run_typed("reserve", lambda: None)

    steadfaas.replace(v1, app(changed))
    await steadfaas.advance("1 day")
    failure = order.last_failure
    assert failure is not None
    assert failure.code == "RT0016"
    assert (failure.command_index, failure.recorded, failure.issued) == (
        1, "Run charge", "Run reserve",
    )  # fmt: skip
    assert "recorded Run charge, the code now issues Run reserve" in order.timeline()
    steadfaas.replace(v1, checkout("v1"))
    assert await order.result() == {"by": "v1"}


async def test_the_timeline(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    steadfaas.fail(attempts=3)
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("2 days")
    lines = order.timeline().splitlines()
    assert lines[0] == f"Checkout/place {order.text_id}: backing-off"
    assert lines[1:4] == [
        "  +0s         attempt 1 on v1: suspended",
        "  +0s         attempt 2 on v1: suspended",
        "  +2d         attempt 3 on v1: RT0023",
    ]
    assert "    1 Run charge" in order.timeline()
    assert "retries in" in lines[-1]


async def test_the_report_tells_of_callees_too(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(waiting())
    await steadfaas.send("Waits/call")
    await steadfaas.settle()
    report = steadfaas.report()
    assert "CallInvocationId" in report
    assert "Call Waits/awakeable" in report
    assert any(line.startswith("Waits/awakeable (inv_1") for line in steadfaas.unfinished())


async def test_operators(steadfaas: Steadfaas) -> None:
    service = restate.Service("Long")

    @service.handler()
    async def wait(ctx: restate.Context) -> str:
        try:
            await ctx.sleep(timedelta(days=30))
        except restate.TerminalError:
            return "cancelled"
        return "slept"

    await steadfaas.deploy(app(service))
    cancelled = await steadfaas.send("Long/wait")
    await steadfaas.settle()
    await cancelled.cancel()
    assert await cancelled.result() == "cancelled"
    killed = await steadfaas.send("Long/wait")
    await steadfaas.settle()
    await killed.kill()
    assert killed.status == "completed"
    with pytest.raises(InvocationFailed, match="409: killed"):
        await killed.result()
    with pytest.raises(Refused, match=r"409: .*already completed"):
        await killed.kill()


async def test_removing_a_version(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.settle()
    await steadfaas.deploy(checkout("v2"))
    with pytest.raises(Conflict):
        await steadfaas.remove(v1)
    await order.result()
    await steadfaas.remove(v1)
    assert order.attempts.deployments == {v1}
