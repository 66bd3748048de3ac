"""Operating versions within a test: pause, check, move, restart, promote, drain."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
import restate

from steadfaas.testing import Drain, DrainState, Findings, InvocationFailed, Refused, Steadfaas
from steadfaas.testing.asgi import AsgiApp
from tests.kit.shop import app, checkout, waiting

pytestmark = pytest.mark.asyncio


class Release:
    """A version of a shop: charge, wait two days, ship. Steps tell who ran them.

    With `checks_stock` it looks into the stock before it charges; with `notifies` it sends a mail
    after it shipped.
    """

    def __init__(self, version: str, *, checks_stock: bool = False, notifies: bool = False) -> None:
        self.ran: list[str] = []
        self.entered: asyncio.Event | None = None  # set: handlers tell, and wait for ever
        shop = restate.Service("Shop")

        def step(name: str) -> str:
            self.ran.append(name)
            return version

        @shop.handler()
        async def place(ctx: restate.Context, item: str) -> dict[str, str]:
            if self.entered is not None:
                self.entered.set()
                await asyncio.Event().wait()
            if checks_stock:
                await ctx.run_typed("stock", lambda: step("stock"))
            charged = await ctx.run_typed("charge", lambda: step("charge"))
            await ctx.sleep(timedelta(days=2))
            shipped = await ctx.run_typed("ship", lambda: step("ship"))
            if notifies:
                await ctx.run_typed("mail", lambda: step("mail"))
            return {"charged": charged, "shipped": shipped}

        self.app: AsgiApp = app(shop)


# --- a whole story -----------------------------------------------------------------------------


async def test_an_order_is_moved_to_a_release_that_fits(steadfaas: Steadfaas) -> None:
    old, bad, good = Release("v1"), Release("v2", checks_stock=True), Release("v3", notifies=True)
    v1 = await steadfaas.deploy(old.app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.advance("1 day")
    assert steadfaas.drain(v1).state is DrainState.ACTIVE

    v2 = await steadfaas.deploy(bad.app)
    draining = steadfaas.drain(v1)
    assert isinstance(draining, Drain)
    assert draining.state is DrainState.DRAINING
    assert (draining.unfinished, draining.counts["sleeping"]) == (1, 1)
    assert draining.blockers == (order.id,)
    assert draining.next_wake_up == steadfaas.now() + 86_400_000

    await order.pause()
    assert order.status == "paused"
    assert steadfaas.drain(v1).counts["paused"] == 1
    findings = await order.check(v2)
    assert isinstance(findings, Findings)
    assert (findings.verdict, findings.index) == ("diverges", 1)
    assert (findings.recorded, findings.issued) == ("Run charge", "Run stock")
    with pytest.raises(Refused, match="not resumed: diverges: command 1") as caught:
        await order.resume(v2, check=True)
    assert caught.value.status == 409
    assert order.status == "paused"
    assert order.attempts.deployments == {v1}

    v3 = await steadfaas.deploy(good.app)
    assert str(await order.check(v3)).startswith("compatible: ")
    await steadfaas.crash()
    await order.resume(v3, check=True)
    assert order.status == "suspended"
    assert steadfaas.drain(v1).state is DrainState.DRAINED
    assert await order.result() == {"charged": "v1", "shipped": "v3"}
    assert order.attempts.deployments == {v1, v3}
    assert (old.ran, bad.ran, good.ran) == (["charge"], [], ["ship", "mail"])


async def test_a_wrong_move_is_told_and_taken_back(steadfaas: Steadfaas) -> None:
    old, bad = Release("v1"), Release("v2", checks_stock=True)
    v1 = await steadfaas.deploy(old.app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.advance("1 day")
    v2 = await steadfaas.deploy(bad.app)
    await order.resume(v2)
    assert order.status == "backing-off"
    failure = order.last_failure
    assert failure is not None
    assert (failure.code, failure.command_index) == ("RT0016", 1)
    assert (failure.recorded, failure.issued) == ("Run charge", "Run stock")
    assert "RT0016" in order.timeline()
    with pytest.raises(Refused, match="Pause it first"):
        await order.resume(v1)

    await order.pause()
    await order.resume(v1, check=True)
    assert order.status == "suspended"
    assert await order.result() == {"charged": "v1", "shipped": "v1"}
    assert bad.ran == []
    await steadfaas.remove(v1)
    assert [one.deployment.name for one in order.attempts][-1] == "v1"


# --- pause and resume --------------------------------------------------------------------------


async def test_a_paused_one_lets_time_pass(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Release("v1").app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.settle()
    await order.pause()
    await order.pause()  # once more is no matter
    await steadfaas.advance("30 days")
    assert order.status == "paused"
    await order.resume()
    assert await order.result(within="1 min") == {"charged": "v1", "shipped": "v1"}


async def test_what_cannot_be(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Release("v1").app)
    later = await steadfaas.send("Shop/place", "lamp", delay="1 day")
    with pytest.raises(Refused, match="cannot be paused") as caught:
        await later.pause()
    assert caught.value.status == 409
    with pytest.raises(Refused, match="has not started yet") as caught:
        await later.resume()
    assert caught.value.status == 425
    with pytest.raises(Refused, match="has not started yet"):
        await later.restart()
    with pytest.raises(Refused, match="not yet completed"):
        await later.purge()
    await later.result()
    for refused in (later.pause(), later.resume(), later.resume(v1, check=True)):
        with pytest.raises(Refused, match=r"completed|not running") as caught:
            await refused
        assert caught.value.status == 409
    await later.purge()
    assert later.status == "unknown"
    for gone in (later.pause(), later.resume(), later.restart(), later.purge(), later.check()):
        with pytest.raises(Refused, match="does not exist") as caught:
            await gone
        assert caught.value.status == 404


async def test_a_restart(steadfaas: Steadfaas) -> None:
    old, new = Release("v1"), Release("v2")
    await steadfaas.deploy(old.app)
    order = await steadfaas.send("Shop/place", "lamp")
    await order.result()
    await steadfaas.deploy(new.app)
    again = await order.restart()
    assert again.id != order.id
    assert again.target == order.target
    assert await again.result() == {"charged": "v2", "shipped": "v2"}
    assert await order.result() == {"charged": "v1", "shipped": "v1"}
    assert (old.ran, new.ran) == (["charge", "ship"], ["charge", "ship"])


# --- promote and drain -------------------------------------------------------------------------


async def test_a_release_is_taken_back(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Release("v1").app)
    v2 = await steadfaas.deploy(Release("v2").app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.settle()
    assert [steadfaas.drain(one).state for one in (v1, v2)] == [
        DrainState.DRAINED, DrainState.ACTIVE
    ]  # fmt: skip
    await steadfaas.promote(v1)
    await steadfaas.crash()
    assert [steadfaas.drain(one).state for one in (v1, v2)] == [
        DrainState.ACTIVE, DrainState.DRAINING
    ]  # fmt: skip
    assert steadfaas.drain(v1).active_services == ("Shop",)
    assert await steadfaas.call("Shop/place", "chair") == {"charged": "v1", "shipped": "v1"}
    assert await order.result() == {"charged": "v2", "shipped": "v2"}
    assert steadfaas.drain(v2).state is DrainState.DRAINED
    await steadfaas.remove(v2)


async def test_a_drain_that_only_an_operator_can_end(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(waiting())
    never = await steadfaas.send("Waits/awakeable")
    broken = await steadfaas.send("Waits/broken")
    await steadfaas.run_until_idle()
    await steadfaas.deploy(waiting())
    state = steadfaas.drain(v1)
    assert (state.counts["suspended"], state.counts["paused"], state.unfinished) == (1, 1, 2)
    assert state.next_wake_up is None
    await never.kill()
    await broken.kill()
    assert steadfaas.drain(v1).state is DrainState.DRAINED
    with pytest.raises(InvocationFailed, match="killed"):
        await never.result()


# --- checks ------------------------------------------------------------------------------------


async def test_a_check_changes_nothing(steadfaas: Steadfaas) -> None:
    old, new = Release("v1"), Release("v2")
    v1 = await steadfaas.deploy(old.app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.advance("1 day")
    v2 = await steadfaas.deploy(new.app)
    before = order.journal, order.attempts.outcomes, order.timeline(), steadfaas.now()
    own, latest = await order.check(), await order.check(v2)
    assert (own.deployment_id, latest.deployment_id) == (v1.id, v2.id)
    assert own.verdict == latest.verdict == "compatible"
    assert (own.commands, own.target) == (2, "Shop/place")
    after = order.journal, order.attempts.outcomes, order.timeline(), steadfaas.now()
    assert after == before
    assert (old.ran, new.ran) == (["charge"], [])


async def test_a_check_of_each_that_was_sent(steadfaas: Steadfaas) -> None:
    """What a suite does before a release: everything on its way must fit."""
    await steadfaas.deploy(Release("v1").app)
    for hours in (0, 12, 24, 36, 60):
        await steadfaas.send("Shop/place", "lamp", delay=timedelta(hours=hours))
    await steadfaas.advance("50 h")
    bad = await steadfaas.deploy(Release("v2", checks_stock=True).app)
    verdicts = [(await order.check(bad)).verdict for order in steadfaas.sent]
    assert verdicts == ["diverges", "diverges", "diverges", "diverges", "compatible"]
    good = await steadfaas.deploy(Release("v3", notifies=True).app)
    verdicts = [(await order.check(good)).verdict for order in steadfaas.sent]
    assert verdicts == ["diverges", "compatible", "compatible", "compatible", "compatible"]


async def test_a_check_that_a_crash_ends(steadfaas: Steadfaas) -> None:
    old, new = Release("v1"), Release("v2")
    await steadfaas.deploy(old.app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.advance("1 day")
    v2 = await steadfaas.deploy(new.app)
    new.entered = asyncio.Event()
    check = asyncio.create_task(order.check(v2))
    await new.entered.wait()
    await steadfaas.crash()
    with pytest.raises(ConnectionResetError, match="crashed"):
        await check
    new.entered = None
    assert (await order.check(v2)).verdict == "compatible"
    assert await order.result() == {"charged": "v1", "shipped": "v1"}
    assert new.ran == []


async def test_a_check_meets_the_faults_of_a_test(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Release("v1").app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.advance("1 day")
    v2 = await steadfaas.deploy(Release("v2").app)
    is_over = steadfaas.fail(v2, times=None, status=503)
    assert (await order.check(v2)).verdict == "cannot-tell"
    with pytest.raises(Refused, match="cannot-tell"):
        await order.resume(v2, check=True)
    is_over()
    await order.resume(v2, check=True)
    assert await order.result() == {"charged": "v1", "shipped": "v2"}


# --- with always_replay ------------------------------------------------------------------------


@pytest.mark.steadfaas(always_replay=True)
async def test_checks_and_replays_side_by_side(steadfaas: Steadfaas) -> None:
    """A check that diverges is no finding of always-replay, and finds the same with it."""
    old, bad, good = Release("v1"), Release("v2", checks_stock=True), Release("v3")
    await steadfaas.deploy(old.app)
    order = await steadfaas.send("Shop/place", "lamp")
    await steadfaas.advance("1 day")
    v2 = await steadfaas.deploy(bad.app)
    v3 = await steadfaas.deploy(good.app)
    assert (await order.check(v2)).verdict == "diverges"
    assert (await order.check(v3)).verdict == "compatible"
    assert steadfaas.take_replays() == ""
    await order.resume(v3, check=True)
    assert await order.result() == {"charged": "v1", "shipped": "v3"}
    assert (await order.check(v3)).verdict == "compatible"
    assert (await order.check(v2)).verdict == "diverges"
    assert steadfaas.take_replays() == ""
    assert (old.ran, bad.ran, good.ran) == (["charge"], [], ["ship"])


def _dice() -> AsgiApp:
    """A handler whose way hangs on chance, after its first wait."""
    service = restate.Service("Dice")

    @service.handler()
    async def play(ctx: restate.Context) -> str:
        await ctx.sleep(timedelta(days=1))
        if random.random() < 0.5:
            await ctx.run_typed("low", lambda: None)
        else:
            await ctx.run_typed("high", lambda: None)
        return "played"

    return app(service)


@pytest.mark.steadfaas(always_replay=True)
@pytest.mark.parametrize("checks", [0, 1, 2, 3])
async def test_a_check_hides_no_handler_that_is_not_deterministic(
    steadfaas: Steadfaas, checks: int
) -> None:
    """Chance goes on to alternate from attempt to attempt, however many checks come between."""
    v1 = await steadfaas.deploy(_dice())
    game = await steadfaas.send("Dice/play")
    await steadfaas.settle()
    for _ in range(checks):
        assert (await game.check(v1)).verdict == "compatible"
    await steadfaas.advance("2 days")
    found = steadfaas.take_replays()
    assert "Dice/play" in found
    assert "took another way" in found


@pytest.mark.steadfaas(always_replay=True)
async def test_a_mismatch_after_a_move_is_reported(steadfaas: Steadfaas) -> None:
    """Who moves without a check meets it, and always-replay tells of it like of any other."""
    await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("1 day")
    assert steadfaas.take_replays() == ""
    v2 = await steadfaas.deploy(_other_checkout())
    await order.resume(v2)
    assert order.status == "backing-off"
    assert "took another way" in steadfaas.take_replays()
    await order.kill()


def _other_checkout() -> AsgiApp:
    service = restate.Service("Checkout")

    @service.handler()
    async def place(ctx: restate.Context, order: dict[str, str]) -> None:
        await ctx.sleep(timedelta(days=2))

    return app(service)
