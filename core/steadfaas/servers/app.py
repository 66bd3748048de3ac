"""Assembles the engine and its two servers, and their life: start, ready, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from steadfaas.clock import SystemClock
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.deployments.discover import Patience
from steadfaas.deployments.discovery import Discovery
from steadfaas.deployments.outlook import Outlooks
from steadfaas.deployments.records import load_catalog
from steadfaas.deployments.register import Registry
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.runtime.engine import Engine, Tuning
from steadfaas.servers.admin import AdminContext
from steadfaas.servers.admin_app import build_admin
from steadfaas.servers.admin_invocations import InvocationRoutes
from steadfaas.servers.http1 import HttpServer
from steadfaas.servers.ingress import Ingress
from steadfaas.servers.keep_warm import KeepWarm
from steadfaas.servers.problems import ingress_problem
from steadfaas.servers.query import Limits, QueryPool, query_routes
from steadfaas.store.sqlite import FILE_NAME, Store
from steadfaas.transport.http import HttpTransport
from steadfaas.transport.platforms import Platforms

if TYPE_CHECKING:
    from steadfaas.config import Settings


_log = logging.getLogger(__name__)


def run(settings: Settings, ready: Callable[[Served], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code. `ready` is called when requests are
    taken; it must not block.

    Raises StoreError if the data directory cannot be used, OSError if an address cannot be taken.
    """
    _raise_file_limit()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(settings, ready))
    return uvloop.run(_serve(settings, ready))


async def _serve(settings: Settings, ready: Callable[[Served], None] | None) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(settings) as served:
        _calm_collector()
        if ready is not None:
            ready(served)
        await stopped.wait()
    return 0


