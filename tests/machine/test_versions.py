"""An invocation that waits for its version: it lands, or it never begins."""

from __future__ import annotations

from typing import Any

import pytest

from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Finish, Open
from steadfaas.machine.invocation import IllegalMove, Invocation, failure_output
from steadfaas.machine.status import Status
from tests.machine.conftest import Begin
from tests.machine.scenario import NOW, new_invocation
from tests.machine.test_status import bring_to

MISSED = AttemptFailure("SF0006", "nobody came", http_code=504)


def waiting(**options: Any) -> Invocation:
    """One that waits for a version."""
    inv = new_invocation(**options)
    inv.wants, inv.wants_until, inv.due_at = "git:1", NOW + 10, NOW + 10
    return inv


def test_it_is_pinned_before_it_starts() -> None:
    inv = waiting()
    inv.land("dp_7", 5)
    assert (inv.deployment, inv.version, inv.status) == ("dp_7", 5, Status.SCHEDULED)
    assert (inv.wants, inv.wants_until, inv.due_at) == (None, None, NOW + 10)
    assert inv.ready() == [Open()]
    inv.start(NOW, "dp_8", 6)
    assert (inv.deployment, inv.version) == ("dp_7", 5), "no attempt moves the pin"


def test_it_fails_without_having_begun() -> None:
    inv = waiting()
    output = failure_output(504, "[SF0006] nobody came")
    assert inv.miss(MISSED, NOW + 10) == [Finish(output)]
    assert (inv.status, inv.output, inv.attempt) == (Status.COMPLETED, output, 0)
    assert inv.failure is not None
    assert (inv.failure.code, inv.failure.http_code, inv.failure.at) == ("SF0006", 504, NOW + 10)
    assert inv.due_at is None


@pytest.mark.parametrize("status", Status)
def test_only_one_that_waits_can_land_or_miss(begin: Begin, status: Status) -> None:
    inv = bring_to(status, begin()).inv
    for event in (lambda: inv.land("dp_7", 6), lambda: inv.miss(MISSED, NOW)):
        with pytest.raises(IllegalMove, match="waits for no version"):
            event()
    inv.wants = "git:1"
    if status is not Status.SCHEDULED:
        with pytest.raises(IllegalMove, match=status.name):
            inv.land("dp_7", 6)


def test_cancel_and_kill_end_it_at_once() -> None:
    assert waiting().cancel(NOW) == [Finish(failure_output(409, "canceled"))]
    assert waiting().kill() == [Finish(failure_output(409, "killed"))]
    with pytest.raises(IllegalMove):
        waiting().pause()
