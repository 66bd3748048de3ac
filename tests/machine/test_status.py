"""Every event in every status: where it leads, or that it is illegal and has changed nothing.

The table below is the life of an invocation by eye. The last test runs all of it with the moves
recorded: a move that `MOVES` declares and no event makes is dead, and fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Effect, Open
from steadfaas.machine.invocation import IllegalMove, Invocation
from steadfaas.machine.retry import RetryPolicy
from steadfaas.machine.status import (
    HAS_PROMISES,
    MOVES,
    READS_STATE,
    WRITES_STATE,
    Kind,
    Status,
    kind_of,
)
from steadfaas.wire import messages as m
from steadfaas.wire.fields import Message
from steadfaas.wire.manifest import HandlerKind, ServiceType
from tests.machine.conftest import Begin
from tests.machine.scenario import (
    DEPLOYMENT,
    KILL_POLICY,
    NOW,
    PAUSE_POLICY,
    POLICY,
    REGISTRY,
    Scenario,
    entry,
    output,
    snapshot,
    suspension,
)

S = Status
SLEEP = m.SleepCommand(wake_up_time=NOW + 50, result_completion_id=1)
SLEPT = m.Completion(completion_id=1, void=m.Void())


def bring_to(status: Status, scenario: Scenario) -> Scenario:
    """Bring a new invocation into a status, with one sleep open if it ever started."""
    if status is S.SCHEDULED:
        return scenario
    if status is S.PENDING:
        return scenario.queue().whatever()
    scenario.attempt().given(SLEEP)
    match status:
        case S.READY:
            scenario.ready()
        case S.BACKING_OFF:
            scenario.fails()
        case S.PAUSED:
            scenario.fails(policy=PAUSE_POLICY)
        case S.SUSPENDED:
            scenario.receives(suspension(1))
        case S.COMPLETED:
            scenario.given(output()).receives(m.End())
    return scenario.whatever().stands(status)


def _receive(message: Message) -> Callable[[Invocation], object]:
    return lambda inv: inv.receive(*entry(message), NOW, REGISTRY)


def _fail(policy: RetryPolicy) -> Callable[[Invocation], object]:
    return lambda inv: inv.fail(AttemptFailure("RT0010", "cut"), NOW, policy, 0.0)


def _end(inv: Invocation) -> list[Effect]:
    inv.receive(*entry(output()), NOW, REGISTRY)
    return inv.receive(*entry(m.End()), NOW, REGISTRY)


EVENTS: Final[dict[str, Callable[[Invocation], object]]] = {
    "its time or turn comes": lambda inv: inv.ready(),
    "its key is taken": lambda inv: inv.queue(),
    "an attempt starts": lambda inv: inv.start(NOW, DEPLOYMENT, 6),
    "a command comes": _receive(m.RunCommand(result_completion_id=9)),
    "a wait comes": _receive(suspension(1)),
    "an output and the end come": _end,
    "the attempt fails": _fail(POLICY),
    "the last attempt fails, pause": _fail(PAUSE_POLICY),
    "the last attempt fails, kill": _fail(KILL_POLICY),
    "the sleep is over": lambda inv: inv.complete(0x800C, SLEPT, NOW),
    "a signal comes": lambda inv: inv.signal(m.SignalNotification(idx=17, void=m.Void()), NOW),
    "a cancel comes": lambda inv: inv.cancel(NOW),
    "a kill comes": lambda inv: inv.kill(),
    "somebody knows the result": lambda inv: inv.finish(b""),
    "an operator pauses it": lambda inv: inv.pause(),
    "an operator moves it": lambda inv: inv.move_pin("dp_2"),
    "the engine comes back from a crash": lambda inv: inv.interrupted(),
}

ILLEGAL: Final = None

# Columns: SCHEDULED, PENDING, READY, RUNNING, BACKING_OFF, SUSPENDED, PAUSED, COMPLETED. Where an
# answer's frames come after it was closed, they change nothing, whatever the status is by then.
_X = ILLEGAL
LIFE: Final[dict[str, tuple[Status | None, ...]]] = {
    "its time or turn comes": (
        *(S.READY, S.READY, S.READY, S.READY, S.READY, S.READY, S.READY, _X),
    ),
    "its key is taken": (S.PENDING, _X, _X, _X, _X, _X, _X, _X),
    "an attempt starts": (_X, _X, S.RUNNING, _X, _X, _X, _X, _X),
    "a command comes": (
        *(_X, _X, _X, S.RUNNING, S.BACKING_OFF, S.SUSPENDED, S.PAUSED, S.COMPLETED),
    ),
    "a wait comes": (
        *(_X, _X, _X, S.SUSPENDED, S.BACKING_OFF, S.SUSPENDED, S.PAUSED, S.COMPLETED),
    ),
    "an output and the end come": (
        *(_X, _X, _X, S.COMPLETED, S.BACKING_OFF, S.SUSPENDED, S.PAUSED, S.COMPLETED),
    ),
    "the attempt fails": (_X, _X, _X, S.BACKING_OFF, _X, _X, _X, _X),
    "the last attempt fails, pause": (_X, _X, _X, S.PAUSED, _X, _X, _X, _X),
    "the last attempt fails, kill": (_X, _X, _X, S.COMPLETED, _X, _X, _X, _X),
    "the sleep is over": (
        *(S.SCHEDULED, S.PENDING, S.READY, S.RUNNING),
        *(S.BACKING_OFF, S.READY, S.PAUSED, S.COMPLETED),
    ),
    "a signal comes": (
        *(S.SCHEDULED, S.PENDING, S.READY, S.RUNNING),
        *(S.BACKING_OFF, S.SUSPENDED, S.PAUSED, S.COMPLETED),
    ),
    "a cancel comes": (
        *(S.COMPLETED, S.COMPLETED, S.READY, S.RUNNING),
        *(S.BACKING_OFF, S.READY, S.READY, S.COMPLETED),
    ),
    "a kill comes": (*(S.COMPLETED,) * 7, S.COMPLETED),
    "somebody knows the result": (*(S.COMPLETED,) * 7, _X),
    # Where an attempt is open, only the wish is noted.
    "an operator pauses it": (
        *(_X, _X, S.PAUSED, S.RUNNING, S.PAUSED, S.PAUSED, S.PAUSED, S.COMPLETED),
    ),
    "an operator moves it": (_X, _X, _X, _X, _X, S.SUSPENDED, S.PAUSED, _X),
    # What waits is left as it is by a crash.
    "the engine comes back from a crash": (_X, _X, _X, S.READY, _X, _X, _X, _X),
}

CELLS: Final = [
    (status, event, leads_to)
    for event, row in LIFE.items()
    for status, leads_to in zip(Status, row, strict=True)
]


def test_the_table_speaks_of_every_event() -> None:
    assert set(LIFE) == set(EVENTS)


@pytest.mark.parametrize(
    ("status", "event", "leads_to"),
    CELLS,
    ids=[f"{status.name}, {event}" for status, event, _ in CELLS],
)
def test_every_event_in_every_status(
    begin: Begin, status: Status, event: str, leads_to: Status | None
) -> None:
    scenario = bring_to(status, begin())
    before = snapshot(scenario.inv)
    if leads_to is ILLEGAL:
        with pytest.raises(IllegalMove):
            EVENTS[event](scenario.inv)
        assert snapshot(scenario.inv) == before
    else:
        EVENTS[event](scenario.inv)
        scenario.stands(leads_to).whatever()


@pytest.mark.parametrize("status", Status)
def test_a_wait_is_over_with_the_status_it_belongs_to(begin: Begin, status: Status) -> None:
    """Neither a due time nor a wait set outlives the wait."""
    scenario = bring_to(status, begin())
    assert (scenario.inv.awaits is not None) == (status is S.SUSPENDED)
    assert scenario.inv.asleep == (status is S.SUSPENDED)
    assert (scenario.inv.due_at is not None) == (status in (S.BACKING_OFF, S.SUSPENDED))


@pytest.mark.parametrize("status", [S.SCHEDULED, S.PENDING, S.READY])
@pytest.mark.parametrize("message", [m.End(), suspension(), m.Error(), m.RunCommand(), m.Start()])
def test_frames_without_an_attempt_are_the_drivers_fault(
    begin: Begin, status: Status, message: Message
) -> None:
    scenario = bring_to(status, begin())
    scenario.inv.closed = None
    before = snapshot(scenario.inv)
    with pytest.raises(IllegalMove, match=status.name):
        scenario.inv.receive(*entry(message), NOW, REGISTRY)
    assert snapshot(scenario.inv) == before


@pytest.mark.parametrize("came_from", Status)
@pytest.mark.parametrize("to", Status)
def test_moves_are_those_of_the_table(came_from: Status, to: Status, begin: Begin) -> None:
    scenario = begin()
    scenario.inv.status = came_from
    before = snapshot(scenario.inv)
    if to in MOVES[came_from]:
        scenario.inv._move(to)
        assert snapshot(scenario.inv) == {**before, "status": to}
    else:
        with pytest.raises(IllegalMove, match=f"{came_from.name} -> {to.name}"):
            scenario.inv._move(to)
        assert snapshot(scenario.inv) == before


def test_every_move_that_is_declared_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: set[tuple[Status, Status]] = set()
    move = Invocation._move

    def recorded(inv: Invocation, to: Status) -> None:
        came_from = inv.status
        move(inv, to)
        made.add((came_from, to))

    monkeypatch.setattr(Invocation, "_move", recorded)
    for status, event, leads_to in CELLS:
        if leads_to is not ILLEGAL:
            EVENTS[event](bring_to(status, Scenario()).inv)
    declared = {(came_from, to) for came_from, ends in MOVES.items() for to in ends}
    assert made == declared


def test_unfinished_statuses_are_below_a_hundred() -> None:
    assert {status for status in Status if status >= 100} == {S.COMPLETED}
    assert set(MOVES) == set(Status)


def test_an_attempt_knows_its_number_and_its_time(begin: Begin) -> None:
    scenario = begin().after(9).attempt().stands(S.RUNNING, attempt=1, started_at=NOW + 9)
    scenario.fails().whatever().after(9).attempt()
    scenario.stands(S.RUNNING, attempt=2, started_at=NOW + 18)


def test_starting_pins_once(begin: Begin) -> None:
    scenario = begin().attempt(version=5)
    scenario.stands(S.RUNNING, deployment=DEPLOYMENT, version=5).ready().then(Open())
    scenario.inv.start(NOW, "dp_2", 6)
    scenario.stands(S.RUNNING, deployment=DEPLOYMENT, version=5)


def test_an_attempt_that_found_no_deployment_pins_nothing(begin: Begin) -> None:
    scenario = begin().ready().then(Open())
    scenario.inv.start(NOW, None, None)
    scenario.fails(AttemptFailure("RT0011", "nobody")).parked(S.BACKING_OFF, NOW + 100)
    scenario.stands(S.BACKING_OFF, deployment=None, version=None)
    scenario.attempt(version=6).stands(S.RUNNING, deployment=DEPLOYMENT, version=6)


KINDS: Final[dict[Kind, tuple[ServiceType, HandlerKind, str]]] = {
    Kind.SERVICE: (ServiceType.SERVICE, HandlerKind.SERVICE, ""),
    Kind.OBJECT_EXCLUSIVE: (ServiceType.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE, "rw"),
    Kind.OBJECT_SHARED: (ServiceType.VIRTUAL_OBJECT, HandlerKind.SHARED, "r"),
    Kind.WORKFLOW_RUN: (ServiceType.WORKFLOW, HandlerKind.WORKFLOW, "rwp"),
    Kind.WORKFLOW_SHARED: (ServiceType.WORKFLOW, HandlerKind.SHARED, "rp"),
}


@pytest.mark.parametrize("kind", Kind)
def test_what_each_kind_of_handler_may_do(kind: Kind) -> None:
    service, handler, rights = KINDS[kind]
    assert kind_of(service, handler) is kind
    sets: list[tuple[str, Any]] = [("r", READS_STATE), ("w", WRITES_STATE), ("p", HAS_PROMISES)]
    assert "".join(letter for letter, kinds in sets if kind in kinds) == rights


def test_pairs_that_no_manifest_may_contain() -> None:
    pairs = {(service, handler) for service, handler, _ in KINDS.values()}
    for service in ServiceType:
        for handler in set(HandlerKind) - {handler for s, handler in pairs if s is service}:
            with pytest.raises(KeyError):
                kind_of(service, handler)
