"""A database that refuses for a while refuses requests, and loses none that was accepted.

Refused are whole commits, beginnings of transactions, or single statements; then it heals. What was
acknowledged must then finish, and the books must balance: no slot lost, nobody counted twice.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import restate

from steadfaas.runtime import engine as engine_module
from tests.runtime.in_process import HASTY, Reply, World, code, eventually, run, world

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

Refusal = Callable[[str], bool]


class Moody:
    """Stands in front of the writing connection; `refuses` decides by the statement's text."""

    def __init__(self, here: World) -> None:
        self.refuses: Refusal = lambda sql: False
        self.refused = 0
        writer = here.engine.store.writer
        self._real: Any = writer._connection
        writer._connection = self  # type: ignore[assignment]
        writer._execute = self.execute

    def _check(self, sql: str) -> None:
        if self.refuses(sql):
            self.refused += 1
            raise sqlite3.OperationalError("disk I/O error")

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._check(sql)
        cursor: sqlite3.Cursor = self._real.execute(sql, *parameters)
        return cursor

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._check(sql)
        cursor: sqlite3.Cursor = self._real.executemany(sql, *parameters)
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Plant:
    """Handlers that use all that the store keeps."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.service = service = restate.Service("Plant", invocation_retry_policy=HASTY)
        self.counter = counter = restate.VirtualObject("Counter", invocation_retry_policy=HASTY)

        @counter.handler()
        async def add(ctx: restate.ObjectContext, value: int) -> int:
            await self.gate.wait()
            total = (await ctx.get("total", type_hint=int) or 0) + value
            ctx.set("total", total)
            return total

        @service.handler()
        async def work(ctx: restate.Context, key: str) -> int:
            await ctx.run_typed("step", lambda: 1)
            await ctx.sleep(timedelta(milliseconds=3))
            name, value = ctx.awakeable(type_hint=str)
            ctx.resolve_awakeable(name, "x")
            await value
            return await ctx.object_call(add, key=key, arg=1)

        @service.handler()
        async def hold(ctx: restate.Context) -> str:
            await self.gate.wait()
            return "held"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_LOOK_AGAIN_MS", 50)
    monkeypatch.setattr(engine_module, "_SWEEP_MS", 50)


def _once(start: str) -> Refusal:
    left = [1]

    def refuses(sql: str) -> bool:
        if left[0] and sql.startswith(start):
            left[0] -= 1
            return True
        return False

    return refuses


@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN", "INSERT INTO invocation"])
def test_a_request_that_cannot_be_stored_is_refused(tmp_path: Path, statement: str) -> None:
    async def test() -> None:
        plant = Plant()
        async with (
            code(plant.service, plant.counter) as endpoint,
            world(tmp_path, endpoint) as here,
        ):
            moody = Moody(here)
            for path in ("/Counter/k/add", "/Counter/k/add/send"):
                moody.refuses = _once(statement)
                refused = await here.post(path, 1)
                assert refused.status == 503
                assert refused.json()["source"] == "ingress"
            assert endpoint.exchanges == []
            assert await here.call("/Counter/k/add", 5) == 5
            await here.idle()

    run(test())


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "BEGIN", "UPDATE invocation SET status = 100"],
)
def test_a_result_that_cannot_be_stored_is_asked_for_again(tmp_path: Path, statement: str) -> None:
    async def test() -> None:
        plant = Plant()
        plant.gate.clear()
        async with (
            code(plant.service, plant.counter) as endpoint,
            world(tmp_path, endpoint) as here,
        ):
            moody = Moody(here)
            call = asyncio.ensure_future(here.call("/Counter/k/add", 1))
            await eventually(lambda: endpoint.open > 0)
            moody.refuses = _once(statement)
            plant.gate.set()
            assert await asyncio.wait_for(call, 2) == 1
            assert moody.refused == 1
            assert await here.call("/Counter/k/add", 1) == 2
            await here.idle()

    run(test())


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "BEGIN",
    ],
)
def test_a_slot_that_cannot_be_used_is_not_lost(tmp_path: Path, statement: str) -> None:
    async def test() -> None:
        plant = Plant()
        plant.gate.clear()
        async with (
            code(plant.service, plant.counter) as endpoint,
            world(tmp_path, endpoint, max_concurrency="1") as here,
        ):
            moody = Moody(here)
            first = await here.send("/Plant/hold")
            await eventually(lambda: endpoint.open > 0)
            second = await here.send("/Plant/hold")
            assert (await here.look(second))["status"] == "ready"
            # The transaction in which the second one gets its slot is refused.
            admit = here.engine.ledger.admit

            def refuse_once(*args: Any, **named: Any) -> None:
                here.engine.ledger.admit = admit  # type: ignore[method-assign]
                if statement == "COMMIT":
                    moody.refuses = _once("COMMIT")
                admit(*args, **named)

            if statement == "COMMIT":
                here.engine.ledger.admit = refuse_once  # type: ignore[method-assign]
            else:
                submit = here.engine._submit

                def submit_refused(change: Any, *args: Any, **named: Any) -> None:
                    if getattr(change, "func", None) == admit and not moody.refused:
                        moody.refuses = _once("BEGIN")
                    submit(change, *args, **named)

                here.engine._submit = submit_refused  # type: ignore[method-assign]
            plant.gate.set()
            for id in (first, second):
                assert await asyncio.wait_for(here.result(id), 2) == "held"
            assert moody.refused == 1
            await here.idle()

    run(test())


def test_timers_that_cannot_be_fired_are_fired_later(tmp_path: Path) -> None:
    async def test() -> None:
        plant = Plant()
        async with (
            code(plant.service, plant.counter) as endpoint,
            world(tmp_path, endpoint) as here,
        ):
            moody = Moody(here)
            for statement in ("COMMIT", "BEGIN", "DELETE FROM timer"):
                id = await here.send("/Counter/k/add", 1, delay="30ms")
                await asyncio.sleep(0.01)
                moody.refuses = _once(statement)
                await asyncio.wait_for(here.result(id), 3)
            assert moody.refused == 3
            await here.idle()

    run(test())


def test_the_sweep_goes_on_after_a_refusal(tmp_path: Path) -> None:
    async def test() -> None:
        plant = Plant()
        plant.service.journal_retention = timedelta(milliseconds=20)
        async with (
            code(plant.service, plant.counter) as endpoint,
            world(tmp_path, endpoint) as here,
        ):
            moody = Moody(here)
            id = await here.send("/Plant/hold")
            assert await here.result(id) == "held"
            moody.refuses = _once("DELETE FROM invocation")
            for _ in range(100):
                if (await here.get(f"/restate/invocation/{id}/output")).status == 404:
                    break
                await asyncio.sleep(0.01)
            assert moody.refused == 1
            assert (await here.get(f"/restate/invocation/{id}/output")).status == 404

    run(test())


@pytest.mark.parametrize(
    ("seed", "share", "words", "slots"),
    [
        (1, 0.2, ("COMMIT",), 100),
        (2, 0.02, ("INSERT", "UPDATE", "DELETE"), 100),
        (3, 0.02, ("COMMIT", "INSERT", "UPDATE", "DELETE", "SAVEPOINT"), 100),
        (4, 0.02, ("COMMIT", "INSERT", "UPDATE", "DELETE"), 4),
        (5, 0.2, ("BEGIN",), 100),
    ],
)  # fmt: skip
def test_whatever_is_refused_everything_accepted_is_done_once(
    tmp_path: Path, seed: int, share: float, words: tuple[str, ...], slots: int
) -> None:
    """Refusals at random while 60 requests come in; each that was accepted counts exactly once."""

    async def test() -> None:
        chance = random.Random(seed)
        plant = Plant()
        async with (
            code(plant.service, plant.counter) as endpoint,
            world(tmp_path, endpoint, max_concurrency=str(slots)) as here,
        ):
            moody = Moody(here)
            moody.refuses = lambda sql: (
                moody.refused < 15 and sql.startswith(words) and chance.random() < share
            )
            replies = await asyncio.gather(*(_insist(here, number) for number in range(60)))
            totals: dict[str, int] = {}
            for number, reply in enumerate(replies):
                id = reply.json()["invocationId"]
                result = await asyncio.wait_for(here.result(id), 5)
                totals[f"k{number % 7}"] = max(totals.get(f"k{number % 7}", 0), result)
            assert sum(totals.values()) == 60
            assert moody.refused > 5
            await here.idle()

    async def _insist(here: World, number: int) -> Reply:
        while True:
            reply = await here.post(
                "/Plant/work/send", f"k{number % 7}", headers={"idempotency-key": str(number)}
            )
            if reply.status == 202:
                return reply
            assert reply.status == 503
            with suppress(TimeoutError):
                await asyncio.sleep(0.01)

    run(test(), seconds=30)
