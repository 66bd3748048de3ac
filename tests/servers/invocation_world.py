"""The admin API over the engine of the test kit: real HTTP on loopback, in virtual time.

Every answer is compared with what `GET /openapi` publishes of the operation that gave it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from steadfaas import ids
from steadfaas.servers.admin import AdminContext
from steadfaas.servers.admin_app import build_admin
from steadfaas.servers.admin_invocations import InvocationRoutes
from steadfaas.servers.admin_operations import OPERATIONS
from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.books import check_books
from tests.runtime.yard import check_whole
from tests.servers.test_openapi import Description

Json = dict[str, Any]
UNKNOWN = ids.format_invocation(bytes(24))
UNKNOWN_DEPLOYMENT = "dp_10000000000000000000000"
_ACTOR = "x-steadfaas-actor"


class Admin:
    """Asks, and gives the JSON that was answered (None: nothing)."""

    def __init__(
        self, kit: Steadfaas, base: str, session: aiohttp.ClientSession, described: Description
    ) -> None:
        self.kit = kit
        self._base = base
        self._session = session
        self._described = described

    async def __call__(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any
    ) -> Any:
        """One request, with a body in JSON if one is given; it must be answered with `status`."""
        if body is not None:
            options["data"] = json.dumps(body)
            options.setdefault("headers", {})["content-type"] = "application/json"
        async with self._session.request(method, self._base + path, **options) as response:
            raw = await response.read()
        assert response.status == status, f"{method} {path}: {response.status} {raw!r}"
        if status != 405:  # any route may answer that, so it is not published
            self._described.check(_operation(method, path), status, raw)
        return json.loads(raw) if raw else None

    async def refused(self, method: str, path: str, body: Any = None, *, status: int) -> str:
        """A request that is refused with `status`; the sentence that says why."""
        answer = await self(method, path, body, status=status)
        assert answer["restate_code"] is None
        said: str = answer["message"]
        return said

    async def operate(
        self, sent: Invocation, how: str, *, status: int = 200, actor: str = ""
    ) -> Any:
        """PATCH an invocation, and everything that follows from it at once."""
        headers = {_ACTOR: actor} if actor else {}
        path = f"/invocations/{sent.text_id}/{how}"
        answer = await self("PATCH", path, status=status, headers=headers)
        await self.kit.settle()
        return answer

    async def look(self, sent: Invocation) -> Json:
        """What happened to an invocation."""
        view: Json = await self("GET", f"/invocations/{sent.text_id}")
        return view

    async def page(self, query: str = "", *, status: int = 200) -> Json:
        """One page of the list."""
        answer: Json = await self("GET", f"/invocations?{query}", status=status)
        return answer

    async def ids(self, query: str = "") -> list[str]:
        """The ids of one page of the list."""
        return [each["id"] for each in (await self.page(query))["invocations"]]

    async def batch(self, operation: str, *, status: int = 200, **fields: Any) -> Json:
        """One batch, and everything that follows from it at once."""
        body = {"operation": operation, **fields}
        answer: Json = await self("POST", "/invocations/batch", body, status=status)
        await self.kit.settle()
        return answer


def _operation(method: str, path: str) -> str:
    plain = re.sub(r"^/v[2-4]/", "/", path.partition("?")[0])
    for each in OPERATIONS:
        pattern = re.sub(r"{[^}]*}", "[^/]+", each.path)
        if each.method == method and re.fullmatch(pattern, plain):
            return each.id
    raise AssertionError(f"{method} {path} is no operation")


@contextlib.asynccontextmanager
async def admin_of(kit: Steadfaas) -> AsyncIterator[Admin]:
    """The admin API over this engine. At the end, its books and its store must be in order."""
    host = kit._host
    engine, registry = await host.engine(), await host.registry()
    context = AdminContext(
        catalog=engine.catalog,
        registry=registry,
        clock=host.clock,
        reader=engine.store.reader,
        engine=engine,
    )
    app = build_admin(context, InvocationRoutes(engine).routes())
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    # A content type that the test did not ask for would not be the one it means to send.
    async with aiohttp.ClientSession(skip_auto_headers=["content-type"]) as session:
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            base = "http://{}:{}".format(*runner.addresses[0][:2])
            async with session.get(f"{base}/openapi") as response:
                described = Description(await response.json())
            yield Admin(kit, base, session, described)
            check_books(host.running)
            check_whole(kit)
        finally:
            await runner.cleanup()
