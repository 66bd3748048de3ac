"""Faults on the wire: what the handler sees of them, and what the engine makes of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import restate

from steadfaas.testing import Steadfaas
from tests.kit.shop import app, checkout

pytestmark = pytest.mark.asyncio


async def test_a_status_for_some_exchanges_of_one_version(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {"id": 1})
    await steadfaas.advance("1 day")
    await steadfaas.deploy(checkout("v2"))
    steadfaas.fail(v1, times=2, status=503)
    assert await steadfaas.call("Checkout/place", {"id": 2}) == {"by": "v2"}
    assert await order.result() == {"by": "v1"}
    assert order.attempts.deployments == {v1}
    assert order.attempts.outcomes.count("RT0023") == 2


async def test_a_throttle_says_when_to_come_back(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    steadfaas.fail(status=429, retry_after="40 min")
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.settle()
    assert order.last_failure is not None
    assert (order.last_failure.code, order.last_failure.http_code) == ("RT0023", 429)
    await steadfaas.advance("39 min 59 s")
    assert order.status == "backing-off"
    await steadfaas.advance("1 s")
    assert order.attempts.outcomes == ["RT0023", "suspended", "suspended"]


async def test_a_cut_answer_keeps_what_came_before_it(steadfaas: Steadfaas) -> None:
    ran: list[str] = []
    await steadfaas.deploy(checkout("v1", ran))
    steadfaas.cut(after=2)  # the step's beginning and its result, not the suspension
    assert await steadfaas.call("Checkout/place", {}) == {"by": "v1"}
    assert ran == ["charge", "ship"]


async def test_a_cut_before_the_result_has_the_step_run_again(steadfaas: Steadfaas) -> None:
    ran: list[str] = []
    await steadfaas.deploy(checkout("v1", ran))
    steadfaas.cut(after=1)
    order = await steadfaas.send("Checkout/place", {})
    assert await order.result() == {"by": "v1"}
    assert ran == ["charge", "charge", "ship"]
    assert order.attempts.outcomes[0] == "RT0010"


async def test_latency_passes_in_virtual_time(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    steadfaas.delay(by="4 min", times=2)
    start = steadfaas.now()
    first = await steadfaas.send("Checkout/place", {})
    second = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("3 min")
    assert {first.status, second.status} == {"running"}
    assert first.attempts.outcomes == ["running"]
    await steadfaas.advance("1 min")
    assert {first.status, second.status} == {"suspended"}
    await first.result()
    assert steadfaas.now() == start + 240_000 + 2 * 86_400_000


async def test_latency_beyond_the_abort_timeout(steadfaas: Steadfaas) -> None:
    service = restate.Service("Slow", abort_timeout=timedelta(minutes=2))
    ran: list[int] = []

    @service.handler()
    async def work(ctx: restate.Context) -> str:
        ran.append(steadfaas.now())
        return "done"

    await steadfaas.deploy(app(service))
    steadfaas.delay(by="1h")
    start = steadfaas.now()
    work_ = await steadfaas.send("Slow/work")
    assert await work_.result() == "done"
    assert work_.attempts.outcomes == ["RT0001", "completed"]
    assert len(ran) == 1
    assert start + 120_000 < ran[0] < start + 125_000


async def test_faults_by_attempt(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    steadfaas.fail(attempts=[1, 3], status=500)
    orders = [await steadfaas.send("Checkout/place", {}) for _ in range(2)]
    for order in orders:
        await order.result()
        outcomes = order.attempts.outcomes
        assert [outcomes[0], outcomes[2]] == ["RT0012", "RT0012"]
        assert set(outcomes[1::2]) | set(outcomes[4:]) <= {"suspended", "completed"}


async def test_attempts_are_counted_over_a_crash(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("1 day")
    done = len(order.attempts)
    await steadfaas.crash()
    steadfaas.fail(attempts=done + 1)
    await order.result()
    assert order.attempts[done].outcome == "RT0023"
    assert order.attempts[done].number == done + 1


async def test_faults_of_one_invocation(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    one, two = [await steadfaas.send("Checkout/place", {}, delay="1s") for _ in range(2)]
    steadfaas.fail(invocation=two, times=3)
    await steadfaas.run_until_idle()
    assert "RT0023" not in one.attempts.outcomes
    assert two.attempts.outcomes.count("RT0023") == 3


async def test_a_fault_is_taken_back(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(checkout("v1"))
    take_back = steadfaas.fail(v1, times=None, status=502)
    order = await steadfaas.send("Checkout/place", {})
    await steadfaas.advance("5 min")
    assert order.status == "backing-off"
    failed = order.attempts.outcomes.count("RT0010")
    assert failed > 3
    take_back()
    take_back()
    assert await order.result() == {"by": "v1"}
    assert order.attempts.outcomes.count("RT0010") == failed


async def test_faults_that_make_no_sense(steadfaas: Steadfaas) -> None:
    with pytest.raises(ValueError, match="200 is not a status that fails"):
        steadfaas.fail(status=200)
    with pytest.raises(ValueError, match="counted from 1"):
        steadfaas.cut(attempts=0)
    with pytest.raises(ValueError, match="not 0 times"):
        steadfaas.fail(times=0)
    with pytest.raises(ValueError, match="'5' has no unit"):
        steadfaas.delay(by="5")
