"""Which old versions may go."""

from __future__ import annotations

from typing import Any

import pytest

from steadfaas.rollout.judged import Trouble
from steadfaas.rollout.plan import Plan
from steadfaas.rollout.policy import PLATFORM_KEEPS
from tests.rollout.worlds import HOUR, deployment, entry, judged, planned, service, world

ACTIVE = {"Greeter": service(at="dp_5", revision=5)}


def history(**last: Any) -> list[Any]:
    """Five versions, an hour apart; the newest takes the new requests."""
    return [deployment(f"dp_{n}", revision=n, age=(5 - n) * HOUR) for n in range(1, 6)]


def plan(declared: dict[str, Any], *others: Any, keeps: bool = False) -> Plan:
    here = world(*history(), *others, active=ACTIVE)
    return planned(here, judged(entry(**declared), id="dp_5"), keeps=keeps)


def gone(found: Plan) -> list[str]:
    return [step.deployment_id for step in found.retire]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, []),  # no policy, so nothing ever goes
        ({"keep": 0}, ["dp_4", "dp_3", "dp_2", "dp_1"]),
        ({"keep": 3}, ["dp_1"]),
        ({"keep": 4}, []),
        ({"keep": 100}, []),
        ({"min_age": "3h"}, ["dp_2", "dp_1"]),
        ({"min_age": "3h1ms"}, ["dp_1"]),
        ({"keep": 1, "min_age": "2h"}, ["dp_3", "dp_2", "dp_1"]),
        ({"keep": 3, "min_age": "24h"}, []),
    ],
)
def test_the_policy(declared: dict[str, Any], expected: list[str]) -> None:
    found = plan(declared)
    assert gone(found) == expected
    assert len(found.stays) == 4 - len(expected)
    if not declared:
        assert {each.why for each in found.stays} == {"'greeter' says neither keep nor min_age"}


def test_what_another_deployment_leads_to_stays() -> None:
    """Also if that is of no entry, at another path, or drained as well."""
    beside = deployment("dp_9", of=None, serves="Other", uri="http://dp_2/other")
    assert gone(plan({"keep": 0}, beside)) == ["dp_4", "dp_3", "dp_1"]
    stays = plan({"keep": 0}, beside).stays
    assert [each.why for each in stays] == [
        "drained, but dp_9 leads to the same version at http://dp_2/other"
    ]
    going = deployment("dp_9", of=None, uri="http://dp_2/other", retiring={"at": "x"})
    assert gone(plan({"keep": 0}, going)) == ["dp_4", "dp_3", "dp_2", "dp_1"]


def test_what_is_needed_stays_and_takes_no_place_of_the_kept() -> None:
    known = history()
    known[3] = deployment("dp_4", revision=4, age=HOUR, unfinished=2)
    here = world(*known, active=ACTIVE)
    found = planned(here, judged(entry(keep=1), id="dp_5"))
    assert gone(found) == ["dp_2", "dp_1"]
    assert [each.why for each in found.stays] == [
        "draining: 2 unfinished (2 sleeping)",
        "drained, the 1st of 1 that are kept",
    ]


def test_what_takes_new_requests_stays() -> None:
    active = {**ACTIVE, "Old": service("Old", at="dp_1")}
    here = world(*history(), active=active)
    assert gone(planned(here, judged(entry(keep=0), id="dp_5"))) == ["dp_4", "dp_3", "dp_2"]


def test_a_target_of_the_file_stays_also_if_it_is_of_another_entry() -> None:
    here = world(*history(), active=ACTIVE)
    other = judged(entry("other"), service("Other"), id="dp_2")
    found = planned(here, judged(entry(keep=0), id="dp_5"), other)
    assert gone(found) == ["dp_4", "dp_3", "dp_1"]


def test_versions_of_others_are_nobodys_business() -> None:
    stranger = deployment("dp_9", of="else", age=99 * HOUR)
    unnamed = deployment("dp_8", of=None, age=99 * HOUR)
    found = plan({"keep": 0}, stranger, unnamed)
    assert gone(found) == ["dp_4", "dp_3", "dp_2", "dp_1"]


def test_where_the_target_leads_is_not_known_so_nothing_goes() -> None:
    here = world(*history(), active=ACTIVE)
    late = judged(entry(keep=0), trouble=Trouble("the platform is away", later=True))
    found = planned(here, late)
    assert gone(found) == []
    assert len(found.stays) == 4
    assert all("is not known: the platform is away" in each.why for each in found.stays)


def test_a_platform_that_nobody_can_ask_keeps_it() -> None:
    found = plan({"keep": 1}, keeps=True)
    assert gone(found) == []
    assert [each.why for each in found.stays][1:] == [PLATFORM_KEEPS] * 3


def test_what_was_begun_goes_on_unless_it_is_needed() -> None:
    retiring = {"since": "2026-01-01T00:00:00Z", "by": "me"}
    begun = deployment("dp_0", age=0, retiring=retiring)
    assert "dp_0" in gone(plan({"keep": 100}, begun))
    needed = deployment("dp_0", retiring=retiring, unfinished=1)
    assert "dp_0" not in gone(plan({"keep": 100}, needed))


def test_the_evidence_says_why_it_may_go() -> None:
    [step] = plan({"keep": 3, "min_age": "1h"}).retire
    assert step.evidence == {
        "entry": "greeter",
        "unfinished": 0,
        "age": "4h",
        "min_age": "1h",
        "keep": 3,
        "kept": ["dp_4", "dp_3", "dp_2"],
        "targets": {"dp_5": "greeter"},
        "services": {"Greeter": 1},
    }
