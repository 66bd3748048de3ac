"""The engine: what servers call, and what holds its parts together.

Everything that changes an invocation is a unit of work in one transaction (`_submit`, `_write`).
After its commit, in this order: exchanges are opened or dropped, callers are answered, the alarm is
set. A unit that failed leaves nothing behind: what it touched is dropped from memory and looked at
again a moment later.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from steadfaas.clock import Clock
from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.errors import Overloaded, StoreError, Verdict
from steadfaas.machine.status import Kind, Status
from steadfaas.runtime import retention
from steadfaas.runtime.driver import Driver
from steadfaas.runtime.exchanges import Exchanges, PlatformTransport, Transport
from steadfaas.runtime.held import Held
from steadfaas.runtime.landing import Landing
from steadfaas.runtime.ledger import Ledger
from steadfaas.runtime.operators import Operators
from steadfaas.runtime.slots import Slots
from steadfaas.runtime.timers import Alarm
from steadfaas.runtime.waiters import Waiters
from steadfaas.runtime.work import Accepted, Request, Work
from steadfaas.store import invocations, schedule
from steadfaas.store.sqlite import Store
from steadfaas.store.writer import Transaction
from steadfaas.wire import messages as m

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_TIMERS_AT_ONCE: Final = 200
_RECOVERED_AT_ONCE: Final = 200
# Checks hold no slots: so many of them run beside the attempts, and the rest wait.
_CHECKS_AT_ONCE: Final = 4
# What expires is forgotten in steps this long (ms).
_SWEEP_MS: Final = 1000
# After a failed transaction (a full disk, say) the work is looked at again after this time (ms).
_LOOK_AGAIN_MS: Final = 1000
# A timer that cannot be fired is put off by this time (ms).
_PUT_OFF_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Tuning:
    """The engine's limits; see the settings of the same names."""

    cluster_name: str = "localcluster"
    max_concurrency: int = 2000
    max_concurrency_per_deployment: int = 1000
    max_queued: int = 100_000
    max_frame_bytes: int = 33_816_576
    max_journal_entries: int = 10_000
    max_journal_bytes: int = 256 * 1024 * 1024
    drain_seconds: float = 5.0
    version_wait: int = 600_000  # ms


