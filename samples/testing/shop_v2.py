"""The next version reserves the goods first: it could not finish what version 1 has begun."""

from datetime import timedelta

import restate

checkout = restate.Service("Checkout")


@checkout.handler()
async def place(ctx: restate.Context, order: dict[str, int]) -> dict[str, str]:
    await ctx.run_typed("reserve", lambda: f"reserved goods for order {order['id']}")
    await ctx.run_typed("charge", lambda: f"charged order {order['id']}")
    id, confirmed = ctx.awakeable(type_hint=str)
    await ctx.run_typed("ask the warehouse", lambda: id)
    who, _ = await restate.select(confirmed=confirmed, late=ctx.sleep(timedelta(days=5)))
    if who == "late":
        raise restate.TerminalError("the warehouse did not answer", 504)
    await ctx.run_typed("ship", lambda: f"shipped order {order['id']}")
    return {"by": "v2"}


app = restate.app([checkout])
