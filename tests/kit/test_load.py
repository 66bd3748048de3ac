"""Many invocations over a virtual week; the time is reported, not judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import restate

from steadfaas.testing import Steadfaas
from tests.kit.shop import app

pytestmark = pytest.mark.asyncio

INVOCATIONS = 1000


async def test_a_thousand_invocations_over_a_week(
    steadfaas: Steadfaas,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = restate.Service("Reminder")

    @service.handler()
    async def remind(ctx: restate.Context, n: int) -> int:
        await ctx.run_typed("first mail", lambda: n)
        await ctx.sleep(timedelta(days=1 + n % 3))
        await ctx.run_typed("second mail", lambda: n)
        await ctx.sleep(timedelta(days=3, seconds=n))
        return n

    await steadfaas.deploy(app(service))
    began = time.perf_counter()
    sent = [await steadfaas.send("Reminder/remind", n) for n in range(INVOCATIONS)]
    await steadfaas.advance("7 days")
    seconds = time.perf_counter() - began
    assert [await one.result() for one in sent] == list(range(INVOCATIONS))
    record_property("seconds", round(seconds, 2))
    with capsys.disabled():
        print(
            f"\n  {INVOCATIONS} invocations over a virtual week: {seconds:.1f} s (goal: below 5 s)"
        )
