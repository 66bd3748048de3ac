"""Renewal of what calls are signed with: once for all, ahead of time, and never in the way."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials, DeferredRefreshableCredentials

from steadfaas_adapters.aws_lambda import keys
from steadfaas_adapters.aws_lambda.keys import Keys
from tests.deployments.world import run
from tests.runtime.in_process import eventually


class Issuer:
    """Gives credentials that hold for so many minutes; `gate` holds it up."""

    def __init__(self, *minutes: float) -> None:
        self.minutes = list(minutes)
        self.asked = 0
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> dict[str, str]:
        self.asked += 1
        number = self.asked
        assert self.gate.wait(5)
        if self.broken:
            raise ConnectionError("nobody issues anything")
        minutes = self.minutes.pop(0) if len(self.minutes) > 1 else self.minutes[0]
        expiry = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
        name = f"key-{number}"
        return {"access_key": name, "secret_key": "s", "token": "t", "expiry_time": expiry}

    def keys(self) -> Keys:
        return Keys(DeferredRefreshableCredentials(refresh_using=self, method="test"))


async def renewed(keys: Keys) -> None:
    assert keys._renewal is not None
    await asyncio.wait([keys._renewal])


def test_keys_that_never_expire() -> None:
    async def test() -> None:
        found = await Keys(Credentials("key", "secret")).current()
        assert (found.access_key, found.secret_key, found.token) == ("key", "secret", None)

    run(test())


def test_all_calls_share_one_renewal_and_it_outlives_the_first_of_them() -> None:
    async def test() -> None:
        issuer = Issuer(60)
        issuer.gate.clear()
        held = issuer.keys()
        waiting = [asyncio.ensure_future(held.current()) for _ in range(10)]
        await eventually(lambda: bool(issuer.asked))
        waiting[0].cancel()
        await asyncio.sleep(0)
        issuer.gate.set()
        found = await asyncio.gather(*waiting[1:])
        assert {each.access_key for each in found} == {"key-1"}
        assert waiting[0].cancelled()
        assert issuer.asked == 1

    run(test())


def test_nobody_waits_for_a_renewal_while_the_old_keys_hold() -> None:
    async def test() -> None:
        issuer = Issuer(14, 60)  # botocore wants new ones a quarter of an hour ahead
        held = issuer.keys()
        assert (await held.current()).access_key == "key-1"
        held._next_at = 0.0
        issuer.gate.clear()
        for _ in range(10):
            assert (await held.current()).access_key == "key-1"
        issuer.gate.set()
        await renewed(held)
        assert (await held.current()).access_key == "key-2"
        assert issuer.asked == 2

    run(test())


def test_a_renewal_that_fails_is_left_alone_for_a_while() -> None:
    async def test() -> None:
        issuer = Issuer(14)
        held = issuer.keys()
        await held.current()
        held._next_at, issuer.broken = 0.0, True
        for _ in range(10):
            assert (await held.current()).access_key == "key-1"
            await renewed(held)
        assert issuer.asked == 2

    run(test())


def test_keys_that_are_over_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        issuer = Issuer(14)
        held = issuer.keys()
        await held.current()
        monkeypatch.setattr(keys, "_TOO_SHORT", 15 * 60)
        # What botocore itself waits for: the last ten minutes.
        monkeypatch.setattr(held._credentials, "_mandatory_refresh_timeout", 15 * 60)
        issuer.broken = True
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await held.current()
        issuer.broken = False
        assert (await held.current()).access_key == "key-4"

    run(test())


def test_closing_waits_for_nobody() -> None:
    async def test() -> None:
        issuer = Issuer(60)
        issuer.gate.clear()
        held = issuer.keys()
        waiting = asyncio.ensure_future(held.current())
        await eventually(lambda: bool(issuer.asked))
        held.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        issuer.gate.set()

    run(test())
