"""One key, one writer at a time: order, the line before a key, shared readers, state."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import restate

from steadfaas.testing import InvocationFailed, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle, post, result, told, until

pytestmark = pytest.mark.asyncio

MINUTE = 60_000
EVERY_MINUTE = restate.InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1), exponentiation_factor=1.0
)


class Shop:
    """An object whose handlers count who is inside, and may wait there for each other."""

    def __init__(self) -> None:
        self.party = 1  # who puts something in waits until so many are inside
        self.together = asyncio.Event()
        self.log: list[str] = []
        self.inside = 0
        self.most_inside = 0
        self.failures = 0
        self.cart = cart = restate.VirtualObject("Cart", invocation_retry_policy=EVERY_MINUTE)
        self.sender = restate.Service("Sender")

        @cart.handler()
        async def put(ctx: restate.ObjectContext, item: str) -> int:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            try:
                if self.inside >= self.party:
                    self.together.set()
                await self.together.wait()
                for _ in range(5):
                    await asyncio.sleep(0)  # whoever else is let in comes now
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


async def test_exclusive_handlers_take_turns_in_the_order_they_came(steadfaas: Steadfaas) -> None:
    shop = Shop()
    await steadfaas.deploy(restate.app([shop.cart]))
    over = steadfaas.delay(by="1 min", times=None)
    began = steadfaas.now()
    sent = [await steadfaas.send("Cart/k/put", str(number)) for number in range(50)]
    await steadfaas.settle()
    assert [one.status for one in sent] == ["running"] + ["pending"] * 49
    check_books(steadfaas._host.running)
    assert [await one.result() for one in sent] == list(range(1, 51))
    assert shop.log == [str(number) for number in range(50)]
    assert shop.most_inside == 1
    assert steadfaas.now() == began + 50 * MINUTE, "each had its minute to itself"
    over()
    assert await steadfaas.call("Cart/k/look") == shop.log
    await idle(steadfaas)


async def test_other_keys_do_not_wait(steadfaas: Steadfaas) -> None:
    shop = Shop()
    shop.party = 8
    await steadfaas.deploy(restate.app([shop.cart]))
    steadfaas.delay(by="1 min", times=8)
    began = steadfaas.now()
    sent = [await steadfaas.send(f"Cart/{number}/put", "x") for number in range(8)]
    await steadfaas.settle()
    assert [one.status for one in sent] == ["running"] * 8
    assert [await one.result() for one in sent] == [1] * 8
    assert shop.most_inside == 8
    assert steadfaas.now() == began + MINUTE
    await idle(steadfaas)


async def test_shared_handlers_run_beside_the_exclusive_one(steadfaas: Steadfaas) -> None:
    shop = Shop()
    await steadfaas.deploy(restate.app([shop.cart]))
    await steadfaas.call("Cart/k/put", "a")
    steadfaas.delay(by="1 min")
    began = steadfaas.now()
    writer = await steadfaas.send("Cart/k/put", "b")
    await steadfaas.settle()
    assert writer.status == "running"
    assert await steadfaas.call("Cart/k/look") == ["a"]
    assert (writer.status, steadfaas.now()) == ("running", began)
    assert await writer.result() == 2
    assert await steadfaas.call("Cart/k/look") == ["a", "b"]
    await idle(steadfaas)


async def test_the_key_is_held_while_its_holder_is_suspended(steadfaas: Steadfaas) -> None:
    shop = Shop()
    await steadfaas.deploy(restate.app([shop.cart]))
    holder = await steadfaas.send("Cart/k/wait_for")
    await steadfaas.settle()
    assert holder.status == "suspended"
    second = await steadfaas.send("Cart/k/put", "a")
    await steadfaas.advance("30 days")
    assert (holder.status, second.status) == ("suspended", "pending")
    assert shop.log == []
    # What the holder wrote is visible already.
    await steadfaas.resolve(await steadfaas.call("Cart/k/name_of"), "go")
    assert await holder.result() == "go"
    assert await second.result() == 1
    await idle(steadfaas)


async def test_the_key_is_held_while_its_holder_backs_off(steadfaas: Steadfaas) -> None:
    shop = Shop()
    shop.failures = 3
    await steadfaas.deploy(restate.app([shop.cart]))
    sent = [await steadfaas.send("Cart/k/put", item) for item in ("a", "b")]
    await steadfaas.settle()
    assert [one.status for one in sent] == ["backing-off", "pending"]
    assert [await one.result() for one in sent] == [1, 2]
    assert shop.log == ["a"] * 4 + ["b"]
    assert sent[0].attempts.outcomes == ["RT0007"] * 3 + ["completed"]
    # The failed attempts' writes were part of the journal, so nothing is written twice.
    assert await steadfaas.call("Cart/k/look") == ["a", "b"]
    await idle(steadfaas)


async def test_the_line_survives_a_crash(steadfaas: Steadfaas) -> None:
    shop = Shop()
    shop.party = 99
    await steadfaas.deploy(restate.app([shop.cart]))
    sent = [await steadfaas.send("Cart/k/put", str(number)) for number in range(10)]
    await until(lambda: shop.inside > 0)
    assert [one.status for one in sent] == ["running"] + ["pending"] * 9
    await steadfaas.crash()
    await until(lambda: shop.inside > 0)
    assert [one.status for one in sent] == ["running"] + ["pending"] * 9
    sent += [await steadfaas.send("Cart/k/put", str(number)) for number in range(10, 15)]
    shop.together.set()
    assert [await one.result() for one in sent] == list(range(1, 16))
    assert shop.log == [str(number) for number in range(15)]
    assert shop.most_inside == 1
    assert len(await steadfaas.call("Cart/k/look")) == 15
    await idle(steadfaas)


async def test_a_place_in_line_that_is_given_up(steadfaas: Steadfaas) -> None:
    shop = Shop()
    await steadfaas.deploy(restate.app([shop.cart]))
    steadfaas.delay(by="1 min")
    sent = [await steadfaas.send("Cart/k/put", str(number)) for number in range(5)]
    await steadfaas.settle()
    assert sent[0].status == "running"
    assert await steadfaas._host.running.operators.cancel(sent[2].id), "it is gone"
    await sent[3].kill()
    check_books(steadfaas._host.running)
    await sent[0].kill()
    assert await sent[1].result() == 1
    assert await sent[4].result() == 2
    assert shop.log == ["1", "4"]
    await idle(steadfaas)


async def test_a_terminal_failure_frees_the_key_and_keeps_its_writes(
    steadfaas: Steadfaas,
) -> None:
    shop = Shop()
    await steadfaas.deploy(restate.app([shop.cart]))
    assert told(await post(steadfaas, "/Cart/k/fail_for_good")) == (418, "no")
    with pytest.raises(InvocationFailed, match="418: no"):
        await steadfaas.call("Cart/other/fail_for_good")
    assert await steadfaas.call("Cart/k/put", "a") == 2
    assert await steadfaas.call("Cart/k/look") == ["left behind", "a"]
    await idle(steadfaas)


async def test_sends_and_calls_of_one_handler_keep_their_order(steadfaas: Steadfaas) -> None:
    shop = Shop()
    await steadfaas.deploy(restate.app([shop.cart, shop.sender]))
    assert await steadfaas.call("Sender/burst", 20) == 21
    assert shop.log == [*map(str, range(20)), "last"]
    assert shop.most_inside == 1
    await idle(steadfaas)


async def test_keys_of_all_kinds_are_kept_apart(steadfaas: Steadfaas) -> None:
    shop = Shop()
    keys = ["a", "A", "a%20", "a%2520", "a%2Fb", "%C3%B6", "%F0%9F%A6%8A", "%00", "%27--", "."]
    await steadfaas.deploy(restate.app([shop.cart]))
    for expected in (1, 2):
        for number, key in enumerate(keys):
            reply = await post(steadfaas, f"/Cart/{key}/put", str(number))
            assert result(reply) == expected, key
    assert steadfaas.state("Cart/a/b") == {"items": ["4", "4"]}
    assert steadfaas.state("Cart/\0") == {"items": ["7", "7"]}
    await idle(steadfaas)


async def test_lazy_and_eager_state_tell_the_same(steadfaas: Steadfaas) -> None:
    results = []
    for preload in (True, False):
        name = f"Preload{preload}"
        thing = restate.VirtualObject(name, state_preload=preload)

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

        await steadfaas.deploy(restate.app([thing]))
        results.append(
            [
                await steadfaas.call(f"{name}/k/work", 1),
                await steadfaas.call(f"{name}/k/work", 2),
                await steadfaas.call(f"{name}/k/forget"),
                await steadfaas.call(f"{name}/k/work", 3),
            ]
        )
    assert results[0] == results[1]
    assert results[0] == [
        [None, None, [], 1, None],
        [1, None, ["a", "c"], 2, None],
        [],
        [None, None, [], 3, None],
    ]
    await idle(steadfaas)
