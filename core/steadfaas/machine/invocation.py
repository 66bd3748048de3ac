"""One invocation across all its attempts. The package's docstring tells the theory.

Each method is an event; each returns the effects it causes, in order. A method that raises has
changed nothing.
"""

from __future__ import annotations

from typing import Any, Final

from steadfaas import ids
from steadfaas.errors import AttemptFailure, ProtocolViolation, Verdict
from steadfaas.machine import failure as failures
from steadfaas.machine import waiting
from steadfaas.machine.commands import COMMANDS, Directory
from steadfaas.machine.effects import Append, Effect, Finish, Open, Park, Perform
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy, delay
from steadfaas.machine.status import MOVES, Kind, Status
from steadfaas.machine.waiting import CANCEL_SIGNAL
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode, encode
from steadfaas.wire.hot import start_payload, value_completion
from steadfaas.wire.messages import MessageType as T

# An endpoint may choose the delay before its next attempt, but not so short that the engine spins,
# and not so long that the database cannot hold it. The shortest doubles with each attempt that
# stored nothing new, up to SHORT_DELAY_MS; it stays below what the SDKs ask for by themselves.
SHORTEST_DELAY_MS: Final = 25
SHORT_DELAY_MS: Final = 200
_SHORTEST_POLICY_MS: Final = 10
LONGEST_DELAY_MS: Final = 10 * 365 * 86_400_000
# The latest time the database can hold; a sleep beyond it does not end.
END_OF_TIME: Final = 2**62
DEFAULT_MAX_ENTRIES: Final = 10_000
DEFAULT_MAX_JOURNAL_BYTES: Final = 256 * 1024 * 1024
# A wait set is kept in the record and read again with every notification.
LARGEST_WAIT_SET: Final = 1024 * 1024

# Plain integers: comparing with an enum's member costs a look-up each time.
_INPUT: Final = int(T.INPUT)
_OUTPUT: Final = int(T.OUTPUT)
_SLEEP: Final = int(T.SLEEP)
_SIGNAL: Final = int(T.SIGNAL)
_END: Final = int(T.END)
_CLOSING: Final = frozenset({int(T.SUSPENSION), int(T.ERROR), _END})
# Completions that tell what somebody else returned: at any time, and of any size.
_MAY_FAIL: Final = frozenset(
    {
        int(T.CALL_COMPLETION),
        int(T.GET_PROMISE_COMPLETION),
        int(T.ATTACH_INVOCATION_COMPLETION),
    }
)
_TOO_LARGE: Final = "the result does not fit into the journal (setting max_journal_bytes)"
_VOID_CANCEL: Final = encode(m.SignalNotification(idx=CANCEL_SIGNAL, void=m.Void()))

Entry = tuple[int, bytes]


class IllegalMove(AssertionError):
    """An event came in a state that does not know it: a bug of the driver, never of an endpoint."""


