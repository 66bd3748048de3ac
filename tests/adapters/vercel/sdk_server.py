"""A version of a shop: a handler of the official SDK behind a path, on a loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import restate
import uvicorn
from uvicorn.server import ServerState

from steadfaas.testing.loop_thread import LoopThread

PATH = "/api/restate"


@contextmanager
def served(version: str) -> Iterator[str]:
    """The origin of a running version; it answers under `PATH` only."""
    thread = LoopThread(f"shop-{version}")
    state = ServerState()
    server, port = thread.call(_listen(_mounted(_shop(version)), state))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        thread.call(_close(server, state))
        thread.stop()


def _shop(version: str) -> Any:
    shop = restate.Service("Shop")

    @shop.handler()
    async def order(ctx: restate.Context, seconds: float) -> list[str]:
        begun = await ctx.run_typed("begin", lambda: version)
        await ctx.sleep(timedelta(seconds=seconds))
        return [begun, version]

    return restate.app([shop], protocol="request_response")


def _mounted(app: Any) -> Any:
    async def call(scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith(f"{PATH}/"):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"nothing here"})
            return
        await app({**scope, "path": scope["path"].removeprefix(PATH)}, receive, send)

    return call


async def _listen(app: Any, state: ServerState) -> tuple[asyncio.Server, int]:
    config: Any = uvicorn.Config(app, interface="asgi3", lifespan="off", log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),
        "127.0.0.1",
        0,
    )
    return server, server.sockets[0].getsockname()[1]


async def _close(server: asyncio.Server, state: ServerState) -> None:
    server.close()
    for connection in list(state.connections):
        connection.transport.abort()
    for task in list(state.tasks):
        task.cancel()
