"""Whether a platform may remove what is still needed, and the calls that put that off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.headers import Connection
from steadfaas.deployments.outlook import Outlooks
from steadfaas.errors import DiscoveryError
from steadfaas.servers.keep_warm import KeepWarm
from steadfaas.spi import ANYBODY, Access, Adapter, EndpointReference, Evidence, Expiry, Promise
from tests.deployments.world import World, announce, run, service, serving, world

DAY = 86_400_000
NOW = 1_790_000_000_000


class Idle:
    """A platform that removes what nobody called for thirty days, unless told to keep it."""

    name = "plain-http"

    def claims(self, target: str) -> bool:
        return True

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        return EndpointReference(self.name, target, Evidence.ASSERTED)

    def expiry(self, reference: EndpointReference, *, called_at: int) -> Expiry | None:
        return Expiry(called_at + 30 * DAY, "nobody called it for 30 days", called_off=True)


class OnIdle(Adapters):
    """Only that adapter is installed."""

    def names(self) -> list[str]:
        return [Idle.name]

    def get(self, name: str) -> Adapter:
        return Idle()


@asynccontextmanager
async def registered() -> AsyncIterator[tuple[World, str, Outlooks]]:
    async with world(adapters=OnIdle()) as here, serving(announce(service())) as one:
        here.clock.time = NOW - 1  # it moves on with each look
        id = (await here.register(one.uri)).id
        yield here, id, Outlooks(OnIdle(), here.writer.connection)


def pinned(here: World, id: str, *, due_at: int | None, moved_at: int = NOW) -> None:
    """An unfinished invocation that is pinned to a deployment."""
    here.writer.connection.execute(
        "INSERT INTO invocation (id, service, handler, kind, status, created_at, modified_at,"
        " deployment, due_at) VALUES (?, 'Shop', 'buy', 0, 4, ?, ?, ?, ?)",
        (str(due_at).encode() + str(moved_at).encode(), NOW, moved_at, id, due_at),
    )


def test_nothing_pinned_is_at_no_risk() -> None:
    async def test() -> None:
        async with registered() as (here, id, outlooks):
            found = outlooks.of(here.catalog.deployments(), NOW)[id]
            assert found.expires_at == NOW + 30 * DAY
            assert (found.at_risk, found.needed_until, found.called_off) == (False, None, False)

    run(test())


@pytest.mark.parametrize(
    ("due_at", "moved_at", "now", "at_risk"),
    [
        (NOW + 29 * DAY, NOW, NOW, False),
        (NOW + 31 * DAY, NOW, NOW, True),
        (NOW + 31 * DAY, NOW + 5 * DAY, NOW + 5 * DAY, False),  # it was called meanwhile
        (None, NOW, NOW, False),  # nobody knows when it goes on, and there is time
        (None, NOW, NOW + 25 * DAY, True),
    ],
)
def test_what_is_needed_longer_is_at_risk(
    due_at: int | None, moved_at: int, now: int, at_risk: bool
) -> None:
    async def test() -> None:
        async with registered() as (here, id, outlooks):
            pinned(here, id, due_at=due_at, moved_at=moved_at)
            found = outlooks.of(here.catalog.deployments(), now)[id]
            assert (found.at_risk, found.needed_until) == (at_risk, due_at)
            assert found.called_off

    run(test())


def test_platforms_that_keep_everything_have_no_outlook() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.register(one.uri)).id
            pinned(here, id, due_at=None)
            outlooks = Outlooks(Adapters(()), here.writer.connection)
            assert outlooks.of(here.catalog.deployments(), NOW) == {}

    run(test())


def test_what_is_pinned_is_kept_warm_and_nothing_else() -> None:
    asked: list[str] = []

    async def test() -> None:
        third = asyncio.Event()

        async def ask(reference: EndpointReference, connection: Connection) -> None:
            asked.append(reference.uri)
            if len(asked) == 3:
                third.set()
            if len(asked) > 1:
                raise DiscoveryError("it is gone")

        async with registered() as (here, id, outlooks):
            keep_warm = KeepWarm(here.catalog, outlooks, ask, here.clock)
            assert await keep_warm.call_all() == []
            pinned(here, id, due_at=NOW + DAY)
            assert await keep_warm.call_all() == [id]
            assert await keep_warm.call_all() == [], "a failed call is no reason to stop"
            assert len(asked) == 2
            going_on = asyncio.create_task(keep_warm.run(3600))
            await third.wait()
            going_on.cancel()

    run(test())
