"""A counter as virtual object, with eager and with lazy state."""

from __future__ import annotations

import restate

counter = restate.VirtualObject("Counter")
lazy_counter = restate.VirtualObject("LazyCounter", state_preload=False)


@counter.handler()
async def add(ctx: restate.ObjectContext, value: int) -> int:
    """Add and give the new value."""
    return await _add(ctx, value)


@counter.handler(kind="shared")
async def get(ctx: restate.ObjectSharedContext) -> int:
    """The present value."""
    return await ctx.get("value", type_hint=int) or 0


@counter.handler()
async def clear(ctx: restate.ObjectContext) -> None:
    """Forget everything."""
    ctx.clear_all()


@lazy_counter.handler("add")
async def lazy_add(ctx: restate.ObjectContext, value: int) -> int:
    """Add and give the new value, asking the engine for the old one."""
    return await _add(ctx, value)


@lazy_counter.handler("get", kind="shared")
async def lazy_get(ctx: restate.ObjectSharedContext) -> int:
    """The present value, asked of the engine."""
    return await ctx.get("value", type_hint=int) or 0


@lazy_counter.handler("clear")
async def lazy_clear(ctx: restate.ObjectContext) -> None:
    """Forget the value."""
    ctx.clear("value")


@lazy_counter.handler("keys", kind="shared")
async def lazy_keys(ctx: restate.ObjectSharedContext) -> list[str]:
    """The names of what is stored, asked of the engine."""
    return await ctx.state_keys()


async def _add(ctx: restate.ObjectContext, value: int) -> int:
    total = (await ctx.get("value", type_hint=int) or 0) + value
    ctx.set("value", total)
    return total
