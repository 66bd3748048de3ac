"""Moving a pin: the journal is replayed on another deployment, and everybody can see who did it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import restate

from steadfaas.deployments.drain import DrainState
from steadfaas.runtime.engine import Tuning
from steadfaas.store import invocations
from steadfaas.testing import Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import Watched, idle, pin
from tests.runtime.yard import (
    Yard,
    batch,
    bring_to,
    check_whole,
    described,
    event_types,
    events,
    moved,
    operate,
    refused,
)

pytestmark = pytest.mark.asyncio


class Speaking:
    """An app that says it speaks no other protocol versions than these."""

    def __init__(self, app: Any, lowest: int, highest: int) -> None:
        self._app = app
        self._range = {"minProtocolVersion": lowest, "maxProtocolVersion": highest}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""

        async def send_changed(message: Any) -> None:
            if message["type"] == "http.response.body":
                manifest = json.loads(message["body"]) | self._range
                message = {**message, "body": json.dumps(manifest).encode()}
            elif message["type"] == "http.response.start":
                headers = [(k, v) for k, v in message["headers"] if k.lower() != b"content-length"]
                message = {**message, "headers": headers}
            await send(message)

        discovers = scope["path"].endswith("/discover")
        await self._app(scope, receive, send_changed if discovers else send)


# --- the same code -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["suspended", "paused"])
@pytest.mark.parametrize("latest", [True, False])
async def test_work_goes_on_where_it_was_on_another_deployment(
    steadfaas: Steadfaas, status: str, latest: bool
) -> None:
    one, two = Yard("v1"), Yard("v2")
    v1 = await steadfaas.deploy(one.app)
    work = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(two.app)
    if status == "paused":
        await operate(steadfaas, work, "pause")
    choice = "latest" if latest else v2.id
    await operate(steadfaas, work, "resume", deployment=choice, actor="ada@here")
    assert (work.status, pin(work)) == ("suspended", v2.id)
    assert moved(v1, v2, by="ada@here") in events(steadfaas, work)
    assert await work.result() == ["v1", "v2", "v2", "v2"]
    assert (one.ran, two.ran) == (["one x"], ["two x", "three x"]), "no step ran twice"
    where = [attempt.deployment for attempt in work.attempts]
    assert where == [v1, v1, *[v2] * (len(where) - 2)]
    assert steadfaas.drain(v1).state is DrainState.DRAINED
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_a_move_is_recorded_and_survives_a_crash(steadfaas: Steadfaas) -> None:
    one, two = Yard("v1"), Yard("v2")
    v1 = await steadfaas.deploy(one.app)
    work = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(two.app)
    await operate(steadfaas, work, "pause")
    await steadfaas.advance("2 min")
    await operate(steadfaas, work, "resume", deployment="latest", actor="ada@here")
    at = steadfaas.now()
    await steadfaas.crash()
    await steadfaas.settle()
    reader = steadfaas._host.running.store.reader
    pause, move = invocations.events(reader, described(steadfaas, work).seq)
    assert (pause.type, move.type) == ("Paused", "PinMoved")
    assert (move.at, move.after_entry) == (at, 3)  # input, step, its result, sleep
    assert json.loads(move.body) == moved(v1, v2, by="ada@here")
    assert pin(work) == v2.id
    assert await work.result() == ["v1", "v2", "v2", "v2"]


async def test_a_crash_right_after_a_move_opens_the_attempt_there(steadfaas: Steadfaas) -> None:
    one, two = Yard("v1"), Yard("v2")
    await steadfaas.deploy(one.app)
    asking = await steadfaas.send("Job/ask", "x")
    await steadfaas.settle()
    v2 = await steadfaas.deploy(two.app)
    (name,) = asking.awakeables
    await operate(steadfaas, asking, "pause")
    await steadfaas.resolve(name, "told")
    steadfaas.delay(v2, by="1 min")
    await operate(steadfaas, asking, "resume", deployment=v2.id)
    assert (asking.status, pin(asking)) == ("running", v2.id)
    await steadfaas.crash()
    assert await asking.result() == ["v1", "told", "v2"]
    assert asking.attempts.outcomes[-2:] != ["interrupted", "interrupted"]
    assert "interrupted" in asking.attempts.outcomes


async def test_moving_there_and_back(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(Yard("v2").app)
    places = [v2, v1, v2, v2, v1]
    for place in places:
        await operate(steadfaas, work, "resume", deployment=place.id)
        assert pin(work) == place.id
    moves = [moved(v1, v2), moved(v2, v1), moved(v1, v2), moved(v2, v1)]
    assert events(steadfaas, work) == moves, "to stay where it is is no move"
    await operate(steadfaas, work, "resume", deployment="keep")
    assert (pin(work), events(steadfaas, work)) == (v1.id, moves)
    assert await work.result() == ["v1"] * 4
    await idle(steadfaas)


async def test_who_awaits_a_key_is_not_moved_with_its_holder(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    holder = await steadfaas.send("Cart/k/put", 1)
    queued = await steadfaas.send("Cart/k/put", 2)
    await steadfaas.settle()
    v2 = await steadfaas.deploy(Yard("v2").app)
    v3 = await steadfaas.deploy(Yard("v3").app)
    assert await refused(steadfaas, queued, "resume", deployment=v2.id) == 425
    await operate(steadfaas, holder, "resume", deployment=v2.id)
    assert [await holder.result(), await queued.result()] == [1, 3]
    assert holder.attempts.deployments == {v1, v2}
    assert queued.attempts.deployments == {v3}
    await idle(steadfaas)


async def test_what_it_waits_for_finds_it_there(steadfaas: Steadfaas) -> None:
    """An awakeable, a callee's result, a promise: all come to the invocation, not to its pin."""
    v1 = await steadfaas.deploy(Yard("v1").app)
    asking = await steadfaas.send("Job/ask", "x")
    parent = await steadfaas.send("Job/parent", "y")
    run = await steadfaas.send("Sign/k/run", "Ada")
    await steadfaas.settle()
    (name,) = asking.awakeables
    await steadfaas.deploy(Yard("v2").app)
    for one in (asking, parent, run):
        await operate(steadfaas, one, "resume", deployment="latest")
    await steadfaas.resolve(name, "told")
    await steadfaas.call("Sign/k/click", "yes")
    assert await asking.result() == ["v1", "told", "v2"]
    assert await run.result() == "Ada yes"
    assert await parent.result() == ["v2", ["v1"] * 4], "the callee stayed where it was"
    assert v1 in parent.attempts.deployments
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_a_cancel_of_a_moved_one_reaches_the_new_code(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(Yard("v2").app)
    await operate(steadfaas, work, "resume", deployment="latest")
    await operate(steadfaas, work, "cancel")
    with pytest.raises(AssertionError, match="409: cancelled"):
        await work.result()
    assert work.attempts[-1].deployment == v2


async def test_a_batch_moves_a_whole_version(steadfaas: Steadfaas) -> None:
    one, two = Yard("v1"), Yard("v2")
    v1 = await steadfaas.deploy(one.app)
    sent = [await steadfaas.send("Job/work", str(number)) for number in range(30)]
    await steadfaas.settle()
    v2 = await steadfaas.deploy(two.app)
    assert steadfaas.drain(v1).state is DrainState.DRAINING
    tally = await batch(steadfaas, "resume", sent, deployment="latest", actor="ada")
    assert (tally.done, tally.accepted, tally.refusals) == (30, 0, [])
    assert steadfaas.drain(v1).state is DrainState.DRAINED
    assert {pin(each) for each in sent} == {v2.id}
    await steadfaas.remove(v1)
    assert [await each.result() for each in sent] == [["v1", "v2", "v2", "v2"]] * 30
    assert all(moved(v1, v2, by="ada") in events(steadfaas, each) for each in sent)
    await idle(steadfaas)


# --- other code --------------------------------------------------------------------------------


async def test_a_journal_that_does_not_fit_can_be_moved_back(steadfaas: Steadfaas) -> None:
    one, two = Yard("v1"), Yard("v2", swapped=True)
    v1 = await steadfaas.deploy(one.app)
    work = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(two.app)
    await operate(steadfaas, work, "resume", deployment=v2.id, actor="ada")
    assert work.status == "backing-off"
    failure = work.last_failure
    assert failure is not None
    assert (failure.code, failure.http_code, failure.deployment) == ("RT0016", 570, v2.id)
    assert (failure.recorded, failure.issued) == ("Run one", "Sleep")
    assert failure.command_index == 1
    await steadfaas.advance("30 min")
    assert event_types(steadfaas, work) == ["PinMoved", "TransientError"], "one for all of them"
    # While it is retried, it cannot be moved: an attempt may be about to open.
    assert await refused(steadfaas, work, "resume", deployment=v1.id) == 409
    await operate(steadfaas, work, "pause")
    await operate(steadfaas, work, "resume", deployment=v1.id, actor="ada")
    assert await work.result() == ["v1"] * 4
    assert (one.ran, two.ran) == (["one x", "two x", "three x"], [])
    assert event_types(steadfaas, work) == ["PinMoved", "TransientError", "Paused", "PinMoved"]
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_a_move_repairs_what_the_old_code_could_not(steadfaas: Steadfaas) -> None:
    """What operators do it for: the fixed version takes over what the broken one stopped at."""
    one, two = Yard("v1"), Yard("v2")
    two.failing = False
    await steadfaas.deploy(one.app)
    stopped = await bring_to(steadfaas, "paused")
    v2 = await steadfaas.deploy(two.app)
    await operate(steadfaas, stopped, "resume", deployment="latest")
    assert await stopped.result() == ["v1", "v2"]
    assert stopped.attempts[-1].deployment == v2
    assert (one.ran, two.ran) == (["begin x"], [])


# --- where it may not go -----------------------------------------------------------------------


@pytest.mark.parametrize("status", ["suspended", "paused"])
async def test_deployments_that_cannot_go_on_with_it(steadfaas: Steadfaas, status: str) -> None:
    yard = Yard()
    v1 = await steadfaas.deploy(yard.app)
    invocation = await bring_to(steadfaas, status)
    without = restate.Service("Job")

    @without.handler()
    async def other(ctx: restate.Context) -> None:
        """Another handler than the one that is wanted."""

    as_object = restate.VirtualObject("Job")
    for name in ("work", "stop"):

        async def nothing(ctx: restate.ObjectContext) -> None:
            """Never called."""

        as_object.handler(name)(nothing)
    places = [
        await steadfaas.deploy(restate.app([yard.cart])),  # not even the service
        await steadfaas.deploy(restate.app([without]), breaking=True),
        await steadfaas.deploy(restate.app([as_object]), breaking=True),
    ]
    for place in [place.id for place in places] + ["dp_10000000000000000000000", "latest", ""]:
        assert await refused(steadfaas, invocation, "resume", deployment=place) == 400, place
    yard.failing = False
    await operate(steadfaas, invocation, "resume")
    await invocation.result()
    assert invocation.attempts.deployments == {v1}
    await idle(steadfaas)


async def test_the_protocol_version_stays_and_must_be_spoken(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Speaking(Yard("v1").app, 5, 5))
    work = await bring_to(steadfaas, "suspended")
    assert described(steadfaas, work).version == 5
    newer = await steadfaas.deploy(Speaking(Yard("v2").app, 6, 6))
    assert await refused(steadfaas, work, "resume", deployment=newer.id) == 400
    assert await refused(steadfaas, work, "resume", deployment="latest") == 400
    both = Watched(Yard("v3").job)
    v3 = await steadfaas.deploy(Speaking(both, 5, 6))
    await operate(steadfaas, work, "resume", deployment=v3.id)
    assert await work.result() == ["v1", "v3", "v3", "v3"]
    assert described(steadfaas, work).version == 5
    assert work.attempts.deployments == {v1, v3}
    await idle(steadfaas)


async def test_one_that_is_to_be_paused_is_not_moved_yet(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    running = await bring_to(steadfaas, "running")
    v2 = await steadfaas.deploy(Yard("v2").app)
    await operate(steadfaas, running, "pause")
    assert await refused(steadfaas, running, "resume", deployment=v2.id) == 409
    assert described(steadfaas, running).pausing == 1, "and it is still to be paused"
    await steadfaas.advance("1 min")
    await operate(steadfaas, running, "resume", deployment=v2.id)
    assert await running.result() == ["v1", "v2", "v2", "v2"]


async def test_without_a_pin_there_is_only_the_latest(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "scheduled")
    await steadfaas.remove(v1, force=True)
    await steadfaas.advance("25 h")
    assert (work.status, pin(work)) == ("backing-off", None)
    await operate(steadfaas, work, "pause")
    v2 = await steadfaas.deploy(Yard("v2").app)
    assert await refused(steadfaas, work, "resume", deployment=v2.id) == 409
    assert work.status == "paused"
    await operate(steadfaas, work, "resume", deployment="latest")
    assert await work.result() == ["v2"] * 4
    assert set(event_types(steadfaas, work)) == {"TransientError", "Paused"}, "nothing was moved"
    await idle(steadfaas)


# --- without its deployment --------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
async def test_a_removed_deployment_is_no_end(steadfaas: Steadfaas, crash: bool) -> None:
    one, two = Yard("v1"), Yard("v2")
    v1 = await steadfaas.deploy(one.app)
    work = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(two.app)
    await steadfaas.remove(v1, force=True)
    if crash:
        await steadfaas.crash()
    await steadfaas.advance("15 min")
    assert (work.status, pin(work)) == ("backing-off", v1.id)
    assert work.last_failure is not None
    assert work.last_failure.code == "RT0011"
    assert "resume it on another deployment" in work.last_failure.message
    assert await refused(steadfaas, work, "resume", deployment=v2.id) == 409
    await operate(steadfaas, work, "pause")
    await operate(steadfaas, work, "resume", deployment=v2.id, actor="ada")
    assert await work.result() == ["v1", "v2", "v2", "v2"]
    assert moved(v1, v2, by="ada") in events(steadfaas, work)
    assert (one.ran, two.ran) == (["one x"], ["two x", "three x"])
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_what_is_suspended_on_a_removed_deployment_moves_at_once(
    steadfaas: Steadfaas,
) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "suspended")
    await steadfaas.deploy(Yard("v2").app)
    await steadfaas.remove(v1, force=True)
    assert work.status == "suspended"
    await operate(steadfaas, work, "resume", deployment="latest")
    assert await work.result() == ["v1", "v2", "v2", "v2"]
    assert "RT0011" not in work.attempts.outcomes


# --- slots -------------------------------------------------------------------------------------


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency_per_deployment=1, drain_seconds=0))
async def test_whoever_moves_waits_for_a_slot_of_its_new_place(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = [await steadfaas.send("Job/work", str(number)) for number in range(4)]
    await steadfaas.settle()
    v2 = await steadfaas.deploy(Yard("v2").app)
    engine = steadfaas._host.running
    steadfaas.delay(v2, by="1 min", times=4)
    for one in sent:
        await operate(steadfaas, one, "resume", deployment=v2.id)
    assert sorted(one.status for one in sent) == ["ready", "ready", "ready", "running"]
    assert (engine._slots.open_with(v1.id), engine._slots.open_with(v2.id)) == (0, 1)
    assert engine._waiting == 3
    check_books(engine)
    # One of those that wait changes its mind, and another goes back.
    await operate(steadfaas, sent[2], "pause")
    await operate(steadfaas, sent[3], "pause")
    await operate(steadfaas, sent[3], "resume", deployment=v1.id)
    assert (sent[3].status, engine._waiting) == ("suspended", 1)
    check_books(engine)
    await steadfaas.advance("5 min")
    assert engine._slots.waiting == 0
    await operate(steadfaas, sent[2], "resume")
    results = [await one.result() for one in sent]
    assert results == [["v1", "v2", "v2", "v2"]] * 3 + [["v1"] * 4]
    check_whole(steadfaas)
    await idle(steadfaas)
