"""Version 2 of the demo's service: it screens the buyer, and cannot finish what version 1 began.

A journal of version 1 says `reserve, sleep, charge`; this code would say `reserve, screen, sleep,
charge`. That is what every real change of a handler looks like, and why a request has to stay where
it is.
"""

from __future__ import annotations

from datetime import timedelta

import restate
from steps import Order, Receipt, failing_at_times, step

checkout = restate.Service("Checkout")


@checkout.handler()
async def buy(ctx: restate.Context, order: Order) -> Receipt:
    """Reserve, screen, wait for the payment, charge."""
    steps = [await step(ctx, order, "reserve", "v2")]
    steps.append(await step(ctx, order, "screen", "v2"))
    await ctx.sleep(timedelta(seconds=order["seconds"]))
    steps.append(await step(ctx, order, "charge", "v2"))
    return {"version": "v2", "steps": steps}


app = failing_at_times(restate.app(services=[checkout]))