class Invocation:
    """The state of one invocation. The store keeps half of it; the rest follows from that."""

    __slots__ = (
        "asleep",
        "attempt",
        "awaits",
        "closed",
        "completion_retention",
        "created_at",
        "deployment",
        "due_at",
        "failure",
        "failures",
        "grew_at",
        "handler",
        "id",
        "idempotency_key",
        "invoked_by",
        "invoked_by_target",
        "journal",
        "journal_bytes",
        "journal_retention",
        "key",
        "kind",
        "max_entries",
        "max_journal_bytes",
        "modified_at",
        "notified",
        "opened_with",
        "output",
        "pausing",
        "pending",
        "restarted_from",
        "retry_count",
        "seq",
        "service",
        "signals",
        "started_at",
        "status",
        "version",
        "wants",
        "wants_until",
    )

    def __init__(
        self,
        *,
        seq: int,
        id: bytes,
        service: str,
        handler: str,
        key: str | None,
        kind: Kind,
        created_at: int,
        status: Status = Status.SCHEDULED,
        idempotency_key: str | None = None,
        invoked_by: bytes | None = None,
        invoked_by_target: str | None = None,
        restarted_from: bytes | None = None,
        completion_retention: int = 0,
        journal_retention: int = 0,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        max_journal_bytes: int = DEFAULT_MAX_JOURNAL_BYTES,
    ) -> None:
        self.seq = seq
        self.id = id
        self.service = service
        self.handler = handler
        self.key = key
        self.kind = kind
        self.status = status
        self.created_at = created_at
        self.modified_at = created_at  # when it last changed in any way
        self.grew_at = created_at  # when its journal last grew
        self.idempotency_key = idempotency_key
        self.invoked_by = invoked_by
        self.invoked_by_target = invoked_by_target
        self.restarted_from = restarted_from
        self.completion_retention = completion_retention
        self.journal_retention = journal_retention
        self.max_entries = max_entries
        self.max_journal_bytes = max_journal_bytes
        self.deployment: str | None = None
        self.version: int | None = None
        self.attempt = 0
        self.failures = 0
        self.retry_count = 0
        self.due_at: int | None = None
        self.awaits: bytes | None = None
        self.asleep = False  # suspended, and nothing but time or a cancel wakes it
        self.pausing = False  # an operator wants it paused once its open attempt has ended
        # The version that it waits for, as its callers call it, and until when; without it, no pin.
        self.wants: str | None = None
        self.wants_until: int | None = None
        self.failure: failures.FailureRecord | None = None
        # Derived from the journal:
        self.journal: list[Entry] = []
        self.journal_bytes = 0
        self.pending: dict[int, tuple[int, int]] = {}  # completion id -> (command type, wake time)
        self.notified: dict[int, int] = {}  # completion id -> journal index
        self.signals: dict[int | str, int] = {}  # index or name -> journal index
        self.output: bytes | None = None
        # Of the open attempt:
        self.opened_with = 0
        self.started_at = 0
        self.closed: int | None = None

    @property
    def target(self) -> str:
        """`Service/handler`, or `Object/key/handler`."""
        return target_text(self.service, self.key, self.handler)

    # --- the journal ---------------------------------------------------------------------------

    def restore(self, journal: list[Entry]) -> None:
        """Take a stored journal, entry 0 first, and rebuild what follows from it."""
        for frame_type, payload in journal:
            row = COMMANDS.get(frame_type)
            self._keep(frame_type, payload, row and decode(row.message, payload))

    def begin_with(self, frame_type: int, payload: bytes) -> None:
        """Take the input as entry 0 of a new journal."""
        self.journal.append((frame_type, payload))
        self.journal_bytes = len(payload)

    def _keep(self, frame_type: int, payload: bytes, command: Any = None) -> None:
        """Append one valid entry and its consequences for later checks."""
        index = len(self.journal)
        self.journal.append((frame_type, payload))
        self.journal_bytes += len(payload)
        if command is not None:
            self._keep_command(frame_type, command, payload)
        elif frame_type == _SIGNAL:
            self._keep_signal(decode(m.SignalNotification, payload), index)
        elif frame_type != _INPUT:
            self._keep_completion(decode(m.Completion, payload).completion_id, index)

    def _keep_command(self, frame_type: int, command: Any, payload: bytes) -> None:
        if frame_type == _OUTPUT:
            self.output = payload
            return
        for completion, completed_by in issued_completions(frame_type, command):
            self.pending[completion] = (
                completed_by,
                command.wake_up_time if frame_type == _SLEEP else 0,
            )

    def _keep_signal(self, signal: m.SignalNotification, index: int) -> None:
        name: int | str = signal.idx if signal.idx is not None else signal.signal_name or ""
        self.signals[name] = index

    def _keep_completion(self, completion: int, index: int) -> None:
        self.pending.pop(completion, None)
        self.notified[completion] = index

    def _append(self, frame_type: int, payload: bytes, now: int, command: Any = None) -> Append:
        index = len(self.journal)
        self._keep(frame_type, payload, command)
        self.grew_at = now
        self.retry_count = 0
        return Append(index, frame_type, payload)

    def _check_room(self, payload: bytes) -> None:
        if len(self.journal) >= self.max_entries:
            raise AttemptFailure(
                "SF0001",
                f"the journal has reached its limit of {self.max_entries} entries"
                " (setting max_journal_entries); split the work over several invocations",
            )
        if self.journal_bytes + len(payload) > self.max_journal_bytes:
            raise AttemptFailure(
                "SF0002",
                f"the journal has reached its limit of {self.max_journal_bytes} bytes"
                " (setting max_journal_bytes); pass references instead of large values",
            )

    # What others send comes without an attempt that could be failed for it, and the handler needs
    # what it waits for: the limits are twice those of its own entries.

    def _takes_from_outside(self, payload: bytes) -> bool:
        return len(self.journal) < 2 * self.max_entries and self._takes_bytes(payload)

    def _takes_bytes(self, payload: bytes) -> bool:
        return self.journal_bytes + len(payload) <= 2 * self.max_journal_bytes

    def command_at(self, index: int) -> Entry | None:
        """The journal's command number `index`, counting commands only (the input is 0)."""
        count = -1
        for entry in self.journal:
            if entry[0] == T.INPUT or entry[0] in COMMANDS:
                count += 1
                if count == index:
                    return entry
        return None

    # --- moves ---------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if self.status is not Status.RUNNING:
            raise IllegalMove(f"no attempt is open: {self.status.name}")

    def _move(self, to: Status) -> None:
        if to not in MOVES[self.status]:
            raise IllegalMove(f"{self.status.name} -> {to.name}")
        self.status = to

    def ready(self) -> list[Effect]:
        """It may start or go on, by whatever event: its turn, its time, an operator."""
        resumed = self.status is Status.PAUSED
        self._move(Status.READY)
        self._wait_for_nothing()
        self.pausing = False
        if resumed:
            self.failures = 0  # whoever ends a pause grants all attempts anew
        return [Open()]

    def queue(self) -> list[Effect]:
        """Its time has come, but its key is taken: it stands in line."""
        self._move(Status.PENDING)
        self.due_at = None
        return [Park()]

    def land(self, deployment: str, version: int) -> None:
        """The version that it waited for is there: pinned to it from now on, before it starts."""
        if self.status is not Status.SCHEDULED or self.wants is None:
            raise IllegalMove(f"it waits for no version: {self.status.name}")
        self.deployment, self.version = deployment, version
        self.wants = self.wants_until = None

    def miss(self, failure: AttemptFailure, now: int) -> list[Effect]:
        """The version that it waited for did not come, or cannot take it: it never begins."""
        if self.status is not Status.SCHEDULED or self.wants is None:
            raise IllegalMove(f"it waits for no version: {self.status.name}")
        self.failure = failures.record(
            failure, now=now, attempt=self.attempt, deployment=None, recorded=None
        )
        return self.finish(failure_output(failure.http_code, failures.cut(str(failure))))

    def _wait_for_nothing(self) -> None:
        self.due_at = None
        self.awaits = None
        self.asleep = False

    def start(self, now: int, deployment: str | None, version: int | None) -> None:
        """An attempt begins: pinned from now on, if it was not before.

        Without a deployment it is an attempt that found none; `fail` must follow.
        """
        self._move(Status.RUNNING)
        self._wait_for_nothing()
        self.attempt += 1
        self.started_at = now
        self.closed = None
        self.opened_with = len(self.journal)
        if self.deployment is None:
            self.deployment = deployment
        if self.version is None:
            self.version = version

    # --- an answer arrives ---------------------------------------------------------------------

    def receive(
        self, frame_type: int, payload: bytes, now: int, directory: Directory
    ) -> list[Effect]:
        """One frame of the open attempt's answer, in order. Frames after the closing one: ignored.

        Raises AttemptFailure (often ProtocolViolation) if the frame may not be taken; the answer
        then counts as failed, and nothing that follows the frame is to be handed in.
        """
        if self.closed is not None:
            return []
        self._check_running()
        row = COMMANDS.get(frame_type)
        if row is not None:
            command = _decode(row.message, payload, frame_type)
            if self.kind not in row.kinds:
                raise ProtocolViolation(
                    f"{failures.type_name(frame_type)} is not allowed in a handler of kind"
                    f" {self.kind.name}",
                    code="RT0017",
                    http_code=500,
                )
            if row.check is not None:
                row.check(command, directory)
            self._check_new_completions(frame_type, command)
            self._check_room(payload)
            effects: list[Effect] = [self._append(frame_type, payload, now, command)]
            if row.perform:
                effects.append(Perform(frame_type, command))
            return effects
        if frame_type == T.PROPOSE_RUN_COMPLETION:
            return self._propose(payload, now)
        if frame_type in _CLOSING:
            return self._close(frame_type, payload, now)
        raise ProtocolViolation(
            f"an endpoint may not send a frame of type {failures.type_name(frame_type)}"
        )

    def _check_new_completions(self, frame_type: int, command: Any) -> None:
        seen: set[int] = set()
        for completion, _ in issued_completions(frame_type, command):
            if not completion:
                raise ProtocolViolation(
                    f"{failures.type_name(frame_type)} carries no completion id"
                )
            if completion in self.pending or completion in self.notified or completion in seen:
                raise ProtocolViolation(f"completion id {completion} is used twice")
            seen.add(completion)

    def _propose(self, payload: bytes, now: int) -> list[Effect]:
        proposal = _decode(m.ProposeRunCompletion, payload, T.PROPOSE_RUN_COMPLETION)
        completion = proposal.result_completion_id
        if self.pending.get(completion, (0, 0))[0] != T.RUN_COMPLETION:
            raise ProtocolViolation(f"no run step waits for completion id {completion}")
        if proposal.value is None and proposal.failure is None:
            raise ProtocolViolation("the proposed run completion carries no result")
        if proposal.value is not None:
            stored = value_completion(completion, proposal.value)
        else:
            stored = encode(m.Completion(completion_id=completion, failure=proposal.failure))
        self._check_room(stored)
        return [self._append(T.RUN_COMPLETION, stored, now)]

    def _close(self, frame_type: int, payload: bytes, now: int) -> list[Effect]:
        if frame_type == _END:
            return self._close_end()
        if frame_type == T.SUSPENSION:
            return self._close_suspension(payload)
        raise _reported(_decode(m.Error, payload, T.ERROR))

    def _close_end(self) -> list[Effect]:
        if self.output is None:
            raise ProtocolViolation("the answer ended without any output")
        self.closed = _END
        return self.finish(self.output)

    def _close_suspension(self, payload: bytes) -> list[Effect]:
        if len(payload) > LARGEST_WAIT_SET:
            raise ProtocolViolation(f"the suspension is larger than {LARGEST_WAIT_SET} bytes")
        awaits = _decode(m.Suspension, payload, T.SUSPENSION)
        waiting.check(self, awaits)
        satisfied = waiting.has_come(self, awaits)
        if not satisfied and not waiting.may_come(self, awaits):
            raise ProtocolViolation("the handler waits for what its journal already showed it")
        self.closed = T.SUSPENSION
        # A suspension ends the stretch of attempts that the retry policy counts.
        self.failures = 0
        self.failure = None
        if self.pausing:
            return self._pause()
        if satisfied:
            return self.ready()
        self._move(Status.SUSPENDED)
        self.awaits = payload
        wakes_at, self.asleep = waiting.wakes_up(self, awaits)
        self.due_at = None if wakes_at is None else min(wakes_at, END_OF_TIME)
        return [Park()]

    # --- an attempt fails ----------------------------------------------------------------------

    def fail(
        self, failure: AttemptFailure, now: int, policy: RetryPolicy, jitter: float
    ) -> list[Effect]:
        """The open attempt failed. Back off, pause or give up, as the policy says; where the
        verdict is that no attempt on the pin can help, pause (gone) or give up (too large) at once.

        `jitter` is in [0, 1). A delay that the endpoint gave replaces the policy's and costs no
        attempt, within bounds.
        """
        self._check_running()
        self.closed = T.ERROR
        recorded = None
        if failure.command_index is not None:
            entry = self.command_at(failure.command_index)
            recorded = None if entry is None else describe_entry(*entry)
        self.failure = failures.record(
            failure,
            now=now,
            attempt=self.attempt,
            deployment=self.deployment,
            recorded=recorded,
        )
        self.retry_count += 1
        if self.pausing or failure.verdict is Verdict.GONE:
            return self._pause()  # to the pin, nothing else can be tried
        if failure.verdict is Verdict.TOO_LARGE:
            return self._give_up(failure, policy)  # the next try would be as large
        if failure.retry_after is not None:
            shortest = min(SHORTEST_DELAY_MS << min(self.retry_count - 1, 8), SHORT_DELAY_MS)
            wait = min(max(failure.retry_after, shortest), LONGEST_DELAY_MS)
        else:
            self.failures += 1
            if policy.max_attempts is not None and self.failures >= policy.max_attempts:
                return self._give_up(failure, policy)
            wait = delay(policy, self.failures, jitter)
            wait = min(max(wait, _SHORTEST_POLICY_MS), LONGEST_DELAY_MS)
        self._move(Status.BACKING_OFF)
        self.due_at = now + wait
        return [Park(self.due_at)]

    def _give_up(self, failure: AttemptFailure, policy: RetryPolicy) -> list[Effect]:
        if policy.on_max_attempts is OnMaxAttempts.PAUSE:
            return self._pause()
        return self.finish(failure_output(failure.http_code, failures.cut(failure.message)))

    # --- the outside speaks --------------------------------------------------------------------

    def complete(self, frame_type: int, completion: m.Completion, now: int) -> list[Effect]:
        """A completion for a command. One that nobody waits for any more: nothing."""
        pending = self.pending.get(completion.completion_id)
        if self.status is Status.COMPLETED or pending is None or pending[0] != frame_type:
            return []
        payload = encode(completion)
        if frame_type in _MAY_FAIL and not self._takes_bytes(payload):
            # Left out, it would be waited for without end.
            failure = m.Failure(code=413, message=_TOO_LARGE)
            payload = encode(m.Completion(completion_id=completion.completion_id, failure=failure))
        return self._notify(frame_type, payload, now, completion.completion_id, None)

    def signal(self, signal: m.SignalNotification, now: int) -> list[Effect]:
        """A signal. The first of an index or name counts; cancel may come again and again."""
        name: int | str = signal.idx if signal.idx is not None else signal.signal_name or ""
        if self.status is Status.COMPLETED:
            return []
        if name in self.signals and name != CANCEL_SIGNAL:
            return []
        payload = encode(signal)
        if not self._takes_from_outside(payload):
            return []  # nobody's commands bound how many there are
        return self._notify(T.SIGNAL, payload, now, None, name)

    def cancel(self, now: int) -> list[Effect]:
        """Ask the handler to stop: it decides how. One that has not started is finished at once."""
        if self.status in (Status.SCHEDULED, Status.PENDING):
            return self.finish(failure_output(409, "canceled"))
        if self.status is Status.COMPLETED or not self._takes_from_outside(_VOID_CANCEL):
            return []
        self.pausing = False  # nobody waits for a pause that a cancel would end at once
        effects = self._notify(T.SIGNAL, _VOID_CANCEL, now, None, CANCEL_SIGNAL)
        return effects + self.ready() if self.status is Status.PAUSED else effects

    def pause(self) -> list[Effect]:
        """Stop trying until somebody resumes it. An open attempt is let end, or fail, first.

        For one that has begun; a scheduled or pending one raises IllegalMove.
        """
        if self.status in (Status.PAUSED, Status.COMPLETED):
            return []
        if self.status is Status.RUNNING:
            self.pausing = True
            return []
        return self._pause()

    def _pause(self) -> list[Effect]:
        self._move(Status.PAUSED)
        self._wait_for_nothing()
        self.pausing = False
        return [Park()]

    def interrupted(self) -> list[Effect]:
        """The answer of the open attempt was lost with the engine that waited for it."""
        self._check_running()
        return self._pause() if self.pausing else self.ready()

    def move_pin(self, deployment: str) -> None:
        """Let it go on with another deployment, which replays its journal. The protocol version
        stays: the journal is written in it. Only while no attempt is open or due."""
        if self.status not in (Status.PAUSED, Status.SUSPENDED) or self.deployment is None:
            raise IllegalMove(f"the pin cannot move: {self.status.name}")
        self.deployment = deployment

    def kill(self) -> list[Effect]:
        """End it now, whatever the handler thinks."""
        if self.status is Status.COMPLETED:
            return []
        return self.finish(failure_output(409, "killed"))

    def _notify(
        self,
        frame_type: int,
        payload: bytes,
        now: int,
        completion: int | None,
        signal: int | str | None,
    ) -> list[Effect]:
        effects: list[Effect] = [self._append(frame_type, payload, now)]
        if self.status is Status.SUSPENDED and waiting.is_for(self.awaits, completion, signal):
            effects += self.ready()
        return effects

    def children(self) -> list[bytes]:
        """The invocations that this one called and still waits for (not those it only sent to)."""
        called: dict[int, int] = {}  # completion id of the callee's id -> of its result
        children: list[bytes] = []
        for frame_type, payload in self.journal:
            if frame_type == T.CALL:
                call = decode(m.CallCommand, payload)
                called[call.invocation_id_notification_idx] = call.result_completion_id
            elif frame_type == T.CALL_INVOCATION_ID:
                told = decode(m.Completion, payload)
                if told.invocation_id and called.get(told.completion_id) in self.pending:
                    children.append(ids.parse_invocation(told.invocation_id))
        return children

    def finish(self, output: bytes) -> list[Effect]:
        """The result is known."""
        self._move(Status.COMPLETED)
        self.pausing = False
        self.output = output
        self._wait_for_nothing()
        return [Finish(output)]

    # --- the next request ----------------------------------------------------------------------

    def start_message(
        self, now: int, state: list[tuple[bytes, bytes]] | None, *, partial: bool
    ) -> bytes:
        """The payload of Start for the open attempt. `state` is the eager state map, if any."""
        return start_payload(
            self.id,
            ids.format_invocation(self.id),
            len(self.journal),
            state_map=state or (),
            partial_state=partial,
            key=self.key or "",
            retry_count=self.retry_count,
            duration=max(now - self.grew_at, 0),
            random_seed=ids.random_seed(self.id) if self.version != 5 else 0,
        )


