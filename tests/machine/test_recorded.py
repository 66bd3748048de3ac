"""Recorded conversations, replayed: what an SDK said goes in, what the runtime sent must come out.

The endpoint's frames are the recorded ones. What others told the invocation meanwhile (a timer, a
callee, a signal) is read off the next recorded request, decoded, and handed in as an event; so
every byte of the next request is made by our own code and compared with the recorded one. Only the
seed for random numbers is ours, and eager state comes from the recording, for the machine has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append, Effect, Finish, Open, Park, Perform
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.frame import Frame, encode_frame
from steadfaas.wire.messages import MessageType as T
from tests.machine.recorded import Exchange, Life, lives
from tests.machine.scenario import DEPLOYMENT, NOW, POLICY

LIVES: Final = lives()
each_life = pytest.mark.parametrize("life", LIVES, ids=lambda life: life.where)

#: Completions that the engine stores while it takes the command that asks for them.
AT_ONCE: Final = {
    T.CALL_INVOCATION_ID,
    T.GET_LAZY_STATE_COMPLETION,
    T.GET_LAZY_STATE_KEYS_COMPLETION,
    T.PEEK_PROMISE_COMPLETION,
    T.COMPLETE_PROMISE_COMPLETION,
}


class EveryService:
    """All that the recorded handlers call is a plain service."""

    def target_kind(self, service: str, handler: str) -> Kind | None:
        return Kind.SERVICE


class Replay:
    """Our invocation beside a recorded one."""

    def __init__(self, life: Life) -> None:
        first = life.exchanges[0]
        self.version = life.version
        self.inv = Invocation(
            seq=1,
            id=first.start.id,
            service="Any",
            handler="any",
            key=first.start.key or None,
            kind=life.kind,
            created_at=NOW,
        )
        self.inv.begin_with(first.entries[0].type, first.entries[0].payload)
        self.inv.restore([(frame.type, frame.payload) for frame in first.entries[1:]])
        self.now = NOW

    def attempt(self, exchange: Exchange) -> None:
        """An attempt starts, and its request is the recorded one, byte by byte."""
        self.now = self.inv.grew_at + exchange.start.duration_since_last_stored_entry
        self.inv.start(self.now, DEPLOYMENT, self.version)
        state = [(item.key, item.value) for item in exchange.start.state_map]
        payload = self.inv.start_message(self.now, state, partial=exchange.start.partial_state)
        seed = decode(m.Start, payload).random_seed
        expected = replace(exchange.start, random_seed=seed)
        assert (seed == 0) == (self.version == 5)
        ours = [encode_frame(T.START, payload)]
        ours += [encode_frame(*entry) for entry in self.inv.journal]
        recorded = [encode_frame(T.START, encode(expected))]
        recorded += [encode_frame(*frame) for frame in exchange.entries]
        assert [frame.hex() for frame in ours] == [frame.hex() for frame in recorded]

    def answer(self, exchange: Exchange, following: Exchange | None) -> None:
        """The answer comes, and afterwards everything else until the following request."""
        told = self._told(exchange, following)
        for frame in exchange.answer:
            try:
                effects = self.inv.receive(frame.type, frame.payload, self.now, EveryService())
            except AttemptFailure as failure:
                self._fail(frame, failure)
                return
            for effect in effects:
                if isinstance(effect, Perform):
                    self._perform(effect, told)
            assert bool(effects) or self.inv.closed is not None
        self._close(exchange.answer[-1], effects, told, recording_ends=following is None)

    def _told(self, exchange: Exchange, following: Exchange | None) -> list[Frame]:
        if following is None:
            return []
        mine = {T.RUN_COMPLETION, T.INPUT}
        return [
            frame
            for frame in following.entries[len(exchange.entries) :]
            if frame.type >= 0x8000 and frame.type not in mine
        ]

    def _perform(self, effect: Perform, told: list[Frame]) -> None:
        issued = [
            getattr(effect.command, name, 0)
            for name in ("invocation_id_notification_idx", "result_completion_id")
        ]
        for frame in list(told):
            if frame.type in AT_ONCE:
                completion = decode(m.Completion, frame.payload)
                if completion.completion_id in issued:
                    told.remove(frame)
                    (stored,) = self.inv.complete(frame.type, completion, self.now)
                    assert isinstance(stored, Append)

    def _close(
        self, closing: Frame, effects: list[Effect], told: list[Frame], *, recording_ends: bool
    ) -> None:
        if closing.type == T.END:
            assert self.inv.status is Status.COMPLETED
            return
        assert closing.type == T.SUSPENSION
        if not told:
            # What the answer itself brought continues it; where the recording ends, nothing may.
            assert effects == [Open()] or (recording_ends and effects == [Park()])
            return
        assert effects == [Park()]
        for frame in told:
            assert self.inv.status is Status.SUSPENDED
            effects = self._tell(frame)
        assert effects[1:] == [Open()]

    def _tell(self, frame: Frame) -> list[Effect]:
        self.now += 1
        if frame.type != T.SIGNAL:
            completion = decode(m.Completion, frame.payload)
            return [*self.inv.complete(frame.type, completion, self.now)]
        signal = decode(m.SignalNotification, frame.payload)
        if signal.idx == 1:
            return [*self.inv.cancel(self.now)]
        return [*self.inv.signal(signal, self.now)]

    def _fail(self, frame: Frame, failure: AttemptFailure) -> None:
        error = decode(m.Error, frame.payload)
        effects = self.inv.fail(failure, self.now, POLICY, 0.0)
        wait = 100 if error.next_retry_delay is None else error.next_retry_delay
        assert effects == [Park(self.now + wait)]
        self.inv.ready()


def steps(life: Life) -> Iterator[tuple[Exchange, Exchange | None]]:
    yield from zip(life.exchanges, [*life.exchanges[1:], None], strict=True)


@each_life
def test_replay(life: Life) -> None:
    replay = Replay(life)
    replay.inv.ready()
    for exchange, following in steps(life):
        replay.attempt(exchange)
        replay.answer(exchange, following)
    last = life.exchanges[-1].answer
    if last[-1].type == T.END:
        assert replay.inv.status is Status.COMPLETED
        outputs = [*life.exchanges[-1].entries, *last]
        assert replay.inv.output == [f.payload for f in outputs if f.type == T.OUTPUT][-1]
    else:
        assert replay.inv.status is not Status.COMPLETED


@each_life
def test_replay_from_the_store_at_every_request(life: Life) -> None:
    """Memory is a cache: each attempt begins from the recorded journal and ends the same way."""
    for exchange, following in steps(life):
        replay = Replay(Life(life.where, life.kind, life.version, [exchange]))
        replay.inv.retry_count = exchange.start.retry_count_since_last_stored_entry
        replay.inv.ready()
        replay.attempt(exchange)
        replay.answer(exchange, following)
        if following is not None:
            stored = [(frame.type, frame.payload) for frame in following.entries]
            assert [(int(t), payload) for t, payload in replay.inv.journal] == stored


def test_the_mismatch_is_recorded_with_both_commands() -> None:
    (life,) = [life for life in LIVES if life.where.startswith("09")]
    replay = Replay(life)
    replay.inv.ready()
    for exchange, following in steps(life):
        replay.attempt(exchange)
        replay.answer(exchange, following)
    failure = replay.inv.failure
    assert failure is not None
    assert (failure.code, failure.http_code, failure.command_index) == ("RT0016", 570, 1)
    assert (failure.recorded, failure.issued) == ("Sleep", "Run other")


def test_nothing_recorded_is_left_out() -> None:
    """All exchanges of versions 5 and 6 are replayed: 37 captured, 7 by hand, 2 of Lambda."""
    exchanges = [exchange for life in LIVES for exchange in life.exchanges]
    assert len(exchanges) == 37 + 7 + 2
    assert {life.version for life in LIVES} == {5, 6}
    assert {life.kind for life in LIVES} == set(Kind) - {Kind.OBJECT_SHARED}


def test_finishing_effect_of_the_shortest_life() -> None:
    life = LIVES[0]
    replay = Replay(life)
    replay.inv.ready()
    (exchange,) = life.exchanges
    replay.attempt(exchange)
    first, end = exchange.answer
    assert replay.inv.receive(first.type, first.payload, NOW, EveryService()) == [
        Append(1, first.type, first.payload)
    ]
    assert replay.inv.receive(end.type, end.payload, NOW, EveryService()) == [Finish(first.payload)]
