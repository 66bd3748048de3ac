"""Pauses: asked for while an attempt is open or not, over crashes, with a slot or a key in hand."""

from __future__ import annotations

import pytest

from steadfaas import ids
from steadfaas.runtime.engine import Tuning
from steadfaas.store import invocations
from steadfaas.testing import InvocationFailed, Refused, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import handle, idle
from tests.runtime.yard import (
    MINUTE,
    Yard,
    batch,
    bring_to,
    check_whole,
    described,
    event_types,
    events,
    operate,
)

pytestmark = pytest.mark.asyncio
narrow = pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, drain_seconds=0))


# --- while an attempt is open ------------------------------------------------------------------


async def test_an_open_attempt_that_suspends_is_paused_then(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    running = await bring_to(steadfaas, "running")
    assert await operate(steadfaas, running, "pause") is False
    assert (running.status, described(steadfaas, running).pausing) == ("running", 1)
    assert await operate(steadfaas, running, "pause") is False, "once more changes nothing"
    await steadfaas.advance("1 min")
    assert running.attempts.outcomes == ["suspended"]
    assert (running.status, described(steadfaas, running).pausing) == ("paused", 0)
    assert yard.ran == ["one x"], "what it did until then is kept"
    assert events(steadfaas, running) == [{"ty": "Paused"}]
    await steadfaas.advance("30 days")
    assert (running.status, len(running.attempts)) == ("paused", 1)
    await operate(steadfaas, running, "resume")
    assert await running.result() == ["v1"] * 4
    assert yard.ran == ["one x", "two x", "three x"]
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_an_open_attempt_that_fails_is_paused_then(steadfaas: Steadfaas) -> None:
    """Although it has attempts left, or none, or would be killed for it."""
    yard = Yard()
    await steadfaas.deploy(yard.app)
    for target in ("Job/fail", "Job/stop", "Job/give_up"):
        steadfaas.delay(by="1 min")
        running = await steadfaas.send(target, target)
        await steadfaas.settle()
        # Its first answer stores a step; the second attempt is the one that fails.
        steadfaas.delay(by="1 min", invocation=running, attempts=2)
        await steadfaas.advance("1 min")
        assert (running.status, len(running.attempts)) == ("running", 2)
        assert await operate(steadfaas, running, "pause") is False
        await steadfaas.advance("1 min")
        assert (running.status, running.attempts.outcomes) == ("paused", ["suspended", "RT0007"])
        failure, pause = events(steadfaas, running)
        assert (failure.pop("ty"), pause.pop("ty")) == ("TransientError", "Paused")
        assert pause == {"last_failure": failure}
        assert failure["error_message"] == "RuntimeError('v1 is not well')"
        await steadfaas.advance("1 day")
        assert (running.status, len(running.attempts)) == ("paused", 2)
        yard.failing = False
        await operate(steadfaas, running, "resume")
        assert await running.result() == ["v1", "v1"]
        yard.failing = True
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_an_open_attempt_that_completes_was_too_fast(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    steadfaas.delay(by="1 min")
    running = await steadfaas.send("Job/quick", "x")
    await steadfaas.settle()
    assert await operate(steadfaas, running, "pause") is False
    assert await running.result() == "x by v1"
    assert (running.status, described(steadfaas, running).pausing) == ("completed", 0)
    assert event_types(steadfaas, running) == []
    await idle(steadfaas)


async def test_an_open_attempt_whose_answer_breaks_off_is_paused_then(
    steadfaas: Steadfaas,
) -> None:
    yard = Yard()
    v1 = await steadfaas.deploy(yard.app)
    steadfaas.delay(by="1 min")
    running = await steadfaas.send("Job/work", "x")
    await steadfaas.settle()
    steadfaas.cut(v1, after=1, invocation=running, attempts=2)
    steadfaas.delay(by="1 min", invocation=running, attempts=3)
    await operate(steadfaas, running, "pause")
    await steadfaas.advance("2 min")
    assert running.status == "paused"
    await operate(steadfaas, running, "resume")  # the answer is cut behind the sleep
    assert running.status == "backing-off"
    await steadfaas.advance("90 s")
    assert (running.status, len(running.attempts)) == ("running", 3)
    await operate(steadfaas, running, "pause")
    assert await operate(steadfaas, running, "resume") is None
    assert described(steadfaas, running).pausing == 0
    assert await running.result() == ["v1"] * 4
    assert "Paused" in event_types(steadfaas, running)
    assert event_types(steadfaas, running).count("Paused") == 1, "the second was withdrawn"
    await idle(steadfaas)


async def test_a_crash_while_it_was_to_be_paused(steadfaas: Steadfaas) -> None:
    """The attempt is gone with the engine, and the wish is not."""
    yard = Yard()
    await steadfaas.deploy(yard.app)
    running = await bring_to(steadfaas, "running")
    await operate(steadfaas, running, "pause")
    await steadfaas.crash()
    await steadfaas.settle()
    assert (running.status, running.attempts.outcomes) == ("paused", ["interrupted"])
    assert event_types(steadfaas, running) == ["Paused"]
    check_books(steadfaas._host.running)
    check_whole(steadfaas)
    await steadfaas.crash()
    await steadfaas.advance("1 day")
    assert running.status == "paused"
    assert yard.ran == [], "nothing ran meanwhile"
    await operate(steadfaas, running, "resume")
    assert await running.result() == ["v1"] * 4
    await idle(steadfaas)


async def test_a_resume_withdraws_the_wish_over_a_crash(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    running = await bring_to(steadfaas, "running")
    await operate(steadfaas, running, "pause")
    await operate(steadfaas, running, "resume")
    assert (running.status, described(steadfaas, running).pausing) == ("running", 0)
    await steadfaas.crash()
    assert await running.result() == ["v1"] * 4
    assert event_types(steadfaas, running) == []


async def test_cancel_and_kill_of_one_that_is_to_be_paused(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    running = await bring_to(steadfaas, "running", "a")
    await operate(steadfaas, running, "pause")
    # As a paused one is resumed by it, so is this one: the cancel finds its handler.
    assert await operate(steadfaas, running, "cancel") is False
    assert (running.status, described(steadfaas, running).pausing) == ("running", 0)
    with pytest.raises(InvocationFailed, match="409: cancelled"):
        await running.result()
    assert event_types(steadfaas, running) == []
    running = await bring_to(steadfaas, "running", "b")
    await operate(steadfaas, running, "pause")
    await operate(steadfaas, running, "kill")
    with pytest.raises(InvocationFailed, match="409: killed"):
        await running.result()
    assert running.attempts.outcomes == ["killed"]
    check_whole(steadfaas)
    await idle(steadfaas)


# --- while it is paused ------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
async def test_news_for_a_paused_one_is_found_when_it_goes_on(
    steadfaas: Steadfaas, crash: bool
) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    asking = await steadfaas.send("Job/ask", "x")
    await steadfaas.settle()
    (name,) = asking.awakeables
    await operate(steadfaas, asking, "pause")
    await steadfaas.resolve(name, "told")
    assert asking.status == "paused"
    if crash:
        await steadfaas.crash()
        await steadfaas.settle()
    assert (asking.status, yard.ran) == ("paused", ["ask x"])
    await operate(steadfaas, asking, "resume")
    assert await asking.result() == ["v1", "told", "v1"]
    assert yard.ran == ["ask x", "told x"]
    await idle(steadfaas)


async def test_the_sleep_of_a_paused_one_ends_in_time(steadfaas: Steadfaas) -> None:
    """That it is paused does not stop its clock; what it missed is there at once."""
    yard = Yard()
    await steadfaas.deploy(yard.app)
    sleeping = await bring_to(steadfaas, "suspended")
    await operate(steadfaas, sleeping, "pause")
    check_whole(steadfaas)
    await steadfaas.advance("11 min")
    assert (sleeping.status, yard.ran) == ("paused", ["one x"])
    assert sleeping.journal[-1].type == "SleepCompletion"
    began = steadfaas.now()
    await operate(steadfaas, sleeping, "resume")
    assert (yard.ran, steadfaas.now()) == (["one x", "two x"], began)
    assert await sleeping.result() == ["v1"] * 4
    check_whole(steadfaas)


async def test_a_paused_parent_is_told_what_its_child_returned(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    parent = await steadfaas.send("Job/parent", "x")
    await steadfaas.settle()
    await operate(steadfaas, parent, "pause")
    await steadfaas.advance("30 min")
    assert parent.status == "paused"
    assert not [line for line in steadfaas.unfinished() if "Job/work" in line], "the child is done"
    await operate(steadfaas, parent, "resume")
    assert await parent.result() == ["v1", ["v1"] * 4]
    check_whole(steadfaas)


async def test_a_kill_reaches_the_children_of_a_paused_one(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    parent = await steadfaas.send("Job/parent", "x")
    await steadfaas.settle()
    stored = invocations.load(
        steadfaas._host.running.store.reader, described(steadfaas, parent).seq
    )
    assert stored is not None
    (id,) = stored.children()
    child = handle(steadfaas, ids.format_invocation(id))
    for one in (child, parent):
        await operate(steadfaas, one, "pause")
    await operate(steadfaas, parent, "kill")
    assert (parent.status, child.status) == ("completed", "completed")
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_a_paused_one_holds_its_key(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    holder = await steadfaas.send("Cart/k/put", 1)
    queued = await steadfaas.send("Cart/k/add", 2)
    await steadfaas.settle()
    await operate(steadfaas, holder, "pause")
    assert await steadfaas.call("Cart/k/look") == 1, "shared handlers look at what it wrote"
    await steadfaas.advance("1 day")
    await steadfaas.crash()
    await steadfaas.advance("1 day")
    assert (holder.status, queued.status) == ("paused", "pending")
    check_whole(steadfaas)
    await operate(steadfaas, holder, "resume")
    assert [await holder.result(), await queued.result()] == [1, 3]
    await idle(steadfaas)


async def test_a_workflow_that_is_paused_takes_its_promise(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    run = await steadfaas.send("Sign/k/run", "Ada")
    await steadfaas.settle()
    await operate(steadfaas, run, "pause")
    await steadfaas.call("Sign/k/click", "yes")
    assert run.status == "paused"
    again = await steadfaas.send("Sign/k/run", "Bob")
    assert again.id == run.id, "it was accepted before"
    await operate(steadfaas, run, "resume")
    assert await run.result() == "Ada yes"
    await idle(steadfaas)


@pytest.mark.parametrize("operation", ["pause", "resume", "cancel", "kill"])
async def test_a_retry_that_will_not_happen_leaves_no_alarm(
    steadfaas: Steadfaas, operation: str
) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    failing = await bring_to(steadfaas, "backing-off")
    due_at = described(steadfaas, failing).due_at
    assert due_at is not None
    await steadfaas.advance("10 s")
    await operate(steadfaas, failing, operation)
    check_whole(steadfaas)
    attempts = len(failing.attempts)
    await steadfaas._host.advance(due_at)
    assert len(failing.attempts) == attempts + (operation == "cancel"), operation
    check_whole(steadfaas)


# --- slots and room ----------------------------------------------------------------------------


@narrow
async def test_who_is_paused_gives_up_its_place_in_the_line_for_a_slot(
    steadfaas: Steadfaas,
) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    engine = steadfaas._host.running
    first = await bring_to(steadfaas, "ready", "first")
    second = await steadfaas.send("Job/quick", "second")
    await steadfaas.settle()
    assert (engine._waiting, engine._slots.waiting) == (2, 2)
    assert await operate(steadfaas, first, "pause") is True
    assert (first.status, engine._waiting) == ("paused", 1)
    check_books(engine)
    began = steadfaas.now()
    assert await second.result() == "second by v1"
    assert steadfaas.now() <= began + MINUTE
    await steadfaas.advance("1 day")
    assert (first.status, len(first.attempts), yard.ran) == ("paused", 0, [])
    await operate(steadfaas, first, "resume")
    assert await first.result() == ["v1"] * 4
    await idle(steadfaas)


@narrow
async def test_who_is_paused_and_resumed_in_the_line_runs_once(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    engine = steadfaas._host.running
    waiting = await bring_to(steadfaas, "ready")
    for _ in range(5):
        await operate(steadfaas, waiting, "pause")
        assert engine._waiting == 0
        await operate(steadfaas, waiting, "resume")
        assert (waiting.status, engine._waiting) == ("ready", 1)
        check_books(engine)
    assert await waiting.result() == ["v1"] * 4
    assert waiting.attempts.outcomes.count("suspended") == 5
    assert yard.ran == ["one x", "two x", "three x"]
    assert engine._slots.waiting == 0
    await idle(steadfaas)


@narrow
async def test_a_pause_frees_no_slot_that_was_never_taken(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    engine = steadfaas._host.running
    waiting = [await bring_to(steadfaas, "ready", str(number)) for number in range(3)]
    for one in waiting:
        await operate(steadfaas, one, "pause")
    await operate(steadfaas, waiting[1], "kill")
    await operate(steadfaas, waiting[2], "cancel")
    check_books(engine)
    await steadfaas.advance("1 hour")
    assert (engine._slots.total, engine._waiting) == (0, 0)
    assert [one.status for one in waiting] == ["paused", "unknown", "completed"]
    check_whole(steadfaas)
    await idle(steadfaas)


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, max_queued=3, drain_seconds=0))
async def test_who_is_paused_is_not_counted_among_those_that_wait(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    steadfaas.delay(by="1 hour")
    await steadfaas.send("Job/quick", "the one with the slot")
    sent = [await steadfaas.send("Job/quick", str(number)) for number in range(3)]
    with pytest.raises(Refused, match="429"):
        await steadfaas.send("Job/quick", "too many")
    await operate(steadfaas, sent[0], "pause")
    sent.append(await steadfaas.send("Job/quick", "3"))
    # Who was accepted once is taken back, although that makes four.
    await operate(steadfaas, sent[0], "resume")
    with pytest.raises(Refused, match="429"):
        await steadfaas.send("Job/quick", "too many")
    check_books(steadfaas._host.running)
    await steadfaas.crash()
    check_books(steadfaas._host.running)
    results = [await one.result() for one in sent]
    assert results == [f"{number} by v1" for number in range(4)]
    await idle(steadfaas)


async def test_many_pauses_and_resumes_leave_the_books_in_order(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    sent = [await steadfaas.send("Job/work", str(number)) for number in range(60)]
    await steadfaas.settle()
    engine = steadfaas._host.running
    for _ in range(3):
        assert (await batch(steadfaas, "pause", sent)).done == 60
        assert {one.status for one in sent} == {"paused"}
        assert (await batch(steadfaas, "resume", sent)).done == 60
        assert {one.status for one in sent} == {"suspended"}
        check_books(engine)
        check_whole(steadfaas)
    assert [await one.result() for one in sent] == [["v1"] * 4] * 60
    assert len(yard.ran) == 180
    await idle(steadfaas)
