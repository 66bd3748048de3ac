"""Limits hold, say so, and lose nothing: concurrency, queues, full disks."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
import restate

from steadfaas.errors import StoreError
from steadfaas.runtime.engine import Tuning
from steadfaas.store.sqlite import Store
from steadfaas.testing import Refused, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle, output, post, result

pytestmark = pytest.mark.asyncio

MINUTE = 60_000
EVERY_MINUTE = restate.InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1), exponentiation_factor=1.0
)


class Slow:
    """Handlers that overlap if they can: each stays inside for some turns of the loop."""

    def __init__(self) -> None:
        self.runs = 0
        self.inside = 0
        self.most_inside = 0
        self.service = service = restate.Service("Slow", invocation_retry_policy=EVERY_MINUTE)
        self.thing = thing = restate.VirtualObject("Thing", invocation_retry_policy=EVERY_MINUTE)

        @service.handler()
        async def work(ctx: restate.Context, number: int) -> int:
            self.runs += 1
            await self._stay()
            return number

        @service.handler()
        async def nap(ctx: restate.Context, number: int) -> int:
            await self._stay()
            await ctx.sleep(timedelta(seconds=5))
            return number

        @thing.handler()
        async def hold(ctx: restate.ObjectContext, number: int) -> int:
            return number

        @thing.handler()
        async def fill(ctx: restate.ObjectContext, size: int) -> int:
            self.runs += 1
            ctx.set("value", "x" * size)
            return size

    async def _stay(self) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            self.inside -= 1


def limits(**limits: Any) -> pytest.MarkDecorator:
    """A mark: the test's engine has these limits."""
    return pytest.mark.steadfaas(tuning=Tuning(drain_seconds=0, **limits))


async def _idle(kit: Steadfaas) -> None:
    """Nothing runs, and nobody stands in line for a slot."""
    await idle(kit)
    assert kit._host.running._slots.waiting == 0


# --- open exchanges ----------------------------------------------------------------------------


@limits(max_concurrency_per_deployment=2)
async def test_no_more_exchanges_with_a_deployment_than_allowed(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service]))
    steadfaas.delay(by="1 min", times=None)
    began = steadfaas.now()
    sent = [await steadfaas.send("Slow/nap", number) for number in range(20)]
    engine = steadfaas._host.running
    for _ in range(20):
        await steadfaas.settle()
        check_books(engine)
        assert engine.open_exchanges == 2
        await steadfaas.advance("1 min")
    assert [await one.result() for one in sent] == list(range(20))
    assert steadfaas.now() == began + 20 * MINUTE, "40 exchanges of a minute, by two and two"
    assert slow.most_inside == 2
    assert sum(len(one.attempts) for one in sent) == 40
    await _idle(steadfaas)


@limits(max_concurrency=3, max_concurrency_per_deployment=2)
async def test_a_slow_deployment_leaves_room_for_another(steadfaas: Steadfaas) -> None:
    slow, quick = Slow(), restate.Service("Quick")

    @quick.handler()
    async def answer(ctx: restate.Context) -> str:
        return "quick"

    v1 = await steadfaas.deploy(restate.app([slow.service]))
    await steadfaas.deploy(restate.app([quick]))
    steadfaas.delay(v1, by="1 min", times=None)
    began = steadfaas.now()
    sent = [await steadfaas.send("Slow/work", number) for number in range(6)]
    for _ in range(5):
        assert await steadfaas.call("Quick/answer") == "quick"
    assert steadfaas.now() == began
    assert [one.status for one in sent] == ["running"] * 2 + ["ready"] * 4
    assert steadfaas._host.running._slots.open_with(v1.id) == 2
    assert [await one.result() for one in sent] == list(range(6))
    assert steadfaas.now() == began + 3 * MINUTE
    assert slow.most_inside == 2
    await _idle(steadfaas)


