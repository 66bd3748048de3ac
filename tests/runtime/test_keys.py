"""One key, one writer at a time: order, the line before a key, shared readers, state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import restate

from tests.runtime.in_process import HASTY, code, eventually, run, world


class Shop:
    """An object whose handlers can be held at a gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.log: list[str] = []
        self.inside = 0
        self.most_inside = 0
        self.failures = 0
        self.cart = cart = restate.VirtualObject("Cart", invocation_retry_policy=HASTY)
        self.sender = restate.Service("Sender")

        @cart.handler()
        async def put(ctx: restate.ObjectContext, item: str) -> int:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            try:
                await self.gate.wait()
                await asyncio.sleep(0)
                self.log.append(item)
                items = await ctx.get("items", type_hint=list) or []
                ctx.set("items", [*items, item])
                if self.failures:
                    self.failures -= 1
                    raise RuntimeError("not well")
                return len(items) + 1
            finally:
                self.inside -= 1

        @cart.handler()
        async def wait_for(ctx: restate.ObjectContext) -> str:
            name, value = ctx.awakeable(type_hint=str)
            ctx.set("name", name)
            return await value

        @cart.handler(kind="shared")
        async def look(ctx: restate.ObjectSharedContext) -> list[str]:
            return await ctx.get("items", type_hint=list) or []

        @cart.handler(kind="shared")
        async def name_of(ctx: restate.ObjectSharedContext) -> str | None:
            return await ctx.get("name", type_hint=str)

        @cart.handler()
        async def fail_for_good(ctx: restate.ObjectContext) -> None:
            ctx.set("items", ["left behind"])
            raise restate.TerminalError("no", status_code=418)

        @self.sender.handler()
        async def burst(ctx: restate.Context, count: int) -> int:
            for number in range(count):
                ctx.object_send(put, key="k", arg=str(number))
            return await ctx.object_call(put, key="k", arg="last")


