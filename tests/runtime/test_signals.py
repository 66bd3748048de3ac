"""What reaches an invocation from outside: awakeables, signals, cancel, kill, resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import restate

from tests.runtime.in_process import HASTY, World, code, run, world

CANCELLED = 409


class Office:
    """Handlers that wait for something, and tell the test when they do."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()
        self.children: asyncio.Queue[str] = asyncio.Queue()
        self.log: list[str] = []
        self.before = asyncio.Event()
        self.before.set()
        self.broken = False
        self.service = service = restate.Service("Office", invocation_retry_policy=HASTY)
        self.box = box = restate.VirtualObject("Box", invocation_retry_policy=HASTY)

        @service.handler()
        async def wait(ctx: restate.Context) -> str:
            name, value = ctx.awakeable(type_hint=str)
            await ctx.run_typed("tell", lambda: self.names.put_nowait(name))
            await self.before.wait()
            return await value

        @service.handler()
        async def wait_for_either(ctx: restate.Context) -> list[str]:
            first_name, first = ctx.awakeable(type_hint=str)
            second_name, second = ctx.awakeable(type_hint=str)
            await ctx.run_typed("tell", lambda: self.names.put_nowait(first_name))
            await ctx.run_typed("tell too", lambda: self.names.put_nowait(second_name))
            match await restate.select(first=first, second=second):
                case ["first", value]:
                    return ["first", value]
                case ["second", value]:
                    return ["second", value]
            raise AssertionError("neither")

        @service.handler()
        async def resolve(ctx: restate.Context, name: str) -> None:
            ctx.resolve_awakeable(name, "from a handler")

        @service.handler()
        async def reject(ctx: restate.Context, name: str) -> None:
            ctx.reject_awakeable(name, "a handler says no", 418)

        @service.handler()
        async def parent(ctx: restate.Context) -> str:
            return await ctx.service_call(child, arg=None)

        @service.handler()
        async def child(ctx: restate.Context) -> str:
            await ctx.run_typed("tell", lambda: self.children.put_nowait(ctx.request().id))
            name, value = ctx.awakeable(type_hint=str)
            await ctx.run_typed("name", lambda: self.names.put_nowait(name))
            try:
                return await value
            except restate.TerminalError as error:
                undone = f"undone: {error.message}"
                await ctx.run_typed("undo", lambda: self.log.append(undone))
                raise

        @service.handler()
        async def sender(ctx: restate.Context) -> str:
            await ctx.service_send(child, arg=None).invocation_id()
            _, value = ctx.awakeable(type_hint=str)
            return await value

        @service.handler()
        async def stubborn(ctx: restate.Context) -> str:
            _, first = ctx.awakeable(type_hint=str)
            name, second = ctx.awakeable(type_hint=str)
            await ctx.run_typed("name", lambda: self.names.put_nowait(name))
            try:
                return await first
            except restate.TerminalError:
                return f"stayed, and got {await second}"

        @service.handler()
        async def fail(ctx: restate.Context) -> str:
            if self.broken:
                raise RuntimeError("broken")
            return "mended"

        @box.handler()
        async def hold(ctx: restate.ObjectContext) -> str:
            name, value = ctx.awakeable(type_hint=str)
            await ctx.run_typed("name", lambda: self.names.put_nowait(name))
            return await value

        @box.handler()
        async def use(ctx: restate.ObjectContext) -> str:
            return "used"


@asynccontextmanager
async def office(tmp_path: Path, **fields: object) -> AsyncIterator[tuple[Office, World]]:
    made = Office()
    async with (
        code(made.service, made.box) as endpoint,
        world(tmp_path, endpoint, **fields) as here,
    ):
        yield made, here


