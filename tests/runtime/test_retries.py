"""Steps, sleeps and retries: what is done stays done, and what fails is tried as was agreed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import restate

from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.machine.retry import RetryPolicy
from steadfaas.testing import Steadfaas
from tests.runtime.in_kit import Watched, crash_for, idle, post, told, until
from tests.runtime.works import Works

pytestmark = pytest.mark.asyncio

SECOND = 1000
DAY = 86_400 * SECOND


@pytest.fixture
def works() -> Works:
    """The handlers of the test; `_deploy` serves them."""
    return Works()


async def _deploy(steadfaas: Steadfaas, works: Works) -> None:
    await steadfaas.deploy(Watched(works.service))


@pytest.mark.steadfaas(defaults=HandlerOptions(retry=RetryPolicy(max_attempts=2)))
async def test_a_step_gives_up_after_its_attempts(steadfaas: Steadfaas, works: Works) -> None:
    works.failures = 1000
    await _deploy(steadfaas, works)
    asked = asyncio.create_task(post(steadfaas, "Works/bounded", 4))
    await until(lambda: works.runs > 0)
    await steadfaas.run_until_idle()
    reply = await asked
    assert reply.headers["x-restate-error-source"] == "invocation"
    status, message = told(reply)
    assert status == 500
    assert "failure 4" in message
    # The step's own policy bounds it, not the invocation's two attempts.
    assert works.runs == 4
    await idle(steadfaas)


async def test_a_step_that_succeeds_in_time(steadfaas: Steadfaas, works: Works) -> None:
    await _deploy(steadfaas, works)
    works.failures = 3
    start = steadfaas.now()
    assert await steadfaas.call("Works/bounded", 4) == 4
    assert steadfaas.now() - start < SECOND, "three retries after 10 ms each"
    works.runs, works.failures = 0, 5
    assert await steadfaas.call("Works/unbounded") == 6
    works.runs, works.failures = 0, 1000
    assert await steadfaas.call("Works/caught") == "went on without it"
    assert works.runs == 2
    await idle(steadfaas)


async def test_a_step_that_is_done_is_never_done_again(steadfaas: Steadfaas, works: Works) -> None:
    await _deploy(steadfaas, works)
    assert await steadfaas.call("Works/three") == [1, 2, 3]
    assert works.runs == 3
    await idle(steadfaas)


async def test_a_sleep_survives_a_crash(steadfaas: Steadfaas, works: Works) -> None:
    await _deploy(steadfaas, works)
    start = steadfaas.now()
    long = await steadfaas.send("Works/sleep", 3 * DAY)
    short = await steadfaas.send("Works/sleep", DAY)
    await steadfaas.settle()
    assert (long.status, short.status) == ("suspended", "suspended")
    await crash_for(steadfaas, "2 days")  # one of them is due while nobody is there
    await steadfaas.settle()
    assert (long.status, short.status) == ("suspended", "completed")
    assert await short.result() == "awake"
    assert await long.result() == "awake"
    assert steadfaas.now() == start + 3 * DAY
    assert long.attempts.outcomes == ["suspended", "completed"]
    await idle(steadfaas)


async def test_many_sleeps_of_one_handler(steadfaas: Steadfaas, works: Works) -> None:
    await _deploy(steadfaas, works)
    start = steadfaas.now()
    assert await steadfaas.call("Works/many_sleeps", 20) == 20
    assert steadfaas.now() == start + 5 * 19
    assert await steadfaas.call("Works/timeout") == "too late"
    assert steadfaas.now() == start + 5 * 19 + 40
    reader = steadfaas._host.running.store.reader
    assert reader.execute("SELECT count(*) FROM timer").fetchone() == (0,)
    await idle(steadfaas)


async def test_chance_and_time_are_the_same_in_every_attempt(
    steadfaas: Steadfaas, works: Works
) -> None:
    await _deploy(steadfaas, works)
    start = steadfaas.now()
    seen = await steadfaas.call("Works/same_again")
    assert works.seen == [seen] * 3
    assert seen[2] == start / SECOND
    assert steadfaas.now() > start, "the later attempts ran at another time"
    works.runs = 2
    assert await steadfaas.call("Works/same_again") != seen
    await idle(steadfaas)


async def test_an_attempt_that_is_silent_for_too_long_is_dropped(steadfaas: Steadfaas) -> None:
    slow = restate.Service("Slow", abort_timeout=timedelta(minutes=2))
    runs: list[int] = []

    @slow.handler()
    async def think(ctx: restate.Context) -> str:
        runs.append(steadfaas.now())
        return "thought"

    await steadfaas.deploy(Watched(slow))
    steadfaas.delay(by="1h", attempts=[1, 2])
    start = steadfaas.now()
    sent = await steadfaas.send("Slow/think")
    assert await sent.result() == "thought"
    assert sent.attempts.outcomes == ["RT0001", "RT0001", "completed"]
    assert len(runs) == 1
    assert start + 240 * SECOND < runs[0] < start + 250 * SECOND
    await idle(steadfaas)


async def test_retries_of_one_do_not_hold_up_another(steadfaas: Steadfaas, works: Works) -> None:
    works.failures = 10**9
    await _deploy(steadfaas, works)
    failing = [await steadfaas.send("Works/unbounded") for _ in range(30)]
    await steadfaas.settle()
    now = steadfaas.now()
    for _ in range(20):
        assert await steadfaas.call("Works/sleep", 0) == "awake"
    assert steadfaas.now() == now, "it waited for a retry of another"
    assert {each.status for each in failing} == {"backing-off"}
    await steadfaas.advance("5 min")
    assert all(len(each.attempts) >= 5 for each in failing)
    assert await steadfaas.call("Works/sleep", 0) == "awake"
    await idle(steadfaas)
