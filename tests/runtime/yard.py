"""A yard for operators: services whose invocations come to every status there is, in versions.

Steps give the version of the code that ran them, so that results tell where each part of the work
was done. `Outcome` of an operation and `dump` of the store are what tests compare.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

import pytest
import restate

from steadfaas.errors import RequestError
from steadfaas.machine.status import Kind, Status
from steadfaas.runtime.operators import Operators, Tally
from steadfaas.store import invocations
from steadfaas.store.invocations import SPAN, Description
from steadfaas.testing import Deployment, Invocation, Steadfaas

# Handlers fail here on purpose; that would fill pages of every report.
logging.getLogger("restate").setLevel(logging.CRITICAL)

MINUTE: Final = 60_000
TEN_MINUTES: Final = timedelta(minutes=10)
_EVERY_MINUTE: Final = restate.InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1), exponentiation_factor=1.0
)
_TWICE: Final = restate.InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1), max_attempts=2, on_max_attempts="pause"
)
_ONCE: Final = restate.InvocationRetryPolicy(max_attempts=1, on_max_attempts="kill")


class Yard:
    """One version of all services. With `swapped`, `Job/work` takes its steps in another order."""

    def __init__(self, version: str = "v1", *, swapped: bool = False) -> None:
        self.version = version
        self.failing = True
        self.ran: list[str] = []  # the steps whose code ran here, each with the input's text
        self.job = job = restate.Service("Job", invocation_retry_policy=_EVERY_MINUTE)
        self.cart = cart = restate.VirtualObject("Cart", invocation_retry_policy=_EVERY_MINUTE)
        self.sign = sign = restate.Workflow("Sign", invocation_retry_policy=_EVERY_MINUTE)

        def step(ctx: restate.Context, name: str, text: str) -> Awaitable[str]:
            def run() -> str:
                self.ran.append(f"{name} {text}")
                return version

            return ctx.run_typed(name, run)

        @job.handler()
        async def work(ctx: restate.Context, text: str) -> list[str]:
            if swapped:
                await ctx.sleep(TEN_MINUTES)
                return [await step(ctx, "one", text), version]
            one = await step(ctx, "one", text)
            await ctx.sleep(TEN_MINUTES)
            two = await step(ctx, "two", text)
            await ctx.sleep(TEN_MINUTES)
            return [one, two, await step(ctx, "three", text), version]

        @job.handler()
        async def ask(ctx: restate.Context, text: str) -> list[str]:
            one = await step(ctx, "ask", text)
            _, told = ctx.awakeable(type_hint=str)
            return [one, await told, await step(ctx, "told", text)]

        @job.handler()
        async def fail(ctx: restate.Context, text: str) -> list[str]:
            one = await step(ctx, "begin", text)
            if self.failing:
                raise RuntimeError(f"{version} is not well")
            return [one, version]

        @job.handler(invocation_retry_policy=_TWICE)
        async def stop(ctx: restate.Context, text: str) -> list[str]:
            one = await step(ctx, "begin", text)
            if self.failing:
                raise RuntimeError(f"{version} is not well")
            return [one, version]

        @job.handler(invocation_retry_policy=_ONCE)
        async def give_up(ctx: restate.Context, text: str) -> list[str]:
            one = await step(ctx, "begin", text)
            if self.failing:
                raise RuntimeError(f"{version} is not well")
            return [one, version]

        @job.handler()
        async def quick(ctx: restate.Context, text: str) -> str:
            return f"{text} by {version}"

        @job.handler()
        async def parent(ctx: restate.Context, text: str) -> list[Any]:
            told = await ctx.service_call(work, arg=text)
            return [version, told]

        @cart.handler()
        async def put(ctx: restate.ObjectContext, amount: int) -> int:
            total = (await ctx.get("total", type_hint=int) or 0) + amount
            ctx.set("total", total)
            await ctx.sleep(TEN_MINUTES)
            return total

        @cart.handler()
        async def add(ctx: restate.ObjectContext, amount: int) -> int:
            total = (await ctx.get("total", type_hint=int) or 0) + amount
            ctx.set("total", total)
            return total

        @cart.handler(kind="shared")
        async def look(ctx: restate.ObjectSharedContext) -> int | None:
            return await ctx.get("total", type_hint=int)

        @sign.main()
        async def run(ctx: restate.WorkflowContext, who: str) -> str:
            ctx.set("who", who)
            word = await ctx.promise("word", type_hint=str)
            return f"{who} {word}"

        @sign.handler()
        async def click(ctx: restate.WorkflowSharedContext, word: str) -> None:
            await ctx.promise("word", type_hint=str).resolve(word)

    @property
    def app(self) -> Any:
        """What to deploy."""
        return restate.app([self.job, self.cart, self.sign])


# --- to every status ---------------------------------------------------------------------------

STATUSES: Final = (
    "scheduled", "pending", "ready", "running", "backing-off", "suspended", "paused", "completed",
    "unknown",
)  # fmt: skip


async def bring_to(kit: Steadfaas, status: str, text: str = "x") -> Invocation:
    """A new invocation in this status. `ready` needs an engine with a single slot."""
    match status:
        case "scheduled":
            sent = await kit.send("Job/work", text, delay="1 day")
        case "pending":
            await kit.send(f"Cart/{text}/put", 1)
            sent = await kit.send(f"Cart/{text}/put", 2)
        case "ready":
            await _occupy(kit)
            sent = await kit.send("Job/work", text)
        case "running":
            kit.delay(by="1 min")
            sent = await kit.send("Job/work", text)
        case "backing-off":
            sent = await kit.send("Job/fail", text)
        case "suspended":
            sent = await kit.send("Job/work", text)
        case "paused":
            sent = await kit.send("Job/stop", text)
            await kit.advance("2 min")
        case "completed":
            sent = await kit.send("Job/quick", text)
        case "unknown":
            sent = await kit.send("Job/work", text, delay="1 day")
            await sent.cancel()
    await kit.settle()
    assert sent.status == status
    return sent


async def _occupy(kit: Steadfaas) -> None:
    """Keep the only slot busy for a while."""
    kit.delay(by="1 min")
    await kit.send("Job/quick", "the one with the slot")
    await kit.settle()


# --- operations --------------------------------------------------------------------------------


def operators(kit: Steadfaas) -> Operators:
    """The operators of the running engine."""
    return kit._host.running.operators


async def operate(kit: Steadfaas, invocation: Invocation, operation: str, **more: Any) -> Any:
    """One operation, and everything that follows from it at once; gives what it returned."""
    methods: dict[str, Any] = {
        name: getattr(operators(kit), name.replace("-", "_"))
        for name in ("cancel", "kill", "pause", "resume", "purge", "purge-journal")
    }
    methods["restart-as-new"] = operators(kit).restart_as_new
    done = await kit._host.asked(methods[operation](invocation.id, **more))
    await kit.settle()
    return done


async def batch(kit: Steadfaas, operation: str, chosen: list[Invocation], **more: Any) -> Tally:
    """A batch, and everything that follows from it at once."""
    ids = [one.id for one in chosen]
    tally = await kit._host.asked(operators(kit).batch(operation, ids, **more))
    await kit.settle()
    return tally


async def refused(kit: Steadfaas, invocation: Invocation, operation: str, **more: Any) -> int:
    """The HTTP status with which an operation is refused; it must not have changed a thing."""
    before, attempts = dump(kit), kit._host.running.open_exchanges
    with pytest.raises(RequestError) as caught:
        await operate(kit, invocation, operation, **more)
    assert dump(kit) == before
    assert kit._host.running.open_exchanges == attempts
    return caught.value.status


# --- looking -----------------------------------------------------------------------------------


def _tables(kit: Steadfaas) -> list[str]:
    rows = kit._host.running.store.reader.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [row[0] for row in rows]


def dump(kit: Steadfaas) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    reader = kit._host.running.store.reader
    return {
        table: sorted(reader.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
        for table in _tables(kit)
    }


def counts(kit: Steadfaas) -> dict[str, int]:
    """The number of rows of every table that has any, without deployments, audit, counters."""
    left_out = {"deployment", "service_revision", "audit", "counter"}
    rows = {table: len(rows) for table, rows in dump(kit).items() if table not in left_out}
    return {table: number for table, number in rows.items() if number}


def described(kit: Steadfaas, invocation: Invocation) -> Description:
    """The record of an invocation."""
    found = invocations.describe(kit._host.running.store.reader, invocation.id)
    assert found is not None
    return found


def events(kit: Steadfaas, invocation: Invocation) -> list[dict[str, Any]]:
    """The bodies of its events, in order."""
    reader = kit._host.running.store.reader
    found = invocations.events(reader, described(kit, invocation).seq)
    bodies: list[dict[str, Any]] = [json.loads(event.body) for event in found]
    assert [event.type for event in found] == [body["ty"] for body in bodies]
    return bodies


def event_types(kit: Steadfaas, invocation: Invocation) -> list[str]:
    """The types of its events, in order."""
    return [str(body["ty"]) for body in events(kit, invocation)]


def moved(*pins: Deployment, by: str = "") -> dict[str, Any]:
    """The event of a pin that moved from one deployment to another."""
    came_from, to = pins
    return {"ty": "PinMoved", "from": came_from.id, "to": to.id, "by": by}


def check_whole(kit: Steadfaas) -> None:
    """Raises AssertionError for a row that belongs to nothing, or that somebody misses."""
    reader = kit._host.running.store.reader
    rows = reader.execute(
        "SELECT seq, status, kind, entries, due_at, output, pausing, asleep, awaits FROM invocation"
    ).fetchall()
    known = {row[0]: row for row in rows}
    unfinished = {seq for seq, row in known.items() if row[1] < Status.COMPLETED}
    for table in ("journal", "attempt", "event"):
        owners = {row[0] // SPAN for row in reader.execute(f"SELECT pos FROM {table}")}
        assert owners <= known.keys(), f"rows of {table} without an invocation"
    _check_journals(kit, known)
    _check_timers(kit, known)
    changes = {row[0] for row in reader.execute("SELECT seq FROM state_change")}
    places = [row[0] for row in reader.execute("SELECT seq FROM inbox")]
    assert not [seq for seq, times in Counter(places).items() if times > 1]
    assert set(places) <= unfinished | changes, "places in line of nobody"
    assert changes <= set(places), "changes of state that nobody will make"
    begun = {
        seq
        for seq in unfinished
        if known[seq][2] == Kind.OBJECT_EXCLUSIVE and known[seq][1] != Status.SCHEDULED
    }
    assert begun <= set(places), "exclusive handlers that hold or await no key"
    targets = {row[0] for row in reader.execute("SELECT target FROM listener")}
    assert targets <= unfinished, "listeners for a result that nobody will tell"
    for seq, row in known.items():
        assert not row[6] or row[1] == Status.RUNNING, f"{seq} is pausing without an attempt"
        assert (row[8] is not None) == (row[1] == Status.SUSPENDED)
        assert not row[7] or row[1] == Status.SUSPENDED


def _check_journals(kit: Steadfaas, known: dict[int, tuple[Any, ...]]) -> None:
    reader = kit._host.running.store.reader
    lengths: Counter[int] = Counter()
    for (pos,) in reader.execute("SELECT pos FROM journal"):
        lengths[pos // SPAN] += 1
    for seq, row in known.items():
        if row[1] == Status.COMPLETED:  # the result stands in the record, the journal may be gone
            assert lengths[seq] in (0, row[3], row[3] - 1)
        else:
            assert lengths[seq] == row[3], f"the journal of {seq} has holes"


def _check_timers(kit: Steadfaas, known: dict[int, tuple[Any, ...]]) -> None:
    reader = kit._host.running.store.reader
    alarms: set[tuple[int, int]] = set()
    for at, seq, completion in reader.execute("SELECT at, seq, completion FROM timer"):
        assert known.get(seq, (0, Status.COMPLETED))[1] < Status.COMPLETED, "a timer of nobody"
        if completion:
            inv = invocations.load(reader, seq)
            assert inv is not None
            assert inv.pending[completion][1] == at, "a timer of no sleep"
        else:
            alarms.add((seq, at))
    assert alarms == {
        (seq, row[4])
        for seq, row in known.items()
        if row[1] in (Status.SCHEDULED, Status.BACKING_OFF)
    }