def target_text(service: str, key: str | None, handler: str) -> str:
    """What an invocation is for, as people write it."""
    return f"{service}/{handler}" if key is None else f"{service}/{key}/{handler}"


def failure_output(code: int, message: str) -> bytes:
    """The payload of an Output that carries a failure."""
    return encode(m.OutputCommand(failure=m.Failure(code=code, message=message)))


def issued_completions(frame_type: int, command: Any) -> list[tuple[int, int]]:
    """The completion ids that a command issues, each with the frame type that completes it."""
    row = COMMANDS[frame_type]
    issued: list[tuple[int, int]] = []
    if frame_type == T.CALL or frame_type == T.ONE_WAY_CALL:
        issued.append((command.invocation_id_notification_idx, T.CALL_INVOCATION_ID))
    if row.completion is not None:
        issued.append((command.result_completion_id, row.completion))
    return issued


def _decode(message: type, payload: bytes, frame_type: int) -> Any:
    try:
        return decode(message, payload)
    except MalformedMessage as error:
        raise ProtocolViolation(
            f"cannot read the {failures.type_name(frame_type)} frame: {error.message}"
        ) from error


def describe_entry(frame_type: int, payload: bytes) -> str:
    """A journal entry's command as people read it: `Run charge-card`, `Sleep`."""
    row = COMMANDS.get(frame_type)
    name = getattr(decode(row.message, payload), "name", "") if row is not None else ""
    return failures.describe_command(frame_type, name)


def _reported(error: m.Error) -> AttemptFailure:
    """The failure that an Error frame reports. Its code never makes it final."""
    mismatch = error.code == failures.JOURNAL_MISMATCH
    return AttemptFailure(
        "RT0016" if mismatch else "RT0007",
        error.message or "the handler failed without a message",
        http_code=error.code or 500,
        command_index=error.related_command_index,
        command_name=error.related_command_name,
        command_type=error.related_command_type,
        retry_after=error.next_retry_delay,
        stacktrace=error.stacktrace,
    )
