"""Scenarios over one invocation: given a life so far, when this happens, then that comes out.

Every step is closed: `then` names all effects of the step before it, in order, and a step that
nobody looked at fails the next one. Journal indices are counted here, independently of the machine,
so that a gap or a repetition in what it stores is a failed `then`. The `begin` fixture asks every
scenario for silence when its test is over.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append, Effect, Open, Park, Perform
from steadfaas.machine.invocation import Entry, Invocation
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.fields import Message
from steadfaas.wire.messages import MESSAGES
from steadfaas.wire.messages import MessageType as T

NOW: Final = 1_700_000_000_000
RAW_ID: Final = bytes(range(24))
DEPLOYMENT: Final = "dp_1"
# No jitter, and so short that a test can name the delays.
POLICY: Final = RetryPolicy(initial_interval=100, max_interval=1000, max_attempts=4)
KILL_POLICY: Final = RetryPolicy(max_attempts=1, on_max_attempts=OnMaxAttempts.KILL)
PAUSE_POLICY: Final = RetryPolicy(max_attempts=1)

#: The frame type of each message class that has exactly one.
FRAME_TYPES: Final = {cls: T(type_) for type_, cls in MESSAGES.items() if cls is not m.Completion}

INPUT: Final = m.InputCommand(value=m.Value(content=b'"in"'))


class Registry:
    """The services that scenarios may call: one handler of each kind."""

    kinds: Final = {
        ("Greeter", "greet"): Kind.SERVICE,
        ("Counter", "add"): Kind.OBJECT_EXCLUSIVE,
        ("Counter", "get"): Kind.OBJECT_SHARED,
        ("Signup", "run"): Kind.WORKFLOW_RUN,
        ("Signup", "approve"): Kind.WORKFLOW_SHARED,
    }

    def target_kind(self, service: str, handler: str) -> Kind | None:
        return self.kinds.get((service, handler))


REGISTRY: Final = Registry()


def entry(message: Message, frame_type: int | None = None) -> Entry:
    """A journal entry or frame; completions need their type named."""
    return int(FRAME_TYPES[type(message)] if frame_type is None else frame_type), encode(message)


def completed(frame_type: int, completion_id: int, **result: Any) -> Entry:
    """A completion; without a result given it is void."""
    result = result or {"void": m.Void()}
    return entry(m.Completion(completion_id=completion_id, **result), frame_type)


def value(content: bytes) -> m.Value:
    return m.Value(content=content)


def output(content: bytes = b'"out"') -> m.OutputCommand:
    return m.OutputCommand(value=value(content))


def suspension(
    *completions: int, signals: list[int] | None = None, names: list[str] | None = None
) -> m.Suspension:
    """A wait set. Like those of SDKs it holds the cancel signal, unless other signals are given."""
    return m.Suspension(
        waiting_completions=list(completions),
        waiting_signals=[1] if signals is None else signals,
        waiting_named_signals=names or [],
    )


def new_invocation(kind: Kind = Kind.SERVICE, **options: Any) -> Invocation:
    """An invocation that was just accepted, with nothing in its journal."""
    return Invocation(
        seq=1,
        id=RAW_ID,
        service="Any",
        handler="any",
        key=None if kind is Kind.SERVICE else "k",
        kind=kind,
        created_at=NOW,
        **options,
    )


def snapshot(inv: Invocation) -> dict[str, Any]:
    """All that an invocation is, by value: two are equal exactly if nothing differs."""
    return {slot: copy.deepcopy(getattr(inv, slot)) for slot in Invocation.__slots__}


class Stored:
    """Expected: an entry is stored next, with exactly these bytes."""

    def __init__(self, message: Message, frame_type: int | None = None) -> None:
        self.entry = entry(message, frame_type)


class Scenario:
    """One invocation, a clock that only tests move, and the effects of the latest step."""

    def __init__(self, kind: Kind = Kind.SERVICE, *journal: Entry, **options: Any) -> None:
        self.inv = new_invocation(kind, **options)
        self.inv.begin_with(*entry(INPUT))
        self.inv.restore(list(journal))
        self.now = NOW
        self.failure: AttemptFailure | None = None
        self._known = len(self.inv.journal)
        self._unread: list[Effect] | None = None

    # --- when ----------------------------------------------------------------------------------

    def _happened(self, effects: list[Effect]) -> Scenario:
        assert self._unread is None, f"nobody looked at {self._unread}"
        self._unread = effects
        return self

    def ready(self) -> Scenario:
        return self._happened(self.inv.ready())

    def queue(self) -> Scenario:
        return self._happened(self.inv.queue())

    def attempt(self, version: int = 6) -> Scenario:
        """An attempt begins, from wherever it waited."""
        if self.inv.status is not Status.READY:
            self.ready().then(Open())
        self.silent()
        self.inv.start(self.now, DEPLOYMENT, version)
        return self

    def receives(self, *messages: Message) -> Scenario:
        """Frames of the open attempt's answer."""
        return self.receives_frames(*[entry(message) for message in messages])

    def receives_frames(self, *frames: Entry) -> Scenario:
        effects: list[Effect] = []
        for frame in frames:
            effects += self.inv.receive(*frame, self.now, REGISTRY)
        return self._happened(effects)

    def refuses(self, message: Message, code: str = "RT0012", saying: str = "") -> Scenario:
        """The frame is not taken: a failure with this code, and nothing has changed."""
        return self.refuses_frame(entry(message), code, saying)

    def refuses_frame(self, frame: Entry, code: str = "RT0012", saying: str = "") -> Scenario:
        self.silent()
        before = snapshot(self.inv)
        try:
            effects = self.inv.receive(*frame, self.now, REGISTRY)
        except AttemptFailure as failure:
            self.failure = failure
        else:
            raise AssertionError(f"taken, with {effects}")
        assert snapshot(self.inv) == before
        assert self.failure.code == code, self.failure
        assert saying in self.failure.message
        return self

    def fails(
        self,
        failure: AttemptFailure | None = None,
        policy: RetryPolicy = POLICY,
        jitter: float = 0.0,
    ) -> Scenario:
        """The open attempt fails: by the failure given, the one refused last, or a cut stream."""
        failed = failure or self.failure or AttemptFailure("RT0010", "cut")
        self.failure = None
        return self._happened(self.inv.fail(failed, self.now, policy, jitter))

    def completes(self, frame_type: int, completion_id: int, **result: Any) -> Scenario:
        result = result or {"void": m.Void()}
        completion = m.Completion(completion_id=completion_id, **result)
        return self._happened(self.inv.complete(frame_type, completion, self.now))

    def signalled(self, signal: m.SignalNotification) -> Scenario:
        return self._happened(self.inv.signal(signal, self.now))

    def cancelled(self) -> Scenario:
        return self._happened(self.inv.cancel(self.now))

    def pauses(self) -> Scenario:
        """An operator asks for a pause."""
        return self._happened(self.inv.pause())

    def interrupted(self) -> Scenario:
        """The engine crashed while an attempt was open, and starts again."""
        return self._happened(self.inv.interrupted())

    def killed(self) -> Scenario:
        return self._happened(self.inv.kill())

    def after(self, milliseconds: int) -> Scenario:
        self.now += milliseconds
        return self

    # --- then ----------------------------------------------------------------------------------

    def then(self, *expected: Effect | Stored) -> Scenario:
        """The latest step had these effects, in this order, and no others."""
        effects, self._unread = self._unread, None
        assert effects is not None, "nothing happened since the last look"
        assert effects == [self._exactly(one) for one in expected]
        return self

    def _exactly(self, expected: Effect | Stored) -> Effect:
        if not isinstance(expected, Stored):
            return expected
        self._known += 1
        return Append(self._known - 1, *expected.entry)

    def then_nothing(self) -> Scenario:
        """The latest step had no effect at all."""
        return self.then()

    def stored(self, *messages: Message) -> Scenario:
        """The latest step stored these commands as they came, and performs nothing."""
        return self.then(*[Stored(message) for message in messages])

    def parked(self, status: Status, due_at: int | None = None) -> Scenario:
        """The latest step ended in a wait, with an alarm of its own if it has a time."""
        return self.then(Park(due_at)).stands(status, due_at=due_at)

    def suspends(self, wakes_at: int | None = None, *, asleep: bool = False) -> Scenario:
        """The latest step ended in a suspension, that a sleep ends at `wakes_at`; its alarm was
        set with the sleep. `asleep`: nothing else than time or a cancel can end it."""
        return self.then(Park()).stands(Status.SUSPENDED, due_at=wakes_at, asleep=asleep)

    def stands(self, status: Status, **slots: Any) -> Scenario:
        """How the invocation stands now, with the slots given."""
        assert self.inv.status is status
        for slot, expected in slots.items():
            assert getattr(self.inv, slot) == expected, slot
        return self

    def silent(self) -> Scenario:
        """Every effect so far was looked at, and every entry of the journal was one of them."""
        assert self._unread is None, f"nobody looked at {self._unread}"
        assert len(self.inv.journal) == self._known
        return self

    # --- steps that many stories share ---------------------------------------------------------

    def whatever(self) -> Scenario:
        """The latest step is not what this story is about."""
        self._unread = None
        self._known = len(self.inv.journal)
        return self

    def given(self, *messages: Message) -> Scenario:
        """The open attempt sent these, and they were taken."""
        return self.receives(*messages).whatever()

    def suspended_on(self, *commands: Message, wait: m.Suspension) -> Scenario:
        """An attempt issues commands and ends in a suspension."""
        self.attempt().given(*commands).receives(wait).then(Park())
        return self.stands(Status.SUSPENDED)


def performed(message: Message) -> tuple[Stored, Perform]:
    """Expected: a command is stored and carried out."""
    return Stored(message), Perform(FRAME_TYPES[type(message)], message)
