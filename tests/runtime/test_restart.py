"""Completed invocations: forgotten, left without their journal, and run again as new ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import restate

from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.errors import BadRequest
from steadfaas.runtime.engine import Tuning
from steadfaas.testing import Deployment, Invocation, InvocationFailed, Refused, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle, pin
from tests.runtime.yard import (
    Yard,
    batch,
    bring_to,
    check_whole,
    counts,
    described,
    operate,
    refused,
)

pytestmark = pytest.mark.asyncio


# --- purge -------------------------------------------------------------------------------------


async def test_of_a_purged_one_nothing_is_left(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    work = await steadfaas.send("Job/fail", "x")
    await steadfaas.advance("5 min")
    yard.failing = False
    await work.result()
    assert set(counts(steadfaas)) == {"invocation", "journal", "attempt", "event"}
    await operate(steadfaas, work, "purge")
    assert counts(steadfaas) == {}
    assert work.status == "unknown"
    for operation in ("cancel", "kill", "pause", "resume", "purge", "purge-journal"):
        assert await refused(steadfaas, work, operation) == 404
    assert await refused(steadfaas, work, "restart-as-new") == 404
    await steadfaas.advance("40000 days")
    await idle(steadfaas)


async def test_a_purge_frees_the_idempotency_key(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    first = await steadfaas.send("Job/quick", "a", idempotency_key="key")
    assert await first.result() == "a by v1"
    await steadfaas.deploy(Yard("v2").app)
    assert await steadfaas.call("Job/quick", "b", idempotency_key="key") == "a by v1"
    await operate(steadfaas, first, "purge")
    assert await steadfaas.call("Job/quick", "b", idempotency_key="key") == "b by v2"
    check_whole(steadfaas)


async def test_a_purge_frees_the_workflow(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    for who, word in (("Ada", "yes"), ("Bob", "no")):
        run = await steadfaas.send("Sign/k/run", who)
        await steadfaas.settle()
        click = await steadfaas.send("Sign/k/click", word)
        assert await run.result() == f"{who} {word}"
        assert counts(steadfaas)["promise"] == counts(steadfaas)["state"] == 1
        await operate(steadfaas, click, "purge")
        assert counts(steadfaas)["promise"] == 1, "they belong to the run alone"
        await operate(steadfaas, run, "purge")
        assert counts(steadfaas) == {}
    await idle(steadfaas)


async def test_a_purge_leaves_the_state_of_objects(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    added = await steadfaas.send("Cart/k/add", 1)
    await added.result()
    await operate(steadfaas, added, "purge")
    assert counts(steadfaas) == {"state": 1}
    assert await steadfaas.call("Cart/k/look") == 1


async def test_of_a_tree_that_was_killed_nothing_is_left_after_a_purge(
    steadfaas: Steadfaas,
) -> None:
    await steadfaas.deploy(Yard().app)
    parent = await steadfaas.send("Job/parent", "x")
    await steadfaas.settle()
    await operate(steadfaas, parent, "kill")
    reader = steadfaas._host.running.store.reader
    ids = [row[0] for row in reader.execute("SELECT id FROM invocation")]
    assert len(ids) == 2
    everybody = [Invocation(steadfaas._host, id, "any") for id in ids]
    assert (await batch(steadfaas, "purge", everybody)).done == 2
    assert counts(steadfaas) == {}
    await steadfaas.advance("1 day")
    await idle(steadfaas)


async def test_retention_goes_on_around_a_purge(steadfaas: Steadfaas) -> None:
    """What was purged is not missed when its time would have come."""
    yard = Yard()
    yard.job.journal_retention = timedelta(days=2)
    await steadfaas.deploy(yard.app)
    sent = [await steadfaas.send("Job/quick", str(number)) for number in range(3)]
    await steadfaas.settle()
    await operate(steadfaas, sent[1], "purge")
    await operate(steadfaas, sent[2], "purge-journal")
    assert [one.status for one in sent] == ["completed", "unknown", "completed"]
    await steadfaas.advance("3 days")
    assert [one.status for one in sent] == ["unknown"] * 3
    assert counts(steadfaas) == {}
    await idle(steadfaas)


# --- purge of the journal ----------------------------------------------------------------------


async def test_without_its_journal_a_result_stays_and_cannot_be_repeated(
    steadfaas: Steadfaas,
) -> None:
    yard = Yard()
    yard.failing = False
    await steadfaas.deploy(yard.app)
    work = await steadfaas.send("Job/fail", "x", idempotency_key="key")
    assert await work.result() == ["v1", "v1"]
    await operate(steadfaas, work, "purge-journal")
    assert counts(steadfaas) == {"invocation": 1}
    assert (work.status, work.journal, await work.result()) == ("completed", [], ["v1", "v1"])
    assert await steadfaas.call("Job/fail", "y", idempotency_key="key") == ["v1", "v1"]
    assert await refused(steadfaas, work, "restart-as-new") == 410
    assert await refused(steadfaas, work, "restart-as-new", last=2) == 410
    await operate(steadfaas, work, "purge-journal")
    await steadfaas.crash()
    assert await refused(steadfaas, work, "restart-as-new") == 410
    await operate(steadfaas, work, "purge")
    assert counts(steadfaas) == {}


# --- run again ---------------------------------------------------------------------------------


async def _again(kit: Steadfaas, old: Invocation, **more: Any) -> Invocation:
    return Invocation(kit._host, await operate(kit, old, "restart-as-new", **more), old.target)


async def test_the_input_is_run_again_on_the_newest(steadfaas: Steadfaas) -> None:
    one, two = Yard("v1"), Yard("v2")
    await steadfaas.deploy(one.app)
    old = await steadfaas.send("Job/work", "x", idempotency_key="key", headers={"x-mine": "1"})
    assert await old.result() == ["v1"] * 4
    v2 = await steadfaas.deploy(two.app)
    new = await _again(steadfaas, old)
    assert new.id != old.id
    assert new.id[:8] == old.id[:8]
    found = described(steadfaas, new)
    assert (found.restarted_from, found.idempotency_key) == (old.id, None)
    assert found.invoked_by is None
    assert await new.result() == ["v2"] * 4
    assert two.ran == ["one x", "two x", "three x"]
    assert new.attempts.deployments == {v2}
    assert await old.result() == ["v1"] * 4, "the old one stays as it is"
    assert described(steadfaas, old).restarted_from is None
    reader = steadfaas._host.running.store.reader
    inputs = reader.execute("SELECT DISTINCT payload FROM journal WHERE (pos & 1048575) = 0")
    assert len(inputs.fetchall()) == 1, "same input, headers included"
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_one_that_failed_or_was_killed_is_run_again(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    failed = await steadfaas.send("Job/give_up", "x")
    killed = await bring_to(steadfaas, "suspended", "y")
    await operate(steadfaas, killed, "kill")
    with pytest.raises(InvocationFailed, match=r"500: .*not well"):
        await failed.result()
    yard.failing = False
    again = await _again(steadfaas, failed)
    assert await again.result() == ["v1", "v1"]
    again = await _again(steadfaas, killed)
    assert await again.result() == ["v1"] * 4
    assert await refused(steadfaas, killed, "restart-as-new", last=3) == 400, "it never woke up"
    after_step = await _again(steadfaas, killed, last=2)
    assert await after_step.result() == ["v1"] * 4
    assert yard.ran == ["begin x", "one y", "begin x", *["one y", "two y", "three y"], "two y",
                        "three y"]  # fmt: skip
    check_whole(steadfaas)


async def test_a_restart_can_be_restarted(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    old = await bring_to(steadfaas, "completed")
    line = [old]
    for _ in range(3):
        line.append(await _again(steadfaas, line[-1]))
        assert described(steadfaas, line[-1]).restarted_from == line[-2].id
    assert len({one.id for one in line}) == 4
    assert len({one.id[:8] for one in line}) == 1
    twin = await _again(steadfaas, old)
    assert twin.id not in {one.id for one in line}
    assert [await one.result() for one in line] == ["x by v1"] * 4
    await operate(steadfaas, old, "purge")
    assert await line[1].result() == "x by v1", "it does not need the old one"
    assert described(steadfaas, line[1]).restarted_from == old.id


# Entries: 0 input, 1 run one, 2 its result, 3 sleep, 4 its end, 5 run two, 6, 7 sleep, 8, 9 run
# three, 10, 11 output.
FROM = {
    1: ["v1", "v2", "v2", "v2"],
    2: ["v1", "v2", "v2", "v2"],
    3: ["v1", "v2", "v2", "v2"],
    4: ["v1", "v2", "v2", "v2"],
    5: ["v1", "v1", "v2", "v2"],
    7: ["v1", "v1", "v2", "v2"],
    8: ["v1", "v1", "v2", "v2"],
    9: ["v1", "v1", "v1", "v2"],
    10: ["v1", "v1", "v1", "v2"],
}


@pytest.mark.parametrize("last", FROM)
async def test_the_beginning_of_a_journal_is_taken_over(steadfaas: Steadfaas, last: int) -> None:
    one, two = Yard("v1"), Yard("v2")
    await steadfaas.deploy(one.app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    v2 = await steadfaas.deploy(two.app)
    began = steadfaas.now()
    new = await _again(steadfaas, old, last=last)
    assert pin(new) == v2.id
    assert await new.result() == FROM[last]
    sleeps = 2 - (last >= 3) - (last >= 7)
    assert abs(steadfaas.now() - began - sleeps * 600_000) < 1000
    assert len(one.ran) == 3
    assert [step.split()[0] for step in two.ran] == [
        name for name, by in zip(("one", "two", "three"), FROM[last], strict=False) if by == "v2"
    ]
    assert await old.result() == ["v1"] * 4
    check_whole(steadfaas)
    await idle(steadfaas)


@pytest.mark.parametrize("choice", ["keep", "latest", "id", ""])
async def test_where_a_beginning_goes_on(steadfaas: Steadfaas, choice: str) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    v2 = await steadfaas.deploy(Yard("v2").app)
    v3 = await steadfaas.deploy(Yard("v3").app)
    places: dict[str, tuple[str, Deployment]] = {
        "keep": ("keep", v1), "latest": ("latest", v3), "id": (v2.id, v2), "": ("", v3),
    }  # fmt: skip
    deployment, expected = places[choice]
    new = await _again(steadfaas, old, last=5, deployment=deployment)
    assert await new.result() == ["v1", "v1", expected.name, expected.name]
    assert new.attempts.deployments == {expected}


async def test_a_call_of_the_beginning_is_not_made_again(steadfaas: Steadfaas) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    old = await steadfaas.send("Job/parent", "x")
    await old.result()
    steps = list(yard.ran)
    began = steadfaas.now()
    for last in (1, 2, 3):
        new = await _again(steadfaas, old, last=last)
        assert await new.result() == ["v1", ["v1"] * 4]
    assert (yard.ran, steadfaas.now()) == (steps, began)
    check_whole(steadfaas)


@pytest.mark.parametrize("last", [11, 12, 10_000, -1])
async def test_there_is_no_such_beginning(steadfaas: Steadfaas, last: int) -> None:
    await steadfaas.deploy(Yard().app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    assert len(old.journal) == 12
    with pytest.raises(BadRequest, match=r"choose one from 0 \(the input\) to 10"):
        await operate(steadfaas, old, "restart-as-new", last=last)
    assert await refused(steadfaas, old, "restart-as-new", last=last) == 400


async def test_places_where_a_beginning_cannot_go_on(steadfaas: Steadfaas) -> None:
    yard = Yard()
    v1 = await steadfaas.deploy(yard.app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    other = await steadfaas.deploy(restate.app([yard.cart]))
    for place in (other.id, "dp_10000000000000000000000"):
        assert await refused(steadfaas, old, "restart-as-new", last=2, deployment=place) == 400
        assert await refused(steadfaas, old, "restart-as-new", deployment=place) == 400
    assert await refused(steadfaas, old, "restart-as-new", deployment="keep") == 400
    await steadfaas.remove(v1, force=True)
    for place in ("keep", "latest", ""):
        assert await refused(steadfaas, old, "restart-as-new", last=2, deployment=place) == 400
    assert await refused(steadfaas, old, "restart-as-new") == 404, "nobody serves it any more"
    await idle(steadfaas)


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_beginning_goes_on_where_the_newest_could_not(
    steadfaas: Steadfaas, keyed: bool
) -> None:
    """The handler is gone, or another kind of it, but its old deployment still serves it."""
    yard = Yard()
    yard.job.journal_retention = timedelta(days=5)
    v1 = await steadfaas.deploy(yard.app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    newest: restate.VirtualObject | restate.Service
    newest = restate.VirtualObject("Job") if keyed else restate.Service("Job")

    async def nothing(ctx: Any) -> None:
        """Never called."""

    newest.handler("work" if keyed else "other")(nothing)
    await steadfaas.deploy(restate.app([newest]), breaking=True)
    assert await refused(steadfaas, old, "restart-as-new") == (409 if keyed else 404)
    assert await refused(steadfaas, old, "restart-as-new", last=5) == 400
    new = [await _again(steadfaas, old, last=5, deployment=place) for place in ("keep", v1.id)]
    for one in new:
        assert await one.result() == ["v1"] * 4
        assert one.attempts.deployments == {v1}
    await steadfaas.advance("4 days")
    assert [one.status for one in new] == ["completed"] * 2
    await steadfaas.advance("2 days")
    assert [one.status for one in new] == ["unknown"] * 2, "kept as long as their deployment says"


async def test_a_handler_of_another_kind_does_not_take_it(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    old = await bring_to(steadfaas, "completed")
    keyed = restate.VirtualObject("Job")

    @keyed.handler()
    async def quick(ctx: restate.ObjectContext) -> None:
        """Never called."""

    await steadfaas.deploy(restate.app([keyed]), breaking=True)
    assert await refused(steadfaas, old, "restart-as-new") == 409
    assert await refused(steadfaas, old, "restart-as-new", deployment="latest") == 409


async def test_a_workflow_runs_once(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    run = await steadfaas.send("Sign/k/run", "Ada")
    click = await steadfaas.send("Sign/k/click", "yes")
    await run.result()
    assert await refused(steadfaas, run, "restart-as-new") == 422
    assert await refused(steadfaas, run, "restart-as-new", last=1) == 422
    # A shared handler may be repeated; this one finds the promise kept.
    again = await _again(steadfaas, click)
    with pytest.raises(InvocationFailed, match="409: promise was already completed"):
        await again.result()


async def test_a_restarted_exclusive_handler_joins_the_line(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    done = await steadfaas.send("Cart/k/add", 100)
    await done.result()
    holder = await steadfaas.send("Cart/k/put", 1)
    queued = await steadfaas.send("Cart/k/add", 10)
    await steadfaas.settle()
    again = await _again(steadfaas, done)
    last = await steadfaas.send("Cart/k/add", 1000)
    line = [holder, queued, again, last]
    assert [one.status for one in line] == ["suspended", *["pending"] * 3]
    check_books(steadfaas._host.running)
    check_whole(steadfaas)
    await steadfaas.crash()
    assert [await one.result() for one in line] == [101, 111, 211, 1211]
    await idle(steadfaas)


async def test_a_restarted_one_that_stands_in_line_can_be_given_up(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    put = await steadfaas.send("Cart/k/put", 1)
    await put.result()
    holder = await steadfaas.send("Cart/k/put", 10)
    await steadfaas.settle()
    with_state = await _again(steadfaas, put, last=2, deployment="keep")
    plain = await _again(steadfaas, put)
    assert (with_state.status, plain.status) == ("pending", "pending")
    assert await operate(steadfaas, with_state, "cancel") is True
    await operate(steadfaas, plain, "kill")
    assert (with_state.status, plain.status) == ("unknown", "unknown")
    assert await holder.result() == 11
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_a_beginning_on_a_busy_key_waits_with_its_pin(steadfaas: Steadfaas) -> None:
    """Writes of the beginning are not made again: the state stays what others made of it."""
    v1 = await steadfaas.deploy(Yard("v1").app)
    put = await steadfaas.send("Cart/k/put", 1)
    await put.result()
    holder = await steadfaas.send("Cart/k/put", 10)
    await steadfaas.settle()
    again = await _again(steadfaas, put, last=2, deployment="keep")
    v2 = await steadfaas.deploy(Yard("v2").app)
    assert pin(again) == v1.id
    assert await refused(steadfaas, again, "resume", deployment=v2.id) == 425
    assert [await holder.result(), await again.result()] == [11, 1]
    assert await steadfaas.call("Cart/k/look") == 11
    assert again.attempts.deployments == {v1}


async def test_a_crash_after_a_restart(steadfaas: Steadfaas) -> None:
    yard = Yard()
    v1 = await steadfaas.deploy(yard.app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    steadfaas.delay(by="1 min", times=2)
    fresh = await _again(steadfaas, old)
    later = await _again(steadfaas, old, last=6)
    assert (fresh.status, later.status) == ("running", "running")
    await steadfaas.crash()
    assert await fresh.result() == await later.result() == ["v1"] * 4
    assert later.attempts.deployments == {v1}
    check_whole(steadfaas)


@pytest.mark.steadfaas(
    tuning=Tuning(max_concurrency=1, max_queued=2, drain_seconds=0),
)
async def test_restarts_count_among_those_that_wait(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    done = await bring_to(steadfaas, "completed")
    steadfaas.delay(by="1 hour")
    await steadfaas.send("Job/quick", "the one with the slot")
    engine = steadfaas._host.running
    new = [await _again(steadfaas, done) for _ in range(2)]
    assert (engine._waiting, [one.status for one in new]) == (2, ["ready", "ready"])
    check_books(engine)
    assert await refused(steadfaas, done, "restart-as-new") == 429
    with pytest.raises(Refused, match="429"):
        await steadfaas.send("Job/quick", "too many")
    assert [await one.result() for one in new] == ["x by v1"] * 2
    await idle(steadfaas)


async def test_one_that_was_never_pinned_is_pinned_when_it_goes_on(steadfaas: Steadfaas) -> None:
    """Its journal holds a cancel, which can be begun with; the protocol version is chosen anew."""
    v1 = await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "scheduled")
    await steadfaas.remove(v1, force=True)
    await steadfaas.advance("25 h")
    await operate(steadfaas, work, "cancel")
    await operate(steadfaas, work, "kill")
    assert (pin(work), len(work.journal)) == (None, 2)
    v2 = await steadfaas.deploy(Yard("v2").app)
    again = await _again(steadfaas, work, last=1)
    assert pin(again) == v2.id
    with pytest.raises(InvocationFailed, match="409: cancelled"):
        await again.result()


async def test_without_retention_there_is_nothing_to_restart() -> None:
    kept = HandlerOptions(journal_retention=0)
    async with Steadfaas(defaults=kept, seed=1) as kit:
        await kit.deploy(Yard().app)
        done = await kit.send("Job/quick", "x", idempotency_key="key")
        await kit.settle()
        assert done.status == "completed", "the result is kept for its idempotency key"
        assert await refused(kit, done, "restart-as-new") == 410
        plain = await kit.send("Job/quick", "x")
        await kit.settle()
        assert plain.status == "unknown"
