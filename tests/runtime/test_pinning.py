"""Every request starts, retries and completes on the version of the code that started it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import restate

from tests.runtime.in_process import HASTY, Code, World, code, eventually, run, world


class Story:
    """One version of a service that takes its time: a step, a wait for somebody, another step."""

    def __init__(self, version: str, *, first_step: str = "first") -> None:
        self.version = version
        self.failures = 0  # how many of the next attempts fail
        self.awakeables: asyncio.Queue[str] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.plain = restate.Service("Story", invocation_retry_policy=HASTY)
        self.keyed = restate.VirtualObject("Book", invocation_retry_policy=HASTY)

        @self.plain.handler()
        async def tell(ctx: restate.Context) -> list[str]:
            first = await ctx.run_typed(first_step, lambda: self.version)
            name, told = ctx.awakeable(type_hint=str)
            await ctx.run_typed("hand over", lambda: self.awakeables.put_nowait(name))
            word = await told
            if self.failures:
                self.failures -= 1
                raise RuntimeError(f"{self.version} is not well")
            second = await ctx.run_typed("second", lambda: self.version)
            return [first, word, second, self.version]

        @self.plain.handler()
        async def fail(ctx: restate.Context) -> str:
            if self.failures:
                self.failures -= 1
                raise RuntimeError(f"{self.version} is not well")
            return self.version

        @self.plain.handler()
        async def which(ctx: restate.Context) -> str:
            return self.version

        @self.plain.handler()
        async def ask(ctx: restate.Context) -> list[str]:
            name, told = ctx.awakeable(type_hint=str)
            await ctx.run_typed("hand over", lambda: self.awakeables.put_nowait(name))
            await told
            return [self.version, await ctx.service_call(which, arg=None)]

        @self.keyed.handler()
        async def write(ctx: restate.ObjectContext) -> str:
            await self.gate.wait()
            return self.version

    @property
    def services(self) -> tuple[Any, Any]:
        return self.plain, self.keyed


async def _resolve(here: World, story: Story, word: str = "go") -> None:
    name = await story.awakeables.get()
    reply = await here.post(f"/restate/awakeables/{name}/resolve", word)
    assert reply.status == 202


def _deployments(view: Any) -> list[str]:
    return [attempt["deployment_id"] for attempt in view["attempts"]]


def test_in_flight_work_stays_where_it_started(tmp_path: Path) -> None:
    """Over a suspension, a registration, failures and a restart of the engine."""

    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with code(*one.services) as first, code(*two.services) as second:
            async with world(tmp_path, first) as here:
                (old,) = [known.id for known in here.engine.catalog.deployments()]
                id = await here.send("/Story/tell")
                view = await here.until(id, "suspended")
                assert view["deployment_id"] == old
            async with world(tmp_path) as here:
                new = await here.register(second)
                assert new != old
                one.failures = 3
                await _resolve(here, one)
                assert await here.result(id) == ["one", "go", "one", "one"]
                view = await here.look(id)
                assert set(_deployments(view)) == {old}
                outcomes = [attempt["outcome"] for attempt in view["attempts"]]
                assert outcomes.count("RT0007") == 3
                assert set(outcomes[:-1]) == {"suspended", "RT0007"}
                assert outcomes[-1] == "completed"
                assert second.exchanges == []
                assert await here.call("/Story/which") == "two"
                await here.idle()

    run(test())


def test_a_pinned_invocation_waits_for_its_deployment_while_that_is_down(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            id = await here.send("/Story/tell")
            old = (await here.until(id, "suspended"))["deployment_id"]
            await first.die()
            await here.register(second)
            await _resolve(here, one)
            view = await here.until(id, "backing-off", attempts=4)
            assert view["last_failure"]["restate_code"] == "RT0010"
            await first.start()
            assert await here.result(id) == ["one", "go", "one", "one"]
            assert set(_deployments(await here.look(id))) == {old}
            assert second.exchanges == []

    run(test())


def test_an_endpoint_that_dies_in_the_middle_of_an_attempt(tmp_path: Path) -> None:
    async def test() -> None:
        story = Story("one")
        async with code(*story.services) as first, world(tmp_path, first) as here:
            id = await here.send("/Book/k/write")
            await here.until(id, "running")
            await eventually(lambda: first.open > 0)
            await first.die()
            view = await here.until(id, "backing-off")
            assert view["last_failure"]["restate_code"] == "RT0010"
            story.gate.set()
            await first.start()
            assert await here.result(id) == "one"
            await here.idle()

    run(test())


def test_the_pin_is_stored_with_the_first_exchange_even_if_it_fails(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        one.failures = 1_000_000
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            id = await here.send("/Story/fail")
            view = await here.until(id, "backing-off", attempts=2)
            old = view["deployment_id"]
            await here.register(second)
            await here.until(id, "backing-off", "running", attempts=len(view["attempts"]) + 3)
            one.failures = 0
            assert await here.result(id) == "one"
            assert set(_deployments(await here.look(id))) == {old}
            assert second.exchanges == []

    run(test())


def test_a_deployment_that_was_down_from_the_start_keeps_the_pin_too(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            await first.die()
            id = await here.send("/Story/which")
            await here.until(id, "backing-off")
            await here.register(second)
            assert await here.call("/Story/which") == "two"
            await first.start()
            assert await here.result(id) == "one"

    run(test())


def test_what_has_not_started_starts_on_the_newest(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        two.gate.set()
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            holder = await here.send("/Book/k/write")
            queued = await here.send("/Book/k/write")
            delayed = await here.send("/Story/which", delay="150ms")
            assert (await here.until(holder, "running"))["deployment_id"]
            assert "deployment_id" not in await here.until(queued, "pending")
            assert "deployment_id" not in await here.until(delayed, "scheduled")
            await here.register(second)
            one.gate.set()
            assert await here.result(holder) == "one"
            assert await here.result(queued) == "two"
            assert await here.result(delayed) == "two"

    run(test())


def test_what_waits_for_a_slot_starts_on_the_newest(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        two.gate.set()
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first, max_concurrency_per_deployment=1) as here,
        ):
            holder = await here.send("/Book/a/write")
            await here.until(holder, "running")
            waiting = [await here.send("/Story/which") for _ in range(3)]
            assert (await here.look(waiting[0]))["status"] == "ready"
            await here.register(second)
            one.gate.set()
            assert await here.result(holder) == "one"
            assert [await here.result(id) for id in waiting] == ["two"] * 3
            await here.idle()

    run(test())


def test_calls_of_pinned_code_go_to_the_newest_revision_of_the_callee(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            id = await here.send("/Story/ask")
            await here.until(id, "suspended")
            await here.register(second)
            await _resolve(here, one)
            assert await here.result(id) == ["one", "two"]

    run(test())


def test_other_code_behind_the_same_address_is_named_with_both_commands(tmp_path: Path) -> None:
    async def test() -> None:
        one, liar = Story("one"), Story("liar", first_step="something else")
        async with code(*one.services) as endpoint, world(tmp_path, endpoint) as here:
            id = await here.send("/Story/tell")
            await here.until(id, "suspended")
            endpoint.become(*liar.services)
            await _resolve(here, one)
            failure = (await here.until(id, "backing-off", attempts=3))["last_failure"]
            assert failure["restate_code"] == "RT0016"
            assert failure["code"] == 570
            assert failure["command_index"] == 1
            assert failure["recorded_command"] == "Run first"
            assert failure["issued_command"] == "Run something else"
            endpoint.become(*one.services)  # the right code is back, and nothing was lost
            assert await here.result(id) == ["one", "go", "one", "one"]

    run(test())


def test_a_removed_deployment_holds_its_invocations_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with (
            code(*one.services) as first,
            code(*two.services) as second,
            world(tmp_path, first) as here,
        ):
            id = await here.send("/Story/tell")
            old = (await here.until(id, "suspended"))["deployment_id"]
            await here.register(second)
            gone = await here.ask("DELETE", f"{here.admin}/deployments/{old}?force=true")
            assert gone.status == 202
            await _resolve(here, one)
            view = await here.until(id, "backing-off", attempts=2)
            assert view["last_failure"]["restate_code"] == "RT0011"
            assert old in view["last_failure"]["message"]
            assert second.exchanges == []
            assert (await here.operate(id, "kill")).status == 200

    run(test())


@pytest.mark.parametrize("restarted", [False, True], ids=["running on", "restarted"])
def test_an_attempt_that_a_shutdown_cuts_off_is_repeated_on_its_pin(
    tmp_path: Path, restarted: bool
) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        two.gate.set()
        async with code(*one.services) as first, code(*two.services) as second:
            async with world(tmp_path, first) as here:
                id = await here.send("/Book/k/write")
                await here.until(id, "running")
                await here.register(second)
                queued = await here.send("/Book/k/write")
                await here.until(queued, "pending")
                if not restarted:
                    await _settle_both(here, one, id, queued)
            if restarted:
                async with world(tmp_path) as here:
                    view = await here.until(id, "running")
                    assert [attempt["outcome"] for attempt in view["attempts"]] == [
                        "interrupted", "running",
                    ]  # fmt: skip
                    await _settle_both(here, one, id, queued)

    async def _settle_both(here: World, one: Story, id: str, queued: str) -> None:
        one.gate.set()
        assert await here.result(id) == "one"
        assert await here.result(queued) == "two"
        await here.idle()

    run(test())


def test_registering_an_address_again_changes_nothing_without_force(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Story("one"), Story("two")
        async with code(*one.services) as endpoint, world(tmp_path, endpoint) as here:
            (known,) = here.engine.catalog.deployments()
            endpoint.become(*two.services)
            assert await here.register(endpoint) == known.id
            assert here.engine.catalog.deployments() == [known]
            assert await here.register(endpoint, force=True) == known.id
            (again,) = here.engine.catalog.deployments()
            assert again.services["Story"].revision == known.services["Story"].revision + 1

    run(test())


def test_all_versions_at_once(tmp_path: Path) -> None:
    """Five versions, each with work in flight, all of it finished at the end where it began."""

    async def test() -> None:
        stories = [Story(str(number)) for number in range(5)]
        codes: list[Code] = []
        ids: list[str] = []
        async with world(tmp_path) as here:
            try:
                for story in stories:
                    codes.append(Code(*story.services))
                    await codes[-1].start()
                    await here.register(codes[-1])
                    ids.append(await here.send("/Story/tell"))
                    await here.until(ids[-1], "suspended")
                await asyncio.gather(*(_resolve(here, story) for story in stories))
                results = await asyncio.gather(*(here.result(id) for id in ids))
                versions = [story.version for story in stories]
                assert results == [[number, "go", number, number] for number in versions]
                await here.idle()
            finally:
                for each in codes:
                    await each.die()

    run(test())
