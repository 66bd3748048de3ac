"""A whole engine beside a scripted endpoint, with what the hostile tests ask of both.

The engine is the real one, with its servers and its store on disk; only its retry intervals are
short. One service of each type is registered, and each has a handler for what is tested (`run`) and
one that is only there to work at the same time (`fine`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from steadfaas.config import Address, Settings
from steadfaas.runtime.engine import Engine
from steadfaas.servers.app import serving
from steadfaas.store.sqlite import FILE_NAME
from tests.runtime.endpoint import Endpoint, Exchange, Json, complete, service

# Attempts begin 20 ms after one another, then twice as far apart each time: a first second holds
# half a dozen of them.
RETRIES: Final[dict[str, Any]] = {
    "retryPolicyInitialInterval": 20,
    "retryPolicyMaxInterval": 400,
    "retryPolicyMaxAttempts": 40,
    "abortTimeout": 2000,
}
PLAIN, OBJECT, FLOW = "Plain", "Object", "Flow"
SERVICES: Final = (
    service(PLAIN, "run", "fine", {"name": "hasty", "abortTimeout": 100}, **RETRIES),
    service(
        OBJECT, "run", "fine", {"name": "look", "ty": "SHARED"}, ty="VIRTUAL_OBJECT", **RETRIES
    ),
    service(FLOW, "run", {"name": "look", "ty": "SHARED"}, ty="WORKFLOW", **RETRIES),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class World:
    """A running engine, the endpoint it calls, and a client of its two servers."""

    def __init__(
        self, engine: Engine, ingress: int, admin: int, session: aiohttp.ClientSession
    ) -> None:
        self.engine = engine
        self.ingress = f"http://127.0.0.1:{ingress}"
        self.admin = f"http://127.0.0.1:{admin}"
        self._session = session

    async def _request(self, method: str, url: str, **options: Any) -> Reply:
        async with self._session.request(method, URL(url, encoded=True), **options) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def register(self, endpoint: Endpoint) -> str:
        """Register the endpoint; its deployment's id."""
        asked = {"uri": endpoint.url}
        async with self._session.post(f"{self.admin}/deployments", json=asked) as answer:
            document = await answer.json(content_type=None)
            assert answer.status in (200, 201), document
            return str(document["id"])

    async def call(self, path: str, body: bytes = b"") -> Reply:
        """Call a handler and wait for its result. `path` is percent-encoded already."""
        headers = {"content-type": "application/json"} if body else {}
        return await self._request(
            "POST",
            f"{self.ingress}/{path}",
            data=body,
            headers=headers,
            skip_auto_headers=["content-type"],
        )

    async def send(self, path: str, body: bytes = b"") -> str:
        """Make an invocation without waiting for it; its id."""
        answer = await self.call(f"{path}/send", body)
        assert answer.status == 202, answer
        return answer.headers["x-restate-id"]

    async def describe(self, id: str) -> Json:
        """What the admin API says of an invocation."""
        async with self._session.get(f"{self.admin}/invocations/{id}") as answer:
            assert answer.status == 200, await answer.text()
            document: Json = await answer.json(content_type=None)
            return document

    async def describe_if_there(self, id: str) -> Json | None:
        """The same; None if it is gone, as what was cancelled before it began."""
        answer = await self._request("GET", f"{self.admin}/invocations/{id}")
        assert answer.status in (200, 404), answer
        return None if answer.status == 404 else json.loads(answer.body)

    async def act(self, id: str, action: str) -> int:
        """An operator's action on an invocation; the status of the answer."""
        return (await self._request("PATCH", f"{self.admin}/invocations/{id}/{action}")).status

    async def output(self, id: str) -> Reply:
        """The result of an invocation, if it is there."""
        return await self._request("GET", f"{self.ingress}/restate/invocation/{id}/output")

    async def until(self, id: str, *statuses: str, seconds: float = 30) -> Json:
        """The description, once the invocation has one of these statuses."""
        seen: Json = {}

        async def reached() -> bool:
            nonlocal seen
            seen = await self.describe(id)
            return seen["status"] in statuses

        await eventually(reached, lambda: f"expected {statuses}, still {seen}", seconds=seconds)
        return seen

    async def until_idle(self) -> None:
        """Nothing is left in memory of what has ended: no slot, no invocation, no caller."""
        engine = self.engine

        async def idle() -> bool:
            held = (engine._slots.total, engine._waiting, len(engine.ledger.lives))
            return held == (0, 0, 0) and not engine.waiters

        await eventually(idle, lambda: "something is held that nobody uses")


