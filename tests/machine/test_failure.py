"""Failed attempts: two counters, delays, giving up, and what is recorded."""

from __future__ import annotations

import json

import pytest

from steadfaas.errors import AttemptFailure, ProtocolViolation, Verdict
from steadfaas.machine.effects import Finish, Open, Park
from steadfaas.machine.failure import LONGEST_TEXT, FailureRecord, type_name
from steadfaas.machine.invocation import LONGEST_DELAY_MS, failure_output
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.machine.status import Kind, Status
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T
from tests.machine.conftest import Begin
from tests.machine.scenario import (
    DEPLOYMENT,
    KILL_POLICY,
    NOW,
    PAUSE_POLICY,
    Scenario,
    completed,
    entry,
    output,
    suspension,
)

SLEEP = m.SleepCommand(wake_up_time=NOW + 50, result_completion_id=1)
RUN = m.RunCommand(result_completion_id=2, name="charge")
BOOM = m.Error(code=500, message="boom", stacktrace="at line 1")


def retry_count_of(scenario: Scenario) -> int:
    start = scenario.inv.start_message(scenario.now, None, partial=True)
    return decode(m.Start, start).retry_count_since_last_stored_entry


# --- two counters ---------------------------------------------------------------------------------


def test_both_counters_grow_while_nothing_is_stored(begin: Begin) -> None:
    scenario = begin()
    for count, delay in [(1, 100), (2, 200), (3, 400)]:
        scenario.attempt().refuses(BOOM, "RT0007", "boom").fails()
        scenario.parked(Status.BACKING_OFF, NOW + delay)
        scenario.stands(Status.BACKING_OFF, failures=count, retry_count=count)
    scenario.attempt()
    assert retry_count_of(scenario) == 3


def test_a_stored_entry_resets_what_the_handler_is_told_and_not_the_policy(begin: Begin) -> None:
    scenario = begin()
    scenario.attempt().fails().then(Park(NOW + 100))
    scenario.attempt().receives(RUN).stored(RUN).stands(Status.RUNNING, failures=1, retry_count=0)
    scenario.fails().parked(Status.BACKING_OFF, NOW + 200)
    scenario.stands(Status.BACKING_OFF, failures=2, retry_count=1)
    scenario.attempt()
    assert retry_count_of(scenario) == 1


def test_a_notification_is_a_stored_entry_too(begin: Begin) -> None:
    scenario = begin().attempt().given(SLEEP).fails().parked(Status.BACKING_OFF, NOW + 100)
    scenario.completes(0x800C, 1).whatever().stands(Status.BACKING_OFF, failures=1, retry_count=0)


def test_a_suspension_resets_the_policy_and_forgets_the_failure(begin: Begin) -> None:
    scenario = begin().attempt().given(SLEEP).fails().parked(Status.BACKING_OFF, NOW + 100)
    assert scenario.inv.failure is not None
    scenario.attempt().receives(suspension(1)).suspends(NOW + 50, asleep=True)
    scenario.stands(Status.SUSPENDED, failures=0, failure=None)
    scenario.attempt().fails().parked(Status.BACKING_OFF, NOW + 100)


def test_attempts_are_numbered_over_all_stretches(begin: Begin) -> None:
    scenario = begin()
    for number in (1, 2, 3):
        scenario.attempt().stands(Status.RUNNING, attempt=number).fails().whatever()


def test_duration_counts_from_the_latest_entry(begin: Begin) -> None:
    scenario = begin().after(5).attempt().given(SLEEP).fails().whatever().after(120).attempt()
    start = decode(m.Start, scenario.inv.start_message(scenario.now, None, partial=True))
    assert start.duration_since_last_stored_entry == 120


def test_a_clock_that_went_back_makes_no_negative_duration(begin: Begin) -> None:
    scenario = begin().after(-5).attempt()
    start = decode(m.Start, scenario.inv.start_message(scenario.now, None, partial=True))
    assert start.duration_since_last_stored_entry == 0


