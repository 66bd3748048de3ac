"""Handlers that play a script, one for each version of them: the input holds both.

A request to `…/old/invoke/…` plays `input["old"]`, one to `…/new/invoke/…` plays `input["new"]`:
two deployments of one process. A script is a list of moves, each a list that begins with a name;
`script_app.mjs` knows the same ones, and two more. Every closure of a run step leaves a line in the
side-effect log, and so does the move "outside", which is code outside of a step.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import restate

from tests.services.effects import Asgi, log_effect

VERSION: ContextVar[str] = ContextVar("version", default="old")
#: The side effects of this process, as (kind, name, version).
EFFECTS: list[tuple[str, str, str]] = []

Moves = list[list[Any]]


class _Player:
    """Plays one script within one handler."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx
        self._started: list[Any] = []

    async def play(self, moves: Moves) -> Any:
        """Play to the end, or to the first "return"."""
        for move, *rest in moves:
            if move == "return":
                return rest[0]
            await self._one(move, rest)
        return "the end"

    async def _one(self, move: str, rest: list[Any]) -> None:
        if move == "start":
            self._started += [self._future(name, args) for name, *args in rest]
        elif move == "join":
            await self._started[rest[0]]
        elif move == "all":
            await restate.gather(*[self._future(name, args) for name, *args in rest])
        elif move == "race":
            futures = {f"f{n}": self._future(name, args) for n, (name, *args) in enumerate(rest)}
            await restate.select(**futures)
        elif move == "catch":
            try:
                await self.play(rest[0])
            except restate.TerminalError:
                await self.play(rest[1])
        elif move in self._PLAIN:
            self._PLAIN[move](self, *rest)
        else:
            await self._future(move, rest)

    def _future(self, move: str, rest: list[Any]) -> Any:
        ctx = self._ctx
        match move, rest:
            case "run", [name]:
                return ctx.run_typed(name, lambda: self._effect("run", name))
            case "stumble", [name]:  # a step that never succeeds
                return ctx.run_typed(name, lambda: self._stumble(name))
            case "refuse", [name]:  # a step that fails for good
                return ctx.run_typed(name, lambda: self._refuse(name))
            case "sleep", [seconds]:
                return ctx.sleep(timedelta(seconds=seconds))
            case "call", [handler, text]:
                return ctx.generic_call("Echo", handler, text.encode())
            case "awakeable", []:
                return ctx.awakeable(type_hint=str)[1]
            case "signal", [name]:
                return ctx.signal(name, type_hint=str)
            case "promise", [name]:
                return ctx.promise(name, type_hint=str).value()
            case "peek", [name]:
                return ctx.promise(name, type_hint=str).peek()
            case "get", [name]:
                return ctx.get(name, type_hint=str)
            case "keys", []:
                return ctx.state_keys()
        raise AssertionError(f"no such move: {move} {rest}")

    def _effect(self, kind: str, name: str) -> str:
        EFFECTS.append((kind, name, VERSION.get()))
        log_effect(kind=kind, name=name, version=VERSION.get())
        return name

    def _stumble(self, name: str) -> str:
        self._effect("run", name)
        raise RuntimeError("it stumbles")

    def _refuse(self, name: str) -> str:
        self._effect("run", name)
        raise restate.TerminalError("it refuses", 418)

    def _raise(self) -> None:
        raise RuntimeError("the code is broken")

    def _terminal(self) -> None:
        raise restate.TerminalError("this is final", 409)

    _PLAIN: Any = {  # noqa: RUF012
        "set": lambda self, name, value: self._ctx.set(name, value),
        "clear": lambda self, name: self._ctx.clear(name),
        "clear-all": lambda self: self._ctx.clear_all(),
        "send": lambda self, handler, text: self._ctx.generic_send("Echo", handler, text.encode()),
        "outside": lambda self, name: self._effect("outside", name),
        "raise": lambda self: self._raise(),
        "terminal": lambda self: self._terminal(),
    }


async def _play(ctx: Any, scripts: dict[str, Moves]) -> Any:
    return await _Player(ctx).play(scripts[VERSION.get()])


_POLICY = restate.InvocationRetryPolicy(initial_interval=timedelta(hours=1))

script = restate.Service("Script", invocation_retry_policy=_POLICY)
thing = restate.VirtualObject("Thing", invocation_retry_policy=_POLICY)
lazy_thing = restate.VirtualObject(
    "LazyThing", invocation_retry_policy=_POLICY, enable_lazy_state=True
)
flow = restate.Workflow("Flow", invocation_retry_policy=_POLICY)
echo = restate.Service("Echo")


@script.handler("play")
async def script_play(ctx: restate.Context, scripts: dict[str, Moves]) -> Any:
    """Play as a plain service."""
    return await _play(ctx, scripts)


@thing.handler("play")
async def thing_play(ctx: restate.ObjectContext, scripts: dict[str, Moves]) -> Any:
    """Play as an object with eager state."""
    return await _play(ctx, scripts)


@lazy_thing.handler("play")
async def lazy_thing_play(ctx: restate.ObjectContext, scripts: dict[str, Moves]) -> Any:
    """Play as an object with lazy state."""
    return await _play(ctx, scripts)


@flow.main("run")
async def flow_run(ctx: restate.WorkflowContext, scripts: dict[str, Moves]) -> Any:
    """Play as a workflow."""
    return await _play(ctx, scripts)


@echo.handler("say")
async def echo_say(ctx: restate.Context, text: str) -> str:
    """Its input, at once."""
    return text


@echo.handler("never")
async def echo_never(ctx: restate.Context, text: str) -> str:
    """Never answers."""
    return await ctx.awakeable(type_hint=str)[1]


SERVICES: list[Any] = [script, thing, lazy_thing, flow, echo]


def serving(version: str | None = None) -> Asgi:
    """An app of one version; without one, the path (`/old/…`, `/new/…`) names it."""
    made = restate.app(SERVICES, protocol="request_response")

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        first = str(scope.get("path", "")).strip("/").partition("/")[0]
        token = VERSION.set(version or ("new" if first == "new" else "old"))
        try:
            await made(scope, receive, send)
        finally:
            VERSION.reset(token)

    return wrapped


app = serving()
