"""Services that are asked in every way there is: called, sent to, repeated, attached to."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import restate


class Desk:
    """A service that counts how often it really ran, and can be held at a gate."""

    def __init__(self) -> None:
        self.runs = 0
        self.entered = asyncio.Event()  # somebody is at the gate
        self.gate = asyncio.Event()
        self.gate.set()
        self.service = service = restate.Service("Desk")
        self.flow = flow = restate.Workflow("Flow")
        self.hidden = hidden = restate.Service("Hidden", ingress_private=True)

        @service.handler()
        async def work(ctx: restate.Context, text: str) -> str:
            self.runs += 1
            self.entered.set()
            await self.gate.wait()
            return f"{text} {self.runs}"

        @service.handler()
        async def refuse(ctx: restate.Context, code: int) -> None:
            self.runs += 1
            raise restate.TerminalError(f"refused {self.runs}", status_code=code)

        @service.handler()
        async def work_twice(ctx: restate.Context, key: str) -> list[str]:
            first = await ctx.service_call(work, arg="a", idempotency_key=key)
            second = await ctx.service_call(work, arg="b", idempotency_key=key)
            return [first, second]

        @service.handler()
        async def later(ctx: restate.Context, milliseconds: int) -> str:
            delay = timedelta(milliseconds=milliseconds)
            handle = ctx.service_send(work, arg="later", send_delay=delay)
            return await handle.invocation_id()

        @service.handler()
        async def attach(ctx: restate.Context, id: str) -> str:
            return await ctx.attach_invocation(id, type_hint=str)

        @service.handler()
        async def ask_hidden(ctx: restate.Context, name: str) -> str:
            return await ctx.service_call(secret, arg=name)

        @hidden.handler()
        async def secret(ctx: restate.Context, name: str) -> str:
            return f"psst, {name}"

        @flow.main()
        async def run(ctx: restate.WorkflowContext, who: str) -> str:
            self.runs += 1
            ctx.set("who", who)
            word = await ctx.promise("word", type_hint=str)
            return f"{who} {word}"

        @flow.handler()
        async def tell(ctx: restate.WorkflowSharedContext, word: str) -> None:
            await ctx.promise("word", type_hint=str).resolve(word)

        @flow.handler()
        async def deny(ctx: restate.WorkflowSharedContext, why: str) -> None:
            await ctx.promise("word", type_hint=str).reject(why, 499)

        @flow.handler()
        async def peek(ctx: restate.WorkflowSharedContext) -> list[str | None]:
            word = await ctx.promise("word", type_hint=str).peek()
            return [await ctx.get("who", type_hint=str), word]

        @flow.handler()
        async def wait(ctx: restate.WorkflowSharedContext) -> str:
            return await ctx.promise("word", type_hint=str)

        @service.handler()
        async def start_flow(ctx: restate.Context, key: str) -> str:
            return await ctx.workflow_call(run, key=key, arg="called")

        self.services = (service, flow, hidden)
