"""Orders on Lambda, version 2: ship at once. It cannot finish what version 1 began."""

from __future__ import annotations

import os
import secrets
from typing import Any

import restate

CODE = "second code"
FUNCTION_VERSION = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]

orders = restate.Service("Orders")


@orders.handler()
async def place(ctx: restate.Context, order: dict[str, Any]) -> dict[str, Any]:
    """Ship the order."""
    ship = await ctx.run_typed("ship", lambda: _log(order["name"], "ship"))
    return {"name": order["name"], "by": [CODE, FUNCTION_VERSION], "tokens": {"ship": ship}}


def _log(name: str, step: str) -> str:
    token = secrets.token_hex(8)
    with open(os.environ["ORDERS_LOG"], "a") as log:
        log.write(f"{name}\t{step}\t{CODE}\t{FUNCTION_VERSION}\t{token}\n")
    return token


app = restate.app(services=[orders])
