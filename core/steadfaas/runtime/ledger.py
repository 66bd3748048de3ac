"""Carries out what invocations ask for, inside transactions.

Every change of an invocation goes through here: an event is given to the machine, and its effects
are stored in order, in the same transaction; a change may reach other invocations (a caller is
told, the next in line starts), and all of that commits together. What leaves the process is only
noted in the `Work` and happens after the commit.

Memory is a cache of the store. Invocations that run are kept in `lives`; everything else is read
when something happens to it. Whenever a transaction fails, whatever it touched is dropped from
memory and read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from steadfaas import ids
from steadfaas.deployments.catalog import Catalog, Deployment, HandlerOptions
from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append, Effect, Finish, Open, Park, Perform
from steadfaas.machine.invocation import (
    DEFAULT_MAX_JOURNAL_BYTES,
    END_OF_TIME,
    Entry,
    Invocation,
)
from steadfaas.machine.status import Kind, Status, kind_of
from steadfaas.machine.waiting import CANCEL_SIGNAL
from steadfaas.runtime import events, lines, routing, versions
from steadfaas.runtime.perform import PERFORM, completion_of
from steadfaas.runtime.slots import Slots
from steadfaas.runtime.work import Accepted, Request, Work
from steadfaas.store import invocations, keys, schedule
from steadfaas.wire import messages as m
from steadfaas.wire.messages import MessageType as T

_INPUT: Final = int(T.INPUT)


class Ledger:
    """All changes to invocations. Methods run inside a unit of work; see the module's docstring."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        numbers: invocations.Numbers,
        slots: Slots,
        random_bytes: Callable[[int], bytes],
        jitter: Callable[[], float],
        max_entries: int,
        max_journal_bytes: int = DEFAULT_MAX_JOURNAL_BYTES,
    ) -> None:
        self.catalog = catalog
        self.numbers = numbers
        self._slots = slots
        self._random_bytes = random_bytes
        self._jitter = jitter
        self._max_entries = max_entries
        self._max_journal_bytes = max_journal_bytes
        self.lives: dict[int, Invocation] = {}

    # --- what the machine may ask about registered services ------------------------------------

    def target_kind(self, service: str, handler: str) -> Kind | None:
        """The kind of a handler in its service's newest revision; None if not registered."""
        revision = self.catalog.latest(service)
        found = None if revision is None else revision.handlers.get(handler)
        if revision is None or found is None:
            return None
        return kind_of(revision.type, found.kind)

    def options(self, inv: Invocation) -> HandlerOptions:
        """The settings of the handler, in the deployment that the invocation is pinned to."""
        return self._options(inv.deployment, inv.service, inv.handler)

    def _options(self, pin: str | None, service: str, handler: str) -> HandlerOptions:
        deployment = self.catalog.deployment(pin) if pin else None
        revision = deployment.services.get(service) if deployment else None
        if revision is None:
            revision = self.catalog.latest(service)
        found = revision.handlers.get(handler) if revision else None
        return found.options if found else HandlerOptions()

    # --- acceptance ----------------------------------------------------------------------------

    def accept(self, work: Work, request: Request, id: bytes) -> Accepted:
        """Take a request: it is durable with this unit, and starts as soon as it may."""
        if request.idempotency_key is not None or request.kind is Kind.WORKFLOW_RUN:
            existing = self._existing(work, id)
            if existing is not None:
                return Accepted(id, existing.seq, existing)
        if request.wanted is not None:
            versions.check(self, work, request, request.wanted)
        inv = self._create(work, request, id)
        if request.not_before > work.now:
            inv.due_at = min(request.not_before, END_OF_TIME)
        if request.wanted is not None:
            versions.accept(self, work, inv, request.wanted)
            return Accepted(id, inv.seq)
        if inv.due_at is not None:
            self.arm(work, inv.due_at, inv.seq, 0)
        elif routing.route(self.catalog, inv) is None:
            # Rare: its service was removed meanwhile. It fails and is retried like any other.
            invocations.insert(work.tx, inv)
            lines.enter(self, work, inv)
            self.save(work, inv)
            return Accepted(id, inv.seq)
        else:
            lines.enter(self, work, inv)
        invocations.insert(work.tx, inv)
        return Accepted(id, inv.seq)

    def _existing(self, work: Work, id: bytes) -> invocations.Outline | None:
        """What repeats of a request get, unless it never began: then it may be sent again."""
        existing = invocations.outline(work.tx, id)
        if existing is None or not existing.never_began:
            return existing
        missed = self.peek(work, existing.seq)
        assert missed is not None
        self.forget(work, missed)
        return None

    def id_for(self, request: Request, now: int) -> bytes:
        """The id that a request gets; the same for each repetition of one that has an identity."""
        if request.kind is Kind.WORKFLOW_RUN:
            return ids.workflow_invocation(request.service, request.key or "")
        if request.idempotency_key is not None:
            return ids.idempotent_invocation(
                request.service, request.key, request.handler, request.idempotency_key
            )
        return ids.mint_invocation(ids.mint_ulid(now, self._random_bytes(10)), request.key)

    def _create(self, work: Work, request: Request, id: bytes) -> Invocation:
        seq = self.numbers.next(work.tx)
        inv = Invocation(
            seq=seq,
            id=id,
            service=request.service,
            handler=request.handler,
            key=request.key,
            kind=request.kind,
            created_at=work.now,
            idempotency_key=request.idempotency_key,
            invoked_by=request.invoked_by,
            invoked_by_target=request.invoked_by_target,
            max_entries=self._max_entries,
            max_journal_bytes=self._max_journal_bytes,
        )
        self.retain(inv, request.options)
        inv.begin_with(_INPUT, request.input)
        work.touch(inv, new=True)
        return inv

    def retain(self, inv: Invocation, options: HandlerOptions) -> None:
        """Keep it, once it has ended, for as long as its handler's settings say."""
        if inv.kind is Kind.WORKFLOW_RUN:
            inv.completion_retention = options.workflow_retention
        elif inv.idempotency_key is not None:
            inv.completion_retention = options.idempotency_retention
        else:
            inv.completion_retention = options.journal_retention
        inv.journal_retention = options.journal_retention

    def repeat(
        self, work: Work, old: Invocation, journal: list[Entry], deployment: str | None
    ) -> bytes:
        """Run a completed invocation again, as a new one that begins with this journal; returns
        its id. With a `deployment`, it is pinned there from the beginning."""
        request = Request(
            service=old.service,
            handler=old.handler,
            key=old.key,
            kind=old.kind,
            options=self._options(deployment, old.service, old.handler),
            input=journal[0][1],
        )
        uuid = ids.mint_ulid(work.now, self._random_bytes(10))
        inv = self._create(work, request, old.id[:8] + uuid)
        inv.restarted_from = old.id
        inv.restore(journal[1:])
        if deployment is not None:
            inv.deployment, inv.version = deployment, old.version
        invocations.insert(work.tx, inv)
        lines.enter(self, work, inv)
        self.save(work, inv)
        return inv.id

    # --- reading -------------------------------------------------------------------------------

    def get(self, work: Work, seq: int) -> Invocation | None:
        """The invocation, from memory if it runs, else from the store."""
        inv = self.peek(work, seq)
        if inv is not None:
            work.touch(inv)
        return inv

    def peek(self, work: Work, seq: int) -> Invocation | None:
        """The invocation, for a look only; whoever changes it must `touch` it first."""
        inv = self.lives.get(seq)
        if inv is None:
            inv = invocations.load(work.tx, seq)
            if inv is not None:
                inv.max_entries = self._max_entries
                inv.max_journal_bytes = self._max_journal_bytes
        return inv

    # --- effects -------------------------------------------------------------------------------

    def apply(self, work: Work, inv: Invocation, effects: list[Effect]) -> None:
        """Carry effects out, in order. The row itself is stored by `save`, once per event."""
        for effect in effects:
            match effect:
                case Append():
                    invocations.append(
                        work.tx, inv.seq, effect.index, effect.type, effect.payload, work.now
                    )
                case Perform():
                    PERFORM[effect.type](self, work, inv, effect.command)
                case Finish():
                    self._finish(work, inv)
                case Open():
                    self._open(work, inv)
                case Park():
                    if effect.due_at is not None:
                        self.arm(work, effect.due_at, inv.seq, 0)
                    if inv.status is Status.PAUSED:
                        events.paused(work, inv)
                    work.parked.append(inv)

    def change(self, work: Work, inv: Invocation, effects: list[Effect]) -> None:
        """Carry effects out and store the row, if there were any."""
        if effects:
            self.apply(work, inv, effects)
            self.save(work, inv)

    def save(self, work: Work, inv: Invocation) -> None:
        """Store the row. A completed one was stored with its result."""
        if inv.status is not Status.COMPLETED:
            invocations.save(work.tx, inv, work.now)

    def arm(self, work: Work, at: int, seq: int, completion: int) -> None:
        """Something is due at `at` (ms since the epoch)."""
        schedule.arm(work.tx, at, seq, completion)
        if work.earliest is None or at < work.earliest:
            work.earliest = at

    def disarm(self, work: Work, inv: Invocation) -> None:
        """Its scheduled start or next retry will not happen."""
        if inv.due_at is not None:
            schedule.disarm(work.tx, inv.due_at, inv.seq, 0)

    # --- attempts ------------------------------------------------------------------------------

    def _open(self, work: Work, inv: Invocation) -> None:
        """Start the next attempt if there is a slot; else stand in line for one."""
        route = routing.route(self.catalog, inv)
        if route is None:
            inv.start(work.now, None, None)
            self.fail(work, inv, routing.unroutable(self.catalog, inv))
        elif self._slots.take(route[0].id):
            work.taken.append(route[0].id)
            self._begin(work, inv, *route)
        else:
            work.lined_up.append((route[0].id, inv.seq))
            work.parked.append(inv)

    def admit(self, work: Work, deployment_id: str, seq: int) -> None:
        """A slot was taken for an invocation that waited. It starts, or gives the slot back."""
        work.taken.append(deployment_id)
        inv = self.get(work, seq)
        route = None
        if inv is not None and inv.status is Status.READY:
            route = routing.route(self.catalog, inv)
            if route is None or route[0].id != deployment_id:
                # The newest revision changed while it waited: it lines up there.
                self.change(work, inv, [Open()])
                route = None
        if inv is not None and route is not None:
            self._begin(work, inv, *route)
            self.save(work, inv)
        else:
            work.returned.append(deployment_id)

    def _begin(self, work: Work, inv: Invocation, deployment: Deployment, version: int) -> None:
        """Start an attempt, with a slot in hand. The pin is stored with it."""
        inv.start(work.now, deployment.id, version)
        self.lives[inv.seq] = inv
        work.opened.append((inv, deployment))

    def fail(self, work: Work, inv: Invocation, failure: AttemptFailure) -> None:
        """The latest attempt failed."""
        invocations.add_attempt(work.tx, inv, work.now, failure.code)
        before = inv.failure
        effects = inv.fail(failure, work.now, self.options(inv).retry, self._jitter())
        events.attempt_failed(work, inv, before)
        self.apply(work, inv, effects)

    # --- the result ----------------------------------------------------------------------------

    def _finish(self, work: Work, inv: Invocation) -> None:
        output = inv.output
        assert output is not None
        # One that was cancelled before it began never was; one that failed then is kept.
        kept = inv.attempt or inv.failure is not None
        if kept:
            expires = invocations.complete(work.tx, inv, work.now)
            if expires is not None and (work.expires is None or expires < work.expires):
                work.expires = expires
        else:
            invocations.forget(work.tx, inv.seq)
        if inv.kind is Kind.WORKFLOW_RUN:
            lines.serve(self, work, inv.service, inv.key or "")
            if not (kept and inv.completion_retention):
                keys.clear_workflow(work.tx, inv.service, inv.key or "")  # it goes with its record
        for completion, (frame_type, wake_at) in inv.pending.items():
            if frame_type == T.SLEEP_COMPLETION:
                schedule.disarm(work.tx, min(wake_at, END_OF_TIME), inv.seq, completion)
        work.finished.append((inv.id, output))
        self.lives.pop(inv.seq, None)
        self._tell_listeners(work, inv.seq, output)
        if inv.kind is Kind.OBJECT_EXCLUSIVE:
            lines.leave(self, work, inv)

    def _tell_listeners(self, work: Work, seq: int, output: bytes) -> None:
        for listener in schedule.take_listeners(work.tx, seq):
            caller = self.get(work, listener.seq)
            if caller is not None:
                completion = completion_of(output, listener.completion)
                self.change(work, caller, caller.complete(listener.type, completion, work.now))

    # --- events from outside -------------------------------------------------------------------

    def complete(self, work: Work, seq: int, frame_type: int, completion: m.Completion) -> None:
        """Tell an invocation that something it asked for is done."""
        inv = self.get(work, seq)
        if inv is not None:
            self.change(work, inv, inv.complete(frame_type, completion, work.now))

    def wake(self, work: Work, seq: int, completion: int) -> None:
        """A sleep is over."""
        answer = m.Completion(completion_id=completion, void=m.Void())
        self.complete(work, seq, T.SLEEP_COMPLETION, answer)

    def signal(self, work: Work, id: bytes, signal: m.SignalNotification) -> None:
        """Deliver a signal. That nobody is there to take it is no error."""
        inv = self._find(work, id)
        if inv is None or inv.status is Status.COMPLETED:
            return
        if signal.idx == CANCEL_SIGNAL:
            self.cancel(work, inv)
        else:
            self.change(work, inv, inv.signal(signal, work.now))

    def cancel(self, work: Work, inv: Invocation) -> None:
        """Ask an invocation to stop."""
        work.touch(inv)
        if inv.status is Status.SCHEDULED:
            self.disarm(work, inv)
        self.change(work, inv, inv.cancel(work.now))

    def resume(self, work: Work, inv: Invocation) -> None:
        """Try again now: cuts a back-off short, ends a pause."""
        work.touch(inv)
        if inv.status in (Status.BACKING_OFF, Status.PAUSED, Status.SUSPENDED):
            inv.failures = 0
            self.disarm(work, inv)
            self.change(work, inv, inv.ready())
        elif inv.pausing:
            inv.pausing = False
            self.save(work, inv)

    def pause(self, work: Work, inv: Invocation) -> None:
        """Try no more until somebody resumes it; an open attempt is let end first."""
        if inv.status is Status.PAUSED:
            return
        work.touch(inv)
        self.disarm(work, inv)
        self.apply(work, inv, inv.pause())
        self.save(work, inv)

    def kill(self, work: Work, inv: Invocation) -> None:
        """End an invocation, and those that it called and waits for, down to the last."""
        doomed: list[Invocation | None] = [inv]
        while doomed:
            victim = doomed.pop()
            if victim is None or victim.status is Status.COMPLETED:
                continue
            work.touch(victim)
            if victim.status is Status.RUNNING:
                invocations.add_attempt(work.tx, victim, work.now, "killed")
            children = victim.children()
            self.disarm(work, victim)
            work.aborted.append((victim.seq, victim.attempt))
            self.change(work, victim, victim.kill())
            doomed += [self._find(work, child) for child in children]

    def forget(self, work: Work, inv: Invocation) -> None:
        """Forget a completed invocation; a workflow's state and promises go with it."""
        invocations.forget(work.tx, inv.seq)
        if inv.kind is Kind.WORKFLOW_RUN:
            keys.clear_workflow(work.tx, inv.service, inv.key or "")

    def _find(self, work: Work, id: bytes) -> Invocation | None:
        found = invocations.outline(work.tx, id)
        return None if found is None else self.get(work, found.seq)

    def look(self, work: Work, seq: int) -> None:
        """A timer of the invocation itself: a scheduled start or a retry, unless overtaken."""
        inv = self.get(work, seq)
        if inv is None or inv.due_at is None or inv.due_at > work.now:
            return
        if versions.waits(inv):
            versions.look(self, work, inv)
            return
        if inv.status is Status.SCHEDULED:
            lines.enter(self, work, inv)
        elif inv.status is Status.BACKING_OFF:
            self.apply(work, inv, inv.ready())
        else:
            return
        self.save(work, inv)

    def recover(self, work: Work, seq: int) -> None:
        """After a crash: an attempt whose answer was lost is followed by another, and a version may
        have landed that nobody was told of."""
        inv = self.get(work, seq)
        if inv is None:
            return
        if inv.status is Status.RUNNING:
            invocations.add_attempt(work.tx, inv, work.now, "interrupted")
            self.change(work, inv, inv.interrupted())
        elif inv.status is Status.READY:
            self.change(work, inv, inv.ready())
        elif versions.waits(inv):
            versions.seek(self, work, inv)
