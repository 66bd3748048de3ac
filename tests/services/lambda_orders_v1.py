"""Orders on Lambda, version 1: take, wait, ship.

Each step writes a line of its own, so that a test need not believe the engine: the order, the step,
which code ran, and as which version of the function.
"""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from typing import Any

import restate

CODE = "first code"
FUNCTION_VERSION = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]

orders = restate.Service("Orders")


@orders.handler()
async def place(ctx: restate.Context, order: dict[str, Any]) -> dict[str, Any]:
    """Take the order, wait as long as it says, ship it."""
    take = await ctx.run_typed("take", lambda: _log(order["name"], "take"))
    await ctx.sleep(timedelta(seconds=order["seconds"]))
    ship = await ctx.run_typed("ship", lambda: _log(order["name"], "ship"))
    return {
        "name": order["name"],
        "by": [CODE, FUNCTION_VERSION],
        "tokens": {"take": take, "ship": ship},
    }


def _log(name: str, step: str) -> str:
    token = secrets.token_hex(8)
    with open(os.environ["ORDERS_LOG"], "a") as log:
        log.write(f"{name}\t{step}\t{CODE}\t{FUNCTION_VERSION}\t{token}\n")
    return token


app = restate.app(services=[orders])
