"""Handlers whose execution can be audited after the engine was killed under them.

Each durable step returns a fresh random token and writes it to the side-effect log together with
the tokens of earlier steps that the handler had been given by then. A token that somebody was
given is *committed*: the engine has promised never to run that step again. So the log alone shows
a broken promise: a second token for a step after the first was seen.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TypedDict

import restate

from tests.services.effects import log_effect

Tokens = dict[str, str]


class Outcome(TypedDict):
    """What a handler did: the invocation, and the token of each of its steps."""

    invocation: str
    tokens: Tokens


class Relayed(TypedDict):
    """What a handler did together with the handlers it called."""

    own: Outcome
    child: Outcome
    added: Added


class Added(TypedDict):
    """The total after one addition to a ledger."""

    total: int
    done: Outcome


class Booking(TypedDict):
    """Ledger entries to make, one in each ledger."""

    ledgers: list[str]
    entry: str


crash = restate.Service("Crash")
ledger = restate.VirtualObject("Ledger")
crash_flow = restate.Workflow("CrashFlow")


async def _step(ctx: restate.Context, name: str, tokens: Tokens) -> None:
    """Run one audited step and add its token to `tokens`."""
    invocation = ctx.request().id
    seen = dict(tokens)

    def act() -> str:
        token = secrets.token_hex(6)
        log_effect(invocation=invocation, step=name, token=token, seen=seen)
        return token

    tokens[name] = await ctx.run_typed(name, act)


def _outcome(ctx: restate.Context, tokens: Tokens) -> Outcome:
    return {"invocation": ctx.request().id, "tokens": tokens}


@crash.handler()
async def steps(ctx: restate.Context, note: str) -> Outcome:
    """Three steps."""
    tokens: Tokens = {}
    for name in ("a", "b", "c"):
        await _step(ctx, name, tokens)
    return _outcome(ctx, tokens)


@crash.handler()
async def nap(ctx: restate.Context, milliseconds: int) -> Outcome:
    """A step, a durable sleep, a step."""
    tokens: Tokens = {}
    await _step(ctx, "before", tokens)
    await ctx.sleep(timedelta(milliseconds=milliseconds))
    await _step(ctx, "after", tokens)
    return _outcome(ctx, tokens)


@crash.handler()
async def relay(ctx: restate.Context, booking: Booking) -> Relayed:
    """A step, a call to a service, a call to an object, a step."""
    tokens: Tokens = {}
    await _step(ctx, "before", tokens)
    child = await ctx.service_call(steps, arg="relayed")
    added = await ctx.object_call(add, key=booking["ledgers"][0], arg=booking["entry"])
    await _step(ctx, "after", tokens)
    return {"own": _outcome(ctx, tokens), "child": child, "added": added}


@crash.handler()
async def fan_out(ctx: restate.Context, booking: Booking) -> Outcome:
    """Send an addition to each ledger, the first at once and the others later, between steps."""
    tokens: Tokens = {}
    await _step(ctx, "before", tokens)
    for index, key in enumerate(booking["ledgers"]):
        delay = timedelta(milliseconds=40 * index) if index else None
        ctx.object_send(add, key=key, arg=booking["entry"], send_delay=delay)
    await _step(ctx, "after", tokens)
    return _outcome(ctx, tokens)


@ledger.handler()
async def add(ctx: restate.ObjectContext, entry: str) -> Added:
    """Count an entry.

    The step between reading and writing gives another invocation of the same key, should the
    engine ever let one in, all the time it needs to read the same total.
    """
    tokens: Tokens = {}
    total = (await ctx.get("total", type_hint=int) or 0) + 1
    count = (await ctx.get(f"entry {entry}", type_hint=int) or 0) + 1
    await _step(ctx, "between", tokens)
    ctx.set("total", total)
    ctx.set(f"entry {entry}", count)
    return {"total": total, "done": _outcome(ctx, tokens)}


@ledger.handler(kind="shared")
async def dump(ctx: restate.ObjectSharedContext) -> dict[str, int]:
    """All state of a ledger: `total`, and one count per entry."""
    found = {}
    for name in await ctx.state_keys():
        found[name] = await ctx.get(name, type_hint=int) or 0
    return found


@crash_flow.main()
async def run(ctx: restate.WorkflowContext, note: str) -> Outcome:
    """A step, a promise, a step; the promise's value counts as a token."""
    tokens: Tokens = {}
    await _step(ctx, "before", tokens)
    word = await ctx.promise("word", type_hint=str)
    await _step(ctx, f"after {word}", tokens)
    return _outcome(ctx, tokens)


@crash_flow.handler()
async def poke(ctx: restate.WorkflowSharedContext, word: str) -> None:
    """Keep the promise."""
    await ctx.promise("word", type_hint=str).resolve(word)