async def _order(kit: Steadfaas) -> list[str]:
    """Run ten invocations on each of two deployments, which wait for a single slot."""
    order: list[str] = []

    def made(name: str) -> restate.Service:
        service = restate.Service(name)

        @service.handler()
        async def work(ctx: restate.Context) -> None:
            order.append(name)

        return service

    for name in "AB":
        await kit.deploy(restate.app([made(name)]))
    kit.delay(by="1 min")  # meanwhile, all the others come
    sent = [await kit.send(f"{name}/work") for name in "A" * 10 + "B" * 10]
    await kit.settle()
    assert [one.status for one in sent] == ["running"] + ["ready"] * 19
    assert kit._host.running.open_exchanges == 1
    for one in sent:
        await one.result()
    await _idle(kit)
    return order


@limits(max_concurrency=1)
async def test_a_single_slot_serves_all(steadfaas: Steadfaas) -> None:
    order = await _order(steadfaas)
    assert sorted(order) == ["A"] * 10 + ["B"] * 10
    assert "B" in order[: len(order) // 2 + 2]


@limits(max_concurrency=1)
async def test_slots_are_shared_in_turn(steadfaas: Steadfaas) -> None:
    """With a single slot for all, neither deployment starves while the other has a line."""
    order = await _order(steadfaas)
    assert "AAA" not in "".join(order[:18])
    assert "BBB" not in "".join(order[:18])


@limits(max_concurrency=2)
async def test_what_waits_for_a_slot_survives_a_crash(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service]))
    steadfaas.delay(by="1 min", times=2)
    sent = [await steadfaas.send("Slow/work", number) for number in range(10)]
    await steadfaas.settle()
    assert [one.status for one in sent] == ["running"] * 2 + ["ready"] * 8
    await steadfaas.crash()
    assert [await one.result() for one in sent] == list(range(10))
    assert (slow.runs, slow.most_inside) == (10, 2)
    await _idle(steadfaas)


@limits(max_concurrency=1)
async def test_cancel_and_kill_while_waiting_for_a_slot(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service]))
    steadfaas.delay(by="1 min")
    sent = [await steadfaas.send("Slow/work", number) for number in range(4)]
    await steadfaas.settle()
    assert [one.status for one in sent] == ["running"] + ["ready"] * 3
    assert not await steadfaas._host.running.operators.cancel(sent[1].id)
    await sent[2].kill()
    check_books(steadfaas._host.running)
    assert sent[2].status == "unknown", "it had not begun and is gone"
    assert await sent[0].result() == 0
    assert await sent[3].result() == 3
    assert await sent[1].result() == 1, "it did not look whether it was cancelled"
    assert slow.runs == 3
    await _idle(steadfaas)


# --- what waits --------------------------------------------------------------------------------


@limits(max_queued=5, max_concurrency_per_deployment=1)
async def test_too_many_that_wait(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service, slow.thing]))
    steadfaas.delay(by="1 min")
    holder = await steadfaas.send("Thing/k/hold", 0)
    # Both those in line for a key and those in line for a slot count.
    sent = [await steadfaas.send("Thing/k/hold", number) for number in (1, 2)]
    sent += [await steadfaas.send("Slow/work", number) for number in (3, 4, 5)]
    await steadfaas.settle()
    assert [one.status for one in (holder, *sent)] == ["running"] + ["pending"] * 2 + ["ready"] * 3
    for path in ("/Slow/work/send", "/Slow/work", "/Thing/k/hold", "/Thing/other/hold"):
        refused = await post(steadfaas, path, 9)
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        problem = json.loads(refused.body)
        assert problem["source"] == "ingress"
        assert "max_queued" in problem["message"]
    # What is there already can still be asked for and changed.
    assert (await output(steadfaas, sent[0].text_id)).status == 470
    assert await steadfaas._host.running.operators.cancel(sent[0].id), "it is gone"
    sent.append(await steadfaas.send("Slow/work", 6))
    with pytest.raises(Refused, match=r"429: .*max_queued"):
        await steadfaas.send("Slow/work", 9)
    assert [await one.result() for one in sent[1:]] == [2, 3, 4, 5, 6]
    assert await steadfaas.call("Slow/work", 7) == 7
    await _idle(steadfaas)


