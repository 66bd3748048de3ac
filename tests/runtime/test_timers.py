"""One timer that cannot be fired must not hold up the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
import restate

from steadfaas.runtime.ledger import Ledger
from steadfaas.runtime.work import Work
from steadfaas.testing import Steadfaas

pytestmark = pytest.mark.asyncio


def napping() -> object:
    """A service that sleeps for a minute."""
    service = restate.Service("Nap")

    @service.handler()
    async def nap(ctx: restate.Context) -> str:
        await ctx.sleep(timedelta(minutes=1))
        return "rested"

    return restate.app([service])


async def test_a_timer_that_cannot_be_fired_is_put_off(
    steadfaas: Steadfaas, monkeypatch: pytest.MonkeyPatch
) -> None:
    await steadfaas.deploy(napping())  # type: ignore[arg-type]
    naps = [await steadfaas.send("Nap/nap") for _ in range(5)]
    wake = Ledger.wake
    poisoned: list[bytes] = []

    def breaking(self: Ledger, work: Work, seq: int, completion: int) -> None:
        inv = self.get(work, seq)
        if not poisoned or (inv is not None and inv.id == poisoned[0]):
            assert inv is not None
            poisoned[:] = [inv.id]
            raise ZeroDivisionError("planted")
        wake(self, work, seq, completion)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "wake", breaking)
        await steadfaas.advance("70s")
        done = [nap.status for nap in naps]
        assert sorted(done) == ["completed"] * 4 + ["suspended"]
    for nap in naps:  # once it can be fired again, it is
        assert await nap.result() == "rested"