async def eventually(
    condition: Callable[[], Awaitable[bool]],
    complaint: Callable[[], str] = lambda: "it never came true",
    *,
    seconds: float = 30,
) -> None:
    """Return as soon as it is true; AssertionError if that takes too long."""
    end = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < end, complaint()
        await asyncio.sleep(0.02)


def path_of(kind: str, key: str, handler: str = "run") -> str:
    """The ingress path of a handler; plain services have no key."""
    return f"{kind}/{handler}" if kind == PLAIN else f"{kind}/{quote(key, safe='')}/{handler}"


class _Complaints(logging.Handler):
    """Keeps what is logged as an error: no answer of an endpoint may be one of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter("%(name)s: %(message)s").format(record))


@contextlib.contextmanager
def no_complaints() -> Iterator[None]:
    """AssertionError if the engine or the event loop logged an error during the block."""
    complaints = _Complaints()
    loggers = [logging.getLogger(name) for name in ("steadfaas", "asyncio", "aiohttp")]
    for logger in loggers:
        logger.addHandler(complaints)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(complaints)
    assert complaints.said == []


@contextlib.asynccontextmanager
async def running(data_dir: Path, **settings: Any) -> AsyncIterator[World]:
    """An engine on this data directory, until the end of the block."""
    options: dict[str, Any] = {"drain_seconds": 0.1, "durability": "relaxed", **settings}
    anywhere = Address("127.0.0.1", 0)
    chosen = Settings(ingress=anywhere, admin=anywhere, data_dir=data_dir, **options)
    timeout = aiohttp.ClientTimeout(total=60)
    with no_complaints():
        async with serving(chosen) as served, aiohttp.ClientSession(timeout=timeout) as session:
            yield World(served.engine, served.ingress_port, served.admin_port, session)


@contextlib.asynccontextmanager
async def hostile(data_dir: Path, endpoint: Endpoint, **settings: Any) -> AsyncIterator[World]:
    """An engine with the endpoint registered."""
    async with running(data_dir, **settings) as world:
        await world.register(endpoint)
        yield world


def attempts_of(endpoint: Endpoint, id: str) -> list[Exchange]:
    """All exchanges for one invocation."""
    return [each for each in endpoint.exchanges if each.headers["x-restate-invocation-id"] == id]


def check_store(data_dir: Path) -> None:
    """The store of a stopped engine is whole: by its own check, and as far as ours goes."""
    with contextlib.closing(sqlite3.connect(data_dir / FILE_NAME)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        orphans = database.execute(
            "SELECT count(*) FROM journal WHERE pos >> 20 NOT IN (SELECT seq FROM invocation)"
        ).fetchone()
        assert orphans == (0,), "journal entries that belong to no invocation"
        gaps = database.execute(
            "SELECT pos >> 20 AS seq, count(*), max(pos & 0xFFFFF) FROM journal"
            " JOIN invocation ON invocation.seq = pos >> 20 WHERE status < 100"
            " GROUP BY pos >> 20 HAVING count(*) != max(pos & 0xFFFFF) + 1"
        ).fetchall()
        assert gaps == [], "journals with holes"
        lines = database.execute(
            "SELECT seq FROM inbox WHERE seq NOT IN (SELECT seq FROM invocation WHERE status < 100)"
        ).fetchall()
        assert lines == [], "finished invocations that still stand in line"


class Control:
    """Well-behaved work on the same engine, all the time: what the odd ones must not harm."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stop = asyncio.Event()
        self.calls = 0
        self.slowest = 0.0

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Work during the block; AssertionError if some of it goes wrong."""
        await self.once()
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            self._stop.set()
            await task
        await self.once()

    async def once(self) -> None:
        """One call of each kind, which must succeed at once."""
        loop = asyncio.get_running_loop()
        for path in (f"{PLAIN}/fine", f"{OBJECT}/control/fine"):
            started = loop.time()
            answer = await self._world.call(path, b'"fine"')
            self.slowest = max(self.slowest, loop.time() - started)
            assert (answer.status, answer.body) == (200, b'"done"'), answer
            self.calls += 1

    async def _work(self) -> None:
        while not self._stop.is_set():
            await self.once()
            await asyncio.sleep(0.01)


async def fine(exchange: Exchange) -> bool:
    """Answer the well-behaved handlers; False if the exchange is not for one of them."""
    if not exchange.path.endswith("/fine"):
        return False
    await complete(exchange)
    return True
