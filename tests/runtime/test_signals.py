"""What reaches an invocation from outside: awakeables, signals, cancel, kill, resume."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import restate

from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.servers.http1 import Reply
from steadfaas.testing import Invocation, InvocationFailed, Refused, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import handle, idle, output, post, result, told

pytestmark = pytest.mark.asyncio

CANCELLED = 409
EVERY_MINUTE = restate.InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1), exponentiation_factor=1.0
)


class Office:
    """Handlers that wait for something, and tell the test when they do."""

    def __init__(self, policy: restate.InvocationRetryPolicy | None = EVERY_MINUTE) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()
        self.children: asyncio.Queue[str] = asyncio.Queue()
        self.log: list[str] = []
        self.before = asyncio.Event()
        self.before.set()
        self.broken = False
        self.failing = 0  # runs of `fail`
        self.reached = 0  # handlers that got past `before`
        self.service = service = restate.Service("Office", invocation_retry_policy=policy)
        self.box = box = restate.VirtualObject("Box", invocation_retry_policy=policy)

        @service.handler()
        async def wait(ctx: restate.Context) -> str:
            name, value = ctx.awakeable(type_hint=str)
            await ctx.run_typed("tell", lambda: self.names.put_nowait(name))
            await self.before.wait()
            self.reached += 1
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
            self.failing += 1
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


async def office(
    kit: Steadfaas, policy: restate.InvocationRetryPolicy | None = EVERY_MINUTE
) -> Office:
    made = Office(policy)
    await kit.deploy(restate.app([made.service, made.box]))
    return made


async def attach(kit: Steadfaas, invocation: Invocation) -> Reply:
    """Wait for its result as a client does; time stands still."""
    return await kit.request("GET", f"/restate/invocation/{invocation.text_id}/attach")


async def settled(kit: Steadfaas, invocation: Invocation) -> str:
    """Its status when nothing happens any more without time passing."""
    await kit.settle()
    return invocation.status


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
async def test_an_awakeable_is_completed_once(
    steadfaas: Steadfaas, how: str, status: int, answer: str, early: bool
) -> None:
    made = await office(steadfaas)
    if early:
        made.before.clear()
    sent = await steadfaas.send("Office/wait")
    name = await made.names.get()
    if not early:
        assert await settled(steadfaas, sent) == "suspended"
    # Nothing here lets things settle: an early handler is held inside its exchange.
    assert await _complete(steadfaas, name, how) in (200, 202)
    # The first one counted: nothing of these is seen, and none of them is an error.
    path = f"/restate/awakeables/{name}"
    assert (await post(steadfaas, f"{path}/resolve", "too late")).status == 202
    assert (await _reject(steadfaas, name, "too late")).status == 202
    if early:
        assert made.reached == 0
    made.before.set()
    reply = await attach(steadfaas, sent)
    if status == 200:
        assert result(reply) == answer
    else:
        assert told(reply) == (status, answer)
    assert (await post(steadfaas, f"{path}/resolve", "x")).status == 202
    await idle(steadfaas)


async def _complete(kit: Steadfaas, name: str, how: str) -> int:
    if how == "resolve":
        return (await post(kit, f"/restate/awakeables/{name}/resolve", "it is")).status
    if how == "reject":
        return (await _reject(kit, name, "it is not")).status
    return (await post(kit, f"/Office/{how.partition(' ')[0]}", name)).status


async def _reject(kit: Steadfaas, name: str, reason: str) -> Reply:
    path = f"/restate/awakeables/{name}/reject"
    return await kit.request("POST", path, reason.encode(), {"content-type": "text/plain"})


async def test_the_first_of_two(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    sent = await steadfaas.send("Office/wait_for_either")
    assert await settled(steadfaas, sent) == "suspended"
    made.names.get_nowait()
    await steadfaas.resolve(made.names.get_nowait(), "b")
    assert await sent.result() == ["second", "b"]
    await idle(steadfaas)


async def test_an_awakeable_survives_a_crash(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    sent = await steadfaas.send("Office/wait")
    assert await settled(steadfaas, sent) == "suspended"
    await steadfaas.crash()
    assert await settled(steadfaas, sent) == "suspended"
    await steadfaas.resolve(made.names.get_nowait(), "still here")
    assert await sent.result() == "still here"
    assert made.names.empty(), "the step that told the name ran once"
    await idle(steadfaas)


# --- cancel ------------------------------------------------------------------------------------


async def test_cancel_reaches_the_child_first_and_lets_it_undo(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    sent = await steadfaas.send("Office/parent")
    assert await settled(steadfaas, sent) == "suspended"
    child = handle(steadfaas, made.children.get_nowait())
    assert child.status == "suspended"
    assert not await steadfaas._host.running.operators.cancel(sent.id), "it goes on, to its own end"
    assert (await attach(steadfaas, sent)).status == CANCELLED
    assert await settled(steadfaas, child) == "completed"
    with pytest.raises(InvocationFailed) as caught:
        await child.result()
    assert caught.value.code == CANCELLED
    assert len(made.log) == 1
    assert made.log[0].startswith("undone: ")
    with pytest.raises(Refused) as refused:
        await sent.cancel()
    assert refused.value.status == 409
    await idle(steadfaas)


async def test_a_handler_may_refuse_to_be_cancelled(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    sent = await steadfaas.send("Office/stubborn")
    assert await settled(steadfaas, sent) == "suspended"
    before = len(sent.attempts)
    assert not await steadfaas._host.running.operators.cancel(sent.id)
    assert await settled(steadfaas, sent) == "suspended"
    assert len(sent.attempts) == before + 1
    await steadfaas.resolve(made.names.get_nowait(), "value")
    assert await sent.result() == "stayed, and got value"
    await idle(steadfaas)


async def test_cancel_of_what_has_not_started(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    holder = await steadfaas.send("Box/k/hold")
    await steadfaas.settle()
    waiting = asyncio.ensure_future(post(steadfaas, "/Box/k/use"))
    await steadfaas.settle()
    queued = await steadfaas.send("Box/k/use")
    delayed = await steadfaas.send("Office/fail", delay="1h")
    await steadfaas.settle()
    assert [one.status for one in (holder, queued, delayed)] == [
        "suspended", "pending", "scheduled",
    ]  # fmt: skip
    for one in (queued, delayed):
        assert await steadfaas._host.running.operators.cancel(one.id), "it is gone"
        assert one.status == "unknown"
        with pytest.raises(Refused) as refused:
            await one.cancel()
        assert refused.value.status == 404
        assert (await output(steadfaas, one.text_id)).status == 404
    await steadfaas.resolve(made.names.get_nowait(), "x")
    assert await holder.result() == "x"
    assert result(await waiting) == "used"
    await steadfaas.advance("2h")
    assert made.failing == 0, "what was cancelled does not start after all"
    await idle(steadfaas)


async def test_a_caller_that_waits_is_told_of_the_cancel(steadfaas: Steadfaas) -> None:
    await office(steadfaas)
    await steadfaas.send("Box/k/hold")
    await steadfaas.settle()
    waiting = asyncio.ensure_future(post(steadfaas, "/Box/k/use", key="one"))
    await steadfaas.settle()
    assert (await output(steadfaas, "Box/k/use/one")).status == 470
    looked = await post(
        steadfaas,
        "/restate/lookup",
        {
            "target": "idempotentInvocation",
            "service": "Box",
            "serviceKey": "k",
            "handler": "use",
            "idempotencyKey": "one",
        },
    )
    used = handle(steadfaas, result(looked)["invocationId"])
    assert not waiting.done()
    assert await steadfaas._host.running.operators.cancel(used.id), "it is gone"
    assert told(await waiting) == (409, "canceled")
    check_books(steadfaas._host.running)


# --- kill --------------------------------------------------------------------------------------


async def test_kill_takes_the_awaited_child_along(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    sent = await steadfaas.send("Office/parent")
    assert await settled(steadfaas, sent) == "suspended"
    child = handle(steadfaas, made.children.get_nowait())
    assert child.status == "suspended"
    await sent.kill()
    for each in (sent, child):
        assert told(await attach(steadfaas, each)) == (409, "killed")
    assert made.log == []
    with pytest.raises(Refused) as refused:
        await sent.kill()
    assert refused.value.status == 409
    await steadfaas.resolve(made.names.get_nowait(), "x")
    assert (child.status, made.log) == ("completed", [])
    await idle(steadfaas)


async def test_kill_spares_what_was_only_sent(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    sent = await steadfaas.send("Office/sender")
    assert await settled(steadfaas, sent) == "suspended"
    child = handle(steadfaas, made.children.get_nowait())
    assert child.status == "suspended"
    await sent.kill()
    assert (sent.status, child.status) == ("completed", "suspended")
    await steadfaas.resolve(made.names.get_nowait(), "alive")
    assert await child.result() == "alive"
    await idle(steadfaas)


async def test_kill_drops_the_open_attempt_and_frees_the_key(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    made.before.clear()
    sent = await steadfaas.send("Office/wait")
    await made.names.get()
    holder = await steadfaas.send("Box/k/hold")
    await made.names.get()
    used = asyncio.ensure_future(post(steadfaas, "/Box/k/use"))
    assert sent.status == "running"
    # The handler is inside its exchange, and stays there for good: nothing settles before this.
    await sent.kill()
    await holder.kill()
    assert result(await used) == "used"
    made.before.set()
    await steadfaas.settle()
    assert made.reached == 0, "the attempt was dropped where it stood"
    with pytest.raises(InvocationFailed, match="409: killed"):
        await sent.result()
    await idle(steadfaas)


async def test_kill_of_what_backs_off(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas)
    made.broken = True
    sent = await steadfaas.send("Office/fail")
    await steadfaas.advance("90 s")
    assert (sent.status, made.failing) == ("backing-off", 2)
    await sent.kill()
    await steadfaas.advance("1 day")
    assert (sent.status, made.failing) == ("completed", 2)
    with pytest.raises(InvocationFailed, match="409: killed"):
        await sent.result()
    await idle(steadfaas)


# --- pause and resume --------------------------------------------------------------------------


@pytest.mark.steadfaas(defaults=HandlerOptions(retry=RetryPolicy(max_attempts=3)))
async def test_attempts_run_out_and_an_operator_decides(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas, policy=None)
    made.broken = True
    sent = await steadfaas.send("Office/fail")
    await steadfaas.advance("1 day")
    assert sent.status == "paused"
    assert sent.attempts.outcomes == ["RT0007"] * 3
    await steadfaas.crash()
    assert await settled(steadfaas, sent) == "paused"
    await sent.resume()
    await steadfaas.advance("1 day")
    assert sent.status == "paused"
    assert sent.attempts.outcomes == ["RT0007"] * 6
    made.broken = False
    await sent.resume()
    assert await sent.result() == "mended"
    await idle(steadfaas)


@pytest.mark.steadfaas(
    defaults=HandlerOptions(retry=RetryPolicy(max_attempts=2, on_max_attempts=OnMaxAttempts.KILL))
)
async def test_attempts_run_out_and_the_caller_gets_the_last_error(steadfaas: Steadfaas) -> None:
    made = await office(steadfaas, policy=None)
    made.broken = True
    waiting = asyncio.ensure_future(post(steadfaas, "/Office/fail"))
    await steadfaas.settle()
    await steadfaas.advance("1 day")
    status, message = told(await waiting)
    assert status == 500
    assert "broken" in message
    assert made.failing == 2
    await idle(steadfaas)


async def test_resume_of_what_has_not_started(
    steadfaas: Steadfaas, caplog: pytest.LogCaptureFixture
) -> None:
    await office(steadfaas)
    sent = await steadfaas.send("Office/fail", delay="1h")
    with pytest.raises(Refused) as refused:
        await sent.resume()
    assert refused.value.status == 425
    unknown = handle(steadfaas, sent.text_id[:-3] + "zzz")
    for act in (unknown.cancel, unknown.kill, unknown.resume):
        with pytest.raises(Refused) as refused:
            await act()
        assert refused.value.status == 404
    assert sent.status == "scheduled"
    # What an operator may not do is no error of ours.
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert await sent.result() == "mended"
    await idle(steadfaas)
