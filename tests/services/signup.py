"""A workflow that waits for a promise."""

from __future__ import annotations

import restate

signup = restate.Workflow("Signup")


@signup.main()
async def run(ctx: restate.WorkflowContext, email: str) -> str:
    """Wait until somebody verifies the address."""
    ctx.set("email", email)
    word = await ctx.promise("verified", type_hint=str)
    return f"{email} verified by {word}"


@signup.handler()
async def verify(ctx: restate.WorkflowSharedContext, word: str) -> None:
    """Keep the promise."""
    await ctx.promise("verified", type_hint=str).resolve(word)


@signup.handler()
async def reject(ctx: restate.WorkflowSharedContext, reason: str) -> None:
    """Break the promise."""
    await ctx.promise("verified", type_hint=str).reject(reason, 409)


@signup.handler()
async def status(ctx: restate.WorkflowSharedContext) -> dict[str, str | None]:
    """What is known so far."""
    return {
        "email": await ctx.get("email", type_hint=str),
        "word": await ctx.promise("verified", type_hint=str).peek(),
    }
