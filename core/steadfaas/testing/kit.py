"""The engine inside a test: the production machine, driver and store, on a virtual clock.

Everything runs in the test's own event loop and starts with the first `await`. Time stands still
until the test moves it (`advance`) or waits for a result (`Invocation.result`), which moves it as
far as needed. Nothing sleeps for real.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from steadfaas import ids
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog, HandlerOptions
from steadfaas.deployments.discover import Discovered, discover
from steadfaas.deployments.records import load_catalog
from steadfaas.deployments.register import Registration, Registry
from steadfaas.durations import format_duration, parse_duration
from steadfaas.errors import DiscoveryError
from steadfaas.machine.status import Status
from steadfaas.runtime.engine import Engine, Tuning
from steadfaas.servers.http1 import Reply, Request
from steadfaas.servers.ingress import Ingress
from steadfaas.spi import EndpointReference
from steadfaas.store import invocations
from steadfaas.store.sqlite import Store
from steadfaas.testing import stories
from steadfaas.testing.asgi import AsgiApp, Exchange
from steadfaas.testing.clock import VirtualClock
from steadfaas.testing.faults import Fault, attempt_numbers
from steadfaas.testing.handles import Deployment, Invocation, InvocationFailed
from steadfaas.testing.replay import Replayer
from steadfaas.testing.transport import DOMAIN, InProcessTransport
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.manifest import parse_manifest
from steadfaas.wire.version import DISCOVERY_ACCEPT, manifest_version

# Turns of the event loop in which nothing happened, before the engine counts as idle.
_QUIET_TURNS: Final = 3
# A handler that waits for something real (a file, a thread) is given time after so many turns.
_BUSY_TURNS: Final = 2_000
_UNFINISHED_SHOWN: Final = 20
_CENTURY: Final = 36_525 * 86_400_000
# As in production, but results outlive the test, whatever time passes in it, unless their service
# says how long it keeps them.
_DEFAULTS: Final = HandlerOptions(
    journal_retention=_CENTURY, idempotency_retention=_CENTURY, workflow_retention=_CENTURY
)


class Refused(AssertionError):
    """The engine refused a request: `status` and `message` are what a client would have got."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Stuck(AssertionError):
    """The test waits for something that cannot come. The message lists who waits for what."""


class NonDeterminism(AssertionError):
    """A handler took another way when it was replayed. The message shows both command streams."""


