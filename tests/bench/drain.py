"""How long drain states take: `python -m tests.bench.drain`.

Thousands of deployments, a million retained results, and some thousands of unfinished invocations
among them, spread over all deployments (the worst case) or over the newest few (the usual one).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import random
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from steadfaas import ids
from steadfaas.clock import SystemClock
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog, Deployment, HandlerOptions, build_revision
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.drain import drain_all, drain_of
from steadfaas.deployments.headers import Connection
from steadfaas.deployments.records import load_catalog, to_rows
from steadfaas.deployments.register import Registration, Registry
from steadfaas.machine.status import Status
from steadfaas.servers.admin import AdminContext
from steadfaas.servers.admin_app import build_admin
from steadfaas.spi import EndpointReference
from steadfaas.store import deployments as table
from steadfaas.store.sqlite import Store
from steadfaas.wire.manifest import HandlerManifest, Manifest, ProtocolMode, ServiceManifest
from steadfaas.wire.services import HandlerKind, ServiceType

CHECKOUT = Path(__file__).parents[2]
NOW = 1_790_000_000_000
_UNFINISHED = [
    (Status.SCHEDULED, False),
    (Status.PENDING, False),
    (Status.RUNNING, True),
    (Status.BACKING_OFF, True),
    (Status.SUSPENDED, True),
    (Status.SUSPENDED, True),
    (Status.SUSPENDED, True),
    (Status.PAUSED, True),
]


class _Stopped:
    """The clock at the moment for which everything here was made up."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return NOW


def main() -> int:
    """Build a database in a temporary folder, ask, print, and drop it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drain", description=__doc__)
    parser.add_argument("--deployments", type=int, default=10_000)
    parser.add_argument("--services", type=int, default=500)
    parser.add_argument("--retained", type=int, default=1_000_000)
    parser.add_argument("--unfinished", type=int, default=20_000)
    parser.add_argument("--newest", type=int, help="only the newest so many have unfinished ones")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--prepare", type=float, default=5.0, help="seconds between a start and the first list"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-drain-", dir=CHECKOUT))
    try:
        asyncio.run(_measure(options, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _measure(options: argparse.Namespace, folder: Path) -> None:
    store = Store.open(folder, durability="none")
    try:
        known = _deployments(options.deployments, options.services)
        started = time.perf_counter()
        await store.writer.write(lambda tx: _fill(tx, known, options))
        print(f"built in {time.perf_counter() - started:.1f} s")
        catalog = load_catalog(store.reader, HandlerOptions())
        _calm_collector()
        await _list(store, known, options)
        _ask(store, catalog, known, options.rounds)
        await _ask_while_it_changes(store, catalog, options)
        await _register(store, catalog, options.rounds)
    finally:
        await store.close()


def _calm_collector() -> None:
    """As the server does once it has loaded what stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 4, 100)


# --- over HTTP ---------------------------------------------------------------------------------


async def _list(store: Store, known: list[Deployment], options: argparse.Namespace) -> None:
    """The admin API as after a start: at once, when it has warmed up, and when things change."""
    async with _served(store) as base:
        _print("GET /deployments, while it prepares", [await _get(f"{base}/deployments")])
    async with _served(store) as base:
        listing = f"{base}/deployments"
        _print("longest pause while it prepares", [await _longest_pause(options.prepare)])
        _print("GET /deployments, first", [await _get(listing)])
        _print("GET /deployments, again", await _gets(listing, options.rounds))
        _print("the same in gzip", await _gets(listing, options.rounds, gzip=True))
        for what, one in (("oldest", known[0]), ("newest", known[-1])):
            _print(f"GET one, {what}", await _gets(f"{listing}/{one.id}", options.rounds))
        times = []
        for turn in range(options.rounds):
            await _move_some(store, seed=turn)
            times.append(await _get(listing))
        _print("GET /deployments, 200 changed since", times)


@contextlib.asynccontextmanager
async def _served(store: Store) -> AsyncIterator[str]:
    catalog = load_catalog(store.reader, HandlerOptions())
    context = AdminContext(
        catalog=catalog,
        registry=_registry(store, catalog),
        clock=_Stopped(),
        reader=store.reader,
    )
    runner = web.AppRunner(build_admin(context), shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _longest_pause(seconds: float) -> float:
    """How long the event loop did not come round at most, in seconds."""
    longest, end = 0.0, time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - began)
    return longest


async def _gets(url: str, rounds: int, *, gzip: bool = False) -> list[float]:
    return [await _get(url, gzip=gzip) for _ in range(rounds)]


async def _get(url: str, *, gzip: bool = False) -> float:
    """Seconds until the whole answer is there, in a thread that does little beside."""

    def ask() -> float:
        started = time.perf_counter()
        headers = {"accept-encoding": "gzip"} if gzip else {}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            answer.read()
        return time.perf_counter() - started

    return await asyncio.to_thread(ask)


async def _move_some(store: Store, *, seed: int) -> None:
    """Two hundred of the unfinished move on."""
    lines = table.unfinished(store.reader).lines()
    numbers = [table.Unfinished.of(line).seq for line in lines]
    moved = random.Random(seed).sample(numbers, min(200, len(numbers)))
    await store.writer.write(
        lambda tx: tx.executemany(
            "UPDATE invocation SET status = 7 - status, due_at = NULL, asleep = 0 WHERE seq = ?"
            " AND status IN (3, 4) AND deployment IS NOT NULL",
            [(seq,) for seq in moved],
        )
    )


