"""Every operation in every status: what it does, or that it is refused and has changed nothing."""

from __future__ import annotations

from typing import Any, Final

import pytest

from steadfaas.errors import BadRequest, NotFound, RequestError
from steadfaas.runtime.engine import Tuning
from steadfaas.testing import Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle
from tests.runtime.yard import (
    STATUSES,
    Yard,
    batch,
    bring_to,
    check_whole,
    event_types,
    operate,
    refused,
)

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, drain_seconds=0)),
]

# What an operation answers and the status that follows from it, or the HTTP status with which it is
# refused. `later`: it takes effect later, and says so. Columns as in STATUSES.
MATRIX: Final = {
    "cancel": "done>unknown done>unknown later>ready later>running later>backing-off"
    " later>completed later>backing-off 409 404",
    "kill": "done>unknown done>unknown done>unknown done>completed done>completed"
    " done>completed done>completed 409 404",
    "pause": "409 409 done>paused later>running later>paused done>paused done>paused 409 404",
    "resume": "425 425 done>ready done>running done>backing-off done>suspended done>backing-off"
    " 409 404",
    "resume, latest": "425 425 409 409 409 done>suspended done>backing-off 409 404",
    "resume, new": "425 425 409 409 409 done>suspended done>backing-off 409 404",
    "resume, old": "425 425 409 409 409 done>suspended done>backing-off 409 404",
    "resume, no such": "425 425 409 409 409 400 400 409 404",
    "purge": "409 409 409 409 409 409 409 done>unknown 404",
    "purge-journal": "409 409 409 409 409 409 409 done>completed 404",
    "restart-as-new": "425 425 409 409 409 409 409 done>completed 404",
}
CELLS: Final = [
    (operation, status, cell)
    for operation, row in MATRIX.items()
    for status, cell in zip(STATUSES, row.split(), strict=True)
]


async def _prepare(kit: Steadfaas, operation: str, status: str) -> tuple[Any, str, dict[str, Any]]:
    """An invocation of the first version in this status, beside a second version."""
    old = await kit.deploy(Yard("v1").app)
    invocation = await bring_to(kit, status)
    new = await kit.deploy(Yard("v2").app)
    name, _, choice = operation.partition(", ")
    places = {"latest": "latest", "new": new.id, "old": old.id, "no such": "dp_no_such"}
    return invocation, name, {"deployment": places[choice]} if choice else {}


@pytest.mark.parametrize(("operation", "status", "cell"), CELLS)
async def test_every_operation_in_every_status(
    steadfaas: Steadfaas, operation: str, status: str, cell: str
) -> None:
    invocation, name, more = await _prepare(steadfaas, operation, status)
    how, _, follows = cell.partition(">")
    if not follows:
        assert await refused(steadfaas, invocation, name, **more) == int(how)
        assert invocation.status == status
    else:
        answer = await operate(steadfaas, invocation, name, **more)
        assert (answer is False) == (how == "later")
        assert invocation.status == follows
    check_books(steadfaas._host.running)
    check_whole(steadfaas)


@pytest.mark.parametrize(("operation", "status", "cell"), CELLS)
async def test_a_batch_of_one_is_the_same(
    steadfaas: Steadfaas, operation: str, status: str, cell: str
) -> None:
    invocation, name, more = await _prepare(steadfaas, operation, status)
    tally = await batch(steadfaas, name, [invocation], **more)
    how, _, follows = cell.partition(">")
    if not follows:
        assert (tally.done, tally.accepted) == (0, 0)
        assert [(one.id, one.error.status) for one in tally.refusals] == [(invocation.id, int(how))]
        assert invocation.status == status
    else:
        assert (tally.done, tally.accepted) == (int(how == "done"), int(how == "later"))
        assert (tally.refusals, invocation.status) == ([], follows)
    check_books(steadfaas._host.running)
    check_whole(steadfaas)


@pytest.mark.parametrize("status", ["running", "ready", "backing-off", "suspended", "paused"])
async def test_what_was_refused_goes_on_as_if_nothing_had_been(
    steadfaas: Steadfaas, status: str
) -> None:
    """Above all, an attempt that is open stays open."""
    yard = Yard()
    await steadfaas.deploy(yard.app)
    invocation = await bring_to(steadfaas, status)
    for operation in ("purge", "purge-journal", "restart-as-new"):
        assert await refused(steadfaas, invocation, operation) == 409
    yard.failing = False
    if status == "paused":
        await operate(steadfaas, invocation, "resume")
    result = await invocation.result()
    assert result[-1] == "v1"
    assert "interrupted" not in invocation.attempts.outcomes
    assert yard.ran == list(dict.fromkeys(yard.ran)), "no step ran twice"
    await idle(steadfaas)


