"""A saved plan is applied only if it still does what it showed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steadfaas.rollout.document import moved, promised
from steadfaas.rollout.plan import Plan
from tests.rollout.worlds import deployment, entry, judged, planned, service, world

ACTIVE = {"Greeter": service(at="dp_2", revision=2, handlers="greet wave")}


def plan(*, handlers: str = "greet", first: Any = None, id: str | None = None) -> Plan:
    """The file insists, whatever breaks."""
    here = world(first or deployment(), deployment("dp_2", revision=2), active=ACTIVE)
    served = service(handlers=handlers)
    return planned(here, judged(entry(breaking=True), served, id=id, uri="http://same/"))


def differs(before: Plan, after: Plan) -> list[str]:
    """As a plan is written down and read again."""
    return moved(json.loads(json.dumps(promised(before))), promised(after))


def test_the_same_is_the_same() -> None:
    assert differs(plan(), plan()) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            plan(),
            plan(handlers="bow"),
            "interface was Greeter - handler wave (breaking), is Greeter + handler bow; - handler"
            " greet (breaking); - handler wave (breaking)",
        ),
        (
            plan(id="dp_1"),
            plan(
                id="dp_1", first=deployment(retiring={"since": "2026-01-01T00:00:00Z", "by": "ann"})
            ),
            "calls off was False, is True",
        ),
    ],
)
def test_what_is_there_by_now_is_not_what_was_shown(before: Plan, after: Plan, says: str) -> None:
    """The address and the action are the same."""
    assert differs(before, after) == [f"deployments, greeter: {says}"]