# --- awakeables --------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [True, False], ids=["before the await", "after the await"])
@pytest.mark.parametrize(
    ("how", "status", "answer"),
    [
        ("resolve", 200, "it is"),
        ("reject", 500, "it is not"),
        ("resolve by handler", 200, "from a handler"),
        ("reject by handler", 418, "a handler says no"),
    ],
)
def test_an_awakeable_is_completed_once(
    tmp_path: Path, how: str, status: int, answer: str, early: bool
) -> None:
    async def complete(here: World, name: str) -> None:
        if how == "resolve":
            assert (await here.post(f"/restate/awakeables/{name}/resolve", "it is")).status == 202
        elif how == "reject":
            reply = await here.post(
                f"/restate/awakeables/{name}/reject",
                data="it is not",
                headers={"content-type": "text/plain"},
            )
            assert reply.status == 202
        else:
            await here.call(f"/Office/{how.partition(' ')[0]}", name)

    async def test() -> None:
        async with office(tmp_path) as (made, here):
            if early:
                made.before.clear()
            id = await here.send("/Office/wait")
            name = await made.names.get()
            if not early:
                await here.until(id, "suspended")
            await complete(here, name)
            # The first one counted: nothing of these is seen, and none of them is an error.
            await here.post(f"/restate/awakeables/{name}/resolve", "too late")
            await here.post(f"/restate/awakeables/{name}/reject", "too late")
            made.before.set()
            reply = await here.get(f"/restate/invocation/{id}/attach")
            assert reply.status == status
            body = reply.json()
            assert (body if status == 200 else body["message"]) == answer
            assert (await here.post(f"/restate/awakeables/{name}/resolve", "x")).status == 202
            await here.idle()

    run(test())


