"""Run steps: a command, a proposal, and a completion that the machine writes itself."""

from __future__ import annotations

import pytest

from steadfaas.machine.effects import Append, Open
from steadfaas.machine.status import Status
from steadfaas.wire import messages as m
from tests.machine.conftest import Begin
from tests.machine.scenario import NOW, Stored, suspension, value

RUN = m.RunCommand(result_completion_id=1, name="step")
FAILED = m.Failure(
    code=500, message="no", metadata=[m.FailureMetadata(key="k", value="v")], unknown=b"\xc2\x3e\0"
)


@pytest.mark.parametrize(
    ("proposal", "stored"),
    [
        (m.ProposeRunCompletion(value=b"1"), m.Completion(value=value(b"1"))),
        (m.ProposeRunCompletion(value=b""), m.Completion(value=m.Value())),
        (m.ProposeRunCompletion(failure=FAILED), m.Completion(failure=FAILED)),
        (m.ProposeRunCompletion(failure=m.Failure()), m.Completion(failure=m.Failure())),
    ],
)
def test_a_proposal_is_stored_as_the_completion(
    begin: Begin, proposal: m.ProposeRunCompletion, stored: m.Completion
) -> None:
    proposal.result_completion_id = stored.completion_id = 1
    begin().attempt().given(RUN).receives(proposal).then(Stored(stored, 0x8011))


def test_the_stored_bytes_are_those_of_the_protocol(begin: Begin) -> None:
    scenario = begin().attempt().given(RUN)
    scenario.receives_frames((0x0005, bytes.fromhex("0801 7207 2272616e2d7822")))
    wrapped = bytes.fromhex("0801 2a09 0a07 2272616e2d7822")
    scenario.then(Append(2, 0x8011, wrapped))
    assert scenario.inv.journal[2] == (0x8011, wrapped)
    scenario.whatever()


def test_a_step_that_crashed_before_its_proposal_is_proposed_by_a_later_attempt(
    begin: Begin,
) -> None:
    (
        begin()
        .attempt()
        .receives(RUN)
        .stored(RUN)
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .receives(m.ProposeRunCompletion(result_completion_id=1, value=b"1"), suspension(1))
        .then(Stored(m.Completion(completion_id=1, value=value(b"1")), 0x8011), Open())
        .stands(Status.READY, retry_count=0)
    )


def test_a_step_is_proposed_once(begin: Begin) -> None:
    proposal = m.ProposeRunCompletion(result_completion_id=1, value=b"1")
    (
        begin()
        .attempt()
        .given(RUN, proposal)
        .refuses(proposal, saying="no run step waits")
        .fails()
        .parked(Status.BACKING_OFF, NOW + 100)
        .attempt()
        .refuses(proposal, saying="no run step waits")
    )


def test_several_steps_are_proposed_in_any_order(begin: Begin) -> None:
    other = m.RunCommand(result_completion_id=2)
    (
        begin()
        .attempt()
        .given(RUN, other)
        .receives(
            m.ProposeRunCompletion(result_completion_id=2, value=b"2"),
            m.ProposeRunCompletion(result_completion_id=1, value=b"1"),
        )
        .then(
            Stored(m.Completion(completion_id=2, value=value(b"2")), 0x8011),
            Stored(m.Completion(completion_id=1, value=value(b"1")), 0x8011),
        )
        .receives(suspension(1, 2))
        .then(Open())
    )