# --- delays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "waited"),
    [
        (0, 25),
        (24, 25),
        (25, 25),
        (50, 50),
        (LONGEST_DELAY_MS, LONGEST_DELAY_MS),
        (2**64 - 1, LONGEST_DELAY_MS),
    ],
)
def test_a_delay_that_the_endpoint_gives_is_obeyed_within_bounds(
    begin: Begin, given: int, waited: int
) -> None:
    error = m.Error(code=500, message="later", next_retry_delay=given)
    scenario = begin().attempt().refuses(error, "RT0007").fails()
    scenario.parked(Status.BACKING_OFF, NOW + waited)
    scenario.attempt().fails(AttemptFailure("RT0023", "busy", retry_after=given))
    # The second time in a row, the shortest delay has doubled.
    scenario.parked(Status.BACKING_OFF, NOW + max(waited, 50))


def test_the_shortest_delay_doubles_while_nothing_new_is_stored(begin: Begin) -> None:
    scenario, now = begin(), AttemptFailure("RT0023", "busy", retry_after=0)
    for waited in (25, 50, 100, 200, 200, 200):
        scenario.attempt().fails(now).parked(Status.BACKING_OFF, NOW + waited)
    scenario.attempt().given(m.SleepCommand(wake_up_time=NOW + 20, result_completion_id=2)).fails(
        now
    ).parked(Status.BACKING_OFF, NOW + 25)


def test_a_delay_that_the_endpoint_gives_costs_no_attempt(begin: Begin) -> None:
    scenario = begin()
    later = AttemptFailure("RT0023", "busy", retry_after=270)
    for count in range(1, 20):
        scenario.attempt().fails(later, PAUSE_POLICY).parked(Status.BACKING_OFF, NOW + 270)
        scenario.stands(Status.BACKING_OFF, failures=0, retry_count=count)
    scenario.attempt().fails(policy=PAUSE_POLICY).parked(Status.PAUSED)


@pytest.mark.parametrize(
    ("policy", "jitter", "waited"),
    [
        (RetryPolicy(), 0.0, 500),
        (RetryPolicy(), 0.5, 575),
        (RetryPolicy(initial_interval=0), 0.0, 10),
        (RetryPolicy(initial_interval=3, max_interval=3), 0.9, 10),
        (RetryPolicy(initial_interval=2**63, max_interval=2**63), 0.9, LONGEST_DELAY_MS),
    ],
)
def test_no_policy_makes_the_engine_spin_or_overflow(
    begin: Begin, policy: RetryPolicy, jitter: float, waited: int
) -> None:
    begin().attempt().fails(None, policy, jitter).parked(Status.BACKING_OFF, NOW + waited)


# --- giving up ------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3])
def test_attempts_include_the_first(begin: Begin, most: int) -> None:
    scenario = begin()
    policy = RetryPolicy(max_attempts=most)
    for _ in range(most - 1):
        scenario.attempt().fails(policy=policy).whatever().stands(Status.BACKING_OFF)
    scenario.attempt().fails(policy=policy).parked(Status.PAUSED)
    assert scenario.inv.attempt == most


def test_a_paused_one_keeps_its_failure_and_its_journal(begin: Begin) -> None:
    scenario = begin().attempt().given(RUN).refuses(BOOM, "RT0007").fails(policy=PAUSE_POLICY)
    scenario.parked(Status.PAUSED)
    assert scenario.inv.failure is not None
    assert scenario.inv.failure.message == "boom"
    assert scenario.inv.journal[1:] == [entry(RUN)]


def test_resuming_a_paused_one_grants_all_attempts_anew(begin: Begin) -> None:
    policy = RetryPolicy(initial_interval=100, max_attempts=2)
    scenario = begin().attempt().fails(policy=policy).whatever()
    scenario.attempt().fails(policy=policy).parked(Status.PAUSED)
    scenario.ready().then(Open()).stands(Status.READY, failures=0)
    scenario.attempt().fails(policy=policy).parked(Status.BACKING_OFF, NOW + 100)


