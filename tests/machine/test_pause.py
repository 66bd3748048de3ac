"""Pauses: from where an operator may ask for one, what comes of the open attempt, what ends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Finish, Open, Park
from steadfaas.machine.invocation import IllegalMove, failure_output
from steadfaas.machine.status import Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from tests.machine.conftest import Begin
from tests.machine.scenario import (
    KILL_POLICY,
    NOW,
    PAUSE_POLICY,
    Scenario,
    Stored,
    output,
    suspension,
)
from tests.machine.test_status import bring_to

SLEEP = m.SleepCommand(wake_up_time=NOW + 50, result_completion_id=1)
SLEPT = Stored(m.Completion(completion_id=1, void=m.Void()), 0x800C)
CANCEL = Stored(m.SignalNotification(idx=1, void=m.Void()))
RESOLVED = m.SignalNotification(idx=17, value=m.Value(content=b"1"))
WAITING = [Status.READY, Status.BACKING_OFF, Status.SUSPENDED]


@pytest.mark.parametrize("status", WAITING)
def test_a_pause_takes_hold_at_once_where_no_attempt_is_open(begin: Begin, status: Status) -> None:
    bring_to(status, begin()).pauses().then(Park()).stands(
        Status.PAUSED, due_at=None, awaits=None, asleep=False, pausing=False
    )


@pytest.mark.parametrize("status", [Status.PAUSED, Status.COMPLETED])
def test_there_is_nothing_to_pause(begin: Begin, status: Status) -> None:
    bring_to(status, begin()).pauses().then_nothing().stands(status, pausing=False)


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.PENDING])
def test_what_has_not_begun_cannot_be_paused(begin: Begin, status: Status) -> None:
    scenario = bring_to(status, begin())
    with pytest.raises(IllegalMove):
        scenario.inv.pause()
    scenario.stands(status, pausing=False)


# --- while an attempt is open ------------------------------------------------------------------


def _pausing(begin: Begin) -> Scenario:
    return (
        begin()
        .attempt()
        .given(SLEEP)
        .pauses()
        .then_nothing()
        .pauses()
        .then_nothing()
        .stands(Status.RUNNING, pausing=True)
    )


def test_the_open_attempt_may_suspend(begin: Begin) -> None:
    _pausing(begin).receives(suspension(1)).then(Park()).stands(
        Status.PAUSED, pausing=False, awaits=None, due_at=None, asleep=False, failures=0
    )


def test_what_the_suspension_waits_for_has_come_already(begin: Begin) -> None:
    """Without the pause it would go on at once."""
    scenario = _pausing(begin).completes(0x800C, 1).then(SLEPT)
    scenario.receives(suspension(1)).parked(Status.PAUSED).stands(Status.PAUSED, pausing=False)


@pytest.mark.parametrize("policy", [PAUSE_POLICY, KILL_POLICY, None])
def test_the_open_attempt_may_fail(begin: Begin, policy: object) -> None:
    """The operator's wish is heard before the policy, also where that would end it."""
    scenario = _pausing(begin)
    failure = AttemptFailure("RT0007", "ouch")
    if policy is None:
        scenario.fails(failure)
    else:
        scenario.fails(failure, policy)  # type: ignore[arg-type]
    scenario.parked(Status.PAUSED).stands(Status.PAUSED, pausing=False, retry_count=1)
    assert scenario.inv.failure is not None
    assert scenario.inv.failure.message == "ouch"


def test_the_open_attempt_may_complete(begin: Begin) -> None:
    scenario = _pausing(begin).given(output()).receives(m.End())
    scenario.then(Finish(encode(output()))).stands(Status.COMPLETED, pausing=False)


def test_the_open_attempt_may_be_lost_in_a_crash(begin: Begin) -> None:
    _pausing(begin).interrupted().parked(Status.PAUSED).stands(Status.PAUSED, pausing=False)
    begin().attempt().interrupted().then(Open()).stands(Status.READY, pausing=False)


def test_a_cancel_withdraws_the_wish_as_it_would_end_the_pause(begin: Begin) -> None:
    scenario = _pausing(begin).cancelled().then(CANCEL).stands(Status.RUNNING, pausing=False)
    scenario.receives(suspension(1)).then(Open()).stands(Status.READY)


def test_a_pausing_one_can_be_killed(begin: Begin) -> None:
    scenario = _pausing(begin).killed().then(Finish(failure_output(409, "killed")))
    scenario.stands(Status.COMPLETED, pausing=False)


def test_a_signal_does_not_withdraw_it(begin: Begin) -> None:
    scenario = _pausing(begin).signalled(RESOLVED).then(Stored(RESOLVED))
    scenario.stands(Status.RUNNING, pausing=True)


# --- while it is paused ------------------------------------------------------------------------


def test_news_is_kept_for_later_and_wakes_nobody(begin: Begin) -> None:
    scenario = begin().suspended_on(SLEEP, wait=suspension(1, signals=[17, 1]))
    (
        scenario.pauses()
        .parked(Status.PAUSED)
        .signalled(RESOLVED)
        .then(Stored(RESOLVED))
        .stands(Status.PAUSED)
        .completes(0x800C, 1)
        .then(SLEPT)
        .stands(Status.PAUSED)
        .ready()
        .then(Open())
        .attempt()
        # Both were shown to the attempt that followed.
        .refuses(suspension(1), saying="already showed")
    )


@pytest.mark.parametrize(
    "pause", [Scenario.pauses, lambda scenario: scenario.fails(policy=PAUSE_POLICY)]
)
def test_whoever_ends_a_pause_grants_all_attempts_anew(
    begin: Begin, pause: Callable[[Scenario], Scenario]
) -> None:
    scenario = begin().attempt().fails().whatever().attempt()
    if pause is Scenario.pauses:
        scenario.fails().whatever().stands(Status.BACKING_OFF, failures=2)
    pause(scenario).parked(Status.PAUSED).ready().then(Open()).stands(Status.READY, failures=0)
    scenario.attempt().fails().parked(Status.BACKING_OFF, NOW + 100)


# --- where it goes on --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PAUSED, Status.SUSPENDED])
def test_a_pin_moves_and_its_version_stays(begin: Begin, status: Status) -> None:
    scenario = begin().attempt(version=5).given(SLEEP)
    scenario.receives(suspension(1)).then(Park())
    if status is Status.PAUSED:
        scenario.pauses().parked(status)
    due_at = scenario.inv.due_at
    scenario.inv.move_pin("dp_2")
    scenario.stands(status, deployment="dp_2", version=5, due_at=due_at)
    scenario.attempt().stands(Status.RUNNING, deployment="dp_2", version=5)


def test_without_a_pin_there_is_none_to_move(begin: Begin) -> None:
    scenario = begin().ready().then(Open())
    scenario.inv.start(NOW, None, None)
    scenario.fails(AttemptFailure("RT0011", "nobody"), PAUSE_POLICY).parked(Status.PAUSED)
    with pytest.raises(IllegalMove):
        scenario.inv.move_pin("dp_2")
    scenario.stands(Status.PAUSED, deployment=None, version=None)
