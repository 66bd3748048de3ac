"""What a file makes of a server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from steadfaas.rollout.judged import Trouble
from steadfaas.rollout.plan import Action, DeploymentStep
from steadfaas.rollout.world import NAME
from tests.rollout.worlds import (
    NOW,
    STOCK,
    deployment,
    entry,
    judged,
    planned,
    service,
    world,
)

ACTIVE = {"Greeter": service()}


def only(plan: Any) -> DeploymentStep:
    [step] = plan.deployments
    assert isinstance(step, DeploymentStep)
    return step


# --- what becomes of an entry ------------------------------------------------------------------


def test_what_nobody_knows_is_registered() -> None:
    step = only(planned(world(), judged()))
    assert (step.action, step.services) == (Action.REGISTER, ("Greeter",))
    assert [each.is_new for each in step.differences] == [True]


def test_what_takes_the_new_requests_is_unchanged() -> None:
    plan = planned(world(deployment(), active=ACTIVE), judged(id="dp_1"))
    assert only(plan).action is Action.UNCHANGED
    assert plan.empty


def test_an_older_version_is_promoted_whatever_it_lacks() -> None:
    newer = {"Greeter": service(at="dp_2", revision=2, handlers="greet wave")}
    here = world(deployment(), deployment("dp_2", revision=2), active=newer)
    step = only(planned(here, judged(entry(), service(), id="dp_1")))
    assert step.action is Action.PROMOTE
    assert [each.removed for each in step.differences] == [("wave",)]


def test_a_broken_promise_is_refused_unless_it_is_wanted() -> None:
    here = world(deployment(), active=ACTIVE)
    broken = ("it loses the handler 'greet'.",)
    refused = only(planned(here, judged(entry(), service(handlers="wave"), broken=broken)))
    assert refused.action is Action.REFUSED
    assert refused.trouble is not None
    assert refused.trouble.message.startswith("it loses the handler 'greet'. Keep the interface")
    wanted = entry(breaking=True)
    step = only(planned(here, judged(wanted, service(handlers="wave"), broken=broken)))
    assert (step.action, step.notes) == (Action.REGISTER, broken)


def test_a_restate_server_does_not_judge_so_the_plan_does() -> None:
    here = world(deployment(), active=ACTIVE, server=STOCK)
    assert only(planned(here, judged(entry(), service(handlers="wave")))).action is Action.REFUSED
    wider = judged(entry(), service(handlers="greet wave"))
    assert only(planned(here, wider)).action is Action.REGISTER


@pytest.mark.parametrize(("later", "action"), [(False, Action.REFUSED), (True, Action.LATER)])
def test_trouble_is_for_good_or_for_now(later: bool, action: Action) -> None:
    plan = planned(world(), judged(trouble=Trouble("no such function", later=later)))
    assert only(plan).action is action
    assert (plan.refused, plan.late) == (not later, later)


def test_one_that_is_registered_meanwhile_is_left_for_the_next_time() -> None:
    assert only(planned(world(), judged(id="dp_9"))).action is Action.LATER


def test_a_retirement_is_called_off_unless_it_is_too_late() -> None:
    retiring: dict[str, Any] = {"since": "2026-01-01T00:00:00Z", "by": "me"}
    here = world(deployment(retiring=retiring), active={})
    step = only(planned(here, judged(entry(), id="dp_1", services=())))
    assert (step.action, step.calls_off) == (Action.PROMOTE, True)
    until = datetime.fromtimestamp(NOW / 1000 + 1, UTC).isoformat()[:19] + "Z"
    here = world(deployment(retiring={**retiring, "removing_until": until}))
    step = only(planned(here, judged(entry(), id="dp_1")))
    assert (step.action, step.calls_off) == (Action.LATER, False)
    assert step.trouble is not None
    assert "may be deleting it at this moment" in step.trouble.message
    declared: Any = {"Greeter": {"abort_timeout": "7m"}}
    here = world(*here.deployments.values(), active={"Greeter": service(abort_timeout="7m")})
    [settings] = planned(here, judged(entry(), id="dp_1"), **declared).services
    assert settings.action is Action.UNCHANGED, "they are those of the version that serves it"
    gone = {**retiring, "artifact_removed_at": "2026-01-01T00:00:01Z"}
    step = only(planned(world(deployment(retiring=gone)), judged(entry(), id="dp_1")))
    assert step.action is Action.REFUSED


def test_a_service_that_is_left_behind_is_told() -> None:
    active = {**ACTIVE, "Cart": service("Cart")}
    here = world(deployment(serves="Greeter Cart"), active=active)
    [note] = only(planned(here, judged())).notes
    assert note.startswith("it does not serve 'Cart': its requests still go to dp_1")
    assert only(planned(here, judged(entry("other")))).notes == ()


# --- its record --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "declared", "asked", "changes"),
    [
        ({"metadata": {}}, {}, {}, {"metadata": {NAME: "greeter"}}),
        (
            {},
            {"metadata": {"git": "3f2c"}},
            {},
            {"metadata": {"git": "3f2c", NAME: "greeter"}},
        ),
        (
            {"additional_headers": {"a": "1"}},
            {},
            {"headers": {"a": "2"}},
            {"additional_headers": {"a": "2"}},
        ),
        ({"additional_headers": {"a": "1"}}, {}, {"headers": {"a": "1"}}, {}),
        ({"additional_headers": {"a": "1"}}, {}, {}, {"additional_headers": {}}),
        (
            {},
            {},
            {"secret_headers": {"x-key": "env:KEY"}},
            {"secret_headers": {"x-key": "env:KEY"}},
        ),
        (
            {"assume_role_arn": "arn:old"},
            {"assume_role_arn": "arn:new"},
            {},
            {"assume_role_arn": "arn:new"},
        ),
        ({"assume_role_arn": "arn:old"}, {}, {}, {}),
        ({"metadata": {NAME: "shop"}}, {}, {}, {"metadata": {NAME: "greeter"}}),
    ],
)
def test_a_record_becomes_what_the_file_says(
    view: dict[str, Any], declared: dict[str, Any], asked: dict[str, Any], changes: dict[str, Any]
) -> None:
    here = world(deployment(**view), active=ACTIVE)
    step = only(planned(here, judged(entry(**declared), id="dp_1", **asked)))
    assert step.changes == changes
    assert step.action is (Action.UPDATE if changes else Action.UNCHANGED)


@pytest.mark.parametrize(
    ("view", "says"),
    [
        ({"metadata": {NAME: "shop"}}, "it was a version of 'shop' until now"),
        ({"assume_role_arn": "arn:old"}, "it keeps the role arn:old"),
    ],
)
def test_what_may_surprise_about_a_record_is_told(view: dict[str, Any], says: str) -> None:
    [note] = only(planned(world(deployment(**view), active=ACTIVE), judged(id="dp_1"))).notes
    assert note.startswith(says)


def test_a_restate_server_keeps_its_notes_and_that_is_said() -> None:
    said = "this server cannot change the notes of a deployment: they stay as they were"
    for metadata, notes in (
        ({"steadfaas.name": "greeter"}, ()),
        ({"steadfaas.name": "greeter", "team": "web"}, (said,)),
        ({}, (f"{said}, and 'gc' never takes it for a version of 'greeter'",)),
    ):
        here = world(deployment(metadata=metadata), active=ACTIVE, server=STOCK)
        step = only(planned(here, judged(id="dp_1")))
        assert (step.action, step.notes) == (Action.UNCHANGED, notes)


def test_code_that_may_change_is_registered_again_when_its_interface_did() -> None:
    here = world(deployment(evidence="mutable"), active=ACTIVE)
    same = judged(entry(dev=True), service(), id="dp_1", mutable=True)
    assert only(planned(here, same)).action is Action.UNCHANGED
    other = judged(entry(dev=True), service(handlers="greet wave"), id="dp_1", mutable=True)
    assert only(planned(here, other)).action is Action.REGISTER


# --- entries beside one another ----------------------------------------------------------------


def test_two_entries_cannot_have_one_service() -> None:
    first, second = entry("a"), entry("b")
    plan = planned(
        world(),
        judged(first, service("Shop"), uri="http://a/"),
        judged(second, service("Shop"), service("Cart"), uri="http://b/"),
        judged(entry("c"), service("Other"), uri="http://c/"),
    )
    refused = [step for step in plan.deployments if step.action is Action.REFUSED]
    assert [step.name for step in refused] == ["a", "b"]
    assert refused[0].trouble == Trouble(
        "'Shop' is what 'a' and 'b' want. Only one of them can have it."
    )


def test_two_entries_cannot_lead_to_one_version_unless_headers_choose() -> None:
    one = judged(entry("a"), service("A"), uri="http://same/")
    plan = planned(world(), one, judged(entry("b"), service("B"), uri="http://same/"))
    assert plan.refused
    chosen = judged(entry("b"), service("B"), uri="http://same/", headers={"host": "b"})
    assert not planned(world(), one, chosen).refused


# --- settings of services ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "changes"),
    [
        ({}, {}),
        ({"public": True}, {}),
        ({"public": False}, {"public": False}),
        ({"abort_timeout": "600s"}, {}),
        ({"abort_timeout": "5m"}, {"abort_timeout": "5m"}),
        ({"inactivity_timeout": "1m"}, {}),
        ({"retry": {"max_attempts": 70, "on_max_attempts": "pause"}}, {}),
        ({"retry": {"max_attempts": 20}}, {"retry_policy": {"max_attempts": 20}}),
        ({"retry": {"max_attempts": "unlimited"}}, {"retry_policy": {"max_attempts": 2**31 - 1}}),
        ({"retry": {"on_max_attempts": "kill"}}, {"retry_policy": {"on_max_attempts": "Kill"}}),
        (
            {"retry": {"initial_interval": "2s", "exponentiation_factor": 3}},
            {"retry_policy": {"initial_interval": "2s", "exponentiation_factor": 3.0}},
        ),
    ],
)
def test_settings_are_compared_with_what_the_version_will_have(
    declared: dict[str, Any], changes: dict[str, Any]
) -> None:
    # The present revision differs; what is registered brings its own.
    active = {"Greeter": service(abort_timeout="1h", public=False)}
    plan = planned(world(deployment(), active=active), judged(), Greeter=declared)
    [step] = plan.services
    assert step.changes == changes
    assert step.action is (Action.UPDATE if changes else Action.UNCHANGED)


def test_unlimited_attempts_are_unlimited_in_every_spelling() -> None:
    for shown in (None, 2**31 - 1, 2**40):
        view = service(retry_policy={"max_attempts": shown})
        plan = planned(
            world(), judged(entry(), view), Greeter={"retry": {"max_attempts": "unlimited"}}
        )
        assert plan.services[0].action is Action.UNCHANGED


def test_settings_of_a_service_that_nobody_serves() -> None:
    plan = planned(world(), judged(), Gretter={"public": False})
    assert plan.services[0].action is Action.REFUSED
    late = judged(trouble=Trouble("it is built", later=True))
    plan = planned(world(), late, Greeter={"public": False})
    assert plan.services[0].action is Action.LATER


def test_settings_that_a_service_cannot_have_are_refused_beforehand() -> None:
    plan = planned(world(), judged(), Greeter={"workflow_completion_retention": "1h"})
    assert plan.services[0].action is Action.REFUSED


def test_a_restate_server_takes_no_retry_policy_and_that_is_said() -> None:
    here = world(deployment(), active=ACTIVE, server=STOCK)
    plan = planned(here, judged(id="dp_1"), Greeter={"retry": {"max_attempts": 5}})
    [step] = plan.services
    assert (step.action, len(step.notes)) == (Action.UNCHANGED, 1)


def test_the_basis_is_who_takes_the_new_requests_now() -> None:
    here = world(deployment(), active=ACTIVE)
    plan = planned(here, judged(entry(), service(), service("Cart")), Greeter={})
    assert plan.basis == {"Cart": None, "Greeter": {"deployment_id": "dp_1", "revision": 1}}