def test_exclusive_handlers_take_turns_in_the_order_they_came(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            ids = [await here.send("/Cart/k/put", str(number)) for number in range(50)]
            await here.until(ids[0], "running")
            assert (await here.look(ids[1]))["status"] == "pending"
            assert (await here.look(ids[49]))["status"] == "pending"
            shop.gate.set()
            assert [await here.result(id) for id in ids] == list(range(1, 51))
            assert shop.log == [str(number) for number in range(50)]
            assert shop.most_inside == 1
            assert await here.call("/Cart/k/look") == shop.log
            await here.idle()

    run(test())


def test_other_keys_do_not_wait(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            ids = [await here.send(f"/Cart/{number}/put", "x") for number in range(8)]
            for id in ids:
                await here.until(id, "running")
            await eventually(lambda: shop.inside >= 8)
            shop.gate.set()
            assert [await here.result(id) for id in ids] == [1] * 8

    run(test())


def test_shared_handlers_run_beside_the_exclusive_one(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            shop.gate.set()
            await here.call("/Cart/k/put", "a")
            shop.gate.clear()
            id = await here.send("/Cart/k/put", "b")
            await here.until(id, "running")
            assert await here.call("/Cart/k/look") == ["a"]
            shop.gate.set()
            assert await here.result(id) == 2
            assert await here.call("/Cart/k/look") == ["a", "b"]

    run(test())


def test_the_key_is_held_while_its_holder_is_suspended(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        shop.gate.set()
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            holder = await here.send("/Cart/k/wait_for")
            await here.until(holder, "suspended")
            second = await here.send("/Cart/k/put", "a")
            await asyncio.sleep(0.05)
            assert (await here.look(second))["status"] == "pending"
            # What the holder wrote is visible already.
            name = await here.call("/Cart/k/name_of")
            await here.post(f"/restate/awakeables/{name}/resolve", "go")
            assert await here.result(holder) == "go"
            assert await here.result(second) == 1
            await here.idle()

    run(test())


def test_the_key_is_held_while_its_holder_backs_off(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        shop.gate.set()
        shop.failures = 3
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            ids = [await here.send("/Cart/k/put", item) for item in ("a", "b")]
            results = [await here.result(id) for id in ids]
            assert results == [1, 2]
            assert shop.log == ["a"] * 4 + ["b"]
            # The failed attempts' writes were part of the journal, so nothing is written twice.
            assert await here.call("/Cart/k/look") == ["a", "b"]

    run(test())


def test_the_line_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        async with code(shop.cart) as endpoint:
            async with world(tmp_path, endpoint) as here:
                ids = [await here.send("/Cart/k/put", str(number)) for number in range(10)]
                await here.until(ids[0], "running")
            async with world(tmp_path) as here:
                await here.until(ids[0], "running")
                ids += [await here.send("/Cart/k/put", str(number)) for number in range(10, 15)]
                shop.gate.set()
                assert [await here.result(id) for id in ids] == list(range(1, 16))
                # The attempt that was cut off still ran on: only its repetition counts.
                assert list(dict.fromkeys(shop.log)) == [str(number) for number in range(15)]
                assert len(await here.call("/Cart/k/look")) == 15
                await here.idle()

    run(test())


def test_a_place_in_line_that_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            ids = [await here.send("/Cart/k/put", str(number)) for number in range(5)]
            await here.until(ids[0], "running")
            assert (await here.operate(ids[2], "cancel")).status == 200
            assert (await here.operate(ids[3], "kill")).status == 200
            assert (await here.operate(ids[0], "kill")).status == 200
            shop.gate.set()
            assert await here.result(ids[1]) == 1
            assert await here.result(ids[4]) == 2
            assert shop.log[-2:] == ["1", "4"]
            await here.idle()

    run(test())


def test_a_terminal_failure_frees_the_key_and_keeps_its_writes(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        shop.gate.set()
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            reply = await here.post("/Cart/k/fail_for_good")
            assert reply.status == 418
            assert await here.call("/Cart/k/put", "a") == 2
            assert await here.call("/Cart/k/look") == ["left behind", "a"]

    run(test())


def test_sends_and_calls_of_one_handler_keep_their_order(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        shop.gate.set()
        async with code(shop.cart, shop.sender) as endpoint, world(tmp_path, endpoint) as here:
            assert await here.call("/Sender/burst", 20) == 21
            assert shop.log == [*map(str, range(20)), "last"]

    run(test())


def test_keys_of_all_kinds_are_kept_apart(tmp_path: Path) -> None:
    async def test() -> None:
        shop = Shop()
        shop.gate.set()
        keys = ["a", "A", "a%20", "a%2520", "a%2Fb", "%C3%B6", "%F0%9F%A6%8A", "%00", "%27--", "."]
        async with code(shop.cart) as endpoint, world(tmp_path, endpoint) as here:
            for number, key in enumerate(keys):
                # By hand: clients tidy up paths.
                assert await _raw_call(here.ingress_port, f"/Cart/{key}/put", number) == 1
            for number, key in enumerate(keys):
                assert await _raw_call(here.ingress_port, f"/Cart/{key}/put", number) == 2

    async def _raw_call(port: int, path: str, number: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
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

    run(test())


def test_lazy_and_eager_state_tell_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        results = []
        for preload in (True, False):
            thing = restate.VirtualObject("Thing", state_preload=preload)

            @thing.handler()
            async def work(ctx: restate.ObjectContext, value: int) -> list[object]:
                before: list[object] = [
                    await ctx.get("a", type_hint=int),
                    await ctx.get("b", type_hint=str),
                    list(await ctx.state_keys()),
                ]
                ctx.set("a", value)
                ctx.set("b", "\0" * value)
                ctx.clear("b")
                ctx.set("c", None)
                after = [await ctx.get("a", type_hint=int), await ctx.get("b", type_hint=str)]
                return [*before, *after]

            @thing.handler()
            async def forget(ctx: restate.ObjectContext) -> list[str]:
                ctx.clear_all()
                return list(await ctx.state_keys())

            async with (
                code(thing) as endpoint,
                world(tmp_path / str(preload), endpoint) as here,
            ):
                results.append(
                    [
                        await here.call("/Thing/k/work", 1),
                        await here.call("/Thing/k/work", 2),
                        await here.call("/Thing/k/forget"),
                        await here.call("/Thing/k/work", 3),
                    ]
                )
        assert results[0] == results[1]
        assert results[0] == [
            [None, None, [], 1, None],
            [1, None, ["a", "c"], 2, None],
            [],
            [None, None, [], 3, None],
        ]

    run(test())