@limits(max_queued=3)
async def test_the_limit_holds_over_a_crash(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service, slow.thing]))
    steadfaas.delay(by="1 min", times=2)
    sent = [await steadfaas.send("Thing/k/hold", number) for number in range(4)]
    await steadfaas.settle()
    await steadfaas.crash()
    assert (await post(steadfaas, "/Slow/work/send", 9)).status == 429
    await steadfaas.settle()
    assert [one.status for one in sent] == ["running"] + ["pending"] * 3
    assert [await one.result() for one in sent] == list(range(4))
    assert await steadfaas.call("Slow/work", 9) == 9
    await _idle(steadfaas)


# --- the folder --------------------------------------------------------------------------------


async def test_a_second_store_on_the_same_folder_is_refused(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service]))
    folder = steadfaas._host._folder
    assert folder is not None
    with pytest.raises(StoreError, match="in use by another steadfaas"):
        Store.open(folder, durability="none")
    assert await steadfaas.call("Slow/work", 1) == 1


def _full(kit: Steadfaas, *, more: int = 0) -> None:
    """From now on the database cannot grow by more than so many pages."""
    connection = kit._host.running.store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + more}")


def _room(kit: Steadfaas) -> None:
    kit._host.running.store._connection.execute("PRAGMA max_page_count = 1000000")


async def test_a_full_disk_refuses_and_heals(steadfaas: Steadfaas) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service, slow.thing]))
    assert await steadfaas.call("Thing/k/fill", 10) == 10
    _full(steadfaas)
    big = await post(steadfaas, "/Slow/work", 1, x_big="x" * 20_000)
    assert big.status == 503
    problem = json.loads(big.body)
    assert problem["source"] == "ingress"
    assert "full" in problem["message"]
    sent = await post(steadfaas, "/Slow/work/send", 1, x_big="x" * 20_000)
    assert sent.status == 503
    await steadfaas.advance("1 day")
    assert slow.runs == 1, "nothing that was refused ran"
    _room(steadfaas)
    assert result(await post(steadfaas, "/Slow/work", 2, x_big="x" * 20_000)) == 2
    assert await steadfaas.call("Thing/k/fill", 20) == 20
    await _idle(steadfaas)


async def test_work_in_flight_when_the_disk_fills_up_goes_on_when_there_is_room(
    steadfaas: Steadfaas,
) -> None:
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service, slow.thing]))
    # Accepted and begun; its state cannot be stored, and so its result is not either.
    _full(steadfaas, more=4)
    call = asyncio.ensure_future(post(steadfaas, "/Thing/k/fill", 100_000))
    await steadfaas.settle()
    assert slow.runs == 1
    await steadfaas.advance("100 ms")
    assert not call.done()
    _room(steadfaas)
    await steadfaas.advance("1 min")
    assert result(await call) == 100_000
    assert slow.runs == 2
    await _idle(steadfaas)


async def test_an_attempt_that_is_dropped_before_it_begins_gives_its_slot_back(
    steadfaas: Steadfaas,
) -> None:
    """A kill, or a refused transaction, may come with the very next group of units."""
    slow = Slow()
    await steadfaas.deploy(restate.app([slow.service]))
    driver = steadfaas._host.running._driver
    begin = driver.open
    dropped: list[int] = []

    def open_and_drop(inv: Any, deployment: Any) -> None:
        dropped.append(inv.attempt)
        begin(inv, deployment)
        driver.abort(inv.seq, inv.attempt)

    driver.open = open_and_drop  # type: ignore[method-assign]
    sent = await steadfaas.send("Slow/work", 1)
    driver.open = begin  # type: ignore[method-assign]
    assert dropped == [1]
    await sent.kill()
    assert slow.runs == 0
    await _idle(steadfaas)
