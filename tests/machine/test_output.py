"""Output and End: when a result is a result."""

from __future__ import annotations

import pytest

from steadfaas.machine.effects import Finish
from steadfaas.machine.status import Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from tests.machine.conftest import Begin
from tests.machine.scenario import NOW, Stored, output, performed, suspension

SLEEP = m.SleepCommand(wake_up_time=NOW + 50, result_completion_id=1)


@pytest.mark.parametrize(
    "result",
    [output(), m.OutputCommand(value=m.Value()), m.OutputCommand(failure=m.Failure(code=409))],
)
def test_the_output_takes_effect_with_the_end(begin: Begin, result: m.OutputCommand) -> None:
    (
        begin()
        .attempt()
        .receives(result)
        .stored(result)
        .stands(Status.RUNNING)
        .receives(m.End())
        .then(Finish(encode(result)))
        .stands(Status.COMPLETED, output=encode(result), due_at=None, awaits=None)
    )


def test_an_end_without_output_is_a_failed_attempt(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(SLEEP)
        .refuses(m.End(), saying="without any output")
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .refuses(m.End(), saying="without any output")
    )


def test_of_two_outputs_the_last_wins(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .receives(output(b"1"), output(b"2"), m.End())
        .then(Stored(output(b"1")), Stored(output(b"2")), Finish(encode(output(b"2"))))
    )


def test_the_output_of_an_attempt_that_was_cut_counts_for_the_next(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .receives(output())
        .stored(output())
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .receives(m.End())
        .then(Finish(encode(output())))
    )


def test_an_output_does_not_end_the_work(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .receives(output(), SLEEP)
        .then(Stored(output()), *performed(SLEEP))
        .receives(suspension(1))
        .suspends(NOW + 50, asleep=True)
    )


def test_a_refused_output_leaves_the_one_before(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(output(b"1"))
        .refuses(m.OutputCommand(), saying="neither a value nor a failure")
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .receives(m.End())
        .then(Finish(encode(output(b"1"))))
    )


def test_frames_after_the_end_are_ignored(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(output())
        .receives(m.End(), output(b"2"), SLEEP, m.End(), m.Error(), m.Suspension())
        .then(Finish(encode(output())))
        .stands(Status.COMPLETED, output=encode(output()))
    )


def test_a_completed_invocation_hears_nothing_more(begin: Begin) -> None:
    (
        begin()
        .attempt()
        .given(SLEEP, output(), m.End())
        .completes(0x800C, 1)
        .then_nothing()
        .signalled(m.SignalNotification(idx=17, void=m.Void()))
        .then_nothing()
        .cancelled()
        .then_nothing()
        .killed()
        .then_nothing()
        .stands(Status.COMPLETED, output=encode(output()))
    )
