"""Random stories: requests, operators, time, faults and crashes, and what holds after each step.

`STEADFAAS_STORY_SEEDS` tells how many stories there are; the first few make the usual run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest

from steadfaas.errors import RequestError
from steadfaas.runtime.engine import Tuning
from steadfaas.store import invocations
from steadfaas.store.state import StateChange
from steadfaas.testing import Deployment, Invocation, InvocationFailed, Refused, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle, pin
from tests.runtime.yard import (
    Yard,
    batch,
    check_whole,
    counts,
    dump,
    event_types,
    operate,
    operators,
)

pytestmark = pytest.mark.asyncio

SEEDS: Final = range(int(os.environ.get("STEADFAAS_STORY_SEEDS", "10")))
STEPS: Final = 90
_OPERATIONS: Final = (
    *("cancel", "kill", "pause", "pause", "pause", "resume", "resume", "resume"),
    *("purge", "purge-journal", "restart-as-new"),
)
_JOBS: Final = (
    "Job/work",
    "Job/work",
    "Job/ask",
    "Job/fail",
    "Job/stop",
    "Job/parent",
    "Job/quick",
)


class _Watch:
    """What is known of one invocation: what must not change, and what it may have changed by."""

    def __init__(self, one: Invocation) -> None:
        self.one = one
        self.status = one.status
        self.attempts = 0
        self.pin: str | None = None
        self.wished = False  # a pause, for when the open attempt has ended

    def pausing(self) -> bool:
        """Whether the store holds the wish for a pause."""
        reader = self.one._host.running.store.reader
        found = invocations.describe(reader, self.one.id)
        return found is not None and bool(found.pausing)

    def check(self, operated: bool) -> None:
        """Compare with what was known before the latest step; `operated`: it was meant by it."""
        one, status = self.one, self.one.status
        if status == "unknown":
            assert operated or self.status in ("unknown", "scheduled", "pending", "ready")
            self.status = status
            return
        now = pin(one)
        if not operated:
            assert self.pin in (None, now), "a pin moved by itself"
            if self.status == "paused":
                assert (status, len(one.attempts)) == ("paused", self.attempts), "it ran"
            if self.wished:
                assert status in ("running", "paused", "completed"), "the wish was forgotten"
                assert len(one.attempts) in (0, self.attempts), "another attempt was opened"
        for attempt in one.attempts[self.attempts :]:
            assert attempt.deployment.id in (self.pin, now), "an attempt left the pin"
        if self.status == "completed":
            assert status == "completed"
        self.status, self.pin = status, now
        if status != "running" or (operated and not self.pausing()):
            self.wished = False
        # The attempts go with a journal that is purged.
        self.attempts = max(self.attempts, len(one.attempts))


class _Story:
    """One random life of an engine."""

    def __init__(self, kit: Steadfaas, random: Random) -> None:
        self.kit = kit
        self.random = random
        self.yards = [Yard("v1"), Yard("v2")]
        self.places: list[Deployment] = []
        self.watched: dict[bytes, _Watch] = {}
        self.keys = 0
        self.meant: set[bytes] = set()

    async def begin(self) -> None:
        """Both versions are there; the second one takes requests."""
        self.places = [await self.kit.deploy(yard.app) for yard in self.yards]

    async def live(self, steps: int) -> None:
        """So many random steps, each looked at."""
        deeds: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *(self.send,) * 5, *(self.pass_time,) * 4, *(self.operate,) * 8, self.operate_many,
            self.move, self.move, self.answer, self.click, self.change_state, self.change_state,
            self.promote, self.break_off, self.hold_up, self.mend, self.crash,
        ]  # fmt: skip
        for _ in range(steps):
            self.meant.clear()
            await self.random.choice(deeds)()
            await self.kit.settle()
            self.look()

    def look(self) -> None:
        """What holds after every step."""
        check_books(self.kit._host.running)
        check_whole(self.kit)
        for watch in self.watched.values():
            watch.check(watch.one.id in self.meant or bool(self.meant & {b"everybody"}))

    # --- deeds ---------------------------------------------------------------------------------

    async def send(self) -> None:
        target = self.random.choice((*_JOBS, "Cart/put", "Cart/add", "Sign/run"))
        service, _, handler = target.partition("/")
        text: Any = f"{len(self.watched)}"
        if service == "Cart":
            target, text = f"Cart/k{self.random.randrange(3)}/{handler}", 1
        elif service == "Sign":
            self.keys += 1
            target = f"Sign/s{self.keys}/run"
        delay = self.random.choice((None, None, None, "5 min"))
        try:
            sent = await self.kit.send(target, text, delay=delay)
        except Refused as refused:
            if refused.status != 429:
                raise
            return
        self.watch(sent)

    def watch(self, one: Invocation) -> None:
        self.watched[one.id] = _Watch(one)

    async def pass_time(self) -> None:
        await self.kit.advance(f"{self.random.choice((1, 20, 100, 700, 2000))} s")

    def anybody(self) -> Invocation | None:
        known = list(self.watched.values())
        return self.random.choice(known[-25:]).one if known else None

    async def operate(self) -> None:
        one, operation = self.anybody(), self.random.choice(_OPERATIONS)
        if one is not None:
            await self.do(one, operation)

    async def do(self, one: Invocation, operation: str, **more: Any) -> None:
        before, attempts = dump(self.kit), self.kit._host.running.open_exchanges
        self.mean(one, operation)
        try:
            done = await operate(self.kit, one, operation, **more)
        except RequestError as refused:
            if refused.status not in (400, 404, 409, 425, 410, 422, 429):
                raise
            assert (dump(self.kit), self.kit._host.running.open_exchanges) == (before, attempts)
            self.meant.clear()
            return
        if operation == "restart-as-new":
            self.watch(Invocation(self.kit._host, done, one.target))
        if operation == "pause":
            assert one.status in ("paused", "running")
            if one.id in self.watched:
                self.watched[one.id].wished = one.status == "running"

    def mean(self, one: Invocation, operation: str) -> None:
        """Whom an operation may change: a kill goes on to others, a cancel as well."""
        self.meant.add(b"everybody" if operation in ("kill", "cancel") else one.id)

    async def operate_many(self) -> None:
        chosen = [watch.one for watch in self.watched.values() if self.random.random() < 0.4]
        operation = self.random.choice(("pause", "resume", "cancel"))
        self.meant.add(b"everybody")
        tally = await batch(self.kit, operation, chosen)
        assert tally.done + tally.accepted + len(tally.refusals) == len(chosen)
        if operation == "pause":
            for one in chosen:
                self.watched[one.id].wished = one.status == "running"

    async def move(self) -> None:
        one = self.anybody()
        if one is not None:
            place = self.random.choice((*(place.id for place in self.places), "latest"))
            await self.do(one, "resume", deployment=place, actor="story")

    async def answer(self) -> None:
        for watch in list(self.watched.values()):
            if watch.one.status in ("suspended", "paused") and self.random.random() < 0.5:
                for name in watch.one.awakeables:
                    await self.kit.resolve(name, "told")

    async def click(self) -> None:
        if self.keys:
            key = f"s{self.random.randint(1, self.keys)}"
            try:
                self.watch(await self.kit.send(f"Sign/{key}/click", "yes"))
            except Refused as refused:
                if refused.status != 429:
                    raise

    async def change_state(self) -> None:
        change = StateChange({b"total": b"%d" % self.random.randrange(100)})
        key = f"k{self.random.randrange(3)}"
        await self.kit._host.asked(operators(self.kit).change_state("Cart", key, change))

    async def promote(self) -> None:
        await self.kit.promote(self.random.choice(self.places))

    async def break_off(self) -> None:
        self.kit.cut(after=self.random.randrange(4), times=self.random.randint(1, 3))

    async def hold_up(self) -> None:
        self.kit.delay(by="2 min", times=self.random.randint(1, 4))

    async def mend(self) -> None:
        for yard in self.yards:
            yard.failing = self.random.random() < 0.5

    async def crash(self) -> None:
        await self.kit.crash()

    # --- the end -------------------------------------------------------------------------------

    async def end(self) -> None:
        """Everything is well, everybody is let go on, and everybody comes to an end."""
        for yard in self.yards:
            yard.failing = False
        for _ in range(20):
            await self.kit.run_until_idle("30 days")
            left = [w.one for w in self.watched.values() if w.one.status != "unknown"]
            left = [one for one in left if one.status != "completed"]
            if not left and not self.kit.unfinished():
                break
            await batch(self.kit, "resume", [one for one in left if one.status == "paused"])
            await self._let_children_go_on()
            for one in left:
                for name in one.awakeables:
                    await self.kit.resolve(name, "told")
                if one.target.startswith("Sign/") and one.status == "suspended":
                    await self.kit.send(f"{one.target.rpartition('/')[0]}/click", "yes")
        assert self.kit.unfinished() == []
        check_whole(self.kit)

    async def _let_children_go_on(self) -> None:
        """Also those that no request made: they are found in the store."""
        reader = self.kit._host.running.store.reader
        rows = reader.execute("SELECT id FROM invocation WHERE status = 6").fetchall()
        await batch(self.kit, "resume", [Invocation(self.kit._host, id, "any") for (id,) in rows])

    async def check_results(self) -> None:
        """Results are those of steps that were stored, by versions that there are."""
        for watch in self.watched.values():
            one = watch.one
            if one.status == "unknown":
                continue
            try:
                result = await one.result()
            except InvocationFailed as failed:
                if failed.code not in (409, 500):
                    raise
                continue
            if one.target == "Job/work":
                assert set(result) <= {"v1", "v2"}
            if one.target == "Job/work" and one.journal:
                assert result[:3] == [one.steps[name] for name in ("one", "two", "three")]
                assert result[3] == one.attempts[-1].deployment.name
            if one.journal:
                moves = event_types(self.kit, one).count("PinMoved")
                where = [attempt.deployment for attempt in one.attempts]
                changes = sum(a != b for a, b in pairwise(where))
                assert changes <= moves, "every change of place is an event"

    async def forget(self) -> None:
        """Purge everything: what is left belongs to keys, not to invocations."""
        reader = self.kit._host.running.store.reader
        rows = reader.execute("SELECT id FROM invocation").fetchall()
        everybody = [Invocation(self.kit._host, id, "any") for (id,) in rows]
        assert (await batch(self.kit, "purge", everybody)).done == len(everybody)
        assert set(counts(self.kit)) <= {"state", "promise"}


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_operators_do_everything_comes_to_an_end(seed: int) -> None:
    tight = Tuning(max_concurrency=2, max_queued=30, drain_seconds=0)
    tuning = tight if seed % 2 else Tuning(drain_seconds=0)
    async with Steadfaas(seed=seed, tuning=tuning) as kit:
        story = _Story(kit, Random(seed))
        await story.begin()
        await story.live(STEPS)
        await story.end()
        await story.check_results()
        await story.forget()
        await idle(kit)
