"""The whole engine and official SDK applications, on loopback, within the test's own event loop.

Requests, exchanges and answers are real HTTP; only processes are missing. That lets a test hold a
handler at a point of its choice (an `asyncio.Event`), let its endpoint die there, put other code
behind its address, and look into the engine, without a single sleep that hopes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import restate
import uvicorn
from uvicorn.server import ServerState

from steadfaas.config import Settings
from steadfaas.runtime.engine import Engine
from steadfaas.servers.app import serving
from tests.runtime.books import check_books

LOOPBACK = "127.0.0.1"
Json = dict[str, Any]
_JSON = {"content-type": "application/json"}
_T = TypeVar("_T")

# Handlers fail here on purpose, and endpoints die; both would fill pages of every report.
for _name in ("restate", "uvicorn.error"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# Retries that a test can wait for.
HASTY = restate.InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=10),
    exponentiation_factor=1.0,
    max_interval=timedelta(milliseconds=10),
)


def run(test: Coroutine[Any, Any, _T], *, seconds: float = 20) -> _T:
    """Run an asynchronous test; it has `seconds`."""

    async def limited() -> _T:
        async with asyncio.timeout(seconds):
            return await test

    return asyncio.run(limited())


async def eventually(condition: Callable[[], bool], *, seconds: float = 5) -> None:
    """Wait until `condition()` holds. Raises AssertionError after that many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "what was waited for never came"
        await asyncio.sleep(0.001)


# --- endpoints ---------------------------------------------------------------------------------


class Code:
    """User code behind an address: an SDK application that may die, come back, and be replaced."""

    def __init__(self, *services: Any) -> None:
        self.become(*services)
        self.exchanges: list[str] = []  # the path of each, in order
        self.open = 0
        self.most_open = 0
        self.port = 0
        self._state = ServerState()
        self._listening: asyncio.Server | None = None

    @property
    def uri(self) -> str:
        """What is registered; it stays the same over `die` and `start`."""
        return f"http://{LOOPBACK}:{self.port}/"

    def become(self, *services: Any) -> None:
        """From now on other code answers at the same address."""
        self._app = restate.app(list(services), protocol="request_response")

    async def start(self) -> None:
        """Listen; at the same port as before, after `die`."""
        config = uvicorn.Config(
            self._serve, interface="asgi3", lifespan="off", log_config=None, access_log=False
        )
        config.load()
        self._state = state = ServerState()
        protocol: Any = config.http_protocol_class
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: protocol(config=config, server_state=state, app_state={}),
            LOOPBACK,
            self.port,
            reuse_address=True,
        )
        self.port = self._listening.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """Like a killed process: nobody listens, connections are reset, handlers stop."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await eventually(lambda: not (self._state.connections or self._state.tasks))

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if "/invoke/" not in path:
            await self._app(scope, receive, send)
            return
        self.exchanges.append(path.partition("/invoke/")[2])
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._app(scope, receive, send)
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def code(*services: Any) -> AsyncIterator[Code]:
    """An endpoint with these services; it dies at the end."""
    made = Code(*services)
    await made.start()
    try:
        yield made
    finally:
        await made.die()


# --- the engine --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """The invocation's id."""
        return self.headers["x-restate-id"]