async def test_a_retrying_one_is_tried_at_once(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    failing = await bring_to(steadfaas, "backing-off")
    began = steadfaas.now()
    yard.failing = False
    await operate(steadfaas, failing, "resume")
    assert (failing.status, steadfaas.now()) == ("completed", began)
    assert failing.attempts.outcomes == ["suspended", "RT0007", "completed"]
    check_whole(steadfaas)
    await steadfaas.advance("1 hour")
    await idle(steadfaas)


async def test_a_resume_grants_all_attempts_anew(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    stopped = await bring_to(steadfaas, "paused")
    assert stopped.attempts.outcomes == ["suspended", "RT0007", "RT0007"]
    await operate(steadfaas, stopped, "resume")
    assert (stopped.status, len(stopped.attempts)) == ("backing-off", 4)
    await operate(steadfaas, stopped, "resume")
    assert (stopped.status, len(stopped.attempts)) == ("backing-off", 5)
    await steadfaas.advance("2 min")
    assert (stopped.status, len(stopped.attempts)) == ("paused", 6)
    # The same failure again is no news; that it stops is.
    assert event_types(steadfaas, stopped) == ["TransientError", "Paused", "Paused"]


async def test_a_suspended_one_that_is_resumed_just_suspends_again(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    sleeping = await bring_to(steadfaas, "suspended")
    for _ in range(3):
        await steadfaas.advance("1 min")
        await operate(steadfaas, sleeping, "resume")
        assert sleeping.status == "suspended"
    check_whole(steadfaas)
    assert await sleeping.result() == ["v1"] * 4
    assert yard.ran == ["one x", "two x", "three x"]
    await idle(steadfaas)


async def test_cancel_and_kill_of_a_paused_one(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sleeping = await bring_to(steadfaas, "suspended")
    other = await bring_to(steadfaas, "suspended")
    for one in (sleeping, other):
        await operate(steadfaas, one, "pause")
        assert one.status == "paused"
    assert await operate(steadfaas, sleeping, "cancel") is False
    assert sleeping.status == "completed", "it was resumed by that, and gave up"
    await operate(steadfaas, other, "kill")
    assert other.status == "completed"
    for one, words in ((sleeping, "409: cancelled"), (other, "409: killed")):
        with pytest.raises(AssertionError, match=words):
            await one.result()
    await steadfaas.advance("1 hour")
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_an_operation_that_nobody_knows(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    invocation = await bring_to(steadfaas, "suspended")
    with pytest.raises(KeyError):
        await batch(steadfaas, "paint", [invocation])
    assert invocation.status == "suspended"


async def test_an_engine_without_room_starts_nothing_again(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    done = await bring_to(steadfaas, "completed")
    engine = steadfaas._host.running
    engine._waiting += engine.tuning.max_queued
    assert await refused(steadfaas, done, "restart-as-new") == 429
    tally = await batch(steadfaas, "restart-as-new", [done])
    assert [one.error.status for one in tally.refusals] == [429]
    engine._waiting -= engine.tuning.max_queued
    assert await operate(steadfaas, done, "restart-as-new") is not None
    await idle(steadfaas)


async def test_refusals_are_sentences_about_the_invocation(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    scheduled = await bring_to(steadfaas, "scheduled")
    unknown = await bring_to(steadfaas, "unknown")
    cases: list[tuple[Any, str, type[RequestError], str]] = [
        (scheduled, "pause", RequestError, "is not running, cannot be paused"),
        (scheduled, "resume", RequestError, "has not started yet"),
        (unknown, "kill", NotFound, "does not exist"),
    ]
    for invocation, operation, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            await operate(steadfaas, invocation, operation)
        assert invocation.text_id in caught.value.message
    paused = await bring_to(steadfaas, "paused")
    with pytest.raises(BadRequest, match="'dp_1' does not exist"):
        await operate(steadfaas, paused, "resume", deployment="dp_1")
