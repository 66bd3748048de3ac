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
from dataclasses import dataclass, field
from typing import Any, Final

from steadfaas import ids
from steadfaas.deployments.catalog import Catalog, Deployment, HandlerOptions
from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append, Effect, Finish, Open, Park, Perform
from steadfaas.machine.invocation import DEFAULT_MAX_JOURNAL_BYTES, Invocation
from steadfaas.machine.status import Kind, Status, kind_of
from steadfaas.runtime.slots import Slots
from steadfaas.runtime.waiters import Waiters
from steadfaas.store import invocations, keys, schedule
from steadfaas.store.writer import Transaction
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.hot import input_payload
from steadfaas.wire.messages import MessageType as T
from steadfaas.wire.version import negotiate

_INPUT: Final = int(T.INPUT)
# The latest time the database can hold; a sleep beyond it does not end.
_END_OF_TIME: Final = 2**62


@dataclass(slots=True)
class Work:
    """One unit of work: its transaction, its time, and what happens after its commit."""

    tx: Transaction
    now: int
    opened: list[tuple[Invocation, Deployment]] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    taken: list[str] = field(default_factory=list)  # slots
    returned: list[str] = field(default_factory=list)  # slots that found no use
    finished: list[tuple[bytes, bytes]] = field(default_factory=list)
    lined_up: list[tuple[str, int]] = field(default_factory=list)
    parked: list[Invocation] = field(default_factory=list)
    aborted: list[tuple[int, int]] = field(default_factory=list)  # (seq, attempt)
    earliest: int | None = None  # the earliest timer that was armed
    waiting: int = 0  # change of the number that wait for their turn


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an invocation. `input` is the payload of its Input command."""

    service: str
    handler: str
    key: str | None
    kind: Kind
    options: HandlerOptions
    input: bytes
    idempotency_key: str | None = None
    invoked_by: bytes | None = None
    not_before: int = 0  # ms since the epoch


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a request: a new invocation, or one that was there (`existing`)."""

    id: bytes
    seq: int
    existing: invocations.Outline | None = None


