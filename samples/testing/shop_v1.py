"""A shop: take the money, wait until the goods are packed, ship them."""

from datetime import timedelta

import restate

checkout = restate.Service("Checkout")


@checkout.handler()
async def place(ctx: restate.Context, order: dict[str, int]) -> dict[str, str]:
    await ctx.run_typed("charge", lambda: f"charged order {order['id']}")
    await ctx.sleep(timedelta(days=5))  # packing takes its time
    await ctx.run_typed("ship", lambda: f"shipped order {order['id']}")
    return {"by": "v1"}


app = restate.app([checkout])
