"""A place where one invocation leaves a text for others."""

from __future__ import annotations

import restate

mailbox = restate.VirtualObject("Mailbox")


@mailbox.handler()
async def put(ctx: restate.ObjectContext, text: str) -> None:
    """Leave a text."""
    ctx.set("text", text)


@mailbox.handler("get", kind="shared")
async def read(ctx: restate.ObjectSharedContext) -> str | None:
    """The text, or nothing yet."""
    return await ctx.get("text", type_hint=str)
