"""A plain service with one handler per thing an engine must be able to do."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TypedDict

import restate
from restate.serde import BytesSerde

from tests.services.counter import add as counter_add
from tests.services.mailbox import put as mailbox_put

basic = restate.Service(
    "Basic",
    # Short, so that a test of retries takes milliseconds.
    invocation_retry_policy=restate.InvocationRetryPolicy(
        initial_interval=timedelta(milliseconds=20),
        exponentiation_factor=1.0,
        max_interval=timedelta(milliseconds=100),
    ),
)

# How often `failTimes` has failed for an invocation. It lives in the endpoint's memory on
# purpose: a failed attempt leaves nothing behind in the journal.
_failures: Counter[str] = Counter()


class Failure(TypedDict):
    """What `terminal` is to fail with."""

    code: int
    message: str


class DelayedAdd(TypedDict):
    """An addition to a counter, some milliseconds from now."""

    key: str
    value: int
    delay_ms: int


class Value(TypedDict):
    """A value for whoever waits under `id`."""

    id: str
    value: str


class Signal(TypedDict):
    """A value for a named signal of an invocation."""

    id: str
    name: str
    value: str


@basic.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    """The smallest useful handler."""
    return f"Hello {name}"


@basic.handler("echo", accept="*/*", content_type="application/octet-stream")
async def echo(ctx: restate.Context, body: bytes) -> bytes:
    """Any bytes of any type, back."""
    return body


@basic.handler(
    "bigEcho",
    accept="application/octet-stream",
    content_type="application/octet-stream",
    input_serde=BytesSerde(),
    output_serde=BytesSerde(),
)
async def big_echo(ctx: restate.Context, body: bytes) -> bytes:
    """Bytes back, through a durable step, so that they cross the wire in every direction."""
    return await ctx.run_typed("copy", lambda: body, restate.RunOptions(serde=BytesSerde()))


@basic.handler()
async def nothing(ctx: restate.Context) -> None:
    """No input, no output."""


@basic.handler("headers")
async def headers(ctx: restate.Context) -> dict[str, str]:
    """The request headers that reached the handler."""
    return dict(ctx.request().headers)


@basic.handler("threeSteps")
async def three_steps(ctx: restate.Context, name: str) -> list[str]:
    """Three durable steps, one after the other."""
    first = await ctx.run_typed("first", lambda: f"1 {name}")
    second = await ctx.run_typed("second", lambda: f"2 {name}")
    third = await ctx.run_typed("third", lambda: f"3 {name}")
    return [first, second, third]


@basic.handler()
async def sleepy(ctx: restate.Context) -> str:
    """A durable sleep of 100 ms."""
    await ctx.sleep(timedelta(milliseconds=100))
    return "awake"


@basic.handler("sleepFor")
async def sleep_for(ctx: restate.Context, milliseconds: int) -> str:
    """A durable sleep of the given length."""
    await ctx.sleep(timedelta(milliseconds=milliseconds))
    return "awake"


@basic.handler("workFor")
async def work_for(ctx: restate.Context, milliseconds: int) -> str:
    """Work that long within one exchange."""
    await asyncio.sleep(milliseconds / 1000)
    return "worked"


@basic.handler("failTimes")
async def fail_times(ctx: restate.Context, times: int) -> int:
    """Fail retryably that many times, then give the number of failures."""
    invocation = ctx.request().id
    if _failures[invocation] < times:
        _failures[invocation] += 1
        raise RuntimeError(f"failure {_failures[invocation]} of {times}")
    return _failures.pop(invocation, 0)


@basic.handler()
async def terminal(ctx: restate.Context, failure: Failure) -> str:
    """Fail for good."""
    raise restate.TerminalError(failure["message"], status_code=failure["code"])


@basic.handler("callOther")
async def call_other(ctx: restate.Context, name: str) -> str:
    """Call another handler and wait for it."""
    greeting = await ctx.service_call(greet, arg=name)
    return f"{greeting}, says callOther"


@basic.handler("callTerminal")
async def call_terminal(ctx: restate.Context, failure: Failure) -> str:
    """Call a handler that fails for good, and pass its failure on."""
    return await ctx.service_call(terminal, arg=failure)


@basic.handler("sendOther")
async def send_other(ctx: restate.Context, key: str) -> str:
    """Send an addition to a counter and give the new invocation's id."""
    handle = ctx.object_send(counter_add, key=key, arg=1)
    return await handle.invocation_id()


@basic.handler("delayedSend")
async def delayed_send(ctx: restate.Context, order: DelayedAdd) -> str:
    """Send an addition that starts later, and give the new invocation's id."""
    handle = ctx.object_send(
        counter_add,
        key=order["key"],
        arg=order["value"],
        send_delay=timedelta(milliseconds=order["delay_ms"]),
    )
    return await handle.invocation_id()


@basic.handler("awaitAwakeable")
async def await_awakeable(ctx: restate.Context, mailbox: str) -> str:
    """Put the id of a new awakeable into a mailbox and wait for its value."""
    name, value = ctx.awakeable(type_hint=str)
    ctx.object_send(mailbox_put, key=mailbox, arg=name)
    return await value


@basic.handler("resolveAwakeable")
async def resolve_awakeable(ctx: restate.Context, value: Value) -> None:
    """Resolve somebody's awakeable."""
    ctx.resolve_awakeable(value["id"], value["value"])


@basic.handler("rejectAwakeable")
async def reject_awakeable(ctx: restate.Context, value: Value) -> None:
    """Reject somebody's awakeable; the value is the reason."""
    ctx.reject_awakeable(value["id"], value["value"], 409)


@basic.handler("awaitSignal")
async def await_signal(ctx: restate.Context, name: str) -> str:
    """Wait for a named signal."""
    return await ctx.signal(name, type_hint=str)


@basic.handler("sendSignal")
async def send_signal(ctx: restate.Context, signal: Signal) -> None:
    """Send a named signal to an invocation."""
    ctx.resolve_signal(signal["id"], signal["name"], signal["value"])


@basic.handler("attach")
async def attach(ctx: restate.Context, invocation: str) -> str:
    """Wait for the result of another invocation."""
    return await ctx.attach_invocation(invocation, type_hint=str)
