"""Services for operators to look at, stop, move and repair: two versions of each, under any name.

One process serves them all. `/{prefix}/{version}` is an endpoint of its own, whose services are
called `{prefix}Desk`, `{prefix}Till` and `{prefix}Order`, so that every test registers services
that no other test touches. Retries come after minutes: what fails stays to be looked at.

Version `v2` differs from `v1` where it hurts: `swap` takes other steps, and there is a handler
more. `typed` makes an object of the desk.
"""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from typing import Any

import restate

from tests.services.effects import Asgi, Scope

MINUTES = restate.InvocationRetryPolicy(
    initial_interval=timedelta(minutes=10), max_interval=timedelta(minutes=10)
)
TWICE = restate.InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=10), max_attempts=2, on_max_attempts="pause"
)
NAP = timedelta(minutes=30)


def desk(name: str, version: str) -> restate.Service:
    """A plain service with one handler for each way to end up in an operator's list."""
    service = restate.Service(name, invocation_retry_policy=MINUTES)

    @service.handler()
    async def greet(ctx: restate.Context, who: str) -> str:
        """Done at once."""
        return f"Hello {who} from {version}"

    @service.handler()
    async def nap(ctx: restate.Context) -> str:
        """Suspended until somebody does something about it."""
        await ctx.run_typed("lie down", lambda: "down")
        await ctx.sleep(NAP)
        return "awake"

    @service.handler()
    async def wait(ctx: restate.Context) -> str:
        """Suspended on an awakeable that nobody is told about."""
        await ctx.run_typed("ask", lambda: "asked")
        _, value = ctx.awakeable(type_hint=str)
        return await value

    @service.handler()
    async def listen(ctx: restate.Context) -> str:
        """Suspended without a stored step: an awakeable leaves none."""
        _, value = ctx.awakeable(type_hint=str)
        return await value

    @service.handler()
    async def work(ctx: restate.Context, milliseconds: int) -> str:
        """Running that long, in one exchange."""
        await asyncio.sleep(milliseconds / 1000)
        return "worked"

    @service.handler()
    async def broken(ctx: restate.Context) -> str:
        """Fails after a stored step, and is retried in minutes."""
        await ctx.run_typed("prepare", lambda: "prepared")
        await ctx.sleep(timedelta(milliseconds=1))
        raise RuntimeError("the drawer is stuck")

    @service.handler(invocation_retry_policy=TWICE)
    async def stubborn(ctx: restate.Context) -> str:
        """Fails twice and is then paused."""
        await ctx.run_typed("prepare", lambda: "prepared")
        raise RuntimeError("no means no")

    @service.handler()
    async def refuse(ctx: restate.Context, why: str) -> str:
        """Fails for good."""
        raise restate.TerminalError(why, status_code=409)

    @service.handler()
    async def swap(ctx: restate.Context) -> str:
        """Charges, then naps; in `v2` naps first, so that a journal of `v1` does not fit."""
        if version == "v1":
            await ctx.run_typed("charge", lambda: "charged")
        await ctx.sleep(NAP)
        return f"swapped by {version}"

    if version == "v2":

        @service.handler()
        async def extra(ctx: restate.Context) -> str:
            """What only the second version offers."""
            return "extra"

    return service


def typed_desk(name: str) -> restate.VirtualObject:
    """The desk's name on a service of another type."""
    service = restate.VirtualObject(name)
    for handler in (
        *("greet", "nap", "wait", "listen", "work"),
        *("broken", "stubborn", "refuse", "swap"),
    ):

        async def nothing(ctx: restate.ObjectContext) -> None:
            """Never called."""

        service.handler(handler)(nothing)
    return service


def till(name: str) -> restate.VirtualObject:
    """An object with state, and a handler that keeps its key locked."""
    service = restate.VirtualObject(name, invocation_retry_policy=MINUTES)

    @service.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> int:
        """Add to the sum and remember the last amount."""
        total = (await ctx.get("total", type_hint=int) or 0) + amount
        ctx.set("total", total)
        ctx.set("last", {"amount": amount})
        return total

    @service.handler(kind="shared")
    async def read(ctx: restate.ObjectSharedContext) -> int | None:
        """The sum, if there is one."""
        return await ctx.get("total", type_hint=int)

    @service.handler()
    async def hold(ctx: restate.ObjectContext) -> str:
        """Keep the key until somebody does something about it."""
        await ctx.run_typed("ask", lambda: "asked")
        _, value = ctx.awakeable(type_hint=str)
        return await value

    return service


def order(name: str, desk_name: str) -> restate.Workflow:
    """A workflow that waits to be paid, with state and a promise."""
    service = restate.Workflow(name, invocation_retry_policy=MINUTES)

    @service.main()
    async def run(ctx: restate.WorkflowContext, item: str) -> str:
        """Ask the desk, then wait for the money."""
        ctx.set("item", item)
        greeting = await ctx.generic_call(desk_name, "greet", b'"order"')
        await ctx.promise("paid", type_hint=str)
        return f"{greeting.decode()} {item}"

    @service.handler()
    async def pay(ctx: restate.WorkflowSharedContext, by: str) -> None:
        """Keep the promise."""
        await ctx.promise("paid", type_hint=str).resolve(by)

    return service


@functools.cache
def endpoint(prefix: str, version: str) -> Asgi:
    """The services of one prefix as one version of them."""
    desk_name = f"{prefix}Desk"
    first = typed_desk(desk_name) if version == "typed" else desk(desk_name, version)
    services = [first, till(f"{prefix}Till"), order(f"{prefix}Order", desk_name)]
    app: Asgi = restate.app(services, protocol="request_response")
    return app


async def app(scope: Scope, receive: Any, send: Any) -> None:
    """Hand a request to the endpoint that its path begins with; `/{prefix}/none` is no endpoint."""
    parts = str(scope.get("path", "")).split("/")
    prefix, version = (parts[1], parts[2]) if len(parts) > 3 else ("", "v1")
    if version == "none":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"nothing here"})
        return
    await endpoint(prefix, version)(scope, receive, send)
