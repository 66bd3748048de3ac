"""The beginnings of a journal that another invocation may begin with."""

from __future__ import annotations

import pytest

from steadfaas import ids
from steadfaas.errors import BadRequest
from steadfaas.machine.invocation import Entry
from steadfaas.machine.prefix import prefix
from steadfaas.wire import messages as m
from tests.machine.rows import ACCEPTED, Accepted
from tests.machine.scenario import INPUT, NOW, completed, entry, new_invocation, output, value

RUN = entry(m.RunCommand(result_completion_id=1, name="charge"))
RAN = completed(0x8011, 1, value=value(b"1"))
SLEEP = entry(m.SleepCommand(wake_up_time=NOW, result_completion_id=2))
SLEPT = completed(0x800C, 2)
CALL = entry(
    m.CallCommand(
        service_name="Greeter",
        handler_name="greet",
        invocation_id_notification_idx=3,
        result_completion_id=4,
    )
)
CALL_ID = completed(0x800E, 3, invocation_id=ids.format_invocation(bytes(24)))
CALLED = completed(0x800D, 4, value=value(b"1"))
STATE = entry(m.SetStateCommand(key=b"a", value=value(b"1")))
CANCEL = entry(m.SignalNotification(idx=1, void=m.Void()))
OUTPUT = entry(output())
START = entry(INPUT)

# What came in which order: the sleep ended while the call was under way, and so on.
JOURNAL = [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, STATE, CANCEL, CALLED, OUTPUT]


@pytest.mark.parametrize(
    ("last", "kept"),
    [
        (0, [START]),
        (1, [START, RUN, RAN]),
        (2, [START, RUN, RAN]),
        (3, [START, RUN, RAN, SLEEP, SLEPT]),
        (4, [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, CALLED]),
        (5, [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, CALLED]),
        (6, [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, CALLED]),
        (7, [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, STATE, CALLED]),
        (8, [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, STATE, CANCEL, CALLED]),
        (9, [START, RUN, RAN, SLEEP, CALL, CALL_ID, SLEPT, STATE, CANCEL, CALLED]),
    ],
)
def test_a_beginning_and_what_completed_it_later(last: int, kept: list[Entry]) -> None:
    before = list(JOURNAL)
    assert prefix(JOURNAL, last) == kept
    assert before == JOURNAL
    again = new_invocation()
    again.restore(kept)
    assert not again.pending


@pytest.mark.parametrize("last", [10, 11, 2**20, -1, -11])
def test_there_is_no_such_entry_or_it_is_the_result(last: int) -> None:
    with pytest.raises(BadRequest, match=rf"entry {last} cannot .* from 0 \(the input\) to 9$"):
        prefix(JOURNAL, last)


def test_nothing_is_taken_from_behind_the_result() -> None:
    """News may come between an output and the end of its answer."""
    journal = [START, RUN, RAN, OUTPUT, CANCEL]
    for last in (3, 4):
        with pytest.raises(BadRequest, match=r"to 2$"):
            prefix(journal, last)


def test_a_journal_without_its_result() -> None:
    assert prefix([START, RUN, RAN], 2) == [START, RUN, RAN]
    with pytest.raises(BadRequest, match=r"to 2$"):
        prefix([START, RUN, RAN], 3)


@pytest.mark.parametrize(
    "row", [row for row in ACCEPTED if row.completions], ids=lambda row: row.what
)
def test_every_command_needs_all_its_completions(row: Accepted) -> None:
    journal = [START, entry(row.message), STATE]
    answers = [completed(frame_type, id) for id, frame_type in row.completions.items()]
    for given in range(len(answers)):
        with pytest.raises(BadRequest, match="never completed; choose an entry before it"):
            prefix([*journal, *answers[:given], OUTPUT], 2)
    assert prefix([*journal, *answers, OUTPUT], 1) == [*journal[:2], *answers]
    assert prefix([*journal, *answers, OUTPUT], 2) == [*journal, *answers]


def test_what_is_not_completed_does_not_matter_behind_the_cut() -> None:
    assert prefix([START, RUN, RAN, SLEEP, OUTPUT], 2) == [START, RUN, RAN]
    assert prefix([START, RUN, RAN, SLEEP, CALL, SLEPT], 3) == [START, RUN, RAN, SLEEP, SLEPT]
