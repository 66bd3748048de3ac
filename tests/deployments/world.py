"""What tests of registration need: endpoints that answer by script, a small store, a clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from steadfaas import store
from steadfaas.deployments.adapters import GROUP, Adapters
from steadfaas.deployments.catalog import Catalog, Deployment, HandlerOptions
from steadfaas.deployments.compat import Compatibility
from steadfaas.deployments.discover import Discovered, Patience, discover
from steadfaas.deployments.drain import Drain, drain_all, drain_of
from steadfaas.deployments.records import load_catalog
from steadfaas.deployments.register import Connection, Registration, Registry
from steadfaas.errors import StoreError
from steadfaas.spi import EndpointReference
from steadfaas.store.port import Tx
from steadfaas.wire.manifest import ServiceManifest, service_from_json

MIGRATIONS = Path(store.__file__).parent / "migrations"
MANIFEST_TYPE = "application/vnd.restate.endpointmanifest.v4+json"
# No wait between tries, and an endpoint that hangs costs a tenth of a second.
HASTY = Patience(attempts=3, first_wait=0, longest_wait=0, attempt_timeout=5, deadline=5)

Json = dict[str, Any]
_T = TypeVar("_T")


def run(test: Coroutine[Any, Any, _T]) -> _T:
    """Run an asynchronous test; it has ten seconds."""

    async def limited() -> _T:
        async with asyncio.timeout(10):
            return await test

    return asyncio.run(limited())


# --- what endpoints announce -------------------------------------------------------------------


def service(name: str = "Shop", *handlers: str | Json, ty: str = "SERVICE", **fields: Any) -> Json:
    listed = [{"name": each} if isinstance(each, str) else each for each in handlers or ("buy",)]
    return {"name": name, "ty": ty, "handlers": listed, **fields}


def manifest(*services: Json, **fields: Any) -> Json:
    return {
        "protocolMode": "REQUEST_RESPONSE",
        "minProtocolVersion": 5,
        "maxProtocolVersion": 7,
        "services": list(services),
        **fields,
    }


def read_service(document: Json) -> ServiceManifest:
    return service_from_json(json.dumps(document))


@dataclass
class Answer:
    """One HTTP answer of a scripted endpoint."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def announce(*services: Json, **fields: Any) -> Answer:
    """A good discovery answer."""
    headers = {"content-type": MANIFEST_TYPE, "x-restate-server": "scripted/1.0"}
    return Answer(json.dumps(manifest(*services, **fields)).encode(), headers=headers)


class Endpoint:
    """A loopback HTTP server that answers by script; its last answer repeats."""

    def __init__(self, *answers: Answer) -> None:
        self.script = list(answers)
        self.requests: list[web.BaseRequest] = []
        self.uri = ""
        self.asked = asyncio.Event()
        self.gate: asyncio.Event | None = None  # answers wait for it, if there is one

    def then(self, *answers: Answer) -> None:
        """Answer with these from now on."""
        self.script = list(answers)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(request)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


@contextlib.asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Endpoint]:
    """A running endpoint."""
    endpoint = Endpoint(*answers)
    runner = web.ServerRunner(web.Server(endpoint.answer), shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        endpoint.uri = f"http://{host}:{port}/"
        yield endpoint
    finally:
        if endpoint.gate is not None:
            endpoint.gate.set()
        await runner.cleanup()


# --- a store, a clock --------------------------------------------------------------------------


class SqliteWriter:
    """A store's writer over a database in memory. `broken` makes every commit fail."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            self.connection.executescript(migration.read_text())
        self.broken = False
        self.asked = asyncio.Event()
        self.gate: asyncio.Event | None = None  # units wait for it, if there is one

    async def write(self, unit: Callable[[Tx], _T]) -> _T:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = unit(self.connection)
            if self.broken:
                raise StoreError("the disk is full")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        await asyncio.sleep(0)
        return result

    def add_invocation(
        self, service: str, status: int, deployment: str | None, **columns: Any
    ) -> int:
        """A row as the engine would have stored it, with these columns set too. Its number."""
        seq: int = self.connection.execute("SELECT count(*) FROM invocation").fetchone()[0] + 1
        row = {
            "seq": seq,
            "id": seq.to_bytes(24, "big"),
            "status": int(status),
            "service": service,
            "handler": "buy",
            "kind": 0,
            "deployment": deployment,
            "created_at": 0,
            "modified_at": 0,
            **columns,
        }
        add_row(self.connection, row)
        return seq


def add_row(tx: Tx, row: Mapping[str, Any]) -> None:
    """An invocation with these columns."""
    names, places = ", ".join(row), ", ".join("?" * len(row))
    tx.execute(f"INSERT INTO invocation ({names}) VALUES ({places})", tuple(row.values()))


class FakeClock:
    """Time that moves when it is told to, and by 1 ms for each look."""

    def __init__(self, now: int = 1_790_000_000_668) -> None:
        self.time = now

    def now(self) -> int:
        self.time += 1
        return self.time


def installed_adapters() -> Adapters:
    """The adapters that ship, without relying on installed metadata."""
    homes = {
        "aws-lambda": "aws_lambda",
        "cloudflare": "cloudflare",
        "deno-deploy": "deno_deploy",
        "plain-http": "plain_http",
        "vercel": "vercel",
    }
    return Adapters(
        EntryPoint(name, f"steadfaas_adapters.{home}:ADAPTER", GROUP)
        for name, home in homes.items()
    )


@dataclass
class World:
    """A registry with all that it works with."""

    registry: Registry
    catalog: Catalog
    writer: SqliteWriter
    clock: FakeClock
    defaults: HandlerOptions

    async def register(self, target: str, **fields: Any) -> Deployment:
        """The deployment of this address, registered now or before."""
        return (await self.registry.register(Registration(target, **fields))).deployment

    def drain(self, deployment_id: str) -> Drain:
        """What needs a deployment; asked in both ways, which must agree."""
        now = self.clock.time
        alone = drain_of(self.writer.connection, self.catalog, deployment_id, now=now, blockers=5)
        together = drain_all(self.writer.connection, self.catalog, now=now, blockers=5)
        assert together[deployment_id] == alone
        return alone

    def same_after_restart(self) -> bool:
        """Whether what is stored is what is shown."""
        reloaded = self.restarted()
        return (
            reloaded.deployments() == self.catalog.deployments()
            and reloaded.services() == self.catalog.services()
        )

    def restarted(self) -> Catalog:
        """What a new process would load."""
        return load_catalog(self.writer.connection, self.defaults)


@contextlib.asynccontextmanager
async def world(
    *, compatibility: Compatibility = "strict", adapters: Adapters | None = None
) -> AsyncIterator[World]:
    """A registry over an empty store that discovers for real."""
    writer, catalog, clock, defaults = SqliteWriter(), Catalog(), FakeClock(), HandlerOptions()
    minted = iter(range(1, 1000))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def ask(reference: EndpointReference, connection: Connection) -> Discovered:
            return await discover(session, reference, connection.headers, patience=HASTY)

        registry = Registry(
            catalog=catalog,
            writer=writer,
            adapters=adapters or installed_adapters(),
            discover=ask,
            clock=clock,
            randomness=lambda size: next(minted).to_bytes(size, "big"),
            defaults=defaults,
            compatibility=compatibility,
        )
        yield World(registry, catalog, writer, clock, defaults)
    writer.connection.close()
