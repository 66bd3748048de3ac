"""Cancel and kill in every status, and the children a kill goes on to."""

from __future__ import annotations

import pytest

from steadfaas import ids
from steadfaas.machine.effects import Finish, Open
from steadfaas.machine.invocation import failure_output
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from tests.machine.conftest import Begin
from tests.machine.scenario import Stored, completed, entry
from tests.machine.test_status import bring_to

CANCEL = Stored(m.SignalNotification(idx=1, void=m.Void()))
UNFINISHED = [status for status in Status if status is not Status.COMPLETED]


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.PENDING])
def test_cancel_ends_at_once_what_has_not_begun(begin: Begin, status: Status) -> None:
    scenario = bring_to(status, begin())
    scenario.cancelled().then(Finish(failure_output(409, "canceled"))).stands(Status.COMPLETED)


@pytest.mark.parametrize("status", [Status.READY, Status.RUNNING, Status.BACKING_OFF])
def test_cancel_is_a_signal_for_what_runs(begin: Begin, status: Status) -> None:
    scenario = bring_to(status, begin())
    due_at = scenario.inv.due_at
    scenario.cancelled().then(CANCEL).stands(status, due_at=due_at)


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.PAUSED])
def test_cancel_opens_an_attempt_for_what_waits(begin: Begin, status: Status) -> None:
    bring_to(status, begin()).cancelled().then(CANCEL, Open()).stands(Status.READY, failures=0)


def test_cancel_may_come_again(begin: Begin) -> None:
    begin().attempt().cancelled().then(CANCEL).cancelled().then(CANCEL)


def test_a_cancel_by_signal_is_a_cancel(begin: Begin) -> None:
    signal = m.SignalNotification(idx=1, void=m.Void())
    begin().attempt().signalled(signal).then(CANCEL).signalled(signal).then(CANCEL)


@pytest.mark.parametrize("status", UNFINISHED)
def test_kill_ends_everything_unfinished(begin: Begin, status: Status) -> None:
    scenario = bring_to(status, begin())
    scenario.killed().then(Finish(failure_output(409, "killed")))
    scenario.stands(Status.COMPLETED, due_at=None, awaits=None)


@pytest.mark.parametrize("event", ["cancelled", "killed"])
def test_a_result_stands(begin: Begin, event: str) -> None:
    scenario = bring_to(Status.COMPLETED, begin())
    result = scenario.inv.output
    getattr(scenario, event)().then_nothing().stands(Status.COMPLETED, output=result)


def call(first: int, *, one_way: bool = False) -> m.CallCommand | m.OneWayCallCommand:
    if one_way:
        return m.OneWayCallCommand(
            service_name="Greeter", handler_name="greet", invocation_id_notification_idx=first
        )
    return m.CallCommand(
        service_name="Greeter",
        handler_name="greet",
        invocation_id_notification_idx=first,
        result_completion_id=first + 1,
    )


def test_children_are_the_awaited_calls(begin: Begin) -> None:
    first, second, third = (bytes([n]) * 24 for n in (1, 2, 3))
    journal = [
        entry(call(1)),
        completed(0x800E, 1, invocation_id=ids.format_invocation(first)),
        entry(call(3)),
        entry(call(5, one_way=True)),
        completed(0x800E, 5, invocation_id=ids.format_invocation(third)),
        completed(0x800E, 3, invocation_id=ids.format_invocation(second)),
        entry(call(7)),  # its id is not known yet
    ]
    assert begin(Kind.SERVICE, *journal).inv.children() == [first, second]
    journal.append(completed(0x800D, 2, value=m.Value(content=b"1")))
    assert begin(Kind.SERVICE, *journal).inv.children() == [second]
    assert begin().inv.children() == []
