"""A service whose steps fail as often as they are told, and whose handlers sleep."""

from __future__ import annotations

from datetime import timedelta

import restate

_TEN_MS = timedelta(milliseconds=10)


class Works:
    """Steps that fail as often as they are told."""

    def __init__(self) -> None:
        self.runs = 0
        self.failures = 0
        self.seen: list[list[object]] = []
        self.service = service = restate.Service("Works")

        def step() -> int:
            self.runs += 1
            if self.runs <= self.failures:
                raise RuntimeError(f"failure {self.runs}")
            return self.runs

        @service.handler()
        async def bounded(ctx: restate.Context, attempts: int) -> int:
            options = restate.RunOptions[int](
                max_attempts=attempts, initial_retry_interval=_TEN_MS, retry_interval_factor=1.0
            )
            return await ctx.run_typed("step", step, options)

        @service.handler()
        async def unbounded(ctx: restate.Context) -> int:
            return await ctx.run_typed("step", step)

        @service.handler()
        async def caught(ctx: restate.Context) -> str:
            options = restate.RunOptions[int](max_attempts=2, initial_retry_interval=_TEN_MS)
            try:
                await ctx.run_typed("step", step, options)
            except restate.TerminalError:
                return "went on without it"
            return "no failure"

        @service.handler()
        async def three(ctx: restate.Context) -> list[int]:
            return [await ctx.run_typed(f"step {number}", step) for number in range(3)]

        @service.handler()
        async def sleep(ctx: restate.Context, milliseconds: int) -> str:
            await ctx.sleep(timedelta(milliseconds=milliseconds))
            return "awake"

        @service.handler()
        async def many_sleeps(ctx: restate.Context, count: int) -> int:
            sleeps = [ctx.sleep(timedelta(milliseconds=5 * number)) for number in range(count)]
            await restate.gather(*sleeps)
            return count

        @service.handler()
        async def timeout(ctx: restate.Context) -> str:
            _, value = ctx.awakeable(type_hint=str)
            match await restate.select(value=value, late=ctx.sleep(timedelta(milliseconds=40))):
                case ["late", _]:
                    return "too late"
            return "in time"

        @service.handler()
        async def same_again(ctx: restate.Context) -> list[object]:
            seen = [ctx.random().random(), str(ctx.uuid()), await ctx.time()]
            self.runs += 1
            self.seen.append(seen)
            if self.runs < 3:
                raise RuntimeError("once more")
            return seen
