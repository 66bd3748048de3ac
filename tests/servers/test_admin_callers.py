"""`GET /services/{service}/callers`: what unfinished work still calls, or is to begin with."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import restate

from steadfaas.store import callers
from steadfaas.testing import Steadfaas
from tests.servers.invocation_world import admin_of

pytestmark = pytest.mark.asyncio
Json = dict[str, Any]


def stock() -> restate.Service:
    """What is called."""
    service = restate.Service("Stock")

    @service.handler()
    async def reserve(ctx: restate.Context, number: int) -> int:
        return number

    @service.handler()
    async def free(ctx: restate.Context, number: int) -> int:
        return number

    return service


def till(version: str) -> restate.Service:
    """Who calls, and sleeps for an hour."""
    service = restate.Service("Till")

    @service.handler()
    async def sell(ctx: restate.Context, name: str) -> str:
        """Calls twice, sends once, and names the other service where it does not count."""
        for number in (1, 2):
            await ctx.generic_call("Stock", "reserve", str(number).encode())
        ctx.generic_send("Stock", "free", b"1")
        ctx.generic_send("Till", "note", b'"Stock"')
        await ctx.sleep(timedelta(hours=1))
        return version

    @service.handler()
    async def remind(ctx: restate.Context, name: str) -> str:
        """Only sends, again and again."""
        for number in range(5):
            ctx.generic_send("Stock", "reserve", str(number).encode())
        await ctx.sleep(timedelta(hours=1))
        return version

    @service.handler()
    async def note(ctx: restate.Context, text: str) -> str:
        return text

    return service


async def test_calls_and_sends_of_what_is_unfinished_by_deployment(steadfaas: Steadfaas) -> None:
    first = await steadfaas.deploy(restate.app([stock(), till("1")]))
    for _ in range(2):
        await steadfaas.send("Till/sell", "a")
    await steadfaas.settle()
    second = await steadfaas.deploy(restate.app([till("2")]))
    await steadfaas.send("Till/remind", "b")
    await steadfaas.settle()
    await steadfaas.send("Stock/free", 1, delay="30 min")
    async with admin_of(steadfaas) as admin:
        found = await admin("GET", "/services/Stock/callers")
        assert found == {
            "service": "Stock",
            "handlers": [
                {
                    "name": "free",
                    "not_begun": 1,
                    "callers": [{"deployment_id": first.id, "invocations": 2}],
                },
                {
                    "name": "reserve",
                    "not_begun": 0,
                    "callers": sorted(
                        (
                            {"deployment_id": first.id, "invocations": 2},
                            {"deployment_id": second.id, "invocations": 1},
                        ),
                        key=lambda each: str(each["deployment_id"]),
                    ),
                },
            ],
        }
        await steadfaas.advance("2 hours")
        assert await admin("GET", "/services/Stock/callers") == {"service": "Stock", "handlers": []}


async def test_nobody_calls_what_nobody_knows(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(restate.app([stock(), till("1")]))
    await steadfaas.send("Till/sell", "a")
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        # A part of a name, or a name that is somebody's input, is none.
        for unknown in ("Nobody", "Sto", "tock", "stock"):
            found = await admin("GET", f"/services/{unknown}/callers")
            assert found == {"service": unknown, "handlers": []}


async def test_the_size_of_pages_makes_no_difference(
    steadfaas: Steadfaas, monkeypatch: pytest.MonkeyPatch
) -> None:
    await steadfaas.deploy(restate.app([stock(), till("1")]))
    for number in range(7):
        await steadfaas.send("Till/remind" if number % 2 else "Till/sell", "a")
    await steadfaas.settle()
    reader = (await steadfaas._host.engine()).store.reader
    numbers = []
    # With so many bytes for an entry: few, so that each call is a page; or so many as ever.
    for size, length in ((10, 1), (1, 1000), (2, 1000), (3, 1000), (10, 1000), (1000, 1000)):
        monkeypatch.setattr(callers, "_BYTES", length)
        found = list(callers.pages(reader, "Stock", size))
        calls: Counter[str] = Counter()
        for page in found:
            calls.update({handler: n for (handler, _), n in page.by_deployment.items()})
        assert calls == {"reserve": 7, "free": 4}, size
        numbers.append(len(found))
    assert numbers.pop(0) >= 4 * 3 + 3 * 5, "the payload of each call is as long as a page"
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > 7  # also in the middle of a journal
    assert numbers[-1] == 1
