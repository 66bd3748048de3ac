"""Limits: a journal is bounded, whoever makes it grow."""

from __future__ import annotations

import pytest

from steadfaas.machine.effects import Finish, Open, Park
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.fields import Message
from tests.machine.conftest import Begin
from tests.machine.scenario import (
    INPUT,
    NOW,
    Stored,
    completed,
    entry,
    output,
    performed,
    suspension,
    value,
)

CANCEL = m.SignalNotification(idx=1, void=m.Void())


def sleep(completion: int) -> m.SleepCommand:
    return m.SleepCommand(wake_up_time=NOW, result_completion_id=completion)


def propose(completion: int, size: int) -> m.ProposeRunCompletion:
    return m.ProposeRunCompletion(result_completion_id=completion, value=b"x" * size)


def test_a_journal_has_room_for_so_many_entries_and_no_more(begin: Begin) -> None:
    (
        begin(max_entries=3)
        .attempt()
        .receives(sleep(1), sleep(2))
        .then(*performed(sleep(1)), *performed(sleep(2)))
        .refuses(sleep(3), "SF0001", "3 entries (setting max_journal_entries)")
        .refuses(output(), "SF0001")
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .refuses(sleep(3), "SF0001")
    )


def test_closing_frames_need_no_room(begin: Begin) -> None:
    begin(max_entries=2).attempt().given(output()).receives(m.End()).then(Finish(encode(output())))
    begin(max_entries=2).attempt().given(sleep(1)).receives(suspension(1)).then(Park())


def test_a_proposal_needs_room(begin: Begin) -> None:
    run = m.RunCommand(result_completion_id=1)
    begin(max_entries=2).attempt().given(run).refuses(propose(1, 1), "SF0001")


def test_a_journal_has_room_for_so_many_bytes_and_no_more(begin: Begin) -> None:
    run = m.RunCommand(result_completion_id=1)
    used = len(encode(INPUT)) + len(encode(run))
    stored = m.Completion(completion_id=1, value=value(b"x" * 50))
    limit = used + len(encode(stored))
    scenario = begin(max_journal_bytes=limit).attempt().given(run)
    scenario.refuses(propose(1, 51), "SF0002", f"{limit} bytes (setting max_journal_bytes)")
    scenario.receives(propose(1, 50)).then(Stored(stored, 0x8011))
    scenario.refuses(output(b""), "SF0002")
    assert scenario.inv.journal_bytes == limit


def test_completions_find_room_beyond_the_limit_of_entries(begin: Begin) -> None:
    scenario = begin(max_entries=2).attempt().given(sleep(1))
    answer = m.Completion(completion_id=1, void=m.Void())
    scenario.completes(0x800C, 1).then(Stored(answer, 0x800C))


@pytest.mark.parametrize("message", [CANCEL, m.SignalNotification(idx=40, void=m.Void())])
def test_signals_do_not_grow_a_journal_without_end(
    begin: Begin, message: m.SignalNotification
) -> None:
    scenario = begin(max_entries=4).attempt()
    for index in range(7):
        signal = m.SignalNotification(idx=17 + index, void=m.Void())
        scenario.signalled(signal).then(Stored(signal))
    assert len(scenario.inv.journal) == 8
    scenario.signalled(message).then_nothing()


def test_cancels_do_not_grow_a_journal_without_end(begin: Begin) -> None:
    scenario = begin(max_entries=4).attempt()
    for _ in range(7):
        scenario.cancelled().then(Stored(CANCEL))
    scenario.cancelled().then_nothing().killed().whatever().stands(Status.COMPLETED)


def test_large_signals_do_not_grow_a_journal_without_end(begin: Begin) -> None:
    scenario = begin(max_journal_bytes=1000).attempt()
    small = m.SignalNotification(idx=18, void=m.Void())
    large = [m.SignalNotification(idx=20 + n, value=value(b"x" * 900)) for n in range(3)]
    scenario.signalled(large[0]).then(Stored(large[0])).signalled(large[1]).then(Stored(large[1]))
    scenario.signalled(large[2]).then_nothing().signalled(small).then(Stored(small))
    assert scenario.inv.journal_bytes <= 2000


@pytest.mark.parametrize(
    ("command", "completion_type", "kind"),
    [
        (
            m.AttachInvocationCommand(
                workflow_target=m.WorkflowTarget(workflow_name="w"), result_completion_id=1
            ),
            0x8012,
            Kind.SERVICE,
        ),
        (
            m.CallCommand(
                service_name="Greeter",
                handler_name="greet",
                invocation_id_notification_idx=2,
                result_completion_id=1,
            ),
            0x800D,
            Kind.SERVICE,
        ),
        (m.GetPromiseCommand(key="p", result_completion_id=1), 0x8009, Kind.WORKFLOW_RUN),
    ],
)
def test_a_result_too_large_for_the_journal_is_told_as_a_failure(
    begin: Begin, command: Message, completion_type: int, kind: Kind
) -> None:
    scenario = begin(kind, max_journal_bytes=1000)
    scenario.suspended_on(command, wait=suspension(1))
    scenario.completes(completion_type, 1, value=value(b"x" * 2000))
    told = m.Completion(
        completion_id=1,
        failure=m.Failure(
            code=413,
            message="the result does not fit into the journal (setting max_journal_bytes)",
        ),
    )
    scenario.then(Stored(told, completion_type), Open())


def test_a_result_that_fits_beyond_the_limit_of_commands_is_told(begin: Begin) -> None:
    attach = m.AttachInvocationCommand(
        workflow_target=m.WorkflowTarget(workflow_name="w"), result_completion_id=1
    )
    result = m.Completion(completion_id=1, value=value(b"x" * 1500))
    scenario = begin(max_journal_bytes=1000).suspended_on(attach, wait=suspension(1))
    scenario.completes(0x8012, 1, value=value(b"x" * 1500)).then(Stored(result, 0x8012), Open())


def test_limits_count_what_was_restored(begin: Begin) -> None:
    journal = [entry(sleep(1)), completed(0x800C, 1)]
    scenario = begin(Kind.SERVICE, *journal, max_entries=3).attempt()
    scenario.refuses(sleep(2), "SF0001")
    size = scenario.inv.journal_bytes
    assert size == len(encode(INPUT)) + sum(len(payload) for _, payload in journal)
    begin(Kind.SERVICE, *journal, max_journal_bytes=size).attempt().refuses(sleep(2), "SF0002")
