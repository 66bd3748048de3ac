"""The demo's service: a checkout, in two versions that cannot finish each other's requests.

Version 2 has one more step than version 1, so a request that version 1 began does not fit version
2: its journal says `reserve, sleep, charge`, the code would say `reserve, screen, sleep, charge`.
That is what every real change of a handler looks like, and why a request has to stay where it is.

Each process is one version, chosen by CHECKOUT_VERSION. Every step says which version ran it, in
the result and in the ledger file, so that the demo need not believe the engine.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

import restate

VERSION = os.environ["CHECKOUT_VERSION"]
LEDGER = Path(os.environ["CHECKOUT_LEDGER"])
# Holds how many more calls are to fail; missing or empty means none.
TROUBLE = Path(os.environ["CHECKOUT_TROUBLE"])


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


checkout = restate.Service("Checkout")


@checkout.handler()
async def buy(ctx: restate.Context, order: Order) -> Receipt:
    """Reserve, (screen,) wait for the payment, charge."""

    def do(step: str) -> Step:
        with LEDGER.open("a") as ledger:
            ledger.write(f"{order['name']} {step} {VERSION}\n")
        return {"step": step, "version": VERSION}

    steps = [await ctx.run_typed("reserve", lambda: do("reserve"))]
    if VERSION == "v2":
        steps.append(await ctx.run_typed("screen", lambda: do("screen")))
    await ctx.sleep(timedelta(seconds=order["seconds"]))
    steps.append(await ctx.run_typed("charge", lambda: do("charge")))
    return {"version": VERSION, "steps": steps}


_endpoint = restate.app(services=[checkout])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The endpoint, behind a switch that makes it answer 503 for a while."""
    if scope["type"] == "http" and scope["path"].startswith("/invoke/") and _in_trouble():
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"out of order"})
        return
    await _endpoint(scope, receive, send)


def _in_trouble() -> bool:
    left = int(TROUBLE.read_text() or 0) if TROUBLE.exists() else 0
    if left:
        TROUBLE.write_text(str(left - 1))
    return left > 0
