"""Commands: a row each, what is stored of it, what follows, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.effects import Open
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.fields import Message
from steadfaas.wire.messages import MessageType as T
from tests.machine.conftest import Begin
from tests.machine.rows import ACCEPTED, PRECONDITIONS, REFUSED, WRONG_KIND, Accepted, Refused
from tests.machine.scenario import FRAME_TYPES, NOW, Stored, completed, entry, performed, suspension

each_accepted = pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.what)
each_refused = pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.what)


def test_every_command_of_the_machine_has_a_row() -> None:
    assert {FRAME_TYPES[type(row.message)] for row in ACCEPTED} == set(COMMANDS)


def test_every_command_of_the_protocol_but_the_input_may_be_sent() -> None:
    commands = {frame_type for frame_type in T if 0x0400 < frame_type < 0x8000}
    assert set(COMMANDS) == commands


@each_accepted
def test_a_command_is_stored_as_it_came_and_then_performed(begin: Begin, row: Accepted) -> None:
    expected = performed(row.message) if row.performs else (Stored(row.message),)
    begin(min(row.kinds)).attempt().receives(row.message).then(*expected).silent()


@each_accepted
def test_fields_nobody_knows_are_stored_too(begin: Begin, row: Accepted) -> None:
    newer = replace(row.message, unknown=b"\xc2\x3e\x01x")  # field 1000
    expected = performed(newer) if row.performs else (Stored(newer),)
    begin(min(row.kinds)).attempt().receives(newer).then(*expected)


@each_accepted
def test_a_command_is_waited_for_by_the_ids_it_issues(begin: Begin, row: Accepted) -> None:
    scenario = begin(min(row.kinds)).attempt().given(row.message)
    pending = {issued: by for issued, (by, _) in scenario.inv.pending.items()}
    assert pending == row.completions


@pytest.mark.parametrize(
    ("row", "issued"),
    [(row, issued) for row in ACCEPTED for issued in row.completions],
    ids=lambda part: part.what if isinstance(part, Accepted) else str(part),
)
def test_each_completion_is_taken_once_and_of_its_own_type_only(
    begin: Begin, row: Accepted, issued: int
) -> None:
    own = row.completions[issued]
    scenario = begin(min(row.kinds)).attempt().given(row.message)
    for other in [t for t in T if t > 0x8000 and t not in (own, T.SIGNAL)]:
        scenario.completes(other, issued).then_nothing()
    answer = m.Completion(completion_id=issued, value=m.Value(content=b"1"))
    scenario.completes(own, issued, value=answer.value).then(Stored(answer, own))
    scenario.completes(own, issued, void=m.Void()).then_nothing()


@pytest.mark.parametrize("kind", Kind)
@each_accepted
def test_who_may_send_a_command(begin: Begin, row: Accepted, kind: Kind) -> None:
    scenario = begin(kind).attempt()
    if kind in row.kinds:
        scenario.given(row.message)
    else:
        scenario.refuses(row.message, "RT0017")


@each_refused
def test_a_refused_frame_has_changed_nothing(begin: Begin, row: Refused) -> None:
    begin(row.kind, *row.journal).attempt().refuses_frame(row.frame, row.code, row.saying)


@pytest.mark.parametrize("row", PRECONDITIONS + WRONG_KIND, ids=lambda row: row.what)
def test_a_refused_command_can_heal_in_a_later_attempt(begin: Begin, row: Refused) -> None:
    # What was sent before it stays, what comes after it never does: the driver stops there.
    (
        begin(row.kind, *row.journal)
        .attempt()
        .receives(m.RunCommand(result_completion_id=9))
        .stored(m.RunCommand(result_completion_id=9))
        .refuses_frame(row.frame, row.code)
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .receives(m.ProposeRunCompletion(result_completion_id=9, value=b"1"))
        .then(Stored(m.Completion(completion_id=9, value=m.Value(content=b"1")), 0x8011))
        .silent()
    )


@pytest.mark.parametrize(
    ("message", "code", "http_code"),
    [
        (m.Suspension(), "RT0012", 571),
        (m.RunCommand(), "RT0012", 571),
        (m.ClearAllStateCommand(), "RT0017", 500),
        (m.CallCommand(service_name="Gone"), "RT0018", 500),
        (m.Error(code=570), "RT0016", 570),
        (m.Error(code=409), "RT0007", 409),
        (m.Error(), "RT0007", 500),
    ],
)
def test_what_a_caller_sees_if_attempts_run_out(
    begin: Begin, message: Message, code: str, http_code: int
) -> None:
    scenario = begin().attempt().refuses(message, code)
    assert scenario.failure is not None
    assert scenario.failure.http_code == http_code


def test_a_name_for_people_changes_nothing(begin: Begin) -> None:
    named = m.SleepCommand(wake_up_time=7, result_completion_id=1, name="nap")
    begin().attempt().receives(named).then(*performed(named))


def test_an_open_sleep_remembers_its_time_so_that_its_timer_can_be_found(begin: Begin) -> None:
    scenario = begin().attempt().given(m.SleepCommand(wake_up_time=77, result_completion_id=1))
    scenario.given(m.RunCommand(result_completion_id=2))
    assert scenario.inv.pending == {1: (0x800C, 77), 2: (0x8011, 0)}


def test_one_completion_id_is_one_for_all_commands(begin: Begin) -> None:
    (
        begin(Kind.SERVICE, entry(m.SleepCommand(result_completion_id=1)), completed(0x800C, 1))
        .attempt()
        .refuses(m.RunCommand(result_completion_id=1), saying="1 is used twice")
    )


def test_notifications_that_nobody_waits_for_are_stored_and_wake_nobody(begin: Begin) -> None:
    call = m.CallCommand(
        service_name="Greeter",
        handler_name="greet",
        invocation_id_notification_idx=1,
        result_completion_id=2,
    )
    told = m.Completion(completion_id=1, invocation_id="inv_x")
    answered = m.Completion(completion_id=2, value=m.Value(content=b"1"))
    (
        begin()
        .suspended_on(call, wait=suspension(2))
        .completes(0x800E, 1, invocation_id="inv_x")
        .then(Stored(told, 0x800E))
        .completes(0x800D, 2, value=m.Value(content=b"1"))
        .then(Stored(answered, 0x800D), Open())
    )
