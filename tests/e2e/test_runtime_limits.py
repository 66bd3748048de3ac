"""The runtime where connections, folders, orderly ends or an operator's HTTP are the point."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
import restate

from steadfaas.errors import StoreError
from tests.runtime.in_process import LOOPBACK, code, eventually, run, world

pytestmark = pytest.mark.e2e


class Slow:
    """Handlers that take as long as the test wants."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.broken = False
        self.service = service = restate.Service("Slow")
        self.cart = cart = restate.VirtualObject("Cart")

        @service.handler()
        async def work(ctx: restate.Context, number: int) -> int:
            await self.gate.wait()
            return number

        @service.handler()
        async def nap(ctx: restate.Context, number: int) -> int:
            await asyncio.sleep(0.005)
            await ctx.sleep(timedelta(milliseconds=5))
            return number

        @service.handler()
        async def fail(ctx: restate.Context) -> str:
            if self.broken:
                raise RuntimeError("broken")
            return "mended"

        @cart.handler()
        async def put(ctx: restate.ObjectContext, item: str) -> int:
            await self.gate.wait()
            items = await ctx.get("items", type_hint=list) or []
            ctx.set("items", [*items, item])
            return len(items) + 1


def test_no_more_connections_to_a_deployment_than_allowed(tmp_path: Path) -> None:
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


def test_lines_and_limits_survive_an_orderly_end(tmp_path: Path) -> None:
    limits = {"max_queued": "8", "max_concurrency": "2"}

    async def test() -> None:
        slow = Slow()
        async with code(slow.service, slow.cart) as endpoint:
            async with world(tmp_path, endpoint, **limits) as here:
                puts = [await here.send("/Cart/k/put", str(number)) for number in range(5)]
                works = [await here.send("/Slow/work", number) for number in range(5)]
                await eventually(lambda: endpoint.open >= 2)
                assert (await here.post("/Slow/work", 9)).status == 429
            async with world(tmp_path, **limits) as here:
                assert (await here.post("/Slow/work", 9)).status == 429
                await eventually(lambda: endpoint.open >= 2)
                slow.gate.set()
                assert [await here.result(id) for id in puts] == [1, 2, 3, 4, 5]
                assert [await here.result(id) for id in works] == list(range(5))
                assert await here.call("/Slow/work", 9) == 9
                await here.idle()

    run(test())


def test_what_operators_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        slow = Slow()
        async with code(slow.service) as endpoint, world(tmp_path, endpoint) as here:

            async def told(id: str, action: str) -> int:
                return (await here.operate(id, action)).status

            delayed = await here.send("/Slow/fail", delay="1h")
            assert await told(delayed, "resume") == 425
            assert (await here.look(delayed))["status"] == "scheduled"
            assert await told(delayed, "cancel") == 200, "it had not started, and is gone"
            for action in ("cancel", "kill", "resume"):
                assert await told(delayed, action) == 404
            assert (await here.get(f"/restate/invocation/{delayed}/output")).status == 404

            running = await here.send("/Slow/work", 1)
            await here.until(running, "running")
            assert await told(running, "cancel") == 202, "it goes on, to its own end"
            assert await told(running, "kill") == 200
            view = await here.look(running)
            assert view["status"] == "completed"
            assert view["result"] == {"outcome": "failure", "code": 409, "message": "killed"}
            for action in ("cancel", "kill", "resume"):
                assert await told(running, action) == 409
            await here.idle()

    run(test())
    # What an operator may not do is no error of ours.
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_attempts_run_out_and_an_operator_decides(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Slow()
        slow.broken = True
        async with code(slow.service) as endpoint:
            async with world(tmp_path, endpoint, retry_max_attempts="3") as here:
                id = await here.send("/Slow/fail")
                view = await here.until(id, "paused")
                assert [attempt["outcome"] for attempt in view["attempts"]] == ["RT0007"] * 3
            async with world(tmp_path, retry_max_attempts="3") as here:
                assert (await here.look(id))["status"] == "paused"
                assert (await here.operate(id, "resume")).status == 200
                view = await here.until(id, "paused", attempts=6)
                assert len(view["attempts"]) == 6
                slow.broken = False
                assert (await here.operate(id, "resume")).status == 200
                assert await here.result(id) == "mended"
                await here.idle()

    run(test())


def test_keys_of_all_kinds_are_kept_apart_on_the_wire(tmp_path: Path) -> None:
    keys = ["a", "A", "a%20", "a%2520", "a%2Fb", "%C3%B6", "%F0%9F%A6%8A", "%00", "%27--", "."]

    async def test() -> None:
        slow = Slow()
        slow.gate.set()
        async with code(slow.cart) as endpoint, world(tmp_path, endpoint) as here:
            for expected in (1, 2):
                for number, key in enumerate(keys):
                    path = f"/Cart/{key}/put"
                    assert await _raw_call(here.ingress_port, path, number) == expected

    run(test())


async def _raw_call(port: int, path: str, number: int) -> int:
    """By hand: clients tidy up paths."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    body = b'"%d"' % number
    writer.write(
        b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % path.encode()
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return int(answer.rpartition(b"\r\n")[2])
