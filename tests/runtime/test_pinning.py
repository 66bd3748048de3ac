"""Every request starts, retries and completes on the version of the code that started it."""

from __future__ import annotations

import asyncio

import pytest

from steadfaas.errors import Conflict
from steadfaas.runtime.engine import Tuning
from steadfaas.testing import InvocationFailed, Steadfaas
from tests.runtime.in_kit import Watched, idle, pin, until
from tests.runtime.story import Story

pytestmark = pytest.mark.asyncio


async def _resolve(steadfaas: Steadfaas, story: Story, word: str = "go") -> None:
    await steadfaas.settle()
    await steadfaas.resolve(story.awakeables.get_nowait(), word)


async def test_in_flight_work_stays_where_it_started(steadfaas: Steadfaas) -> None:
    """Over a suspension, a crash of the engine, a registration and failures."""
    one, two = Story("one"), Story("two")
    second = Watched(*two.services)
    v1 = await steadfaas.deploy(Watched(*one.services))
    story = await steadfaas.send("Story/tell")
    await steadfaas.settle()
    assert (story.status, pin(story)) == ("suspended", v1.id)
    await steadfaas.crash()
    v2 = await steadfaas.deploy(second)
    assert v2 != v1
    one.failures = 3
    await _resolve(steadfaas, one)
    assert await story.result() == ["one", "go", "one", "one"]
    assert story.attempts.deployments == {v1}
    outcomes = story.attempts.outcomes
    assert outcomes.count("RT0007") == 3
    assert set(outcomes[:-1]) == {"suspended", "RT0007"}
    assert outcomes[-1] == "completed"
    assert second.exchanges == []
    assert await steadfaas.call("Story/which") == "two"
    await idle(steadfaas)


async def test_a_pinned_invocation_waits_for_its_deployment_while_that_is_down(
    steadfaas: Steadfaas,
) -> None:
    one, two = Story("one"), Story("two")
    second = Watched(*two.services)
    v1 = await steadfaas.deploy(Watched(*one.services))
    story = await steadfaas.send("Story/tell")
    await steadfaas.settle()
    assert (story.status, pin(story)) == ("suspended", v1.id)
    come_back = steadfaas.fail(v1, times=None, status=502)
    await steadfaas.deploy(second)
    await _resolve(steadfaas, one)
    await steadfaas.advance("30 min")
    assert story.status == "backing-off"
    assert len(story.attempts) >= 30
    assert story.last_failure is not None
    assert story.last_failure.code == "RT0010"
    await steadfaas.crash()
    await steadfaas.advance("10 min")
    assert (story.status, pin(story)) == ("backing-off", v1.id)
    come_back()
    assert await story.result() == ["one", "go", "one", "one"]
    assert story.attempts.deployments == {v1}
    assert second.exchanges == []
    await idle(steadfaas)


async def test_an_endpoint_that_dies_in_the_middle_of_an_attempt(steadfaas: Steadfaas) -> None:
    one, two = Story("one"), Story("two")
    first, second = Watched(*one.services), Watched(*two.services)
    v1 = await steadfaas.deploy(first)
    story = await steadfaas.send("Book/k/write")
    await until(one.entered.is_set)
    assert story.status == "running"
    await steadfaas.deploy(second)
    first.die()
    await steadfaas.settle()
    assert story.status == "backing-off"
    assert story.last_failure is not None
    assert story.last_failure.code == "RT0010"
    one.gate.set()
    assert await story.result() == "one"
    assert story.attempts.outcomes == ["RT0010", "completed"]
    assert story.attempts.deployments == {v1}
    assert second.exchanges == []
    await idle(steadfaas)


async def test_the_pin_is_stored_with_the_first_exchange_even_if_it_fails(
    steadfaas: Steadfaas,
) -> None:
    one, two = Story("one"), Story("two")
    second = Watched(*two.services)
    one.failures = 1_000_000
    v1 = await steadfaas.deploy(Watched(*one.services))
    story = await steadfaas.send("Story/fail")
    await steadfaas.settle()
    assert (story.status, pin(story)) == ("backing-off", v1.id)
    assert story.attempts.outcomes == ["RT0007"]
    await steadfaas.deploy(second)
    await steadfaas.advance("5 min")
    assert story.status == "backing-off"
    assert len(story.attempts) >= 5
    one.failures = 0
    assert await story.result() == "one"
    assert story.attempts.deployments == {v1}
    assert second.exchanges == []
    await idle(steadfaas)


