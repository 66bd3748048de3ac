"""Random lives: what may happen to an invocation, as Hypothesis strategies, and who lives it.

A story is a list of steps. An endpoint may say anything; others may tell anything at any time; the
engine may crash between any two steps. `World` plays the driver and the store: it keeps what was to
be stored, takes attempts from answers, and checks after every step that nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append, Effect, Finish, Open, Park, Perform
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import END_OF_TIME, Entry, IllegalMove, Invocation
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.fields import Message
from steadfaas.wire.messages import MESSAGES
from steadfaas.wire.messages import MessageType as T
from tests.machine.rows import ACCEPTED, REFUSED
from tests.machine.scenario import (
    DEPLOYMENT,
    INPUT,
    NOW,
    REGISTRY,
    entry,
    new_invocation,
    snapshot,
)
from tests.wire.generated import messages

MAX_INT64: Final = 2**63 - 1
#: Stands in a drawn message for an id that fits: a new one where ids are issued, an open one else.
FITTING: Final = 0xF177

# --- steps ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Says:
    """The endpoint sends a message, perhaps damaged: `damage` is put over the byte at `at`."""

    message: Message
    frame_type: int
    at: int = 0
    damage: bytes = b""


@dataclass(frozen=True, slots=True)
class SaysBytes:
    """The endpoint sends a frame of any type with any bytes."""

    frame_type: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Breaks:
    """The exchange ends without a closing frame, perhaps with a time to come back."""

    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Answers:
    """Somebody completes command `which` of the open ones, as `frame_type` or as it expects."""

    which: int
    frame_type: int | None
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signals:
    """Somebody signals."""

    signal: m.SignalNotification


@dataclass(frozen=True, slots=True)
class Happens:
    """Something without details: cancel, pause, resume, move, restart."""

    what: str


Step = Says | SaysBytes | Breaks | Answers | Signals | Happens

_IDS: Final = st.one_of(
    st.just(FITTING), st.just(FITTING), st.integers(1, 5), st.sampled_from([0, 2**32 - 1])
)
_SIGNALS: Final = st.sampled_from([0, 1, 17, 18])
_NAMES: Final = st.sampled_from(["", "n", "1"])
_DELAYS: Final = st.one_of(st.none(), st.integers(0, 2000), st.just(2**64 - 1))


def _with_fitting_ids(message: Message) -> Message:
    """The message with ids that fit in place of its own."""
    own = {"result_completion_id", "invocation_id_notification_idx"}
    named = {f.name for f in fields(message)} if is_dataclass(message) else set()
    return replace(message, **dict.fromkeys(own & named, FITTING))  # type: ignore[arg-type]


_COMMANDS: Final = st.sampled_from([_with_fitting_ids(row.message) for row in ACCEPTED])
_SAID: Final = st.one_of(
    _COMMANDS,
    _COMMANDS,
    st.builds(m.SleepCommand, wake_up_time=st.integers(0, 2**64 - 1), result_completion_id=_IDS),
    st.builds(m.RunCommand, result_completion_id=_IDS),
    st.builds(
        m.ProposeRunCompletion,
        result_completion_id=_IDS,
        value=st.one_of(st.none(), st.binary(max_size=90)),
    ),
    st.builds(
        m.ProposeRunCompletion, result_completion_id=_IDS, failure=messages(m.Failure, depth=1)
    ),
)
_CLOSINGS: Final = st.one_of(
    st.just(m.End()),
    st.builds(
        m.Suspension,
        waiting_completions=st.lists(_IDS, max_size=3),
        waiting_signals=st.lists(_SIGNALS, max_size=2),
        waiting_named_signals=st.lists(_NAMES, max_size=1),
    ),
    st.builds(
        m.Error,
        code=st.sampled_from([0, 409, 500, 570, 571, 2**32 - 1]),
        message=st.text(max_size=3),
        stacktrace=st.text(max_size=3),
        related_command_index=st.one_of(st.none(), st.integers(0, 9)),
        related_command_type=st.one_of(st.none(), st.integers(0x400, 0x415)),
        related_command_name=st.one_of(st.none(), st.text(max_size=3)),
        next_retry_delay=_DELAYS,
    ),
)


def _frame_type(message: Message) -> int:
    return entry(message)[0]


_ANY_MESSAGES: Final = st.sampled_from(
    sorted(set(MESSAGES.values()) - {m.Completion}, key=lambda cls: cls.__name__)
).flatmap(lambda cls: messages(cls, depth=1))

STEPS: Final[st.SearchStrategy[Step]] = st.one_of(
    _SAID.map(lambda said: Says(said, _frame_type(said))),
    _SAID.map(lambda said: Says(said, _frame_type(said))),
    _CLOSINGS.map(lambda said: Says(said, _frame_type(said))),
    st.builds(
        lambda said, at, damage: Says(said, _frame_type(said), at, damage),
        st.one_of(_SAID, _CLOSINGS),
        st.integers(0, 40),
        st.binary(min_size=1, max_size=2),
    ),
    _ANY_MESSAGES.map(lambda said: Says(said, _frame_type(said))),
    st.sampled_from(REFUSED).map(lambda row: SaysBytes(*row.frame)),
    st.builds(
        SaysBytes,
        st.one_of(st.sampled_from([int(t) for t in T]), st.integers(0, 0xFFFF)),
        st.binary(max_size=12),
    ),
    st.builds(Breaks, _DELAYS),
    st.builds(
        Answers,
        st.integers(0, 5),
        st.one_of(st.none(), st.none(), st.sampled_from([int(t) for t in T if t > 0x8000])),
        st.one_of(
            st.just({"void": m.Void()}),
            st.builds(lambda size: {"value": m.Value(content=b"x" * size)}, st.integers(0, 900)),
            st.just({"failure": m.Failure(code=1, message="no")}),
            st.just({"invocation_id": "inv_"}),
        ),
    ),
    st.builds(
        lambda idx, size: Signals(
            m.SignalNotification(idx=idx, value=m.Value(content=b"x" * size))
        ),
        _SIGNALS,
        st.integers(0, 900),
    ),
    st.builds(lambda name: Signals(m.SignalNotification(signal_name=name)), _NAMES),
    st.sampled_from(["cancel", "pause", "resume", "move", "restart"]).map(Happens),
)


def _say(*messages: Message) -> list[Step]:
    return [Says(message, _frame_type(message)) for message in messages]


_WAIT: Final = m.Suspension(waiting_completions=[FITTING], waiting_signals=[1])
_RUN: Final = m.RunCommand(result_completion_id=FITTING)
_SLEEP: Final = m.SleepCommand(result_completion_id=FITTING)
_PROPOSAL: Final = m.ProposeRunCompletion(result_completion_id=FITTING, value=b"1")
_OVER: Final = Answers(-1, None, {"void": m.Void()})

#: What well-behaved endpoints do. Alone, random steps would seldom come this far.
_TURNS: Final[st.SearchStrategy[list[Step]]] = st.sampled_from(
    [
        _say(_RUN, _PROPOSAL, _WAIT),
        _say(_RUN, _PROPOSAL),
        [*_say(_RUN), Breaks(None)],
        _say(_SLEEP, _WAIT),
        [*_say(_SLEEP, _WAIT), _OVER],
        [*_say(_SLEEP), _OVER, *_say(_WAIT)],
        [*_say(_SLEEP, _WAIT), Happens("cancel")],
        [*_say(_SLEEP), Happens("cancel"), *_say(_WAIT)],
        [*_say(_SLEEP, _WAIT), Happens("restart"), _OVER],
        [*_say(_SLEEP), Happens("pause"), *_say(_WAIT), _OVER],
        [*_say(_SLEEP), Happens("pause"), Happens("restart"), Happens("move")],
        [*_say(_RUN, _PROPOSAL), Happens("pause"), Breaks(None)],
        _say(m.Suspension(waiting_signals=[17, 1])),
    ]
)

# Half of each: `one_of` would share evenly among all alternatives inside.
_TURN_OR_STEP: Final[st.SearchStrategy[list[Step]]] = st.booleans().flatmap(
    lambda usual: _TURNS if usual else STEPS.map(lambda step: [step])
)
STORIES: Final[st.SearchStrategy[list[Step]]] = st.lists(_TURN_OR_STEP, max_size=20).map(
    lambda turns: [step for turn in turns for step in turn]
)

POLICIES: Final = st.builds(
    RetryPolicy,
    initial_interval=st.sampled_from([0, 1, 500, MAX_INT64]),
    factor=st.sampled_from([0.0, 1.0, 2.0, 1e308]),
    max_interval=st.sampled_from([0, 60_000, MAX_INT64]),
    max_attempts=st.sampled_from([None, None, 1, 3]),
    on_max_attempts=st.sampled_from(OnMaxAttempts),
)


# --- who lives them -------------------------------------------------------------------------------

#: What follows from a journal and is never stored itself.
DERIVED: Final = ("journal", "journal_bytes", "pending", "notified", "signals")
#: What the store keeps in the record.
RECORDED: Final = (
    "status",
    "grew_at",
    "deployment",
    "version",
    "attempt",
    "started_at",
    "failures",
    "retry_count",
    "due_at",
    "awaits",
    "asleep",
    "pausing",
)
#: Where pins may be moved to.
ELSEWHERE: Final = "dp_2"


class World:
    """An invocation, its store, its driver, and a judge of every step."""

    def __init__(
        self, kind: Kind, policy: RetryPolicy, max_entries: int, max_journal_bytes: int
    ) -> None:
        self.now = NOW
        self.policy = policy
        self.limits = {"max_entries": max_entries, "max_journal_bytes": max_journal_bytes}
        self.inv = new_invocation(kind, **self.limits)
        self.inv.begin_with(*entry(INPUT))
        self.stored: list[Entry] = [entry(INPUT)]
        self.largest = 0
        self._last_id = 0

    def live(self, story: list[Step]) -> None:
        """Everything in the story happens, until the invocation has its result."""
        for step in story:
            self.now += 7
            _PLAY[type(step)](self, step)
            self.judge()
            if self.inv.status is Status.COMPLETED:
                break
        self.end()

    def end(self) -> None:
        """However it went: a kill ends it, and nothing comes after."""
        if self.inv.status is not Status.COMPLETED:
            self.carry_out(self.inv.kill())
        self.judge()
        before = snapshot(self.inv)
        signal = m.SignalNotification(idx=99, void=m.Void())
        for effects in (
            self.inv.kill(),
            self.inv.cancel(self.now),
            self.inv.signal(signal, self.now),
            *(
                self.inv.complete(by, m.Completion(completion_id=issued), self.now)
                for issued, (by, _) in self.inv.pending.items()
            ),
        ):
            assert effects == []
        assert snapshot(self.inv) == before

    # --- the driver ----------------------------------------------------------------------------

    def open(self) -> None:
        """Have an attempt open: whatever waits is made to go on, as an operator may at any time."""
        if self.inv.status is Status.RUNNING:
            return
        if self.inv.status is not Status.READY:
            self.carry_out(self.inv.ready())
        self.inv.start(self.now, DEPLOYMENT, 6)

    def receive(self, frame_type: int, payload: bytes) -> None:
        self.open()
        before = snapshot(self.inv)
        known = len(self.inv.journal)
        try:
            effects = self.inv.receive(frame_type, payload, self.now, REGISTRY)
        except AttemptFailure as failure:
            assert snapshot(self.inv) == before
            self.fail(failure)
            return
        self.carry_out(effects)
        if self.inv.closed is not None:
            if len(self.inv.journal) == self.inv.opened_with:
                assert Open() not in effects
            assert len(self.inv.journal) == known
            after = snapshot(self.inv)
            assert self.inv.receive(frame_type, payload, self.now, REGISTRY) == []
            assert snapshot(self.inv) == after

    def fail(self, failure: AttemptFailure) -> None:
        self.open()
        pausing = self.inv.pausing
        effects = self.inv.fail(failure, self.now, self.policy, 0.999)
        self.carry_out(effects)
        assert len(effects) == 1
        assert not pausing or self.inv.status is Status.PAUSED
        match effects[0]:
            case Park(due_at=None):
                assert self.inv.status is Status.PAUSED
            case Park(due_at=due_at):
                assert due_at is not None
                assert self.now + 10 <= due_at <= MAX_INT64
                assert self.inv.due_at == due_at
            case other:
                assert isinstance(other, Finish)
        record = self.inv.failure
        assert record is not None
        assert FailureRecord.from_json(record.to_json()) == _without_empty(record)

    def carry_out(self, effects: list[Effect]) -> None:
        """Store what is to be stored; see that effects come in the order they must have."""
        ranks = [_RANK[type(effect)] for effect in effects]
        assert ranks == sorted(ranks)
        assert sum(isinstance(effect, Open | Park | Finish) for effect in effects) <= 1
        for effect in effects:
            if isinstance(effect, Append):
                assert effect.index == len(self.stored)
                self.stored.append((effect.type, effect.payload))
                self.largest = max(self.largest, len(effect.payload))
            elif isinstance(effect, Finish):
                assert effect.output == self.inv.output
                decode(m.OutputCommand, effect.output)

    def restart(self) -> None:
        """The engine crashes, and reads the invocation again."""
        again = self._read()
        for slot in RECORDED:
            setattr(again, slot, getattr(self.inv, slot))
        again.failure = self.inv.failure
        self.inv = again
        if again.status is Status.RUNNING:
            pausing = again.pausing
            self.carry_out(again.interrupted())
            assert again.status is (Status.PAUSED if pausing else Status.READY)
        elif again.status is Status.READY:
            self.carry_out(again.ready())

    def _read(self) -> Invocation:
        again = new_invocation(self.inv.kind, **self.limits)
        again.restore(list(self.stored))
        return again

    # --- steps ---------------------------------------------------------------------------------

    def says(self, step: Says) -> None:
        payload = entry(self._fitted(step.message))[1]
        if step.damage:
            at = min(step.at, len(payload))
            payload = payload[:at] + step.damage + payload[at + 1 :]
        self.receive(step.frame_type, payload)

    def answers(self, step: Answers) -> None:
        open_ids = sorted(self.inv.pending)
        completion = open_ids[step.which % len(open_ids)] if open_ids else step.which
        expected = self.inv.pending.get(completion, (T.SLEEP_COMPLETION, 0))[0]
        if expected == T.RUN_COMPLETION:
            return  # nobody else may complete it
        frame_type = step.frame_type or expected
        answer = m.Completion(completion_id=completion, **step.result)
        self.carry_out(self.inv.complete(frame_type, answer, self.now))

    def happens(self, what: str) -> None:
        match what:
            case "cancel":
                self.carry_out(self.inv.cancel(self.now))
            case "pause":
                self.pause()
            case "resume":
                self.carry_out(self.inv.ready())
            case "move":
                self.move()
            case "restart":
                self.restart()

    def pause(self) -> None:
        if self.inv.status is not Status.SCHEDULED:
            self.carry_out(self.inv.pause())
            assert self.inv.pausing or self.inv.status is Status.PAUSED

    def move(self) -> None:
        """An operator moves the pin, where one can be moved; else that changes nothing."""
        before = snapshot(self.inv)
        if self.inv.status in (Status.PAUSED, Status.SUSPENDED):
            self.inv.move_pin(ELSEWHERE)
            assert snapshot(self.inv) == {**before, "deployment": ELSEWHERE}
        else:
            with pytest.raises(IllegalMove):
                self.inv.move_pin(ELSEWHERE)
            assert snapshot(self.inv) == before

    def _fitted(self, message: Message) -> Message:
        """The message with ids that fit, where it asks for such."""
        if isinstance(message, m.Suspension):
            wanted = [self._open(i, 0) for i in message.waiting_completions]
            return replace(message, waiting_completions=wanted)
        if isinstance(message, m.ProposeRunCompletion):
            fit = self._open(message.result_completion_id, T.RUN_COMPLETION)
            return replace(message, result_completion_id=fit)
        fresh = {
            name: self._fresh()
            for name in ("result_completion_id", "invocation_id_notification_idx")
            if getattr(message, name, 0) == FITTING
        }
        return replace(message, **fresh)  # type: ignore[arg-type]

    def _fresh(self) -> int:
        self._last_id = max([self._last_id, *self.inv.pending, *self.inv.notified]) + 1
        return self._last_id % 2**32

    def _open(self, wanted: int, completed_by: int) -> int:
        if wanted != FITTING:
            return wanted
        fitting = [i for i, (by, _) in self.inv.pending.items() if completed_by in (0, by)]
        return fitting[-1] if fitting else 1

    # --- the judge -----------------------------------------------------------------------------

    def judge(self) -> None:
        """What holds after every step."""
        inv = self.inv
        assert inv.journal == self.stored
        self._judge_memory_is_a_cache()
        self._judge_completions()
        assert (inv.awaits is not None) == (inv.status is Status.SUSPENDED)
        if inv.status is Status.SUSPENDED:
            self._judge_sleep(decode(m.Suspension, inv.awaits or b""))
        else:
            assert (inv.due_at is not None) == (inv.status is Status.BACKING_OFF)
            assert not inv.asleep
        assert not inv.pausing or inv.status is Status.RUNNING
        assert 0 <= inv.retry_count <= MAX_INT64
        assert 0 <= inv.failures <= MAX_INT64
        entries, size = self.limits["max_entries"], self.limits["max_journal_bytes"]
        # Commands fill the journal once, others once more, and each command may be answered twice.
        assert len(inv.journal) <= 4 * entries
        assert inv.journal_bytes <= 2 * size + self.largest + 200 * len(inv.journal)
        start = decode(m.Start, inv.start_message(self.now, None, partial=True))
        assert start.known_entries == len(self.stored)
        assert start.retry_count_since_last_stored_entry == inv.retry_count

    def _judge_sleep(self, awaits: m.Suspension) -> None:
        """When time wakes it is the first of the sleeps it waits for; asleep is who waits for no
        more than those."""
        to_come = {id: self.inv.pending.get(id) for id in awaits.waiting_completions}
        ends = [found[1] for found in to_come.values() if found and found[0] == T.SLEEP_COMPLETION]
        assert self.inv.due_at == (min(*ends, END_OF_TIME) if ends else None)
        if self.inv.asleep:
            assert len(ends) == len([found for found in to_come.values() if found])
            assert set(awaits.waiting_signals) <= {1}
            assert not awaits.waiting_named_signals

    def _judge_memory_is_a_cache(self) -> None:
        again = self._read()
        for slot in DERIVED:
            assert getattr(again, slot) == getattr(self.inv, slot), slot
        if self.inv.status is not Status.COMPLETED:
            assert again.output == self.inv.output
        assert self.inv.journal_bytes == sum(len(payload) for _, payload in self.stored)

    def _judge_completions(self) -> None:
        ids = [
            decode(m.Completion, payload).completion_id
            for frame_type, payload in self.stored
            if frame_type > 0x8000 and frame_type != T.SIGNAL
        ]
        assert len(ids) == len(set(ids))
        assert set(ids) == set(self.inv.notified)
        assert not self.inv.notified.keys() & self.inv.pending.keys()


_RANK: Final = {Append: 0, Perform: 1, Open: 2, Park: 2, Finish: 2}


def _without_empty(record: FailureRecord) -> FailureRecord:
    """A record as it is read back: an empty name is none."""
    return replace(record, command_name=record.command_name or None)


_PLAY: Final[dict[type, Callable[[World, Any], None]]] = {
    Says: World.says,
    SaysBytes: lambda world, step: world.receive(step.frame_type, step.payload),
    Breaks: lambda world, step: world.fail(
        AttemptFailure("RT0023", "busy", retry_after=step.retry_after)
    ),
    Answers: World.answers,
    Signals: lambda world, step: world.carry_out(world.inv.signal(step.signal, world.now)),
    Happens: lambda world, step: world.happens(step.what),
}