@dataclass(frozen=True, slots=True)
class Served:
    """A running engine and where it listens: the ports that port 0 became."""

    engine: Engine
    ingress_port: int
    admin_port: int


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """The engine with both servers, ready for requests; drained and closed at the end."""
    store = Store.open(settings.data_dir, durability=settings.durability)
    try:
        adapters = Adapters()
        http = HttpTransport(connect_timeout=settings.connect_timeout / 1000)
        network = _Network(http, Platforms(adapters.get, http))
        queries = QueryPool(settings.data_dir / FILE_NAME, query_limits(settings))
        parts = _assemble(settings, store, adapters, network, queries)
        engine = parts.engine
        if not settings.dev:
            await _leave_development(parts.registry)
        await engine.start()
        try:
            async with (
                _kept_warm(settings, parts.keep_warm),
                _listening(settings, engine, parts.admin) as (admin_port, ingress_port),
            ):
                yield Served(engine, ingress_port, admin_port)
        finally:
            await engine.stop()
            await queries.close()
            await network.close()
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class _Network:
    """How endpoints are reached: over HTTP, or in their platform's own way."""

    http: HttpTransport
    platforms: Platforms

    async def close(self) -> None:
        await self.http.close()
        await self.platforms.close()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is put together of them."""

    engine: Engine
    registry: Registry
    admin: web.Application
    keep_warm: KeepWarm


def _assemble(
    settings: Settings, store: Store, adapters: Adapters, network: _Network, queries: QueryPool
) -> _Parts:
    defaults = handler_defaults(settings)
    catalog = load_catalog(store.reader, defaults)
    clock = SystemClock()
    engine = Engine(
        store=store,
        catalog=catalog,
        clock=clock,
        tuning=tuning(settings),
        transport=network.http,
        platforms=network.platforms,
    )
    patience = Patience(
        attempt_timeout=settings.discovery_timeout / 1000,
        deadline=settings.discovery_deadline / 1000,
    )
    discovery = Discovery(lambda: network.http.session, network.platforms, patience)
    registry = Registry(
        catalog=catalog,
        writer=store.writer,
        adapters=adapters,
        discover=discovery,
        clock=clock,
        randomness=secrets.token_bytes,
        defaults=defaults,
        compatibility=settings.compatibility,
        allow_mutable=settings.dev,
    )
    context = AdminContext(
        catalog=catalog,
        registry=registry,
        clock=clock,
        reader=store.reader,
        cluster_name=settings.cluster_name,
        ingress_endpoint=f"{settings.ingress.url}/",
        engine=engine,
        adapters=adapters,
    )
    more = [*InvocationRoutes(engine).routes(), *query_routes(queries)]
    keep_warm = KeepWarm(catalog, Outlooks(adapters, store.reader), discovery, clock)
    return _Parts(engine, registry, build_admin(context, more), keep_warm)


@contextlib.asynccontextmanager
async def _kept_warm(settings: Settings, keep_warm: KeepWarm) -> AsyncIterator[None]:
    if not settings.keep_warm:
        yield
        return
    calling = asyncio.create_task(keep_warm.run(settings.keep_warm / 1000), name="keep-warm")
    try:
        yield
    finally:
        calling.cancel()
        await asyncio.wait([calling])


async def _leave_development(registry: Registry) -> None:
    for removed in await registry.remove_mutable():
        _log.warning(
            "deployment %s (%s) was removed: its code may change, and this engine was started"
            " without --dev. Invocations that are pinned to it need another deployment",
            removed.id,
            removed.uri,
        )


@contextlib.asynccontextmanager
async def _listening(
    settings: Settings, engine: Engine, admin: web.Application
) -> AsyncIterator[list[int]]:
    """Both servers; yields the ports of admin and ingress.

    At the end they stop listening first; open requests get their answers while the engine drains,
    and only then the connections are closed.
    """
    loop = asyncio.get_running_loop()
    ingress = HttpServer(Ingress(engine).handle, ingress_problem, max_body=settings.max_body_bytes)
    runner = web.AppRunner(admin, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    listening = []
    try:
        assert runner.server is not None
        for server, address in ((runner.server, settings.admin), (ingress, settings.ingress)):
            listening.append(
                await loop.create_server(server, address.host, address.port, backlog=1024)
            )
        ingress.start()
        yield [sockets.sockets[0].getsockname()[1] for sockets in listening]
    finally:
        for sockets in listening:
            sockets.close()
        await engine.stop()
        await ingress.shutdown(1)
        await runner.cleanup()


def handler_defaults(settings: Settings) -> HandlerOptions:
    """What holds for handlers whose service sets nothing."""
    return HandlerOptions(
        inactivity_timeout=settings.inactivity_timeout,
        abort_timeout=settings.abort_timeout,
        journal_retention=settings.journal_retention,
        idempotency_retention=settings.idempotency_retention,
        workflow_retention=settings.workflow_completion_retention,
        retry=RetryPolicy(
            initial_interval=settings.retry_initial_interval,
            factor=settings.retry_exponentiation_factor,
            max_interval=settings.retry_max_interval,
            max_attempts=settings.retry_max_attempts,
            on_max_attempts=(
                OnMaxAttempts.KILL
                if settings.retry_on_max_attempts == "kill"
                else OnMaxAttempts.PAUSE
            ),
        ),
    )


def tuning(settings: Settings) -> Tuning:
    """The engine's limits."""
    return Tuning(
        cluster_name=settings.cluster_name,
        max_concurrency=settings.max_concurrency,
        max_concurrency_per_deployment=settings.max_concurrency_per_deployment,
        max_queued=settings.max_queued,
        max_frame_bytes=settings.max_frame_bytes,
        max_journal_entries=settings.max_journal_entries,
        max_journal_bytes=settings.max_journal_bytes,
        drain_seconds=settings.drain_seconds,
        version_wait=settings.version_wait,
    )


def query_limits(settings: Settings) -> Limits:
    """What statements in SQL may use."""
    return Limits(
        time=settings.query_time_limit / 1000,
        memory=settings.query_memory_limit,
        rows=settings.query_max_rows,
        workers=settings.query_workers,
    )


def _calm_collector() -> None:
    """What was loaded at the start stays: the collector need not look at it again, and what a
    request leaves behind is freed by counting references."""
    gc.collect()
    gc.freeze()
    # The middle generation often, while it is small: after twenty of the youngest it took 60 ms.
    gc.set_threshold(10_000, 4, 100)


def _raise_file_limit() -> None:
    """Every open exchange is a file; the usual soft limit is far below the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 65_536
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