async def test_a_deployment_that_was_down_from_the_start_keeps_the_pin_too(
    steadfaas: Steadfaas,
) -> None:
    first = Watched(*Story("one").services)
    v1 = await steadfaas.deploy(first)
    come_back = steadfaas.fail(v1, times=None, status=502)
    story = await steadfaas.send("Story/which")
    await steadfaas.settle()
    assert (story.status, pin(story)) == ("backing-off", v1.id)
    await steadfaas.deploy(Watched(*Story("two").services))
    assert await steadfaas.call("Story/which") == "two"
    await steadfaas.advance("5 min")
    assert first.exchanges == []
    come_back()
    assert await story.result() == "one"
    assert story.attempts.deployments == {v1}
    await idle(steadfaas)


async def test_what_has_not_started_starts_on_the_newest(steadfaas: Steadfaas) -> None:
    one, two = Story("one"), Story("two")
    two.gate.set()
    v1 = await steadfaas.deploy(Watched(*one.services))
    holder = await steadfaas.send("Book/k/write")
    queued = await steadfaas.send("Book/k/write")
    delayed = await steadfaas.send("Story/which", delay="3 days")
    await until(one.entered.is_set)
    assert (holder.status, pin(holder)) == ("running", v1.id)
    assert (queued.status, pin(queued)) == ("pending", None)
    assert (delayed.status, pin(delayed)) == ("scheduled", None)
    v2 = await steadfaas.deploy(Watched(*two.services))
    one.gate.set()
    assert await holder.result() == "one"
    assert await queued.result() == "two"
    assert await delayed.result() == "two"
    assert queued.attempts.deployments == delayed.attempts.deployments == {v2}
    await idle(steadfaas)


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency_per_deployment=1, drain_seconds=0))
async def test_what_waits_for_a_slot_starts_on_the_newest(steadfaas: Steadfaas) -> None:
    one, two = Story("one"), Story("two")
    two.gate.set()
    v1 = await steadfaas.deploy(Watched(*one.services))
    holder = await steadfaas.send("Book/a/write")
    await until(one.entered.is_set)
    waiting = [await steadfaas.send("Story/which") for _ in range(3)]
    await until(lambda: [each.status for each in waiting] == ["ready"] * 3)
    v2 = await steadfaas.deploy(Watched(*two.services))
    one.gate.set()
    assert await holder.result() == "one"
    assert holder.attempts.deployments == {v1}
    assert [await each.result() for each in waiting] == ["two"] * 3
    assert [each.attempts.deployments for each in waiting] == [{v2}] * 3
    await idle(steadfaas)


async def test_calls_of_pinned_code_go_to_the_newest_revision_of_the_callee(
    steadfaas: Steadfaas,
) -> None:
    one = Story("one")
    v1 = await steadfaas.deploy(Watched(*one.services))
    story = await steadfaas.send("Story/ask")
    await steadfaas.settle()
    assert story.status == "suspended"
    await steadfaas.deploy(Watched(*Story("two").services))
    await _resolve(steadfaas, one)
    assert await story.result() == ["one", "two"]
    assert story.attempts.deployments == {v1}
    await idle(steadfaas)


async def test_other_code_behind_the_same_address_is_named_with_both_commands(
    steadfaas: Steadfaas,
) -> None:
    one, liar = Story("one"), Story("liar", first_step="something else")
    v1 = await steadfaas.deploy(Watched(*one.services))
    story = await steadfaas.send("Story/tell")
    await steadfaas.settle()
    assert story.status == "suspended"
    steadfaas.replace(v1, Watched(*liar.services))
    await _resolve(steadfaas, one)
    await steadfaas.advance("1 min")
    assert story.status == "backing-off"
    assert story.attempts.outcomes.count("RT0016") >= 3
    failure = story.last_failure
    assert failure is not None
    assert (failure.code, failure.http_code, failure.command_index) == ("RT0016", 570, 1)
    assert (failure.recorded, failure.issued) == ("Run first", "Run something else")
    steadfaas.replace(v1, Watched(*one.services))  # the right code is back, and nothing was lost
    assert await story.result() == ["one", "go", "one", "one"]
    await idle(steadfaas)


