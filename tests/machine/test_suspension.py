"""Suspensions: what a handler waits for, and what wakes it. Refused ones are rows of `rows`."""

from __future__ import annotations

import pytest

from steadfaas import ids
from steadfaas.machine.effects import Open, Park
from steadfaas.machine.invocation import END_OF_TIME, LARGEST_WAIT_SET
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from tests.machine.conftest import Begin
from tests.machine.scenario import NOW, Stored, entry, performed, suspension, value

SLEEP = m.SleepCommand(wake_up_time=NOW + 50, result_completion_id=1)
NAP = m.SleepCommand(wake_up_time=NOW + 20, result_completion_id=2)
RUN = m.RunCommand(result_completion_id=1, name="step")
PROPOSAL = m.ProposeRunCompletion(result_completion_id=1, value=b"1")
RAN = m.Completion(completion_id=1, value=value(b"1"))
CANCEL = m.SignalNotification(idx=1, void=m.Void())
RESOLVED = m.SignalNotification(idx=17, value=value(b"1"))
NAMED = m.SignalNotification(signal_name="n", value=value(b"1"))


def slept(completion: int) -> Stored:
    return Stored(m.Completion(completion_id=completion, void=m.Void()), 0x800C)


def test_a_wait_is_parked_and_its_completion_opens_the_next_attempt(begin: Begin) -> None:
    wait = suspension(1)
    (
        begin()
        .attempt()
        .receives(SLEEP)
        .then(*performed(SLEEP))
        .receives(wait)
        .suspends(NOW + 50, asleep=True)
        .stands(Status.SUSPENDED, awaits=encode(wait))
        .after(50)
        .completes(0x800C, 1)
        .then(slept(1), Open())
        .stands(Status.READY, awaits=None, due_at=None, asleep=False)
    )


def test_what_came_while_the_handler_ran_is_found_at_its_suspension(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(SLEEP, NAP)
        .completes(0x800C, 2)
        .then(slept(2))
        .receives(suspension(1, 2))
        .then(Open())
        .stands(Status.READY, awaits=None)
    )


def test_a_proposed_run_continues_at_once(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .receives(RUN, PROPOSAL, suspension(1))
        .then(Stored(RUN), Stored(RAN, 0x8011), Open())
        .stands(Status.READY)
    )


@pytest.mark.parametrize(
    "wait",
    [suspension(1, 2), suspension(1, signals=[1, 17]), suspension(1, signals=[], names=["n"])],
)
def test_a_run_not_proposed_may_be_one_of_several(begin: Begin, wait: m.Suspension) -> None:
    begin().suspended_on(RUN, NAP, wait=wait).completes(0x800C, 2).then(
        slept(2), *([Open()] if 2 in wait.waiting_completions else [])
    )


@pytest.mark.parametrize(
    ("wait", "signal"),
    [
        (suspension(signals=[17, 1]), RESOLVED),
        (suspension(signals=[1], names=["n"]), NAMED),
        (suspension(signals=[], names=["m", "n"]), NAMED),
        (suspension(1, signals=[1, 17]), RESOLVED),
        (suspension(signals=[], names=[""]), m.SignalNotification(signal_name="", void=m.Void())),
    ],
)
def test_signals_wake_who_waits_for_them(
    begin: Begin, wait: m.Suspension, signal: m.SignalNotification
) -> None:
    begin().suspended_on(SLEEP, wait=wait).signalled(signal).then(Stored(signal), Open())


@pytest.mark.parametrize(
    "signal",
    [
        m.SignalNotification(idx=18, void=m.Void()),
        m.SignalNotification(signal_name="17", void=m.Void()),
        m.SignalNotification(signal_name="", void=m.Void()),
    ],
)
def test_signals_wake_nobody_else(begin: Begin, signal: m.SignalNotification) -> None:
    waiting = begin().suspended_on(SLEEP, wait=suspension(1, signals=[1, 17], names=["n"]))
    waiting.signalled(signal).then(Stored(signal)).stands(Status.SUSPENDED)


def test_an_early_signal_is_kept_until_somebody_waits_for_it(begin: Begin) -> None:
    (
        begin()
        .signalled(RESOLVED)
        .then(Stored(RESOLVED))
        .stands(Status.SCHEDULED)
        .attempt()
        .signalled(NAMED)
        .then(Stored(NAMED))
        .receives(suspension(signals=[1], names=["n"]))
        .then(Open())
        .attempt()
        # Both were in the journal that this attempt was shown.
        .refuses(suspension(signals=[17, 1]), saying="already showed")
    )


def test_the_first_delivery_of_a_signal_counts(begin: Begin) -> None:
    again = m.SignalNotification(idx=17, value=value(b"2"))
    (
        begin()
        .suspended_on(wait=suspension(signals=[18, 1]))
        .signalled(RESOLVED)
        .then(Stored(RESOLVED))
        .signalled(again)
        .then_nothing()
        .signalled(RESOLVED)
        .then_nothing()
    )


