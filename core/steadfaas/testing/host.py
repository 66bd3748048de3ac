"""Holds the engine of one test: starts, crashes and ends it, and moves its time.

The machine, driver, ledger and store are those of production. What is different comes in by the
door: a virtual clock, a transport that calls apps in this process, seeded randomness, and a
database in a temporary folder that no commit waits for.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Coroutine
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final, TypeVar

from steadfaas import ids
from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.discovery import Discovery
from steadfaas.deployments.headers import Connection
from steadfaas.deployments.records import load_catalog
from steadfaas.deployments.register import Registry
from steadfaas.durations import format_duration
from steadfaas.errors import DiscoveryError
from steadfaas.runtime.engine import Engine, Tuning
from steadfaas.runtime.waiters import Waiters
from steadfaas.spi import EndpointReference
from steadfaas.store import invocations
from steadfaas.store.sqlite import Store
from steadfaas.testing import sdk, stories
from steadfaas.testing.asgi import INSIDE
from steadfaas.testing.clock import VirtualClock
from steadfaas.testing.failures import NonDeterminism, Stuck
from steadfaas.testing.handles import Deployment
from steadfaas.testing.replay import Replayer
from steadfaas.testing.transport import InProcessTransport
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.manifest import parse_manifest
from steadfaas.wire.version import DISCOVERY_ACCEPT, manifest_version

# Turns of the event loop in which nothing happened, before the engine counts as idle.
_QUIET_TURNS: Final = 3
# A handler that waits for something real (a file, a thread) is given time after so many turns.
_BUSY_TURNS: Final = 2_000
# Moments of virtual time that one wait may take; who asks for more would not come to an end.
_MOST_MOMENTS: Final = 100_000
_UNFINISHED_SHOWN: Final = 20

_T = TypeVar("_T")


class Host:
    """The engine of one test. Belongs to the event loop in which it is first used.

    `seed` decides about ids and jitter. `patience` is how long (real seconds) a handler may go
    without a sign of life.
    """

    def __init__(
        self, *, seed: object, defaults: HandlerOptions, tuning: Tuning, patience: float
    ) -> None:
        self.clock = VirtualClock()
        self.transport = InProcessTransport(self.clock, self._attempt_of)
        self.deployments: dict[str, Deployment] = {}
        self._random = random.Random(repr(seed))
        self._defaults = defaults
        self._tuning = tuning
        self._patience = patience
        self._folder: Path | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Lock | None = None
        self._engine: Engine | None = None
        self._registry: Registry | None = None
        self._guard: asyncio.Task[None] | None = None
        self._asked: dict[asyncio.Task[Any], bool] = {}  # to whether a crash ended it
        self._results: dict[bytes, bytes] = {}
        self._closed = False

    # --- life ----------------------------------------------------------------------------------

    async def engine(self) -> Engine:
        """The running engine; started on first use, and again after a crash."""
        __tracebackhide__ = True
        self._check_loop()
        if self._engine is None:
            assert self._starting is not None
            async with self._starting:
                if self._engine is None:
                    await self._start()
        assert self._engine is not None
        return self._engine

    async def registry(self) -> Registry:
        """The registry of the running engine."""
        __tracebackhide__ = True
        await self.engine()
        assert self._registry is not None
        return self._registry

    @property
    def running(self) -> Engine:
        """The engine, which must have been started. Raises RuntimeError if it was not."""
        if self._engine is None:
            raise RuntimeError("nothing was deployed or sent yet, or the engine has ended")
        return self._engine

    def _check_loop(self) -> None:
        __tracebackhide__ = True
        if self._closed:
            raise RuntimeError("this engine has ended with its test")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "the engine needs a running asyncio event loop: await it in an `async def` test of"
                " pytest-asyncio, or of anyio with the back end asyncio"
            ) from None
        if self._loop is None:
            self._loop = loop
            self._starting = asyncio.Lock()
            self._guard = loop.create_task(self._leave_with_loop())
            # Who closes a loop with this task in it has done nothing wrong.
            setattr(self._guard, "_log_destroy_pending", False)  # noqa: B010
        elif self._loop is not loop:
            raise RuntimeError(
                "this engine belongs to another event loop; do everything within one `asyncio.run`"
            )

    async def _start(self) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="steadfaas-test-"))
            sdk.hold()
            self.transport.context = copy_context()
        store = Store.open(self._folder, durability="none")
        catalog = load_catalog(store.reader, self._defaults)
        engine = Engine(
            store=store,
            catalog=catalog,
            clock=self.clock,
            tuning=self._tuning,
            transport=self.transport,
            platforms=self.transport,
            random_bytes=self._random.randbytes,
            jitter=self._random.random,
        )
        engine.waiters = _Remembering(self._results)
        self._registry = Registry(
            catalog=catalog,
            writer=store.writer,
            adapters=self.transport.adapters,
            discover=self._discover,
            clock=self.clock,
            randomness=self._random.randbytes,
            defaults=self._defaults,
        )
        self._engine = engine
        await engine.start()

    async def crash(self) -> None:
        """End the engine as `kill -9` would, handlers included, and start it again."""
        self.check_outside("crash()")
        engine = await self.engine()
        # One moment: what is not committed now is lost.
        engine.halt()
        engine.store.abandon()
        self._engine = None
        for task in self._asked:
            self._asked[task] = True
            task.cancel()
        await self.transport.drop()
        await self.engine()

    async def _leave_with_loop(self) -> None:
        """Stop when the event loop ends, which some runners do before the fixture does.

        They cancel all tasks then, this one too. The others alone would not end the engine: it
        would go on with what they leave behind. Its database stays, for the report.
        """
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if self._engine is not None:
                self._engine.halt()
            await self.transport.close()
            raise

    def close(self) -> None:
        """End. Needs no running event loop, so that any test runner can do it; may be repeated."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and not loop.is_running():
            loop.run_until_complete(self.aclose())
        else:
            self._forget()

    async def aclose(self) -> None:
        """End in an orderly way: stop handlers, close connections, remove the database."""
        for task in self._asked:
            task.cancel()
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.wait([self._guard])
        self._forget()

    def _forget(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self.transport.replayer is not None:
            self.transport.replayer.close()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.store.abandon()
        if self._folder is not None:
            sdk.release()
            shutil.rmtree(self._folder, ignore_errors=True)

    def replay_always(self) -> None:
        """From now on, look for handlers that take another way when they are replayed."""
        if self.transport.replayer is None:
            self.transport.replayer = Replayer()

    # --- asking --------------------------------------------------------------------------------

    async def asked(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Await something of the engine. Raises ConnectionResetError if it crashes meanwhile."""
        __tracebackhide__ = True
        task = asyncio.get_running_loop().create_task(question)
        self._asked[task] = False
        try:
            return await task
        except asyncio.CancelledError:
            if not self._asked[task]:
                raise
            raise ConnectionResetError("the engine crashed before it answered") from None
        finally:
            del self._asked[task]

    async def _discover(self, reference: EndpointReference, connection: Connection) -> Discovered:
        app = self.transport.apps.get(reference.uri.rstrip("/"))
        if app is None:
            outside = Discovery(lambda: self.transport.http.session, self.transport.platforms)
            return await outside(reference, connection)
        path = "/" + reference.uri.partition("://")[2].partition("/")[2].strip("/")
        try:
            status, answered, body = await self.transport.ask(
                app, "GET", f"{path.rstrip('/')}/discover", {"accept": DISCOVERY_ACCEPT}
            )
        except ConnectionError as error:
            raise DiscoveryError(
                f"the app could not say what it serves: {error}; deploy an ASGI app, such as what"
                " `restate.app([...])` returns",
                code="META0003",
            ) from error
        version = manifest_version(answered.get("content-type", ""))
        if status != 200 or version is None:
            raise DiscoveryError(
                f"the app answered discovery with status {status}: {body[:500]!r};"
                " deploy what `restate.app([...])` returns",
                code="META0003",
            )
        manifest = parse_manifest(version, body)
        return Discovered(manifest, answered.get("x-restate-server"))

    # --- time ----------------------------------------------------------------------------------

    def check_outside(self, what: str) -> None:
        """Raises RuntimeError within a handler: time cannot pass while it is waited for."""
        __tracebackhide__ = True
        if INSIDE.get():
            raise RuntimeError(
                f"{what} within a handler would wait for the handler itself; leave it to the test"
            )

    async def settle(self) -> None:
        """Let everything happen that happens without time passing. Within a handler: nothing.

        Raises Stuck if a handler gives no sign of life.
        """
        __tracebackhide__ = True
        if INSIDE.get():
            return
        quiet = turns = steps = 0
        since = 0.0
        while quiet < _QUIET_TURNS:
            turns += 1
            await asyncio.sleep(0 if turns < _BUSY_TURNS else 0.001)
            engine = self._engine
            if engine is None:
                if self._closed:
                    return
                continue  # it crashed, and starts again
            if (at := self.clock.next_at()) is not None and at <= self.clock.now():
                self.clock.move(at)
            idle = not engine.busy and engine.open_exchanges <= self.transport.asleep
            quiet = quiet + 1 if idle else 0
            if turns >= _BUSY_TURNS:
                if steps != self.transport.steps or engine.busy:
                    steps, since = self.transport.steps, time.monotonic()
                elif time.monotonic() - since > self._patience:
                    raise Stuck(self._silent())

    async def advance(self, to: int) -> None:
        """Move to `to` (ms since the epoch), through every moment at which something happens."""
        __tracebackhide__ = True
        await self.settle()
        moments = 0
        while (at := self.clock.next_at()) is not None and at <= to:
            moments += 1
            if moments > _MOST_MOMENTS:
                raise Stuck(self._listed(f"no end after {_MOST_MOMENTS} moments of virtual time:"))
            self.clock.move(at)
            await self.settle()
        self.clock.move(to)
        await self.settle()

    def next_event(self) -> int | None:
        """When something happens by itself next, other than that old results are forgotten."""
        timer = self.running.next_timer
        if self.transport.asleep or timer is not None:
            # Whichever is first; a moment at which only something is forgotten does no harm.
            return self.clock.next_at()
        return None

    async def run_until_idle(self, limit: int) -> None:
        """Let time pass until nothing happens by itself any more, `limit` ms at most."""
        __tracebackhide__ = True
        await self.engine()
        await self.settle()
        end = self.clock.now() + limit
        for _ in range(_MOST_MOMENTS):
            await self.engine()
            at = self.next_event()
            if at is None or at > end:
                return
            await self.advance(at)
        raise Stuck(self._listed(f"not idle after {_MOST_MOMENTS} moments of virtual time:"))

    async def outcome(self, id: bytes, name: str, within: int) -> m.OutputCommand:
        """Move time until an invocation has its result, `within` ms at most."""
        __tracebackhide__ = True
        self.check_outside("result()")
        await self.engine()
        end = self.clock.now() + within
        await self.settle()
        for _ in range(_MOST_MOMENTS):
            self.check_replays()
            output = self._output(await self.engine(), id, name)
            if output is not None:
                return decode(m.OutputCommand, output)
            at = self.next_event()
            if at is None:
                head = f"nothing can bring the result of {name} any more:"
                raise Stuck(self._listed(head))
            if at > end:
                head = f"{name} has no result within {format_duration(within)}:"
                raise Stuck(self._listed(head))
            await self.advance(at)
        head = f"{name} has no result after {_MOST_MOMENTS} moments of virtual time:"
        raise Stuck(self._listed(head))

    def _output(self, engine: Engine, id: bytes, name: str) -> bytes | None:
        __tracebackhide__ = True
        found = engine.outline(id)
        if found is not None:
            return found.output
        remembered = self._results.get(id)  # the engine has forgotten what need not be kept
        if remembered is None:
            raise Stuck(f"{name} is unknown: it was cancelled before it began, or never accepted")
        return remembered

    # --- looking -------------------------------------------------------------------------------

    def check_replays(self) -> None:
        """Raises NonDeterminism if a replay left the recorded way; each finding is told once."""
        __tracebackhide__ = True
        found = self.take_replays()
        if found:
            raise NonDeterminism(found)

    def take_replays(self) -> str:
        """What replays found since they were asked last; empty if nothing."""
        replayer = self.transport.replayer
        return "" if replayer is None else "\n\n".join(map(str, replayer.take()))

    def unfinished(self) -> list[str]:
        """Who is not finished, and what each waits for."""
        engine = self._engine
        if engine is None:
            return []
        page = invocations.unfinished(engine.store.reader, 0, _UNFINISHED_SHOWN + 1)
        lines = []
        for seq, *_ in page[:_UNFINISHED_SHOWN]:
            inv = engine.ledger.lives.get(seq) or invocations.load(engine.store.reader, seq)
            if inv is not None:
                lines.append(stories.situation(engine, inv))
        if len(page) > _UNFINISHED_SHOWN:
            lines.append("… and more")
        return lines

    def deployment_of(self, id: str | None) -> Deployment:
        """The handle of a deployment by its id."""
        known = self.deployments.get(id or "")
        return known or Deployment(id or "-", id or "no deployment", "")

    def _listed(self, head: str) -> str:
        lines = [f"  - {line}" for line in self.unfinished()]
        return "\n".join([head, *(lines or ["  (nothing is unfinished)"])])

    def _silent(self) -> str:
        return self._listed(
            f"a handler has given no sign of life for {self._patience:g} s of real time. It waits"
            " for something that is not the engine: asyncio.sleep (use ctx.sleep), a lock, a"
            " socket. Unfinished:"
        )

    def _attempt_of(self, invocation: str) -> int:
        engine = self.running
        inv = stories.load(engine, ids.parse_invocation(invocation))
        return 0 if inv is None else inv.attempt


class _Remembering(Waiters):
    """Keeps every result for the test's handles, also those that the engine may forget at once."""

    def __init__(self, results: dict[bytes, bytes]) -> None:
        super().__init__()
        self._results = results

    def resolve(self, id: bytes, output: bytes) -> None:
        self._results[id] = output
        super().resolve(id, output)