async def test_a_removed_deployment_holds_its_invocations_and_says_so(steadfaas: Steadfaas) -> None:
    one, two = Story("one"), Story("two")
    second = Watched(*two.services)
    v1 = await steadfaas.deploy(Watched(*one.services))
    story = await steadfaas.send("Story/tell")
    await steadfaas.settle()
    assert (story.status, pin(story)) == ("suspended", v1.id)
    await steadfaas.deploy(second)
    with pytest.raises(Conflict):
        await steadfaas.remove(v1)
    await steadfaas.remove(v1, force=True)
    await _resolve(steadfaas, one)
    await steadfaas.advance("1 min")
    assert (story.status, pin(story)) == ("backing-off", v1.id)
    assert len(story.attempts) >= 3
    assert story.last_failure is not None
    assert story.last_failure.code == "RT0011"
    assert v1.id in story.last_failure.message
    assert second.exchanges == []
    await story.kill()
    assert story.status == "completed"
    with pytest.raises(InvocationFailed, match="409: killed"):
        await story.result()
    await idle(steadfaas)


@pytest.mark.parametrize("crashed", [False, True], ids=["running on", "crashed"])
async def test_an_attempt_that_a_crash_cuts_off_is_repeated_on_its_pin(
    steadfaas: Steadfaas, crashed: bool
) -> None:
    one, two = Story("one"), Story("two")
    two.gate.set()
    v1 = await steadfaas.deploy(Watched(*one.services))
    holder = await steadfaas.send("Book/k/write")
    await until(one.entered.is_set)
    v2 = await steadfaas.deploy(Watched(*two.services))
    queued = await steadfaas.send("Book/k/write")
    assert (queued.status, pin(queued)) == ("pending", None)
    if crashed:
        one.entered.clear()
        await steadfaas.crash()
        await until(one.entered.is_set)
        assert holder.attempts.outcomes == ["interrupted", "running"]
    one.gate.set()
    assert await holder.result() == "one"
    assert await queued.result() == "two"
    assert holder.attempts.deployments == {v1}
    assert queued.attempts.deployments == {v2}
    await idle(steadfaas)


async def test_registering_an_address_again_changes_nothing_without_force(
    steadfaas: Steadfaas,
) -> None:
    one, two = Story("one"), Story("two")
    v1 = await steadfaas.deploy(Watched(*one.services))
    catalog = steadfaas._host.running.catalog
    (known,) = catalog.deployments()
    steadfaas.replace(v1, Watched(*two.services))
    assert await steadfaas.deploy(v1.uri) == v1
    assert catalog.deployments() == [known]
    assert await steadfaas.deploy(v1.uri, force=True) == v1
    (again,) = catalog.deployments()
    assert again.id == known.id
    assert again.services["Story"].revision == known.services["Story"].revision + 1
    await idle(steadfaas)


async def test_all_versions_at_once(steadfaas: Steadfaas) -> None:
    """Five versions, each with work in flight, all of it finished at the end where it began."""
    versions = [Story(str(number)) for number in range(5)]
    deployed, sent = [], []
    for story in versions:
        deployed.append(await steadfaas.deploy(Watched(*story.services)))
        sent.append(await steadfaas.send("Story/tell"))
        await steadfaas.settle()
        assert sent[-1].status == "suspended"
    await asyncio.gather(*(_resolve(steadfaas, story) for story in versions))
    results = await asyncio.gather(*(each.result() for each in sent))
    assert results == [[story.version, "go", story.version, story.version] for story in versions]
    assert [each.attempts.deployments for each in sent] == [{version} for version in deployed]
    await idle(steadfaas)