class Steadfaas:
    """The engine of one test; the fixture `steadfaas` is one.

    `seed` makes ids and jitter the same in each run. `defaults` are the settings of handlers whose
    service sets none: as in production, but results are kept for good. `always_replay` looks for
    handlers that are not deterministic.
    """

    def __init__(
        self,
        *,
        seed: object = 0,
        always_replay: bool = False,
        defaults: HandlerOptions | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self._random = random.Random(repr(seed))
        self._defaults = defaults or _DEFAULTS
        self._tuning = tuning or Tuning(drain_seconds=0)
        self._folder = Path(tempfile.mkdtemp(prefix="steadfaas-test-"))
        self._transport = InProcessTransport(self.clock)
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()
        self._registry: Registry | None = None
        self._deployments: dict[str, Deployment] = {}
        self._names = 0
        self.sent: list[Invocation] = []
        if always_replay:
            self.replay_always()

    # --- deployments ---------------------------------------------------------------------------

    async def deploy(
        self,
        app: AsgiApp | str,
        *,
        name: str | None = None,
        force: bool = False,
        breaking: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Deployment:
        """Register a version: an ASGI app (of the Python SDK), called in this process, or a URL.

        It takes new requests from now on. `name` is how reports call it (`v1`, `v2`, … by
        default). Raises DiscoveryError if it cannot be registered, as `steadfaas deployments
        register` would.
        """
        await self.engine()
        self._names += 1
        label = name or f"v{self._names}"
        target = app if isinstance(app, str) else f"http://d{self._names}{DOMAIN}/"
        if not isinstance(app, str):
            self._transport.apps[f"d{self._names}{DOMAIN}"] = app
        assert self._registry is not None
        registered = await self._registry.register(
            Registration(
                target=target, force=force, breaking=breaking, metadata=dict(metadata or {})
            )
        )
        handle = Deployment(registered.deployment.id, label, registered.deployment.uri)
        return self._deployments.setdefault(handle.id, handle)

    async def remove(self, deployment: Deployment, *, force: bool = False) -> None:
        """Remove a version. Raises Conflict while it is not drained, unless forced."""
        await self.engine()
        assert self._registry is not None
        await self._registry.remove(deployment.id, force=force)

    # --- requests ------------------------------------------------------------------------------

    async def send(
        self,
        target: str,
        body: object = None,
        *,
        delay: str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Invocation:
        """Send a request to `Service/handler` or `Object/key/handler`, and do not wait for it.

        `body` is sent as JSON (bytes as they are, None: no body). `delay` as in `"10s"`. Raises
        Refused if the engine does not take it.
        """
        query = "" if delay is None else f"?delay={delay}"
        reply = await self._request(f"{target}/send{query}", body, idempotency_key, headers)
        accepted = json.loads(reply.body)
        invocation = Invocation(self, ids.parse_invocation(accepted["invocationId"]), target)
        if all(known.id != invocation.id for known in self.sent):
            self.sent.append(invocation)
        return invocation

    async def call(
        self,
        target: str,
        body: object = None,
        *,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and give its result; time moves on as far as that needs.

        Raises Refused, InvocationFailed, Stuck, NonDeterminism.
        """
        invocation = await self.send(target, body, idempotency_key=idempotency_key, headers=headers)
        return await invocation.result()

    async def resolve(self, awakeable: str, value: object = None) -> None:
        """Complete an awakeable."""
        await self._post(f"restate/awakeables/{awakeable}/resolve", *_encoded(value))
        await self.settle()

    async def reject(self, awakeable: str, reason: str) -> None:
        """Fail an awakeable."""
        await self._post(f"restate/awakeables/{awakeable}/reject", reason.encode(), "text/plain")
        await self.settle()

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Any request to the ingress, and its reply as a client would get it."""
        engine = await self.engine()
        listed = [(name.lower(), value) for name, value in (headers or {}).items()]
        return await Ingress(engine).handle(Request(method, f"/{path}", listed, body))

    async def _request(
        self,
        path: str,
        body: object,
        idempotency_key: str | None,
        headers: Mapping[str, str] | None,
    ) -> Reply:
        more = dict(headers or {})
        if idempotency_key is not None:
            more["idempotency-key"] = idempotency_key
        return await self._post(path, *_encoded(body), more)

    async def _post(
        self,
        path: str,
        body: bytes,
        content_type: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        typed = {} if content_type is None else {"content-type": content_type}
        reply = await self.request("POST", path, body, {**typed, **(headers or {})})
        if reply.status >= 400:
            raise Refused(reply.status, json.loads(reply.body)["message"])
        return reply

    # --- time ----------------------------------------------------------------------------------

    def now(self) -> int:
        """The virtual time, in ms since the epoch."""
        return self.clock.now()

    async def advance(self, duration: str) -> None:
        """Let time pass: `"3 days"`, `"1h 30m"`. Sleeps, retries and delays fire in order."""
        await self.engine()
        await self._move(self.clock.now() + parse_duration(duration))

    async def run_until_idle(self, limit: str = "365 days") -> None:
        """Let time pass until nothing happens by itself any more; `limit` of it at most."""
        await self.engine()
        await self.settle()
        end = self.clock.now() + parse_duration(limit)
        while (at := self._next_at()) is not None and at <= end:
            await self._move(at)

    async def settle(self) -> None:
        """Let everything happen that happens without time passing."""
        quiet = turns = 0
        while quiet < _QUIET_TURNS:
            turns += 1
            await asyncio.sleep(0 if turns < _BUSY_TURNS else 0.001)
            engine = self._engine
            if engine is None:
                return
            waiting = len(self._transport.waiting)
            idle = not engine.busy and engine.open_exchanges <= waiting
            quiet = quiet + 1 if idle else 0

    async def _move(self, to: int) -> None:
        await self.settle()
        while (at := self._next_at()) is not None and at <= to:
            self.clock.move(at)
            await self.settle()
        self.clock.move(to)
        await self.settle()

    def _next_at(self) -> int | None:
        """When something happens by itself next, other than that old results are forgotten."""
        assert self._engine is not None
        times = list(self._transport.waiting)
        if self._engine.next_timer is not None:
            times.append(self._engine.next_timer)
        return min(times, default=None)

    # --- faults --------------------------------------------------------------------------------

    def fail(
        self,
        deployment: Deployment | None = None,
        *,
        times: int | None = 1,
        status: int = 503,
        retry_after: str | None = None,
        attempts: int | Iterable[int] | None = None,
        invocation: Invocation | None = None,
    ) -> Callable[[], None]:
        """Answer the next exchanges with an HTTP status instead of calling the deployment.

        `times=None` means until it is taken back: the returned function does that. `retry_after`
        (as in `"5s"`) is sent along; with `status=429` it is a throttle.
        """
        wait = None if retry_after is None else parse_duration(retry_after)
        fault = self._fault(deployment, times, attempts, invocation)
        fault.status, fault.retry_after = status, wait
        return self._order(fault)

    def cut(
        self,
        deployment: Deployment | None = None,
        *,
        after: int = 0,
        times: int | None = 1,
        attempts: int | Iterable[int] | None = None,
        invocation: Invocation | None = None,
    ) -> Callable[[], None]:
        """Cut answers off after that many of their messages; the handler has run by then."""
        fault = self._fault(deployment, times, attempts, invocation)
        fault.cut_after = after
        return self._order(fault)

    def delay(
        self,
        deployment: Deployment | None = None,
        *,
        by: str,
        times: int | None = 1,
        attempts: int | Iterable[int] | None = None,
        invocation: Invocation | None = None,
    ) -> Callable[[], None]:
        """Let exchanges take that long in virtual time; beyond the abort timeout they fail."""
        fault = self._fault(deployment, times, attempts, invocation)
        fault.latency = parse_duration(by)
        return self._order(fault)

    def _fault(
        self,
        deployment: Deployment | None,
        times: int | None,
        attempts: int | Iterable[int] | None,
        invocation: Invocation | None,
    ) -> Fault:
        return Fault(
            deployment=None if deployment is None else deployment.host,
            invocation=None if invocation is None else invocation.text_id,
            attempts=attempt_numbers(attempts),
            times=times,
        )

    def _order(self, fault: Fault) -> Callable[[], None]:
        self._transport.faults.add(fault)
        return partial(self._transport.faults.remove, fault)

    async def crash(self) -> None:
        """Kill the engine and start it again on what it had stored."""
        engine = await self.engine()
        engine.halt()
        engine.store.abandon()
        self._engine = None
        await asyncio.sleep(0)
        await self.engine()

    def replay_always(self) -> None:
        """From now on, look for handlers that take another way when they are replayed."""
        if self._transport.replayer is None:
            self._transport.replayer = Replayer()
            self._transport.replayer.install()

    # --- looking -------------------------------------------------------------------------------

    def check_replays(self) -> None:
        """Raises NonDeterminism if a replay left the recorded way; each finding is told once."""
        replayer = self._transport.replayer
        if replayer is not None and replayer.found:
            found = list(replayer.found.values())
            replayer.found.clear()
            raise NonDeterminism("\n\n".join(map(str, found)))

    async def outcome(self, invocation: Invocation, within: int) -> m.OutputCommand:
        """Move time until an invocation has its result, `within` ms at most."""
        engine = await self.engine()
        end = self.clock.now() + within
        await self.settle()
        while True:
            self.check_replays()
            engine = await self.engine()
            found = engine.outline(invocation.id)
            if found is None:
                raise Stuck(f"{invocation} is unknown: cancelled before it began, or forgotten")
            if found.output is not None:
                return decode(m.OutputCommand, found.output)
            at = self._next_at()
            if at is None or at > end:
                raise Stuck(self._why_stuck(invocation, at, within))
            await self._move(at)

    def _why_stuck(self, invocation: Invocation, at: int | None, within: int) -> str:
        if at is None:
            head = f"nothing can bring the result of {invocation} any more:"
        else:
            head = f"{invocation} has no result within {format_duration(within)}:"
        return "\n".join([head, *(f"  - {line}" for line in self.unfinished())])

    def unfinished(self) -> list[str]:
        """Who is not finished, and what each waits for."""
        assert self._engine is not None
        reader = self._engine.store.reader
        lines = []
        page = invocations.unfinished(reader, 0, _UNFINISHED_SHOWN + 1)
        for seq, _ in page[:_UNFINISHED_SHOWN]:
            inv = invocations.load(reader, seq)
            if inv is not None:
                lines.append(stories.situation(inv, self.clock.now()))
        if len(page) > _UNFINISHED_SHOWN:
            lines.append("… and more")
        return lines

    def deployment_of(self, id: str | None) -> Deployment:
        """The handle of a deployment by its id."""
        known = self._deployments.get(id or "")
        return known or Deployment(id or "-", id or "no deployment", "")

    def report(self) -> str:
        """The timelines of everything that was sent, for a failed test."""
        if self._engine is None:
            return ""
        return "\n".join(invocation.timeline() for invocation in self.sent[:_UNFINISHED_SHOWN])

    # --- life ----------------------------------------------------------------------------------

    async def engine(self) -> Engine:
        """The running engine; started on first use, and again after a crash."""
        async with self._starting:
            if self._engine is None:
                store = Store.open(self._folder, durability="none")
                catalog = load_catalog(store.reader, self._defaults)
                self._engine = self._assemble(store, catalog)
                await self._engine.start()
        return self._engine

    @property
    def running(self) -> Engine:
        """The engine, which must have been started. Raises AssertionError if it was not."""
        assert self._engine is not None, "nothing was deployed or sent yet"
        return self._engine

    def _assemble(self, store: Store, catalog: Catalog) -> Engine:
        engine = Engine(
            store=store,
            catalog=catalog,
            clock=self.clock,
            tuning=self._tuning,
            transport=self._transport,
            random_bytes=self._random.randbytes,
            jitter=self._random.random,
        )
        self._registry = Registry(
            catalog=catalog,
            writer=store.writer,
            adapters=Adapters(),
            discover=self._discover,
            clock=self.clock,
            randomness=self._random.randbytes,
            defaults=self._defaults,
        )
        return engine

    async def _discover(
        self, reference: EndpointReference, headers: Iterable[tuple[str, str]]
    ) -> Discovered:
        host = reference.uri.removeprefix("http://").partition("/")[0]
        app = self._transport.apps.get(host)
        if app is None:
            return await discover(self._transport.http.session, reference, headers)
        exchange = Exchange(app, "GET", "/discover", {"accept": DISCOVERY_ACCEPT}, b"")
        try:
            head = await exchange.head()
            body = b"".join([part async for part in exchange.body()])
        finally:
            await exchange.close()
        version = manifest_version(head.headers.get("content-type", ""))
        if head.status != 200 or version is None:
            raise DiscoveryError(
                f"the app answered discovery with status {head.status}: {body[:500]!r};"
                " deploy what `restate.app(...)` returns",
                code="META0003",
            )
        manifest = parse_manifest(version, body)
        return Discovered(manifest, head.headers.get("x-restate-server"), "HTTP/1.1")

    def close(self) -> None:
        """End. Needs no event loop, so that any test runner can do it."""
        if self._transport.replayer is not None:
            self._transport.replayer.remove()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.halt()
            engine.store.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def aclose(self) -> None:
        """End, and close connections to real URLs, too."""
        await self._transport.close()
        self.close()

    async def __aenter__(self) -> Steadfaas:
        await self.engine()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()


def _encoded(value: object) -> tuple[bytes, str | None]:
    if value is None:
        return b"", None
    if isinstance(value, bytes):
        return value, "application/octet-stream"
    return json.dumps(value).encode(), "application/json"


__all__ = ["InvocationFailed", "NonDeterminism", "Refused", "Status", "Steadfaas", "Stuck"]
