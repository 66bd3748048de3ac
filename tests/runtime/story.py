"""A service in versions, whose handlers say which version ran them."""

from __future__ import annotations

import asyncio
from typing import Any

import restate


class Story:
    """One version of a service that takes its time: a step, a wait for somebody, another step."""

    def __init__(self, version: str, *, first_step: str = "first") -> None:
        self.version = version
        self.failures = 0  # how many of the next attempts fail
        self.awakeables: asyncio.Queue[str] = asyncio.Queue()
        self.entered = asyncio.Event()  # somebody is at the gate
        self.gate = asyncio.Event()
        self.plain = restate.Service("Story")
        self.keyed = restate.VirtualObject("Book")

        @self.plain.handler()
        async def tell(ctx: restate.Context) -> list[str]:
            first = await ctx.run_typed(first_step, lambda: self.version)
            name, told = ctx.awakeable(type_hint=str)
            await ctx.run_typed("hand over", lambda: self.awakeables.put_nowait(name))
            word = await told
            if self.failures:
                self.failures -= 1
                raise RuntimeError(f"{self.version} is not well")
            second = await ctx.run_typed("second", lambda: self.version)
            return [first, word, second, self.version]

        @self.plain.handler()
        async def fail(ctx: restate.Context) -> str:
            if self.failures:
                self.failures -= 1
                raise RuntimeError(f"{self.version} is not well")
            return self.version

        @self.plain.handler()
        async def which(ctx: restate.Context) -> str:
            return self.version

        @self.plain.handler()
        async def ask(ctx: restate.Context) -> list[str]:
            name, told = ctx.awakeable(type_hint=str)
            await ctx.run_typed("hand over", lambda: self.awakeables.put_nowait(name))
            await told
            return [self.version, await ctx.service_call(which, arg=None)]

        @self.keyed.handler()
        async def write(ctx: restate.ObjectContext) -> str:
            self.entered.set()
            await self.gate.wait()
            return self.version

    @property
    def services(self) -> tuple[Any, Any]:
        """What to serve."""
        return self.plain, self.keyed
