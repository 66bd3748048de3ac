"""Version 1 of the demo's service: a checkout that reserves, waits for the payment and charges."""

from __future__ import annotations

from datetime import timedelta

import restate
from steps import Order, Receipt, failing_at_times, step

checkout = restate.Service("Checkout")


@checkout.handler()
async def buy(ctx: restate.Context, order: Order) -> Receipt:
    """Reserve, wait for the payment, charge."""
    steps = [await step(ctx, order, "reserve", "v1")]
    await ctx.sleep(timedelta(seconds=order["seconds"]))
    steps.append(await step(ctx, order, "charge", "v1"))
    return {"version": "v1", "steps": steps}


app = failing_at_times(restate.app(services=[checkout]))
