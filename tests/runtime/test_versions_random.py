"""Versions that are asked for, registered, promoted, removed and crashed upon, in any order.

Whatever the order: each request ends exactly once. It ran on a deployment that carries its version
if one was there before its time was over, and otherwise it failed, told why, and never ran.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steadfaas.errors import Conflict
from steadfaas.testing import Deployment, Invocation, InvocationFailed, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import crash_for, idle, pin
from tests.runtime.releases import Release, deploy

WAIT = 600_000
VERSIONS = ("git:a", "git:b")
MINUTE = 60_000

_version = st.sampled_from(VERSIONS)
_STEPS = st.one_of(
    st.tuples(
        st.just("send"), _version, st.sampled_from(["Shop/buy", "Cart/k/add"]),
        st.sampled_from([0, 0, 0, 3, 30]),
    ),
    st.tuples(st.just("register"), _version),
    st.tuples(st.just("register_and_crash"), _version, st.sampled_from([0, 1, 11])),
    st.tuples(st.just("promote"), st.integers(0, 5)),
    st.tuples(st.just("remove"), st.integers(0, 5)),
    st.tuples(st.just("crash"), st.sampled_from([0, 0, 1, 11])),
    st.tuples(st.just("advance"), st.sampled_from([1, 4, 6, 10, 31])),
)  # fmt: skip


@dataclass
class Asked:
    """A request: what it asked for, and whether its version was there in time."""

    invocation: Invocation
    version: str
    until: int
    landed: bool


class Story:
    """A kit, and what must have become of each request."""

    def __init__(self, kit: Steadfaas) -> None:
        self.kit = kit
        self.ran: list[Any] = []
        self.asked: list[Asked] = []
        self.there: list[tuple[Deployment, str]] = []

    async def send(self, version: str, target: str, delay: int) -> None:
        number = len(self.asked)
        until = self.kit.now() + delay * MINUTE + WAIT
        one = await self.kit.send(
            target, number, version=version, delay=f"{delay} min" if delay else None
        )
        landed = any(carried == version for _, carried in self.there)
        assert (pin(one) is not None) == landed
        self.asked.append(Asked(one, version, until, landed))

    async def register(self, version: str) -> None:
        deployment = await deploy(self.kit, Release(version, ran=self.ran), version)
        self.there.append((deployment, version))
        for asked in self.asked:
            if asked.version == version and self.kit.now() < asked.until:
                asked.landed = True

    async def register_and_crash(self, version: str, minutes: int) -> None:
        """The registration is stored, and the engine dies before it looks who waits for it."""
        self.kit._host.running._landing.stop()
        await self.register(version)
        await self.crash(minutes)

    async def crash(self, minutes: int) -> None:
        await crash_for(self.kit, f"{minutes} min")

    async def promote(self, which: int) -> None:
        if self.there:
            await self.kit.promote(self.there[which % len(self.there)][0])

    async def remove(self, which: int) -> None:
        if not self.there:
            return
        chosen = self.there[which % len(self.there)]
        needed = self.kit.drain(chosen[0]).unfinished
        try:
            await self.kit.remove(chosen[0], force=not needed)
        except Conflict:
            assert needed
        else:
            self.there.remove(chosen)

    async def advance(self, minutes: int) -> None:
        await self.kit.advance(f"{minutes} min")

    def check(self) -> None:
        """Whose version is there is pinned to it at once, and not only when its time is over."""
        check_books(self.kit._host.running)
        for asked in self.asked:
            assert asked.invocation.status != "scheduled" or (
                (pin(asked.invocation) is not None) == asked.landed
            )

    async def end(self) -> None:
        """Let time pass, and look at what became of each."""
        await self.kit.advance("2 h")
        for number, asked in enumerate(self.asked):
            runs = [version for version, item in self.ran if item == number]
            assert asked.invocation.status == "completed"
            if asked.landed:
                assert await asked.invocation.result() == asked.version
                assert runs == [asked.version]
                assert len(asked.invocation.attempts.deployments) == 1
            else:
                assert runs == []
                with pytest.raises(InvocationFailed, match=r"^\S+ \[SF0006\] "):
                    await asked.invocation.result()
        assert self.kit.unfinished() == []
        await idle(self.kit)


@given(st.lists(_STEPS, min_size=8, max_size=30))
@settings(
    max_examples=80, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
def test_each_request_ends_once_on_its_version_or_with_the_reason(
    steps: list[tuple[Any, ...]],
) -> None:
    async def test() -> None:
        async with asyncio.timeout(60), Steadfaas() as kit:
            story = Story(kit)
            # Its handlers are known from the beginning, so that everything can be stored.
            await deploy(kit, Release("first", ran=story.ran), "git:first")
            for name, *arguments in steps:
                await getattr(story, name)(*arguments)
                await kit.settle()
                story.check()
            await story.end()

    asyncio.run(test())
