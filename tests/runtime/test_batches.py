"""Batches: a thousand invocations at once, what is counted, and what a failing database leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from steadfaas.errors import StoreError
from steadfaas.runtime.engine import Tuning
from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle, pin
from tests.runtime.yard import (
    Yard,
    batch,
    bring_to,
    check_whole,
    dump,
    event_types,
    operators,
)

pytestmark = pytest.mark.asyncio

# How many invocations there are in each status, and in all.
MIX = {
    "scheduled": 120, "pending": 120, "running": 100, "backing-off": 150, "suspended": 150,
    "paused": 110, "completed": 150, "unknown": 100,
}  # fmt: skip
ALL = sum(MIX.values())


async def _mix(kit: Steadfaas) -> list[Invocation]:
    """A thousand invocations in all statuses, those of each status spread over the list."""
    sent: dict[str, list[Invocation]] = {
        "scheduled": [await kit.send("Job/work", str(n), delay="1 day") for n in range(120)],
        "suspended": [await kit.send("Job/work", str(n)) for n in range(150)],
        "backing-off": [await kit.send("Job/fail", str(n)) for n in range(150)],
        "completed": [await kit.send("Job/quick", str(n)) for n in range(150)],
        "paused": [await kit.send("Job/work", str(n)) for n in range(110)],
        "unknown": [await kit.send("Job/work", str(n), delay="1 day") for n in range(100)],
    }
    # Who holds the key is not one of them, or the line would move on in the middle of a batch.
    _, *sent["pending"] = [await kit.send("Cart/k/put", 1) for _ in range(121)]
    await kit.settle()
    assert (await batch(kit, "pause", sent["paused"])).done == 110
    assert (await batch(kit, "cancel", sent["unknown"])).done == 100
    kit.delay(by="1 hour", times=100)
    sent["running"] = [await kit.send("Job/work", f"r{n}") for n in range(100)]
    await kit.settle()
    assert {status: len(group) for status, group in sent.items()} == MIX
    for status, group in sent.items():
        assert {one.status for one in group} == {status}
    return sorted((one for group in sent.values() for one in group), key=lambda one: one.id[::-1])


@pytest.mark.parametrize(
    ("operation", "done", "accepted", "refused"),
    [
        ("cancel", 240, 510, {409: 150, 404: 100}),
        ("kill", 750, 0, {409: 150, 404: 100}),
        ("pause", 260, 250, {409: 390, 404: 100}),
        ("resume", 510, 0, {409: 150, 425: 240, 404: 100}),
        ("purge", 150, 0, {409: 750, 404: 100}),
        ("purge-journal", 150, 0, {409: 750, 404: 100}),
        ("restart-as-new", 150, 0, {409: 510, 425: 240, 404: 100}),
    ],
)
async def test_a_thousand_in_all_statuses(
    steadfaas: Steadfaas, operation: str, done: int, accepted: int, refused: dict[int, int]
) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    mix = await _mix(steadfaas)
    assert len(mix) == ALL == done + accepted + sum(refused.values())
    tally = await batch(steadfaas, operation, mix)
    assert (tally.done, tally.accepted) == (done, accepted)
    assert Counter(one.error.status for one in tally.refusals) == refused
    order = {one.id: place for place, one in enumerate(mix)}
    places = [order[one.id] for one in tally.refusals]
    assert places == sorted(set(places)), "in the order in which they were given"
    check_books(steadfaas._host.running)
    check_whole(steadfaas)
    # Whatever was done to them, in the end none is in anybody's way.
    yard.failing = False
    unfinished = [one for one in mix if one.status not in ("completed", "unknown")]
    await steadfaas.run_until_idle()
    await batch(steadfaas, "resume", [one for one in unfinished if one.status == "paused"])
    await steadfaas.run_until_idle()
    assert {one.status for one in unfinished} <= {"completed", "unknown"}
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_a_batch_moves_those_it_can(steadfaas: Steadfaas) -> None:
    yard = Yard("v1")
    await steadfaas.deploy(yard.app)
    mix = await _mix(steadfaas)
    pins = {one.id: pin(one) for one in mix if one.status != "unknown"}
    v2 = await steadfaas.deploy(Yard("v2").app)
    tally = await batch(steadfaas, "resume", mix, deployment="latest", actor="ada")
    assert (tally.done, tally.accepted) == (260, 0)
    counted = Counter(one.error.status for one in tally.refusals)
    assert counted == {409: 400, 425: 240, 404: 100}
    refused = {one.id for one in tally.refusals}
    for one in mix:
        if one.id in refused and one.id in pins:
            assert pin(one) == pins[one.id]
        elif one.id in pins:
            assert pin(one) == v2.id
            assert "PinMoved" in event_types(steadfaas, one)
    check_whole(steadfaas)


async def test_requests_go_on_beside_a_batch(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = [await steadfaas.send("Job/work", str(number)) for number in range(500)]
    await steadfaas.settle()
    over: list[str] = []

    async def purge() -> None:
        await batch(steadfaas, "pause", sent)
        over.append("batch")

    async def request() -> None:
        for number in range(3):
            await steadfaas.send("Job/quick", str(number))
            over.append("request")

    await asyncio.gather(purge(), request())
    assert over == ["request"] * 3 + ["batch"]


async def test_the_same_one_twice(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    work = await bring_to(steadfaas, "suspended")
    assert (await batch(steadfaas, "pause", [work] * 30)).done == 30
    assert event_types(steadfaas, work) == ["Paused"], "it was paused once"
    tally = await batch(steadfaas, "kill", [work] * 30)
    assert (tally.done, len(tally.refusals)) == (1, 29)
    tally = await batch(steadfaas, "purge", [work] * 30)
    assert (tally.done, {one.error.status for one in tally.refusals}) == (1, {404})


async def test_a_batch_of_none(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    tally = await batch(steadfaas, "kill", [])
    assert (tally.done, tally.accepted, tally.refusals) == (0, 0, [])


async def test_a_tree_in_one_batch(steadfaas: Steadfaas) -> None:
    """The parent takes its children with it: nothing is left to be done to them."""
    await steadfaas.deploy(Yard().app)
    parents = [await steadfaas.send("Job/parent", str(number)) for number in range(20)]
    await steadfaas.settle()
    reader = steadfaas._host.running.store.reader
    rows = reader.execute("SELECT id FROM invocation ORDER BY handler").fetchall()
    everybody = [Invocation(steadfaas._host, id, "any") for (id,) in rows]
    assert len(everybody) == 40
    tally = await batch(steadfaas, "kill", everybody)
    assert (tally.done, tally.accepted, len(tally.refusals)) == (20, 0, 20)
    assert {one.status for one in [*parents, *everybody]} == {"completed"}
    check_whole(steadfaas)


async def test_restarts_keep_their_order(steadfaas: Steadfaas) -> None:
    """Those of one key run in the order in which they were given."""
    await steadfaas.deploy(Yard().app)
    done = [await steadfaas.send("Cart/k/add", 10**number) for number in range(8)]
    await steadfaas.settle()
    holder = await steadfaas.send("Cart/k/put", 0)
    assert (await batch(steadfaas, "restart-as-new", done[::-1])).done == 8
    reader = steadfaas._host.running.store.reader
    rows = reader.execute(
        "SELECT new.id FROM invocation AS new JOIN invocation AS old ON new.restarted_from = old.id"
        " ORDER BY old.seq DESC"
    ).fetchall()
    new = [Invocation(steadfaas._host, id, "any") for (id,) in rows]
    assert [one.status for one in new] == ["pending"] * 8
    assert await holder.result() == 11_111_111
    totals = [await one.result() for one in new]
    assert totals == sorted(totals)
    assert totals[0] == 21_111_111


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency=2, max_queued=10, drain_seconds=0))
async def test_a_batch_never_fills_the_engine_beyond_its_limit_by_much(
    steadfaas: Steadfaas,
) -> None:
    await steadfaas.deploy(Yard().app)
    done = [await bring_to(steadfaas, "completed", str(number)) for number in range(60)]
    steadfaas.delay(by="1 hour", times=2)
    blockers = [await steadfaas.send("Job/quick", "one with a slot") for _ in range(2)]
    tally = await batch(steadfaas, "restart-as-new", done)
    assert {one.error.status for one in tally.refusals} == {429}
    assert tally.done + len(tally.refusals) == 60
    assert 10 <= tally.done <= 10 + 25
    check_books(steadfaas._host.running)
    await steadfaas.run_until_idle()
    assert [one.status for one in blockers] == ["completed"] * 2
    tally = await batch(steadfaas, "restart-as-new", [done[-1]])
    assert tally.done == 1
    await idle(steadfaas)


# --- a database that refuses -------------------------------------------------------------------


class Refusing:
    """Stands in front of the writing connection, and refuses what `refuses` says, so often."""

    def __init__(self, kit: Steadfaas, refuses: Callable[[str], bool], times: int = 1) -> None:
        writer = kit._host.running.store.writer
        self._real: Any = writer._connection
        self._refuses = refuses
        self.left = times
        writer._connection = self  # type: ignore[assignment]
        writer._execute = self.execute

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """As ever, or the error of a disk that gave up."""
        if self.left and self._refuses(sql):
            self.left -= 1
            raise sqlite3.OperationalError("disk I/O error")
        cursor: sqlite3.Cursor = self._real.execute(sql, *parameters)
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _After:
    """True from the given number of matching statements on."""

    def __init__(self, start: str, number: int) -> None:
        self._start = start
        self._number = number

    def __call__(self, sql: str) -> bool:
        self._number -= sql.startswith(self._start)
        return self._number < 0 and sql.startswith(self._start)


async def test_a_group_that_cannot_be_stored_ends_the_batch(steadfaas: Steadfaas) -> None:
    """What was told to be done is done; the group is undone whole; the rest was not begun."""
    await steadfaas.deploy(Yard().app)
    sent = [await steadfaas.send("Job/work", str(number)) for number in range(100)]
    await steadfaas.settle()
    Refusing(steadfaas, _After("INSERT INTO event", 40))
    with pytest.raises(StoreError, match="disk I/O error"):
        await batch(steadfaas, "pause", sent)
    await steadfaas.settle()
    statuses = [one.status for one in sent]
    assert statuses == ["paused"] * 25 + ["suspended"] * 75
    check_books(steadfaas._host.running)
    check_whole(steadfaas)
    await steadfaas.advance("2 s")  # what was undone is looked at again
    assert [one.status for one in sent] == statuses
    tally = await batch(steadfaas, "pause", sent)
    assert (tally.done, tally.refusals) == (100, [])
    assert [event_types(steadfaas, one) for one in sent] == [["Paused"]] * 100
    assert (await batch(steadfaas, "resume", sent)).done == 100
    assert [await one.result() for one in sent] == [["v1"] * 4] * 100
    await idle(steadfaas)


@pytest.mark.parametrize("operation", ["kill", "cancel", "resume", "purge", "restart-as-new"])
@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN", "DELETE", "UPDATE", "INSERT"])
async def test_whatever_is_refused_the_store_stays_whole(
    steadfaas: Steadfaas, operation: str, statement: str
) -> None:
    yard = Yard()
    await steadfaas.deploy(yard.app)
    completed = operation in ("purge", "restart-as-new")
    target = "Job/quick" if completed else "Job/work"
    sent = [await steadfaas.send(target, str(number)) for number in range(60)]
    await steadfaas.settle()
    before = dump(steadfaas)
    refusing = Refusing(steadfaas, _After(statement, 0))
    try:
        await batch(steadfaas, operation, sent)
    except StoreError:
        await steadfaas.settle()
        assert dump(steadfaas) == before, "its first group was undone"
    await steadfaas.advance("2 s")
    check_books(steadfaas._host.running)
    check_whole(steadfaas)
    refusing.left = 0
    tally = await batch(steadfaas, operation, sent)
    assert tally.done + tally.accepted + len(tally.refusals) == 60
    await steadfaas.run_until_idle()
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_attempts_that_were_open_when_a_group_was_undone(steadfaas: Steadfaas) -> None:
    """They cannot be trusted and are made again; nobody loses its result or its slot."""
    yard = Yard()
    await steadfaas.deploy(yard.app)
    steadfaas.delay(by="1 min", times=30)
    running = [await steadfaas.send("Job/work", str(number)) for number in range(30)]
    await steadfaas.settle()
    Refusing(steadfaas, _After("UPDATE invocation", 10))
    with pytest.raises(StoreError):
        await batch(steadfaas, "pause", running)
    await steadfaas.advance("2 s")
    check_books(steadfaas._host.running)
    assert [await one.result() for one in running] == [["v1"] * 4] * 30
    assert Counter(yard.ran).most_common(1)[0][1] == 1, "no step ran twice"
    assert {tuple(event_types(steadfaas, one)) for one in running} == {()}
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_an_operation_that_cannot_be_stored_has_not_happened(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    work = await bring_to(steadfaas, "suspended")
    v1 = pin(work)
    v2 = await steadfaas.deploy(Yard("v2").app)
    before = dump(steadfaas)
    for statement in ("COMMIT", "INSERT INTO event", "UPDATE invocation"):
        Refusing(steadfaas, _After(statement, 0))
        with pytest.raises(StoreError):
            await steadfaas._host.asked(
                operators(steadfaas).resume(work.id, deployment=v2.id, actor="ada")
            )
        await steadfaas.settle()
        assert (work.status, pin(work)) == ("suspended", v1)
        assert dump(steadfaas) == before
    await steadfaas.advance("2 s")
    assert await work.result() == ["v1"] * 4
    await idle(steadfaas)