def test_without_a_maximum_attempts_never_run_out(begin: Begin) -> None:
    scenario = begin()
    policy = RetryPolicy(initial_interval=100, max_interval=100, max_attempts=None)
    for _ in range(200):
        scenario.attempt().fails(policy=policy).parked(Status.BACKING_OFF, NOW + 100)


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (AttemptFailure("RT0010", "unreachable"), 500, "unreachable"),
        (AttemptFailure("RT0010", "bad gateway", http_code=502), 502, "bad gateway"),
        (AttemptFailure("RT0007", "boom", http_code=2**32 - 1), 2**32 - 1, "boom"),
        (ProtocolViolation("odd"), 571, "odd"),
    ],
)
def test_kill_gives_the_caller_the_last_error(
    begin: Begin, failure: AttemptFailure, code: int, message: str
) -> None:
    result = failure_output(code, message)
    begin().attempt().fails(failure, KILL_POLICY).then(Finish(result))
    assert decode(m.OutputCommand, result).failure == m.Failure(code=code, message=message)


def test_kill_overrules_an_output_that_never_saw_its_end(begin: Begin) -> None:
    scenario = begin().attempt().given(output()).refuses(BOOM, "RT0007")
    scenario.fails(policy=KILL_POLICY).then(Finish(failure_output(500, "boom")))
    scenario.stands(Status.COMPLETED, output=failure_output(500, "boom"))


def test_frames_after_a_failure_are_ignored(begin: Begin) -> None:
    scenario = begin().attempt().given(output()).fails().whatever()
    scenario.receives(m.End(), SLEEP, suspension()).then_nothing().stands(Status.BACKING_OFF)


# --- verdicts that no further attempt can change -----------------------------------------------

GONE = AttemptFailure("SF0003", "the version was deleted", verdict=Verdict.GONE)
TOO_LARGE = AttemptFailure("RT0019", "7 MB", http_code=413, verdict=Verdict.TOO_LARGE)


@pytest.mark.parametrize("policy", [RetryPolicy(), PAUSE_POLICY, KILL_POLICY])
def test_a_pin_that_is_gone_pauses_at_once(begin: Begin, policy: RetryPolicy) -> None:
    scenario = begin().attempt().fails(GONE, policy).parked(Status.PAUSED)
    scenario.stands(Status.PAUSED, failures=0, retry_count=1, deployment=DEPLOYMENT)
    assert scenario.inv.failure is not None
    assert (scenario.inv.failure.code, scenario.inv.failure.message) == (GONE.code, GONE.message)


def test_a_delay_does_not_make_a_pin_come_back(begin: Begin) -> None:
    failure = AttemptFailure("SF0003", "gone", verdict=Verdict.GONE, retry_after=10)
    begin().attempt().fails(failure).parked(Status.PAUSED)


@pytest.mark.parametrize("policy", [RetryPolicy(), RetryPolicy(max_attempts=9), PAUSE_POLICY])
def test_what_is_too_large_pauses_at_once(begin: Begin, policy: RetryPolicy) -> None:
    begin().attempt().fails(TOO_LARGE, policy).parked(Status.PAUSED)


def test_what_is_too_large_is_killed_at_once_where_the_policy_kills(begin: Begin) -> None:
    patient = RetryPolicy(max_attempts=9, on_max_attempts=OnMaxAttempts.KILL)
    begin().attempt().fails(TOO_LARGE, patient).then(Finish(failure_output(413, "7 MB")))


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.THROTTLED, Verdict.DENIED, Verdict.BUG])
def test_all_other_verdicts_are_up_to_the_policy(begin: Begin, verdict: Verdict) -> None:
    scenario = begin().attempt().fails(AttemptFailure("RT0010", "x", verdict=verdict))
    scenario.parked(Status.BACKING_OFF, NOW + 100)


# --- what is recorded -----------------------------------------------------------------------------