class Ledger:
    """All changes to invocations. Methods run inside a unit of work; see the module's docstring."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        numbers: invocations.Numbers,
        slots: Slots,
        waiters: Waiters,
        random_bytes: Callable[[int], bytes],
        jitter: Callable[[], float],
        max_entries: int,
        max_journal_bytes: int = DEFAULT_MAX_JOURNAL_BYTES,
    ) -> None:
        self._catalog = catalog
        self._numbers = numbers
        self._slots = slots
        self._waiters = waiters
        self._random_bytes = random_bytes
        self._jitter = jitter
        self._max_entries = max_entries
        self._max_journal_bytes = max_journal_bytes
        self.lives: dict[int, Invocation] = {}

    # --- what the machine may ask about registered services ------------------------------------

    def target_kind(self, service: str, handler: str) -> Kind | None:
        """The kind of a handler in its service's newest revision; None if not registered."""
        revision = self._catalog.latest(service)
        found = None if revision is None else revision.handlers.get(handler)
        if revision is None or found is None:
            return None
        return kind_of(revision.type, found.kind)

    def options(self, inv: Invocation) -> HandlerOptions:
        """The settings of the handler, in the deployment that the invocation is pinned to."""
        deployment = self._catalog.deployment(inv.deployment) if inv.deployment else None
        revision = deployment.services.get(inv.service) if deployment else None
        if revision is None:
            revision = self._catalog.latest(inv.service)
        handler = revision.handlers.get(inv.handler) if revision else None
        return handler.options if handler else HandlerOptions()

    # --- acceptance ----------------------------------------------------------------------------

    def accept(self, work: Work, request: Request, id: bytes) -> Accepted:
        """Take a request: it is durable with this unit, and starts as soon as it may."""
        if request.idempotency_key is not None or request.kind is Kind.WORKFLOW_RUN:
            existing = invocations.outline(work.tx, id)
            if existing is not None:
                return Accepted(id, existing.seq, existing)
        inv = self._create(work, request, id)
        if request.not_before > work.now:
            inv.due_at = min(request.not_before, _END_OF_TIME)
            self._arm(work, inv.due_at, inv.seq, 0)
        elif self._route(inv) is None:
            # Rare: its service was removed meanwhile. It fails and is retried like any other.
            invocations.insert(work.tx, inv)
            self._enter(work, inv)
            self.save(work, inv)
            return Accepted(id, inv.seq)
        else:
            self._enter(work, inv)
        invocations.insert(work.tx, inv)
        return Accepted(id, inv.seq)

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
        options = request.options
        if request.kind is Kind.WORKFLOW_RUN:
            retention = options.workflow_retention
        elif request.idempotency_key is not None:
            retention = options.idempotency_retention
        else:
            retention = options.journal_retention
        seq = self._numbers.next(work.tx)
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
            completion_retention=retention,
            journal_retention=options.journal_retention,
            max_entries=self._max_entries,
            max_journal_bytes=self._max_journal_bytes,
        )
        inv.begin_with(_INPUT, request.input)
        work.touched.add(seq)
        return inv

    def _enter(self, work: Work, inv: Invocation) -> None:
        """Its time has come: stand in line for the key, or start."""
        if inv.kind is Kind.OBJECT_EXCLUSIVE:
            place = self._numbers.next(work.tx)
            if not keys.join_line(work.tx, inv.service, inv.key or "", place, inv.seq):
                self.apply(work, inv, inv.queue())
                work.waiting += 1
                return
        self.apply(work, inv, inv.ready())

    # --- reading -------------------------------------------------------------------------------

    def get(self, work: Work, seq: int) -> Invocation | None:
        """The invocation, from memory if it runs, else from the store."""
        work.touched.add(seq)
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
                    invocations.append(work.tx, inv.seq, effect.index, effect.type, effect.payload)
                case Perform():
                    _PERFORM[effect.type](self, work, inv, effect.command)
                case Finish():
                    self._finish(work, inv)
                case Open():
                    self._open(work, inv)
                case Park():
                    if effect.due_at is not None:
                        self._arm(work, effect.due_at, inv.seq, 0)
                    work.parked.append(inv)

    def change(self, work: Work, inv: Invocation, effects: list[Effect]) -> None:
        """Carry effects out and store the row, if there were any."""
        if effects:
            self.apply(work, inv, effects)
            self.save(work, inv)

    def save(self, work: Work, inv: Invocation) -> None:
        """Store the row. A completed one was stored with its result."""
        if inv.status is not Status.COMPLETED:
            invocations.save(work.tx, inv)

    def _arm(self, work: Work, at: int, seq: int, completion: int) -> None:
        schedule.arm(work.tx, at, seq, completion)
        if work.earliest is None or at < work.earliest:
            work.earliest = at

    # --- attempts ------------------------------------------------------------------------------

    def _open(self, work: Work, inv: Invocation) -> None:
        """Start the next attempt if there is a slot; else stand in line for one."""
        route = self._route(inv)
        if route is None:
            inv.start(work.now, None, None)
            self.fail(work, inv, self._unroutable(inv))
        elif self._slots.take(route[0].id):
            work.taken.append(route[0].id)
            self._begin(work, inv, *route)
        else:
            work.lined_up.append((route[0].id, inv.seq))
            work.waiting += 1
            work.parked.append(inv)

    def admit(self, work: Work, deployment_id: str, seq: int) -> None:
        """A slot was taken for an invocation that waited. It starts, or gives the slot back."""
        work.taken.append(deployment_id)
        work.waiting -= 1
        inv = self.get(work, seq)
        route = None
        if inv is not None and inv.status is Status.READY:
            route = self._route(inv)
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

    def _route(self, inv: Invocation) -> tuple[Deployment, int] | None:
        """The pinned deployment, whatever its state; without a pin, the newest that serves it."""
        if inv.deployment is not None:
            deployment = self._catalog.deployment(inv.deployment)
        else:
            revision = self._catalog.latest(inv.service)
            newest = None if revision is None else revision.deployment_id
            deployment = None if newest is None else self._catalog.deployment(newest)
        if deployment is None:
            return None
        version = inv.version or negotiate(deployment.min_version, deployment.max_version)
        if version is None or not deployment.min_version <= version <= deployment.max_version:
            return None
        return deployment, version

    def _unroutable(self, inv: Invocation) -> AttemptFailure:
        if inv.deployment is None:
            return AttemptFailure(
                "RT0011", f"no deployment serves '{inv.service}'; register one that does"
            )
        deployment = self._catalog.deployment(inv.deployment)
        if deployment is None:
            return AttemptFailure(
                "RT0011",
                f"the pinned deployment {inv.deployment} is not registered any more;"
                " it cannot go on: kill it, and send the request again",
            )
        return AttemptFailure(
            "RT0013",
            f"deployment {deployment.id} speaks protocol versions {deployment.min_version} to"
            f" {deployment.max_version}, the invocation began with {inv.version}",
        )

    def fail(self, work: Work, inv: Invocation, failure: AttemptFailure) -> None:
        """The latest attempt failed."""
        invocations.add_attempt(work.tx, inv, work.now, failure.rt_code)
        effects = inv.fail(failure, work.now, self.options(inv).retry, self._jitter())
        self.apply(work, inv, effects)

    # --- the result ----------------------------------------------------------------------------

    def _finish(self, work: Work, inv: Invocation) -> None:
        output = inv.output
        assert output is not None
        if inv.attempt:
            invocations.complete(work.tx, inv, work.now)
        else:
            invocations.forget(work.tx, inv.seq)  # cancelled before it began: it never was
        for completion, (frame_type, wake_at) in inv.pending.items():
            if frame_type == T.SLEEP_COMPLETION:
                schedule.disarm(work.tx, min(wake_at, _END_OF_TIME), inv.seq, completion)
        work.finished.append((inv.id, output))
        self.lives.pop(inv.seq, None)
        self._tell_listeners(work, inv.seq, output)
        if inv.kind is Kind.OBJECT_EXCLUSIVE:
            self._leave_line(work, inv)

    def _tell_listeners(self, work: Work, seq: int, output: bytes) -> None:
        for listener in schedule.take_listeners(work.tx, seq):
            caller = self.get(work, listener.seq)
            if caller is not None:
                completion = completion_of(output, listener.completion)
                self.change(work, caller, caller.complete(listener.type, completion, work.now))

    def _leave_line(self, work: Work, inv: Invocation) -> None:
        key = inv.key or ""
        held = keys.head_of_line(work.tx, inv.service, key) == inv.seq
        keys.leave_line(work.tx, inv.service, key, inv.seq)
        if not held:
            return
        head = keys.head_of_line(work.tx, inv.service, key)
        heir = None if head is None else self.get(work, head)
        if heir is not None and heir.status is Status.PENDING:
            work.waiting -= 1
            self.change(work, heir, heir.ready())

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

    def signal(self, work: Work, id: bytes, signal: m.SignalNotification) -> bool:
        """Deliver a signal; False if there is nobody to take it (which is no error)."""
        found = invocations.outline(work.tx, id)
        inv = None if found is None else self.get(work, found.seq)
        if inv is None or inv.status is Status.COMPLETED:
            return False
        if signal.idx == 1:
            self.cancel(work, inv)
        else:
            self.change(work, inv, inv.signal(signal, work.now))
        return True

    def cancel(self, work: Work, inv: Invocation) -> None:
        """Ask an invocation to stop."""
        if inv.status is Status.PENDING:
            work.waiting -= 1
        if inv.status is Status.SCHEDULED and inv.due_at is not None:
            schedule.disarm(work.tx, inv.due_at, inv.seq, 0)
        self.change(work, inv, inv.cancel(work.now))

    def resume(self, work: Work, inv: Invocation) -> None:
        """Try again now: cuts a back-off short, ends a pause."""
        if inv.status is Status.BACKING_OFF and inv.due_at is not None:
            schedule.disarm(work.tx, inv.due_at, inv.seq, 0)
        if inv.status in (Status.BACKING_OFF, Status.PAUSED, Status.SUSPENDED):
            inv.failures = 0
            self.change(work, inv, inv.ready())

    def kill(self, work: Work, inv: Invocation) -> None:
        """End an invocation, and those that it called and waits for."""
        if inv.status is Status.PENDING:
            work.waiting -= 1
        if inv.status is Status.RUNNING:
            invocations.add_attempt(work.tx, inv, work.now, "killed")
        children = inv.children()
        work.aborted.append((inv.seq, inv.attempt))
        self.change(work, inv, inv.kill())
        for child in children:
            found = invocations.outline(work.tx, child)
            called = None if found is None else self.get(work, found.seq)
            if called is not None and called.status is not Status.COMPLETED:
                self.kill(work, called)

    def look(self, work: Work, seq: int) -> None:
        """A timer of the invocation itself: a scheduled start or a retry, unless overtaken."""
        inv = self.get(work, seq)
        if inv is None or inv.due_at is None or inv.due_at > work.now:
            return
        if inv.status is Status.SCHEDULED:
            self._enter(work, inv)
        elif inv.status is Status.BACKING_OFF:
            self.apply(work, inv, inv.ready())
        else:
            return
        self.save(work, inv)

    def recover(self, work: Work, seq: int) -> None:
        """After a crash: an attempt whose answer was lost is followed by another."""
        inv = self.get(work, seq)
        if inv is None:
            return
        if inv.status is Status.RUNNING:
            invocations.add_attempt(work.tx, inv, work.now, "interrupted")
        elif inv.status is not Status.READY:
            return
        self.apply(work, inv, inv.ready())
        self.save(work, inv)

    # --- commands ------------------------------------------------------------------------------

    def _answer(self, work: Work, inv: Invocation, frame_type: int, answer: m.Completion) -> None:
        self.apply(work, inv, inv.complete(frame_type, answer, work.now))

    def _get_state(self, work: Work, inv: Invocation, command: m.GetLazyStateCommand) -> None:
        value = keys.get_state(work.tx, inv.service, inv.key or "", command.key)
        answer = m.Completion(completion_id=command.result_completion_id)
        if value is None:
            answer.void = m.Void()
        else:
            answer.value = m.Value(content=value)
        self._answer(work, inv, T.GET_LAZY_STATE_COMPLETION, answer)

    def _get_state_keys(
        self, work: Work, inv: Invocation, command: m.GetLazyStateKeysCommand
    ) -> None:
        names = keys.state_names(work.tx, inv.service, inv.key or "")
        answer = m.Completion(
            completion_id=command.result_completion_id, state_keys=m.StateKeys(keys=names)
        )
        self._answer(work, inv, T.GET_LAZY_STATE_KEYS_COMPLETION, answer)

    def _set_state(self, work: Work, inv: Invocation, command: m.SetStateCommand) -> None:
        assert command.value is not None
        keys.set_state(work.tx, inv.service, inv.key or "", command.key, command.value.content)

    def _clear_state(self, work: Work, inv: Invocation, command: m.ClearStateCommand) -> None:
        keys.clear_state(work.tx, inv.service, inv.key or "", command.key)

    def _clear_all_state(
        self, work: Work, inv: Invocation, command: m.ClearAllStateCommand
    ) -> None:
        keys.clear_all_state(work.tx, inv.service, inv.key or "")

    def _get_promise(self, work: Work, inv: Invocation, command: m.GetPromiseCommand) -> None:
        key, completion = inv.key or "", command.result_completion_id
        found = keys.get_promise(work.tx, inv.service, key, command.key)
        if found is None:
            keys.await_promise(work.tx, inv.service, key, command.key, inv.seq, completion)
        else:
            answer = _promised(completion, *found)
            self._answer(work, inv, T.GET_PROMISE_COMPLETION, answer)

    def _peek_promise(self, work: Work, inv: Invocation, command: m.PeekPromiseCommand) -> None:
        found = keys.get_promise(work.tx, inv.service, inv.key or "", command.key)
        if found is None:
            answer = m.Completion(completion_id=command.result_completion_id, void=m.Void())
        else:
            answer = _promised(command.result_completion_id, *found)
        self._answer(work, inv, T.PEEK_PROMISE_COMPLETION, answer)

    def _complete_promise(
        self, work: Work, inv: Invocation, command: m.CompletePromiseCommand
    ) -> None:
        key, name = inv.key or "", command.key
        answer = m.Completion(completion_id=command.result_completion_id)
        if keys.get_promise(work.tx, inv.service, key, name) is not None:
            answer.failure = m.Failure(code=409, message="promise was already completed")
        else:
            answer.void = m.Void()
            result = command.completion_value or command.completion_failure
            assert result is not None
            failed = command.completion_value is None
            payload = encode(result)
            waiting = keys.complete_promise(
                work.tx, inv.service, key, name, failure=failed, payload=payload
            )
            for seq, completion in waiting:
                told = _promised(completion, failed, payload)
                self.complete(work, seq, T.GET_PROMISE_COMPLETION, told)
        self._answer(work, inv, T.COMPLETE_PROMISE_COMPLETION, answer)

    def _sleep(self, work: Work, inv: Invocation, command: m.SleepCommand) -> None:
        completion = command.result_completion_id
        if command.wake_up_time <= work.now:
            answer = m.Completion(completion_id=completion, void=m.Void())
            self._answer(work, inv, T.SLEEP_COMPLETION, answer)
        else:
            self._arm(work, min(command.wake_up_time, _END_OF_TIME), inv.seq, completion)

    def _call(self, work: Work, inv: Invocation, command: m.CallCommand) -> None:
        accepted = self._accept_call(work, inv, command, 0)
        self._tell_id(work, inv, command.invocation_id_notification_idx, accepted.id)
        existing = accepted.existing
        completion = command.result_completion_id
        if existing is not None and self._is_workflow_run(command):
            failure = m.Failure(code=409, message="the workflow method was already invoked")
            answer = m.Completion(completion_id=completion, failure=failure)
            self._answer(work, inv, T.CALL_COMPLETION, answer)
        else:
            output = None if existing is None else existing.output
            self._await_result(work, inv, accepted.seq, output, completion, T.CALL_COMPLETION)

    def _one_way_call(self, work: Work, inv: Invocation, command: m.OneWayCallCommand) -> None:
        accepted = self._accept_call(work, inv, command, command.invoke_time)
        self._tell_id(work, inv, command.invocation_id_notification_idx, accepted.id)

    def _is_workflow_run(self, command: m.CallCommand) -> bool:
        kind = self.target_kind(command.service_name, command.handler_name)
        return kind is Kind.WORKFLOW_RUN

    def _accept_call(
        self,
        work: Work,
        inv: Invocation,
        command: m.CallCommand | m.OneWayCallCommand,
        not_before: int,
    ) -> Accepted:
        revision, handler = self._catalog.handler(command.service_name, command.handler_name)
        kind = kind_of(revision.type, handler.kind)
        request = Request(
            service=command.service_name,
            handler=command.handler_name,
            key=None if kind is Kind.SERVICE else command.key,
            kind=kind,
            options=handler.options,
            input=input_payload([(h.key, h.value) for h in command.headers], command.parameter),
            idempotency_key=command.idempotency_key,
            invoked_by=inv.id,
            not_before=not_before,
        )
        return self.accept(work, request, self.id_for(request, work.now))

    def _tell_id(self, work: Work, inv: Invocation, completion: int, id: bytes) -> None:
        answer = m.Completion(completion_id=completion, invocation_id=ids.format_invocation(id))
        self._answer(work, inv, T.CALL_INVOCATION_ID, answer)

    def _await_result(
        self,
        work: Work,
        inv: Invocation,
        target: int,
        output: bytes | None,
        completion: int,
        frame_type: int,
    ) -> None:
        """Answer with the target's result, now or when it is there."""
        if output is not None:
            self._answer(work, inv, frame_type, completion_of(output, completion))
        else:
            schedule.listen(work.tx, target, inv.seq, completion, frame_type)

    def _send_signal(self, work: Work, inv: Invocation, command: m.SendSignalCommand) -> None:
        signal = m.SignalNotification(
            idx=command.idx,
            signal_name=command.signal_name,
            void=command.void,
            value=command.value,
            failure=command.failure,
        )
        self.signal(work, ids.parse_invocation(command.target_invocation_id), signal)

    def _complete_awakeable(
        self, work: Work, inv: Invocation, command: m.CompleteAwakeableCommand
    ) -> None:
        id, index = ids.parse_awakeable(command.awakeable_id)
        signal = m.SignalNotification(idx=index, value=command.value, failure=command.failure)
        self.signal(work, id, signal)

    def _attach(self, work: Work, inv: Invocation, command: m.AttachInvocationCommand) -> None:
        completion = command.result_completion_id
        found = invocations.outline(work.tx, _target_id(command))
        if found is None:
            answer = m.Completion(
                completion_id=completion, failure=m.Failure(code=404, message="not found")
            )
            self._answer(work, inv, T.ATTACH_INVOCATION_COMPLETION, answer)
        else:
            self._await_result(
                work, inv, found.seq, found.output, completion, T.ATTACH_INVOCATION_COMPLETION
            )

    def _get_output(
        self, work: Work, inv: Invocation, command: m.GetInvocationOutputCommand
    ) -> None:
        completion = command.result_completion_id
        found = invocations.outline(work.tx, _target_id(command))
        if found is None:
            answer = m.Completion(
                completion_id=completion, failure=m.Failure(code=404, message="not found")
            )
        elif found.output is None:
            answer = m.Completion(completion_id=completion, void=m.Void())
        else:
            answer = completion_of(found.output, completion)
        self._answer(work, inv, T.GET_INVOCATION_OUTPUT_COMPLETION, answer)


