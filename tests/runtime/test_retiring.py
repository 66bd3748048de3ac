"""A deployment that is being retired, and those who would bring work to it at the same moment.

Both are judged in the one writer, so one of them is refused, whoever comes first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

import pytest

from steadfaas.deployments.drain import DrainState
from steadfaas.deployments.register import Modification, Registration
from steadfaas.deployments.retire import Retirements
from steadfaas.errors import Conflict
from steadfaas.runtime.check import check
from steadfaas.testing import Deployment, Invocation, Steadfaas
from tests.runtime.in_kit import pin
from tests.runtime.yard import (
    Yard,
    batch,
    bring_to,
    check_whole,
    dump,
    event_types,
    operate,
    operators,
    refused,
)

pytestmark = pytest.mark.asyncio

# How many turns of the event loop one of two waits for the other: some share a commit, some not.
TURNS: Final = range(-8, 9)


async def retirements(kit: Steadfaas) -> Retirements:
    """The steps, of the running engine."""
    return (await kit._host.registry()).retirements


async def retire(kit: Steadfaas, deployment: Deployment) -> None:
    """Begin to retire a drained deployment."""
    await kit._host.asked((await retirements(kit)).begin(deployment.id, actor="ada"))


def is_retiring(kit: Steadfaas, deployment: Deployment) -> bool:
    """Whether it is, as requests see it."""
    known = kit._host.running.catalog.deployment(deployment.id)
    assert known is not None
    return known.retiring is not None


async def at_once(
    kit: Steadfaas, turns: int, one: Coroutine[Any, Any, Any], other: Coroutine[Any, Any, Any]
) -> tuple[BaseException | None, BaseException | None]:
    """Do both at the same moment, one of them so many turns later; what each was refused with."""

    async def after(wait: int, what: Coroutine[Any, Any, Any]) -> None:
        for _ in range(wait):
            await asyncio.sleep(0)
        await what

    pair = after(max(0, -turns), one), after(max(0, turns), other)
    done = await asyncio.gather(*(kit._host.asked(each) for each in pair), return_exceptions=True)
    await kit.settle()
    refusals = [each if isinstance(each, BaseException) else None for each in done]
    assert all(each is None or isinstance(each, Conflict) for each in refusals), refusals
    return refusals[0], refusals[1]


# --- at any time -------------------------------------------------------------------------------


async def test_nothing_that_an_operator_does_leads_to_it(steadfaas: Steadfaas) -> None:
    old = await steadfaas.deploy(Yard("v1").app)
    completed = await bring_to(steadfaas, "suspended")
    await completed.result()
    new = await steadfaas.deploy(Yard("v2").app)
    suspended = await bring_to(steadfaas, "suspended")
    paused = await bring_to(steadfaas, "paused")
    await retire(steadfaas, old)
    for work in (suspended, paused):
        assert await refused(steadfaas, work, "resume", deployment=old.id) == 409
        assert pin(work) == new.id
    for choice in ("keep", old.id):
        again = {"last": 2, "deployment": choice}
        assert await refused(steadfaas, completed, "restart-as-new", **again) == 409
        with pytest.raises(Conflict, match=f"'{old.id}' is being retired"):
            await check(steadfaas._host.running, completed.id, choice)
    before = dump(steadfaas)
    tally = await batch(steadfaas, "resume", [suspended, paused], deployment=old.id)
    assert (tally.done, [str(each.error) for each in tally.refusals]) == (
        0, [str(Conflict(f"the deployment '{old.id}' is being retired: nothing can come to it any"
        " more. Use another deployment, or call that off first, while its platform still has the"
        f" version (DELETE /deployments/{old.id}/retirement)."))] * 2,
    )  # fmt: skip
    assert dump(steadfaas) == before
    # What goes to the newest one goes on as ever.
    assert await operate(steadfaas, completed, "restart-as-new")
    await operate(steadfaas, suspended, "resume", deployment="latest")
    assert steadfaas.drain(old).state is DrainState.DRAINED


async def test_new_work_never_comes_to_it_when_the_newest_is_removed(steadfaas: Steadfaas) -> None:
    first = await steadfaas.deploy(Yard("v1").app)
    second = await steadfaas.deploy(Yard("v2").app)
    third = await steadfaas.deploy(Yard("v3").app)
    await retire(steadfaas, second)
    queued = await steadfaas.send("Job/quick", "later", delay="1 hour")
    await steadfaas.remove(third, force=True)
    assert await steadfaas.call("Job/quick", "x") == "x by v1"
    await steadfaas.remove(first, force=True)
    await steadfaas.advance("1 hour")
    assert queued.status == "backing-off", "nobody serves it"
    assert steadfaas.drain(second).state is DrainState.DRAINED
    await steadfaas.deploy(Yard("v4").app)
    assert await queued.result() == "later by v4"


# --- at the same moment ------------------------------------------------------------------------


async def _suspended_elsewhere(kit: Steadfaas) -> tuple[Deployment, Invocation]:
    """A drained deployment, and an invocation that could be moved there."""
    old = await kit.deploy(Yard("v1").app)
    await kit.deploy(Yard("v2").app)
    return old, await bring_to(kit, "suspended")


async def test_a_resume_and_a_retirement(steadfaas: Steadfaas) -> None:
    old, work = await _suspended_elsewhere(steadfaas)
    home, steps = pin(work), await retirements(steadfaas)
    won: Counter[str] = Counter()
    for turns in TURNS:
        moving = operators(steadfaas).resume(work.id, deployment=old.id)
        moved, began = await at_once(steadfaas, turns, moving, steps.begin(old.id))
        assert (moved is None) != (began is None), turns
        assert (pin(work) == old.id) == (moved is None) == (not is_retiring(steadfaas, old))
        won["resume" if moved is None else "retirement"] += 1
        if moved is None:
            assert "1 unfinished invocation needs it" in str(began)
            await operate(steadfaas, work, "resume", deployment="latest")
        else:
            await steps.call_off(old.id)
        assert pin(work) == home
    assert set(won) == {"resume", "retirement"}, "both orders were seen"
    assert event_types(steadfaas, work).count("PinMoved") == 2 * won["resume"]
    check_whole(steadfaas)


async def test_a_batch_and_a_retirement(steadfaas: Steadfaas) -> None:
    old, work = await _suspended_elsewhere(steadfaas)
    steps = await retirements(steadfaas)
    won: Counter[bool] = Counter()
    for turns in TURNS:
        moving = operators(steadfaas).batch("resume", [work.id], deployment=old.id)
        _, began = await at_once(steadfaas, turns, moving, steps.begin(old.id))
        assert (pin(work) == old.id) == (began is not None) == (not is_retiring(steadfaas, old))
        won[began is None] += 1
        if began is None:
            await steps.call_off(old.id)
        else:
            await operate(steadfaas, work, "resume", deployment="latest")
    assert set(won) == {True, False}


async def test_a_restart_that_keeps_its_journal_and_a_retirement(steadfaas: Steadfaas) -> None:
    old = await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "suspended")
    await work.result()
    await steadfaas.deploy(Yard("v2").app)
    steps = await retirements(steadfaas)
    won: Counter[bool] = Counter()
    for turns in TURNS:
        again = operators(steadfaas).restart_as_new(work.id, last=2, deployment="keep")
        repeated, began = await at_once(steadfaas, turns, again, steps.begin(old.id))
        assert (repeated is None) != (began is None), turns
        assert (steadfaas.drain(old).unfinished == 1) == (repeated is None)
        won[repeated is None] += 1
        if repeated is None:
            await steadfaas.advance("1 hour")  # it ends
        else:
            await steps.call_off(old.id)
    assert set(won) == {True, False}


@pytest.mark.parametrize("by", ["promote", "register", "move"])
async def test_what_makes_it_take_requests_and_a_retirement(steadfaas: Steadfaas, by: str) -> None:
    old = await steadfaas.deploy(Yard("v1").app)
    new = await steadfaas.deploy(Yard("v2").app)
    registry, steps = await steadfaas._host.registry(), await retirements(steadfaas)
    won: Counter[bool] = Counter()
    for turns in TURNS:
        rivals: dict[str, Coroutine[Any, Any, Any]] = {
            "promote": registry.promote(old.id),
            "register": registry.register(Registration(old.address, force=True)),
            "move": registry.modify(Modification(old.id, overwrite=True)),
        }
        rival = rivals.pop(by)
        for unused in rivals.values():
            unused.close()
        came, began = await at_once(steadfaas, turns, rival, steps.begin(old.id))
        assert (came is None) != (began is None), turns
        takes = bool(steadfaas._host.running.catalog.active_services(old.id))
        assert takes == (came is None) == (not is_retiring(steadfaas, old))
        won[came is None] += 1
        if came is None:
            await steadfaas.promote(new)
        else:
            await steps.call_off(old.id)
    if by == "promote":  # the others ask the endpoint first
        assert set(won) == {True, False}


# --- a crash -----------------------------------------------------------------------------------


async def test_after_a_crash_it_is_still_being_retired(steadfaas: Steadfaas) -> None:
    old, work = await _suspended_elsewhere(steadfaas)
    await retire(steadfaas, old)
    for step in ("begin", "artifact_removed"):
        await steadfaas.crash()
        assert is_retiring(steadfaas, old)
        assert await refused(steadfaas, work, "resume", deployment=old.id) == 409
        steps = await retirements(steadfaas)
        before = dump(steadfaas)["audit"]
        await getattr(steps, step)(old.id)
        assert len(dump(steadfaas)["audit"]) == len(before) + (step == "artifact_removed")
    await steadfaas.crash()
    with pytest.raises(Conflict, match="has its version no more"):
        await (await retirements(steadfaas)).call_off(old.id)
    await steadfaas.remove(old)
    await steadfaas.crash()
    assert steadfaas._host.running.catalog.deployment(old.id) is None
    actions = [row[3] for row in dump(steadfaas)["audit"] if row[4] == old.id]
    assert sorted(actions) == ["artifact removed", "registered", "removed", "retirement begun"]
    assert await work.result() == ["v2"] * 4


async def test_a_crash_at_any_moment_of_the_first_step(steadfaas: Steadfaas) -> None:
    """What was not told to be done may be done or not; mark and audit are never apart."""
    old, _ = await _suspended_elsewhere(steadfaas)
    seen: Counter[bool] = Counter()
    for turns in range(1, 12):
        steps = await retirements(steadfaas)
        asking = asyncio.ensure_future(steadfaas._host.asked(steps.begin(old.id)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await steadfaas.crash()
        await asyncio.gather(asking, return_exceptions=True)
        begun = is_retiring(steadfaas, old)
        seen[begun] += 1
        told = [row[3] for row in dump(steadfaas)["audit"] if row[4] == old.id]
        balance = told.count("retirement begun") - told.count("retirement called off")
        assert balance == begun
        assert (asking.exception() is None) <= begun, "what was told to be done is done"
        await (await retirements(steadfaas)).call_off(old.id)
    assert set(seen) == {True, False}