def test_an_error_of_the_handler_is_recorded_with_the_command_it_blames(begin: Begin) -> None:
    error = m.Error(
        code=500,
        message="ValueError",
        stacktrace="at line 1",
        related_command_index=1,
        related_command_name="charge",
        related_command_type=0x0411,
        next_retry_delay=50,
    )
    scenario = begin().attempt().given(RUN).refuses(error, "RT0007").after(3).fails().whatever()
    assert scenario.inv.failure == FailureRecord(
        code="RT0007",
        http_code=500,
        message="ValueError",
        at=NOW + 3,
        attempt=1,
        deployment=DEPLOYMENT,
        command_index=1,
        command_name="charge",
        command_type="Run",
        stacktrace="at line 1",
    )


@pytest.mark.parametrize(
    ("index", "recorded"),
    [(0, "Input"), (1, "Sleep"), (2, "Run charge"), (3, None), (2**32 - 1, None)],
)
def test_a_mismatch_names_both_commands_counting_commands_only(
    begin: Begin, index: int, recorded: str | None
) -> None:
    journal = [
        entry(m.SignalNotification(idx=17, void=m.Void())),
        entry(SLEEP),
        completed(0x800C, 1),
        entry(RUN),
    ]
    error = m.Error(
        code=570,
        message="other path",
        related_command_index=index,
        related_command_name="refund",
        related_command_type=0x0411,
    )
    scenario = begin(Kind.SERVICE, *journal).attempt().refuses(error, "RT0016").fails().whatever()
    failure = scenario.inv.failure
    assert failure is not None
    assert (failure.code, failure.http_code, failure.command_index) == ("RT0016", 570, index)
    assert (failure.recorded, failure.issued) == (recorded, "Run refund")


def test_a_mismatch_that_blames_nothing(begin: Begin) -> None:
    scenario = begin().attempt().refuses(m.Error(code=570), "RT0016").fails().whatever()
    failure = scenario.inv.failure
    assert failure is not None
    assert (failure.command_index, failure.recorded, failure.issued) == (None, None, None)


def test_an_error_without_words_gets_some(begin: Begin) -> None:
    begin().attempt().refuses(m.Error(), "RT0007", "without a message")


@pytest.mark.parametrize(
    ("frame_type", "name"),
    [
        (T.ONE_WAY_CALL, "OneWayCall"),
        (T.RUN, "Run"),
        (0x0400, "Input"),
        (0x040F, "0x040f"),
        (2**32 - 1, "0xffffffff"),
    ],
)
def test_names_of_commands_as_users_know_them(frame_type: int, name: str) -> None:
    assert type_name(frame_type) == name


def test_long_texts_are_cut_in_the_record_and_in_the_result(begin: Begin) -> None:
    long = "x" * (LONGEST_TEXT + 1)
    kept = "x" * (LONGEST_TEXT - 1) + "…"
    error = m.Error(
        code=570,
        message=long,
        stacktrace=long,
        related_command_index=0,
        related_command_name=long,
        related_command_type=0x0411,
    )
    scenario = begin().attempt().refuses(error, "RT0016").fails(policy=KILL_POLICY)
    scenario.then(Finish(failure_output(570, kept)))
    failure = scenario.inv.failure
    assert failure is not None
    assert (failure.message, failure.stacktrace, failure.command_name) == (kept, kept, kept)
    assert failure.issued == f"Run {kept}"


@pytest.mark.parametrize(
    "failure",
    [
        FailureRecord(code="RT0010", http_code=500, message="m", at=1, attempt=1),
        FailureRecord(code="RT0010", http_code=0, message="", at=0, attempt=0, command_index=0),
        FailureRecord(
            code="RT0016",
            http_code=570,
            message='\0 "…"\n\u2028😀',
            at=NOW,
            attempt=3,
            deployment=DEPLOYMENT,
            command_index=2,
            command_name="n",
            command_type="Run",
            recorded="Sleep",
            issued="Run n",
            stacktrace="s",
        ),
    ],
)
def test_records_survive_the_store(failure: FailureRecord) -> None:
    assert FailureRecord.from_json(failure.to_json()) == failure


def test_absent_fields_are_not_stored() -> None:
    record = FailureRecord(code="RT0010", http_code=500, message="m", at=1, attempt=1)
    assert set(json.loads(record.to_json())) == {"code", "http_code", "message", "at", "attempt"}
