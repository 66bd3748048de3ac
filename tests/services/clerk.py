"""Versions of two services, each at an address of its own, for tests of what a file deploys.

`/{name}/v1` and `/{name}/v2` are endpoints that serve `{name}` and `{name}Desk`. `/{name}/short`
has lost the handlers `greet` and `gone`. Awakeables go to the effects file.
"""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from pathlib import Path
from typing import Any

import restate

from tests.services.effects import Asgi, Scope, log_effect

LONG = timedelta(hours=1)
# It looks like part of a journal entry that calls a handler.
HOSTILE_KEY = '","handler":"gone",'


def clerk(name: str, version: str) -> restate.Service:
    """A plain service."""
    service = restate.Service(name)

    if version != "short":

        @service.handler()
        async def greet(ctx: restate.Context) -> str:
            """Done at once."""
            return version

    @service.handler()
    async def wait(ctx: restate.Context) -> str:
        """Suspended until somebody tells it something."""
        awakeable, told = ctx.awakeable(type_hint=str)
        await ctx.run_typed("begin", lambda: log_effect(awakeable=awakeable))
        return f"{version} was told {await told}"

    @service.handler()
    async def hold(ctx: restate.Context, gate: str) -> str:
        """Running, with nothing stored, until a file is there."""
        while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(0.01)
        return version

    @service.handler()
    async def ask(ctx: restate.Context, what: str) -> None:
        """Call somebody, and sleep for long."""
        if what == "greet":
            await ctx.generic_call(name, "greet", b"")
        elif what == "gone":
            ctx.generic_send(f"{name}Desk", "gone", b"", key="a/b")
        else:
            await ctx.generic_call(f"{name}Desk", "note", b"", key=HOSTILE_KEY)
        await ctx.sleep(LONG)

    return service


def desk(name: str, version: str) -> restate.VirtualObject:
    """An object."""
    service = restate.VirtualObject(name)

    @service.handler()
    async def note(ctx: restate.ObjectContext) -> None:
        """Done at once."""

    if version != "short":

        @service.handler()
        async def gone(ctx: restate.ObjectContext) -> None:
            """Done at once."""

    return service


@functools.cache
def endpoint(name: str, version: str) -> Asgi:
    """Both services of one name as one version of them."""
    services: list[Any] = [clerk(name, version), desk(f"{name}Desk", version)]
    app: Asgi = restate.app(services, protocol="request_response")
    return app


async def app(scope: Scope, receive: Any, send: Any) -> None:
    """Hand a request to the endpoint that its path begins with."""
    parts = str(scope.get("path", "")).split("/")
    name, version = (parts[1], parts[2]) if len(parts) > 3 else ("Any", "v1")
    await endpoint(name, version)(scope, receive, send)