class World:
    """A running engine, and clients of its two servers."""

    def __init__(
        self, engine: Engine, ingress_port: int, admin_port: int, session: aiohttp.ClientSession
    ) -> None:
        self.engine = engine
        self.ingress_port = ingress_port
        self.ingress = f"http://{LOOPBACK}:{ingress_port}"
        self.admin = f"http://{LOOPBACK}:{admin_port}"
        self.session = session

    async def ask(self, method: str, url: str, **options: Any) -> Reply:
        """One request to a whole URL."""
        async with self.session.request(method, url, **options) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, headers, await response.read())

    async def post(
        self, path: str, value: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> Reply:
        """POST to the ingress: a JSON value (None: no body)."""
        if value is not None:
            options["data"] = json.dumps(value)
            headers = {"content-type": "application/json", **(headers or {})}
        return await self.ask("POST", self.ingress + path, headers=headers, **options)

    async def post_json(self, url: str, value: Any, method: str = "POST") -> Reply:
        """POST a JSON value to a whole URL."""
        return await self.ask(method, url, data=json.dumps(value), headers=_JSON)

    async def get(self, path: str) -> Reply:
        """GET from the ingress."""
        return await self.ask("GET", self.ingress + path)

    async def call(self, path: str, value: Any = None, **headers: str) -> Any:
        """Call a handler that is to succeed; its result."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        reply = await self.post(path, value, headers=named)
        assert reply.status == 200, f"{path}: HTTP {reply.status} {reply.body!r}"
        return reply.json() if reply.body else None

    async def send(self, path: str, value: Any = None, *, delay: str = "", **headers: str) -> str:
        """Send to a handler; the id of the new invocation."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        query = f"?delay={delay}" if delay else ""
        reply = await self.post(f"{path}/send{query}", value, headers=named)
        assert reply.status == 202, f"{path}: HTTP {reply.status} {reply.body!r}"
        id: str = reply.json()["invocationId"]
        return id

    async def result(self, id: str) -> Any:
        """Wait for a result that is a success."""
        reply = await self.get(f"/restate/invocation/{id}/attach")
        assert reply.status == 200, f"{id}: HTTP {reply.status} {reply.body!r}"
        return reply.json() if reply.body else None

    async def register(self, endpoint: Code, **fields: Any) -> str:
        """Register an endpoint; its deployment's id."""
        order = {"uri": endpoint.uri, "use_http_11": True, **fields}
        reply = await self.post_json(f"{self.admin}/deployments", order)
        assert reply.status in (200, 201), f"HTTP {reply.status} {reply.body!r}"
        id: str = reply.json()["id"]
        return id

    async def operate(self, id: str, action: str) -> Reply:
        """PATCH an invocation: `cancel`, `kill`, `resume` …"""
        return await self.ask("PATCH", f"{self.admin}/invocations/{id}/{action}")

    async def look(self, id: str) -> Json:
        """What an operator sees of an invocation."""
        reply = await self.ask("GET", f"{self.admin}/invocations/{id}")
        assert reply.status == 200, f"{id}: HTTP {reply.status} {reply.body!r}"
        view: Json = reply.json()
        return view

    async def until(self, id: str, *statuses: str, attempts: int = 0) -> Json:
        """Look until an invocation has one of these statuses and so many attempts."""
        view: Json = {}
        for _ in range(2000):
            view = await self.look(id)
            if view["status"] in statuses and len(view["attempts"]) >= attempts:
                return view
            await asyncio.sleep(0.005)
        raise AssertionError(f"never {statuses}: {view}")

    async def check_books(self) -> None:
        """What the engine counts in memory is what there is; raises AssertionError.

        While invocations are under way, that holds between their steps: one such moment is enough.
        """
        for _ in range(100):
            with contextlib.suppress(AssertionError):
                check_books(self.engine)
                return
            await asyncio.sleep(0.007)
        check_books(self.engine)

    async def idle(self) -> None:
        """Wait until nothing runs, and check that nothing of it is left in memory."""
        for _ in range(1000):
            if not self.engine._driver.open_exchanges and not self.engine._slots.waiting:
                break
            await asyncio.sleep(0.005)
        await self.check_books()
        assert self.engine._driver.open_exchanges == 0
        assert len(self.engine.waiters) == 0


def settings(data_dir: Path, **fields: Any) -> Settings:
    """Settings for tests: any port, hasty retries, no wait at the end. Others as given."""
    given: dict[str, Any] = {
        "ingress": f"{LOOPBACK}:0",
        "admin": f"{LOOPBACK}:0",
        "data_dir": data_dir,
        "durability": "relaxed",
        "retry_initial_interval": "10ms",
        "retry_max_interval": "50ms",
        "drain_seconds": 0,
    }
    return Settings(**(given | fields))


@contextlib.asynccontextmanager
async def world(data_dir: Path, *codes: Code, **fields: Any) -> AsyncIterator[World]:
    """The engine on this data directory, with these endpoints registered."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        serving(settings(data_dir, **fields)) as served,
        # A content type that the test did not ask for would be refused where no input is taken.
        aiohttp.ClientSession(connector=connector, skip_auto_headers=["content-type"]) as session,
    ):
        made = World(served.engine, served.ingress_port, served.admin_port, session)
        for endpoint in codes:
            await made.register(endpoint)
        yield made
        await made.check_books()