_PERFORM: Final[dict[int, Callable[[Ledger, Work, Invocation, Any], None]]] = {
    int(T.GET_LAZY_STATE): Ledger._get_state,
    int(T.GET_LAZY_STATE_KEYS): Ledger._get_state_keys,
    int(T.SET_STATE): Ledger._set_state,
    int(T.CLEAR_STATE): Ledger._clear_state,
    int(T.CLEAR_ALL_STATE): Ledger._clear_all_state,
    int(T.GET_PROMISE): Ledger._get_promise,
    int(T.PEEK_PROMISE): Ledger._peek_promise,
    int(T.COMPLETE_PROMISE): Ledger._complete_promise,
    int(T.SLEEP): Ledger._sleep,
    int(T.CALL): Ledger._call,
    int(T.ONE_WAY_CALL): Ledger._one_way_call,
    int(T.SEND_SIGNAL): Ledger._send_signal,
    int(T.ATTACH_INVOCATION): Ledger._attach,
    int(T.GET_INVOCATION_OUTPUT): Ledger._get_output,
    int(T.COMPLETE_AWAKEABLE): Ledger._complete_awakeable,
}


def completion_of(output: bytes, completion: int) -> m.Completion:
    """The completion that tells a result."""
    result = decode(m.OutputCommand, output)
    return m.Completion(completion_id=completion, value=result.value, failure=result.failure)


def _promised(completion: int, failed: bool, payload: bytes) -> m.Completion:
    if failed:
        return m.Completion(completion_id=completion, failure=decode(m.Failure, payload))
    return m.Completion(completion_id=completion, value=decode(m.Value, payload))


def _target_id(command: m.AttachInvocationCommand | m.GetInvocationOutputCommand) -> bytes:
    if command.invocation_id is not None:
        return ids.parse_invocation(command.invocation_id)
    if command.workflow_target is not None:
        workflow = command.workflow_target
        return ids.workflow_invocation(workflow.workflow_name, workflow.workflow_key)
    target = command.idempotent_request_target
    assert target is not None
    return ids.idempotent_invocation(
        target.service_name, target.service_key, target.handler_name, target.idempotency_key
    )
