"""Limits hold, say so, and lose nothing: concurrency, queues, one engine per folder, full disks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import restate

from steadfaas.errors import StoreError
from tests.runtime.in_process import HASTY, World, code, eventually, run, world


class Slow:
    """Handlers that take as long as the test wants."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.runs = 0
        self.service = service = restate.Service("Slow", invocation_retry_policy=HASTY)
        self.thing = thing = restate.VirtualObject("Thing", invocation_retry_policy=HASTY)

        @service.handler()
        async def work(ctx: restate.Context, number: int) -> int:
            self.runs += 1
            await self.gate.wait()
            return number

        @service.handler()
        async def nap(ctx: restate.Context, number: int) -> int:
            await asyncio.sleep(0.005)
            await ctx.sleep(timedelta(milliseconds=5))
            return number

        @thing.handler()
        async def hold(ctx: restate.ObjectContext, number: int) -> int:
            await self.gate.wait()
            return number

        @thing.handler()
        async def fill(ctx: restate.ObjectContext, size: int) -> int:
            self.runs += 1
            ctx.set("value", "x" * size)
            return size


# --- open exchanges ----------------------------------------------------------------------------


def test_no_more_exchanges_with_a_deployment_than_allowed(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        async with (
            code(slow.service) as endpoint,
            world(tmp_path, endpoint, max_concurrency_per_deployment="2") as here,
        ):
            calls = [here.call("/Slow/nap", number) for number in range(20)]
            assert await asyncio.gather(*calls) == list(range(20))
            assert endpoint.most_open == 2
            assert len(endpoint.exchanges) == 40
            await here.idle()

    run(test())


def test_a_slow_deployment_leaves_room_for_another(tmp_path: Path) -> None:
    async def test() -> None:
        slow, quick = Slow(), restate.Service("Quick")

        @quick.handler()
        async def answer(ctx: restate.Context) -> str:
            return "quick"

        async with (
            code(slow.service) as one,
            code(quick) as two,
            world(
                tmp_path, one, two, max_concurrency="3", max_concurrency_per_deployment="2"
            ) as here,
        ):
            ids = [await here.send("/Slow/work", number) for number in range(6)]
            await eventually(lambda: one.open >= 2)
            for _ in range(5):
                assert await here.call("/Quick/answer") == "quick"
            assert one.open == 2
            slow.gate.set()
            assert [await here.result(id) for id in ids] == list(range(6))
            assert one.most_open == 2
            await here.idle()

    run(test())


def test_slots_are_shared_in_turn(tmp_path: Path) -> None:
    """With a single slot for all, neither deployment starves while the other has a line."""

    async def test() -> None:
        order: list[str] = []

        def made(name: str) -> restate.Service:
            service = restate.Service(name)

            @service.handler()
            async def work(ctx: restate.Context) -> None:
                order.append(name)

            return service

        async with (
            code(made("A")) as one,
            code(made("B")) as two,
            world(tmp_path, one, two, max_concurrency="1") as here,
        ):
            ids = [await here.send(f"/{name}/work") for name in "A" * 10 + "B" * 10]
            for id in ids:
                await here.result(id)
            assert max(one.most_open, two.most_open) == 1
            # Some ran while the others were still coming in; then they alternate.
            assert "B" in order[: len(order) // 2 + 2]
            await here.idle()

    run(test())


def test_what_waits_for_a_slot_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        async with code(slow.service) as endpoint:
            async with world(tmp_path, endpoint, max_concurrency="2") as here:
                ids = [await here.send("/Slow/work", number) for number in range(10)]
                await eventually(lambda: endpoint.open >= 2)
            slow.gate.set()
            async with world(tmp_path, max_concurrency="2") as here:
                assert [await here.result(id) for id in ids] == list(range(10))
                await here.idle()

    run(test())


def test_cancel_and_kill_while_waiting_for_a_slot(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        async with (
            code(slow.service) as endpoint,
            world(tmp_path, endpoint, max_concurrency="1") as here,
        ):
            ids = [await here.send("/Slow/work", number) for number in range(4)]
            await eventually(lambda: endpoint.open > 0)
            assert (await here.operate(ids[1], "cancel")).status == 202
            assert (await here.operate(ids[2], "kill")).status == 200
            slow.gate.set()
            assert await here.result(ids[0]) == 0
            assert await here.result(ids[3]) == 3
            await here.until(ids[1], "completed")
            await here.idle()

    run(test())


# --- what waits --------------------------------------------------------------------------------


def test_too_many_that_wait(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        async with (
            code(slow.service, slow.thing) as endpoint,
            world(tmp_path, endpoint, max_queued="5", max_concurrency_per_deployment="1") as here,
        ):
            holder = await here.send("/Thing/k/hold", 0)
            await here.until(holder, "running")
            # Both those in line for a key and those in line for a slot count.
            ids = [await here.send("/Thing/k/hold", number) for number in (1, 2)]
            ids += [await here.send("/Slow/work", number) for number in (3, 4, 5)]
            for path in ("/Slow/work", "/Slow/work/send", "/Thing/k/hold", "/Thing/other/hold"):
                refused = await here.post(path, 9)
                assert refused.status == 429
                assert refused.headers["retry-after"] == "1"
                assert refused.json()["source"] == "ingress"
                assert "max_queued" in refused.json()["message"]
            # What is there already can still be asked for and changed.
            assert (await here.get(f"/restate/invocation/{ids[0]}/output")).status == 470
            assert (await here.operate(ids[0], "cancel")).status == 200
            ids.append(await here.send("/Slow/work", 6))
            assert (await here.post("/Slow/work", 9)).status == 429
            slow.gate.set()
            assert [await here.result(id) for id in ids[1:]] == [2, 3, 4, 5, 6]
            assert await here.call("/Slow/work", 7) == 7
            await here.idle()

    run(test())


def test_the_limit_holds_over_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        async with code(slow.service, slow.thing) as endpoint:
            async with world(tmp_path, endpoint, max_queued="3") as here:
                ids = [await here.send("/Thing/k/hold", number) for number in range(4)]
            async with world(tmp_path, max_queued="3") as here:
                assert (await here.post("/Slow/work", 9)).status == 429
                slow.gate.set()
                assert [await here.result(id) for id in ids] == list(range(4))
                assert await here.call("/Slow/work", 9) == 9

    run(test())


# --- the folder --------------------------------------------------------------------------------


def test_a_second_engine_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        slow.gate.set()
        async with code(slow.service) as endpoint, world(tmp_path, endpoint) as here:
            with pytest.raises(StoreError, match="in use by another steadfaas"):
                async with world(tmp_path):
                    pass
            assert await here.call("/Slow/work", 1) == 1

    run(test())


async def _full(here: World, *, more: int = 0) -> None:
    """From now on the database cannot grow by more than so many pages."""
    connection = here.engine.store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + more}")


async def _room(here: World) -> None:
    here.engine.store._connection.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_refuses_and_heals(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        slow.gate.set()
        async with code(slow.service, slow.thing) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Thing/k/fill", 10) == 10
            await _full(here)
            big = await here.post("/Slow/work", 1, headers={"x-big": "x" * 20_000})
            assert big.status == 503
            assert big.json()["source"] == "ingress"
            assert "full" in big.json()["message"]
            sent = await here.post("/Slow/work/send", 1, headers={"x-big": "x" * 20_000})
            assert sent.status == 503
            assert slow.runs == 1  # nothing that was refused ran
            await _room(here)
            assert await here.call("/Slow/work", 2, x_big="x" * 20_000) == 2
            assert await here.call("/Thing/k/fill", 20) == 20
            await here.idle()

    run(test())


def test_work_in_flight_when_the_disk_fills_up_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        async with code(slow.service, slow.thing) as endpoint, world(tmp_path, endpoint) as here:
            # Accepted and begun; its state cannot be stored, and so its result is not either.
            slow.gate.set()
            await _full(here, more=4)
            call = asyncio.ensure_future(here.post("/Thing/k/fill", 100_000))
            await eventually(lambda: slow.runs > 0)
            await asyncio.sleep(0.1)
            assert not call.done()
            await _room(here)
            reply = await call
            assert (reply.status, reply.json()) == (200, 100_000)
            assert slow.runs == 2
            await here.idle()

    run(test())


def test_an_attempt_that_is_dropped_before_it_begins_gives_its_slot_back(tmp_path: Path) -> None:
    """A kill, or a refused transaction, may come with the very next group of units."""

    async def test() -> None:
        slow = Slow()
        slow.gate.set()
        async with code(slow.service) as endpoint, world(tmp_path, endpoint) as here:
            driver = here.engine._driver
            begin = driver.open

            def open_and_drop(inv: Any, deployment: Any) -> None:
                begin(inv, deployment)
                driver.abort(inv.seq, inv.attempt)

            driver.open = open_and_drop  # type: ignore[method-assign]
            id = await here.send("/Slow/work", 1)
            driver.open = begin  # type: ignore[method-assign]
            assert (await here.operate(id, "kill")).status == 200
            await here.idle()

    run(test())
