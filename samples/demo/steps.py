"""What both versions of the checkout share: steps that leave evidence, and a way to break down.

Every step says which version ran it, in the result and in the ledger file, so that the demo need
not believe the engine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypedDict

import restate

LEDGER = Path(os.environ["CHECKOUT_LEDGER"])
# Holds how many more calls are to fail; missing or empty means none.
TROUBLE = Path(os.environ["CHECKOUT_TROUBLE"])
ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME" in os.environ


class Order(TypedDict):
    """A request: the order's name, and how long its payment takes."""

    name: str
    seconds: float


class Step(TypedDict):
    """One durable step, and the version whose code ran it."""

    step: str
    version: str


class Receipt(TypedDict):
    """The result of an order."""

    version: str
    steps: list[Step]


async def step(ctx: restate.Context, order: Order, name: str, version: str) -> Step:
    """Run one durable step of an order."""

    def do() -> Step:
        with LEDGER.open("a") as ledger:
            ledger.write(f"{order['name']} {name} {version}\n")
        return {"step": name, "version": version}

    return await ctx.run_typed(name, do)


def failing_at_times(endpoint: Any) -> Any:
    """The endpoint, behind a switch that makes its calls fail for a while."""
    return _raising(endpoint) if ON_LAMBDA else _unavailable(endpoint)


def _raising(endpoint: Any) -> Any:
    def function(event: dict[str, Any], context: object) -> Any:
        if _in_trouble(event["path"]):
            raise RuntimeError("out of order")
        return endpoint(event, context)

    return function


def _unavailable(endpoint: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and _in_trouble(scope["path"]):
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"out of order"})
            return
        await endpoint(scope, receive, send)

    return app


def _in_trouble(path: str) -> bool:
    if not (path.startswith("/invoke/") and TROUBLE.exists()):
        return False
    left = int(TROUBLE.read_text() or 0)
    if left:
        TROUBLE.write_text(str(left - 1))
    return left > 0
