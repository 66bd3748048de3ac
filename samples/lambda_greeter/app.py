"""A greeter that takes its time: version 2 may be out before version 1 has finished."""

from datetime import timedelta

import restate

greeter = restate.Service("Greeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    greeting = await ctx.run_typed("compose", lambda: f"Hello {name}")
    await ctx.sleep(timedelta(seconds=2))
    return await ctx.run_typed("finish", lambda: f"{greeting}!")


# What the function's handler setting names: app.handler
handler = restate.app([greeter])