# --- cancel ---------------------------------------------------------------------------------------


def test_a_cancel_wakes_a_wait_that_lists_it(begin: Begin) -> None:
    begin().suspended_on(SLEEP, wait=suspension(1)).cancelled().then(Stored(CANCEL), Open())


def test_a_cancel_is_stored_for_a_wait_that_does_not_list_it(begin: Begin) -> None:
    # An SDK that must first learn a child's id waits for that alone.
    (
        begin()
        .suspended_on(SLEEP, wait=suspension(1, signals=[]))
        .cancelled()
        .then(Stored(CANCEL))
        .stands(Status.SUSPENDED)
        .completes(0x800C, 1)
        .then(slept(1), Open())
    )


def test_a_cancel_that_came_while_the_handler_ran_continues_it(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(SLEEP)
        .cancelled()
        .then(Stored(CANCEL))
        .receives(suspension(1))
        .then(Open())
    )


def test_a_cancel_may_be_the_first_that_an_attempt_was_not_shown(begin: Begin) -> None:
    begin().attempt().cancelled().then(Stored(CANCEL)).receives(suspension()).then(Open())


def test_a_cancel_that_was_shown_is_spent(begin: Begin) -> None:
    (
        begin()
        .suspended_on(SLEEP, wait=suspension(1))
        .cancelled()
        .then(Stored(CANCEL), Open())
        .attempt()
        # The handler caught it and waits on: for the sleep, or for another cancel.
        .receives(suspension(1))
        .suspends(NOW + 50, asleep=True)
        .cancelled()
        .then(Stored(CANCEL), Open())
    )


def test_a_cancel_before_an_attempt_is_shown_by_it(begin: Begin) -> None:
    (
        begin()
        .ready()
        .then(Open())
        .cancelled()
        .then(Stored(CANCEL))
        .attempt()
        .given(SLEEP)
        .receives(suspension(1))
        .suspends(NOW + 50, asleep=True)
    )


def test_a_wait_for_nothing_but_a_cancel_is_one(begin: Begin) -> None:
    begin().suspended_on(wait=suspension()).cancelled().then(Stored(CANCEL), Open())


# --- bounds ---------------------------------------------------------------------------------------


def test_the_largest_wait_set(begin: Begin) -> None:
    name = "n" * (LARGEST_WAIT_SET - 4)
    wait = suspension(signals=[], names=[name])
    assert len(encode(wait)) == LARGEST_WAIT_SET
    begin().attempt().receives(wait).suspends()


def test_waiting_for_old_news_is_a_failed_attempt_whatever_else_was_done(begin: Begin) -> None:
    journal = (entry(SLEEP), entry(m.Completion(completion_id=1, void=m.Void()), 0x800C))
    (
        begin(Kind.SERVICE, *journal)
        .attempt()
        .refuses(suspension(1), saying="already showed")
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .given(NAP)
        .refuses(suspension(1), saying="already showed")
    )


def test_old_news_beside_what_is_still_to_come_does_not_wake(begin: Begin) -> None:
    journal = (entry(SLEEP), entry(m.Completion(completion_id=1, void=m.Void()), 0x800C))
    (
        begin(Kind.SERVICE, *journal)
        .attempt()
        .given(NAP)
        .receives(suspension(1, NAP.result_completion_id))
        .suspends(NOW + 20, asleep=True)
    )


def test_frames_after_the_suspension_are_ignored(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(SLEEP)
        .receives(suspension(1), NAP, m.End(), suspension(), m.Error(code=500), m.Start())
        .then(Park())
        .stands(Status.SUSPENDED)
    )


# --- when time wakes it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "wakes_at", "asleep"),
    [
        (suspension(1), NOW + 50, True),
        (suspension(1, signals=[]), NOW + 50, True),
        (suspension(1, 2), NOW + 20, True),
        (suspension(3), None, False),
        (suspension(1, 2, 3), NOW + 20, False),
        (suspension(1, signals=[1, 17]), NOW + 50, False),
        (suspension(2, names=["n"]), NOW + 20, False),
        (suspension(signals=[17]), None, False),
        (suspension(4), END_OF_TIME, True),
        (suspension(1, 5), NOW + 50, True),  # what was shown cannot wake it again
    ],
)
def test_what_a_suspension_tells_of_time(
    begin: Begin, wait: m.Suspension, wakes_at: int | None, asleep: bool
) -> None:
    attached = m.AttachInvocationCommand(
        result_completion_id=3, invocation_id=ids.format_invocation(bytes(24))
    )
    for_ever = m.SleepCommand(wake_up_time=2**64 - 1, result_completion_id=4)
    shown = m.SleepCommand(wake_up_time=NOW + 1, result_completion_id=5)
    journal = (entry(shown), entry(m.Completion(completion_id=5, void=m.Void()), 0x800C))
    scenario = begin(Kind.SERVICE, *journal).attempt().given(SLEEP, NAP, attached, for_ever)
    scenario.receives(wait).suspends(wakes_at, asleep=asleep)