class Engine:
    """Accepts requests, runs them on their pinned deployments, and answers."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        clock: Clock,
        tuning: Tuning,
        transport: Transport,
        platforms: PlatformTransport,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`random_bytes(n)` gives n of them, for ids; `jitter()` a number in [0, 1)."""
        self.store = store
        self.catalog = catalog
        self.clock = clock
        self.tuning = tuning
        self.waiters = Waiters()
        self._slots = Slots(tuning.max_concurrency, tuning.max_concurrency_per_deployment)
        self.ledger = Ledger(
            catalog=catalog,
            numbers=invocations.Numbers(store.reader),
            slots=self._slots,
            random_bytes=random_bytes,
            jitter=jitter,
            max_entries=tuning.max_journal_entries,
            max_journal_bytes=tuning.max_journal_bytes,
        )
        self.exchanges = Exchanges(
            transport=transport,
            platforms=platforms,
            reader=store.reader,
            clock=clock,
            cluster_name=tuning.cluster_name,
            max_frame=tuning.max_frame_bytes,
        )
        self.checks = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._driver = Driver(
            ledger=self.ledger,
            exchanges=self.exchanges,
            submit=lambda change, seq: self._submit(change, about=(seq,)),
            over=self._exchange_over,
        )
        self.operators = Operators(
            ledger=self.ledger,
            catalog=catalog,
            write=self._write,
            check_room=self.check_room,
            until_over=self._driver.until_over,
        )
        self.held = Held(clock)
        self._landing = Landing(self.ledger, clock, self._submit)
        catalog.watch(self._catalog_changed)
        self._alarm = Alarm(clock, self._ring)
        self._sweeper = Alarm(clock, self._sweep)
        self._timers_at_once = _TIMERS_AT_ONCE
        self._waiting = 0
        self._closing = False

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with everything the store holds. Returns once all of it is under way."""
        self._waiting = invocations.count_waiting(self.store.reader)
        await self._recover()
        due = schedule.next_due(self.store.reader)
        if due is not None:
            self._alarm.set(due)
        self._sweeper.set(self.clock.now())

    async def stop(self) -> None:
        """Let open exchanges end for a while, store what they said, and stop."""
        self._close()
        await self._driver.drain(self.tuning.drain_seconds)
        await self.store.writer.drain()

    def halt(self) -> None:
        """Stop at once, as a crash would: nothing is drained, nothing more is stored."""
        self._close()
        self._driver.abort_all()

    def _close(self) -> None:
        self._closing = True
        self._alarm.cancel()
        self._sweeper.cancel()
        self._landing.stop()
        self.held.close()

    @property
    def busy(self) -> bool:
        """Whether anything is being stored."""
        return self.store.writer.busy

    @property
    def open_exchanges(self) -> int:
        """How many attempts are under way."""
        return self._driver.open_exchanges

    @property
    def next_timer(self) -> int | None:
        """When something happens by itself next (ms since the epoch); None: never."""
        return self._alarm.at

    async def _recover(self) -> None:
        reader, after = self.store.reader, 0
        while page := invocations.unfinished(reader, after, _RECOVERED_AT_ONCE):
            after = page[-1].seq
            seqs = [found.seq for found in page if self._may_go_on(found)]
            if seqs:
                await self._write(partial(self._recover_each, seqs=seqs))

    def _may_go_on(self, found: invocations.Unfinished) -> bool:
        if found.wants is not None:
            # Its version may have landed just before a crash.
            return any(self.catalog.carriers(found.service, found.wants))
        return found.status in (Status.READY, Status.RUNNING)

    def _catalog_changed(self, changed: Deployment | None) -> None:
        self.held.look()
        if changed is not None:
            self._landing.look(changed)

    def _recover_each(self, work: Work, seqs: Iterable[int]) -> None:
        for seq in seqs:
            self.ledger.recover(work, seq)

    # --- requests ------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Raises Overloaded while too many invocations wait for their turn, or at shutdown."""
        if self._waiting >= self.tuning.max_queued:
            raise Overloaded(
                f"{self._waiting} invocations wait for their turn (limit max_queued); try again",
                retry_after=1,
            )
        if self._closing:
            raise Overloaded("the engine is shutting down; try again", retry_after=1, status=503)

    async def accept(self, request: Request) -> Accepted:
        """Take a request; durable when this returns. Raises Overloaded, StoreError."""
        self.check_room()
        id = self.ledger.id_for(request, self.clock.now())
        return await self._write(lambda work: self.ledger.accept(work, request, id))

    async def call(self, request: Request) -> tuple[Accepted, bytes]:
        """Take a request and wait for its result: the payload of an Output command.

        Raises Overloaded, StoreError. If the caller goes away, the invocation goes on.
        """
        self.check_room()
        id = self.ledger.id_for(request, self.clock.now())
        # Before it is accepted: the result may come with the very next commit.
        result = self.waiters.add(id)
        try:
            accepted = await self._write(lambda work: self.ledger.accept(work, request, id))
            if accepted.existing is not None and (
                accepted.existing.output is not None or request.kind is Kind.WORKFLOW_RUN
            ):
                return accepted, accepted.existing.output or b""
            return accepted, await result
        finally:
            self.waiters.discard(id, result)

    async def attach(self, id: bytes) -> bytes | None:
        """Wait for the result of an invocation; None if it is unknown."""
        future = self.waiters.add(id)
        try:
            found = self.outline(id)
            if found is None:
                # Perhaps accepted a moment ago and not committed yet: look behind all that is.
                found = await self._write(lambda work: invocations.outline(work.tx, id))
            if found is None:
                return future.result() if future.done() else None
            return found.output if found.output is not None else await future
        finally:
            self.waiters.discard(id, future)

    def target_of(self, id: bytes) -> invocations.Target | None:
        """Which handler an invocation is for; None if it is unknown."""
        return invocations.target(self.store.reader, id)

    def outline(self, id: bytes) -> invocations.Outline | None:
        """Status and result of an invocation; None if it is unknown."""
        return invocations.outline(self.store.reader, id)

    async def resolve_awakeable(
        self, id: bytes, index: int, *, value: bytes | None, reason: str | None
    ) -> None:
        """Deliver a result to an awakeable, fire and forget: the first one counts."""
        if reason is not None:
            failure = m.Failure(code=500, message=reason)
            signal = m.SignalNotification(idx=index, failure=failure)
        else:
            signal = m.SignalNotification(idx=index, value=m.Value(content=value or b""))
        await self._write(lambda work: self.ledger.signal(work, id, signal))

    # --- units of work -------------------------------------------------------------------------

    def _submit(
        self,
        change: Callable[[Work], object],
        failed: Callable[[BaseException], None] | None = None,
        *,
        about: Iterable[int] = (),
        slot: str | None = None,
    ) -> None:
        """Queue a unit of work. If it does not even begin, the invocations that it is `about` are
        looked at again, and its `slot` is given back."""
        works: list[Work] = []

        def unit(tx: Transaction) -> None:
            work = Work(tx, self.clock.now())
            works.append(work)
            change(work)
            work.count()
            tx.after(self._committed, work)

        def undone(error: BaseException) -> None:
            if works:
                self._rolled_back(works[0], error)
            else:
                if slot is not None:
                    self._slots.give_back(slot)
                self._drop(about, error)
            if failed is not None:
                failed(error)

        self.store.writer.submit(unit, undone)

    async def _write(self, change: Callable[[Work], _T]) -> _T:
        done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def carried(work: Work) -> None:
            work.tx.after(_resolve, done, change(work))

        self._submit(carried, lambda error: None if done.done() else done.set_exception(error))
        return await done

    def _committed(self, work: Work) -> None:
        lives = self.ledger.lives
        for inv in work.parked:
            if inv.status is not Status.RUNNING and lives.get(inv.seq) is inv:
                del lives[inv.seq]
        self._waiting += work.waiting
        for seq, attempt in work.aborted:
            self._driver.abort(seq, attempt)
        if not self._closing:
            for inv, deployment in work.opened:
                if lives.get(inv.seq) is inv and inv.status is Status.RUNNING:
                    self._driver.open(inv, deployment)
                else:
                    self._slots.give_back(deployment.id)
        for id, output in work.finished:
            self.waiters.resolve(id, output)
        for deployment_id in work.returned:
            self._slots.give_back(deployment_id)
        for deployment_id, seq in work.lined_up:
            self._slots.wait(deployment_id, seq)
        if work.lined_up or work.returned:
            self._admit()
        if self._closing:
            return
        if work.earliest is not None:
            self._alarm.set(work.earliest)
        if work.expires is not None:
            self._sweep_at(work.expires)

    def _rolled_back(self, work: Work, error: BaseException) -> None:
        for deployment_id in work.taken:
            self._slots.give_back(deployment_id)
        self._drop(work.touched, error)

    def _drop(self, seqs: Iterable[int], error: BaseException) -> None:
        """What is in memory of these cannot be trusted: forget it, and look again soon."""
        dropped = frozenset(seqs)
        for seq in dropped:
            self.ledger.lives.pop(seq, None)
            self._driver.abort(seq)
        if dropped and not self._closing:
            _log.error("a unit of work was undone: %r", error, exc_info=error)
            again = partial(self._look_again, dropped)
            self.clock.call_at(self.clock.now() + _LOOK_AGAIN_MS, again)

    def _look_again(self, seqs: frozenset[int]) -> None:
        if not self._closing:
            self._submit(partial(self._recover_each, seqs=seqs), about=seqs)
            self._alarm.set(self.clock.now())

    # --- slots, timers, retention --------------------------------------------------------------

    def _exchange_over(self, deployment_id: str) -> None:
        self._slots.give_back(deployment_id)
        self._admit()

    def _admit(self) -> None:
        if self._closing:
            return
        for deployment_id, seq in self._slots.admit():
            admit = partial(self.ledger.admit, deployment_id=deployment_id, seq=seq)
            self._submit(admit, about=(seq,), slot=deployment_id)

    def _ring(self) -> None:
        self._submit(partial(self._fire, self._timers_at_once), self._fire_failed)

    def _fire(self, most: int, work: Work) -> None:
        due = schedule.due(work.tx, work.now, most)
        for timer in due:
            schedule.disarm(work.tx, *timer)
            if timer.completion:
                self.ledger.wake(work, timer.seq, timer.completion)
            else:
                self.ledger.look(work, timer.seq)
        next_at = work.now if len(due) == most else schedule.next_due(work.tx)
        if next_at is not None:
            work.earliest = min(next_at, work.earliest or next_at)
        work.tx.after(self._fired)

    def _fired(self) -> None:
        self._timers_at_once = _TIMERS_AT_ONCE

    def _fire_failed(self, error: BaseException) -> None:
        """Try again later if that may help. Else try one by one: a single timer that cannot be
        fired must not hold up the others."""
        if self._closing:
            return
        if isinstance(error, StoreError) and error.verdict is Verdict.RETRY:
            self._fire_later(error)
        elif self._timers_at_once == 1:
            self._submit(self._put_off, self._fire_later)
        else:
            self._timers_at_once = 1
            self._fire_later(error)

    def _put_off(self, work: Work) -> None:
        for timer in schedule.due(work.tx, work.now, 1):
            _log.error("the timer of invocation %d cannot be fired; it is put off", timer.seq)
            schedule.disarm(work.tx, *timer)
            schedule.arm(work.tx, work.now + _PUT_OFF_MS, timer.seq, timer.completion)
        work.earliest = work.now

    def _fire_later(self, error: BaseException) -> None:
        if not self._closing:
            self._alarm.set(self.clock.now() + _LOOK_AGAIN_MS)

    def _sweep(self) -> None:
        """Forget what expired, step by step, and look again after a while."""
        expires = schedule.next_expiry(self.store.reader)
        if expires is not None and expires <= self.clock.now():
            self._submit(self._sweep_step, self._sweep_failed)
        elif expires is not None:
            self._sweep_at(expires)

    def _sweep_step(self, work: Work) -> None:
        retention.sweep(work)
        work.tx.after(self._sweep)

    def _sweep_failed(self, error: BaseException) -> None:
        self._sweep_at(self.clock.now())

    def _sweep_at(self, expires: int) -> None:
        """Sweep at the next full step after this time, so that what expires together goes
        together."""
        if not self._closing:
            self._sweeper.set((expires // _SWEEP_MS + 1) * _SWEEP_MS)


def _resolve(done: asyncio.Future[_T], result: _T) -> None:
    if not done.done():
        done.set_result(result)