# --- asking ------------------------------------------------------------------------------------


def _ask(store: Store, catalog: Catalog, known: list[Deployment], rounds: int) -> None:
    def everything() -> object:
        return drain_all(store.reader, catalog, now=NOW)

    _timed("drain_all, first time", 1, everything)
    _timed("drain_all, again", rounds, everything)
    for what, one in (("oldest", known[0]), ("newest", known[-1])):
        _timed(f"drain_of, {what}", rounds, lambda one=one: _one(store, catalog, one))  # type: ignore[misc]
    _timed("deployments()", rounds, catalog.deployments)
    _timed(
        "active_services() of each", rounds, lambda: [catalog.active_services(x.id) for x in known]
    )


def _one(store: Store, catalog: Catalog, deployment: Deployment) -> object:
    return drain_of(store.reader, catalog, deployment.id, now=NOW)


async def _ask_while_it_changes(
    store: Store, catalog: Catalog, options: argparse.Namespace
) -> None:
    times = []
    for turn in range(options.rounds):
        await _move_some(store, seed=100 + turn)
        times.append(_time(lambda: drain_all(store.reader, catalog, now=NOW)))
    _print("drain_all, 200 changed since", times)


async def _register(store: Store, catalog: Catalog, rounds: int) -> None:
    registry = _registry(store, catalog)
    times, drains = [], []
    for number in range(rounds):
        started = time.perf_counter()
        await registry.register(Registration(f"http://new-{number}/"))
        times.append(time.perf_counter() - started)
        drains.append(_time(lambda: drain_all(store.reader, catalog, now=NOW)))
    _print("register one more (without discovery)", times)
    _print("drain_all after each", drains)


def _registry(store: Store, catalog: Catalog) -> Registry:
    async def discover(_: EndpointReference, __: Connection) -> Discovered:
        manifest = Manifest(ProtocolMode.REQUEST_RESPONSE, 5, 7, (_service("S1"),))
        return Discovered(manifest, None)

    return Registry(
        catalog=catalog,
        writer=store.writer,
        adapters=Adapters(),
        discover=discover,
        clock=SystemClock(),
        randomness=random.Random(3).randbytes,
        defaults=HandlerOptions(),
    )


def _timed(what: str, rounds: int, action: Callable[[], object]) -> None:
    _print(what, [_time(action) for _ in range(rounds)])


def _time(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _print(what: str, seconds: list[float]) -> None:
    best, middle = min(seconds) * 1000, statistics.median(seconds) * 1000
    print(f"{what:40} {middle:8.2f} ms (best {best:.2f})")


# --- building ----------------------------------------------------------------------------------


def _deployments(count: int, services: int) -> list[Deployment]:
    """Each serves two services, of which later ones serve newer revisions."""
    return [_deployment(number, services) for number in range(count)]


def _deployment(number: int, services: int) -> Deployment:
    id = ids.format_deployment(ids.mint_ulid(NOW + number, number.to_bytes(10, "big")))
    names = (number % services, (number * 7 + 1) % services)
    return Deployment(
        id=id,
        uri=f"http://d{number}/",
        headers=(),
        min_version=5,
        max_version=7,
        protocol_mode=ProtocolMode.REQUEST_RESPONSE,
        http_version="HTTP/1.1",
        sdk_version="bench/1",
        created_at=NOW + number,
        metadata={},
        adapter="plain-http",
        services={
            f"S{name}": build_revision(
                _service(f"S{name}"),
                revision=number + 1,
                deployment_id=id,
                defaults=HandlerOptions(),
            )
            for name in names
        },
    )


def _service(name: str) -> ServiceManifest:
    handlers = tuple(HandlerManifest(each, HandlerKind.SERVICE) for each in ("greet", "bye"))
    return ServiceManifest(name, ServiceType.SERVICE, handlers)


def _fill(tx: Any, known: list[Deployment], options: argparse.Namespace) -> None:
    for deployment in known:
        table.insert(tx, *to_rows(replace(deployment)))
    tx.executemany(
        "INSERT INTO invocation (seq, id, status, service, handler, key, kind, deployment, version,"
        " created_at, modified_at, due_at, asleep, entries)"
        " VALUES (?, ?, ?, ?, 'greet', NULL, 0, ?, 6, ?, ?, ?, ?, 3)",
        _rows(known, options),
    )


def _rows(known: list[Deployment], options: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    rng = random.Random(1)
    total = options.retained + options.unfinished
    unfinished = set(rng.sample(range(1, total + 1), options.unfinished))
    among = known[-options.newest :] if options.newest else known
    names = [list(deployment.services) for deployment in known]
    pin: str | None
    for seq in range(1, total + 1):
        if seq not in unfinished:
            place = seq % len(known)
            status, pin, due, asleep = int(Status.COMPLETED), known[place].id, None, 0
            service = names[place][0]
        else:
            chosen, pinned = rng.choice(_UNFINISHED)
            deployment = rng.choice(among)
            service = next(iter(deployment.services))
            timed = chosen in (Status.SCHEDULED, Status.BACKING_OFF, Status.SUSPENDED)
            due = NOW + rng.randrange(10**9) if timed and rng.random() < 0.8 else None
            asleep = int(chosen is Status.SUSPENDED and due is not None and rng.random() < 0.5)
            status, pin = int(chosen), deployment.id if pinned else None
        yield seq, rng.randbytes(24), status, service, pin, NOW + seq, NOW + seq, due, asleep


if __name__ == "__main__":
    sys.exit(main())