def test_the_first_of_two(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            id = await here.send("/Office/wait_for_either")
            await made.names.get()
            second = await made.names.get()
            await here.until(id, "suspended")
            await here.post(f"/restate/awakeables/{second}/resolve", "b")
            assert await here.result(id) == ["second", "b"]

    run(test())


def test_an_awakeable_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        made = Office()
        async with code(made.service, made.box) as endpoint:
            async with world(tmp_path, endpoint) as here:
                id = await here.send("/Office/wait")
                name = await made.names.get()
                await here.until(id, "suspended")
            async with world(tmp_path) as here:
                assert (await here.look(id))["status"] == "suspended"
                await here.post(f"/restate/awakeables/{name}/resolve", "still here")
                assert await here.result(id) == "still here"

    run(test())


# --- cancel ------------------------------------------------------------------------------------


def test_cancel_reaches_the_child_first_and_lets_it_undo(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            id = await here.send("/Office/parent")
            child = await made.children.get()
            await made.names.get()
            await here.until(child, "suspended")
            await here.until(id, "suspended")
            assert (await here.operate(id, "cancel")).status == 202
            reply = await here.get(f"/restate/invocation/{id}/attach")
            assert reply.status == CANCELLED
            assert (await here.until(child, "completed"))["result"]["code"] == CANCELLED
            assert len(made.log) == 1
            assert made.log[0].startswith("undone: ")
            assert (await here.operate(id, "cancel")).status == 409
            await here.idle()

    run(test())


def test_a_handler_may_refuse_to_be_cancelled(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            id = await here.send("/Office/stubborn")
            name = await made.names.get()
            await here.until(id, "suspended")
            assert (await here.operate(id, "cancel")).status == 202
            await here.until(id, "suspended", attempts=3)
            await here.post(f"/restate/awakeables/{name}/resolve", "value")
            assert await here.result(id) == "stayed, and got value"

    run(test())


def test_cancel_of_what_has_not_started(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            holder = await here.send("/Box/k/hold")
            name = await made.names.get()
            waiting = asyncio.ensure_future(here.post("/Box/k/use"))
            queued = await here.send("/Box/k/use")
            delayed = await here.send("/Office/fail", delay="1h")
            await here.until(queued, "pending")
            for id in (queued, delayed):
                assert (await here.operate(id, "cancel")).status == 200
                assert (await here.operate(id, "cancel")).status == 404
                assert (await here.get(f"/restate/invocation/{id}/output")).status == 404
            await here.post(f"/restate/awakeables/{name}/resolve", "x")
            assert await here.result(holder) == "x"
            assert (await waiting).json() == "used"
            await here.idle()

    run(test())


def test_a_caller_that_waits_is_told_of_the_cancel(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            await here.send("/Box/k/hold")
            await made.names.get()
            headers = {"idempotency-key": "one"}
            waiting = asyncio.ensure_future(here.post("/Box/k/use", headers=headers))
            attached = None
            while attached is None or attached.status == 404:
                attached = await here.get("/restate/invocation/Box/k/use/one/output")
            assert attached.status == 470
            looked = await here.ask(
                "POST",
                f"{here.ingress}/restate/lookup",
                json={
                    "target": "idempotentInvocation",
                    "service": "Box",
                    "serviceKey": "k",
                    "handler": "use",
                    "idempotencyKey": "one",
                },
            )
            assert (await here.operate(looked.json()["invocationId"], "cancel")).status == 200
            reply = await waiting
            assert (reply.status, reply.json()["message"]) == (409, "canceled")

    run(test())


# --- kill --------------------------------------------------------------------------------------


def test_kill_takes_the_awaited_child_along(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            id = await here.send("/Office/parent")
            child = await made.children.get()
            name = await made.names.get()
            await here.until(child, "suspended")
            assert (await here.operate(id, "kill")).status == 200
            for each in (id, child):
                reply = await here.get(f"/restate/invocation/{each}/attach")
                assert (reply.status, reply.json()["message"]) == (409, "killed")
            assert made.log == []
            assert (await here.operate(id, "kill")).status == 409
            assert (await here.post(f"/restate/awakeables/{name}/resolve", "x")).status == 202
            await here.idle()

    run(test())


def test_kill_spares_what_was_only_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            id = await here.send("/Office/sender")
            child = await made.children.get()
            name = await made.names.get()
            await here.until(child, "suspended")
            assert (await here.operate(id, "kill")).status == 200
            await here.post(f"/restate/awakeables/{name}/resolve", "alive")
            assert await here.result(child) == "alive"

    run(test())


def test_kill_drops_the_open_attempt_and_frees_the_key(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            made.before.clear()
            id = await here.send("/Office/wait")
            await made.names.get()
            holder = await here.send("/Box/k/hold")
            await made.names.get()
            used = asyncio.ensure_future(here.call("/Box/k/use"))
            for each in (id, holder):
                assert (await here.operate(each, "kill")).status == 200
            assert await used == "used"
            made.before.set()
            assert (await here.look(id))["result"]["message"] == "killed"
            await here.idle()

    run(test())


def test_kill_of_what_backs_off(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (made, here):
            made.broken = True
            id = await here.send("/Office/fail")
            await here.until(id, "backing-off", attempts=2)
            assert (await here.operate(id, "kill")).status == 200
            await asyncio.sleep(0.05)
            view = await here.look(id)
            assert (view["status"], view["result"]["message"]) == ("completed", "killed")
            await here.idle()

    run(test())


# --- pause and resume --------------------------------------------------------------------------


def test_attempts_run_out_and_an_operator_decides(tmp_path: Path) -> None:
    async def test() -> None:
        made = Office()
        made.broken = True
        made.service.invocation_retry_policy = None
        async with code(made.service, made.box) as endpoint:
            async with world(tmp_path, endpoint, retry_max_attempts="3") as here:
                id = await here.send("/Office/fail")
                view = await here.until(id, "paused")
                assert [attempt["outcome"] for attempt in view["attempts"]] == ["RT0007"] * 3
            async with world(tmp_path, retry_max_attempts="3") as here:
                assert (await here.look(id))["status"] == "paused"
                assert (await here.operate(id, "resume")).status == 200
                view = await here.until(id, "paused", attempts=6)
                assert len(view["attempts"]) == 6
                made.broken = False
                await here.operate(id, "resume")
                assert await here.result(id) == "mended"
                await here.idle()

    run(test())


def test_attempts_run_out_and_the_caller_gets_the_last_error(tmp_path: Path) -> None:
    async def test() -> None:
        made = Office()
        made.broken = True
        made.service.invocation_retry_policy = None
        async with (
            code(made.service, made.box) as endpoint,
            world(tmp_path, endpoint, retry_max_attempts="2", retry_on_max_attempts="kill") as here,
        ):
            reply = await here.post("/Office/fail")
            assert reply.status == 500
            assert "broken" in reply.json()["message"]
            assert len(endpoint.exchanges) == 2

    run(test())


def test_resume_of_what_has_not_started(tmp_path: Path) -> None:
    async def test() -> None:
        async with office(tmp_path) as (_, here):
            id = await here.send("/Office/fail", delay="1h")
            assert (await here.operate(id, "resume")).status == 425
            unknown = id[:-3] + "zzz"
            for action in ("cancel", "kill", "resume"):
                assert (await here.operate(unknown, action)).status == 404
            assert (await here.look(id))["status"] == "scheduled"

    run(test())


def test_what_an_operator_may_not_do_is_no_error_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with office(tmp_path) as (_, here):
            id = await here.send("/Office/fail", delay="1h")
            assert (await here.operate(id, "resume")).status == 425

    run(test())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
