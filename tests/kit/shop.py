"""Apps that the tests of the kit deploy: a shop in versions, and handlers that wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import restate

from steadfaas.testing.asgi import AsgiApp


def app(*services: Any) -> AsgiApp:
    """The app of these services."""
    made: AsgiApp = restate.app(list(services))
    return made


def checkout(version: str, ran: list[str] | None = None) -> AsgiApp:
    """Charge, wait two days, ship. `ran` gets the name of each step that runs."""
    service = restate.Service("Checkout")
    log: list[str] = [] if ran is None else ran

    @service.handler()
    async def place(ctx: restate.Context, order: dict[str, Any]) -> dict[str, str]:
        await ctx.run_typed("charge", lambda: log.append("charge"))
        await ctx.sleep(timedelta(days=2))
        await ctx.run_typed("ship", lambda: log.append("ship"))
        return {"by": version}

    return app(service)


def waiting() -> AsgiApp:
    """Handlers that wait for each kind of thing that may never come."""
    service = restate.Service("Waits")

    @service.handler()
    async def awakeable(ctx: restate.Context) -> str:
        _, future = ctx.awakeable(type_hint=str)
        return await future

    @service.handler()
    async def call(ctx: restate.Context) -> str:
        return await ctx.service_call(awakeable, None)

    @service.handler()
    async def signal(ctx: restate.Context) -> str:
        return await ctx.signal("go", type_hint=str)

    @service.handler()
    async def either(ctx: restate.Context) -> str:
        _, future = ctx.awakeable(type_hint=str)
        first, _ = await restate.select(answer=future, late=ctx.sleep(timedelta(days=1000)))
        return str(first)

    @service.handler(
        invocation_retry_policy=restate.InvocationRetryPolicy(
            max_attempts=3, on_max_attempts="pause"
        )
    )
    async def broken(ctx: restate.Context) -> None:
        raise RuntimeError("the printer is on fire")

    lock = restate.VirtualObject("Lock")

    @lock.handler()
    async def hold(ctx: restate.ObjectContext) -> str:
        _, future = ctx.awakeable(type_hint=str)
        return await future

    workflow = restate.Workflow("Signup")

    @workflow.main()
    async def run(ctx: restate.WorkflowContext) -> str:
        return await ctx.promise("clicked", type_hint=str).value()

    @workflow.handler()
    async def click(ctx: restate.WorkflowSharedContext, value: str) -> None:
        await ctx.promise("clicked", type_hint=str).resolve(value)

    return app(service, lock, workflow)
