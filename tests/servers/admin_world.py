"""The admin API over a real registry and store, asked from outside."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from steadfaas.servers.admin import AdminContext, AdminRoute
from steadfaas.servers.admin_app import build_admin
from tests.deployments.world import World, world

UNKNOWN = "dp_10000000000000000000000"
DRAINED: dict[str, Any] = {
    "state": "drained",
    "active_services": [],
    "unfinished": 0,
    "counts": dict.fromkeys(
        ("running", "retrying", "suspended", "sleeping", "paused", "queued", "scheduled"), 0
    ),
    "blockers": [],
}


@dataclass
class Reply:
    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.raw)


@dataclass
class Admin:
    """A running admin API and the world behind it."""

    base: str
    world: World
    session: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, **options: Any) -> Reply:
        async with self.session.request(
            method, self.base + path, allow_redirects=False, **options
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def register(self, uri: str, *, prefix: str = "", **fields: Any) -> Reply:
        return await self("POST", f"{prefix}/deployments", json={"uri": uri, **fields})


@contextlib.asynccontextmanager
async def admin(*more: AdminRoute) -> AsyncIterator[Admin]:
    async with world() as here, aiohttp.ClientSession() as session:
        context = AdminContext(
            catalog=here.catalog,
            registry=here.registry,
            clock=here.clock,
            reader=here.writer.connection,
            ingress_endpoint="http://127.0.0.1:8080/",
        )
        runner = web.AppRunner(build_admin(context, more), shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            yield Admin(f"http://{host}:{port}", here, session)
        finally:
            await runner.cleanup()
