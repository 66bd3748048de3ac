"""`steadfaas services`, `sql` and `whoami` against a running engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steadfaas.cli.exits import CommandError
from steadfaas.cli.service_config import difference
from steadfaas.rollout.settings import UNLIMITED
from tests.cli.live import live, row
from tests.cli.test_live_state import editor
from tests.runtime.in_process import run


def test_a_service_and_what_is_unfinished_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            hold = await here.suspended("/Till/a/hold")
            await here.world.send("/Till/a/hold")
            shown = await here.run("services", "describe", "Till")
            assert f"{here.first} at {here.old.uri}" in shown.stdout
            assert row(shown, "read")[:3] == ["read", "Shared", "yes"]
            status = await here.run("services", "status", "Till")
            assert row(status, "Till/hold")[1:5] == ["1", "pending,", "1", "suspended"]
            assert row(status, "Till/a ")[1:3] == ["1", hold]
            everything = await here.run("services", "status")
            assert row(everything, "Desk/nap") == ["Desk/nap", "-", "-"]
            assert {one["service"] for one in await here.json("services", "status")} == {
                *("Desk", "Order", "Till")
            }
            missing = await here.run("services", "status", "Nope", code=1)
            assert "services list" in missing.stderr
            await here.run("invocations", "kill", "Till", "--yes")

    run(test())


def test_settings_are_changed_one_by_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            change = ("services", "config", "set", "Desk")
            done = await here.run(
                *change,
                *("--private", "--journal-retention", "2 days", "--abort-timeout", "PT5M"),
                *("--retry-max-attempts", "5", "--retry-on-max-attempts", "kill"),
                *("--retry-initial-interval", "1s", "--retry-exponentiation-factor", "1.5"),
            )
            assert "public                       no" in done.stdout
            answer = await here.json("services", "config", "view", "Desk")
            assert (answer["public"], answer["journal_retention"]) == (False, "2d")
            assert answer["abort_timeout"] == "5m"
            assert answer["retry_policy"] == {
                "initial_interval": "1s",
                "exponentiation_factor": 1.5,
                "max_attempts": 5,
                "max_interval": "10m",
                "on_max_attempts": "Kill",
            }
            await here.run(*change, "--retry-max-attempts", "unlimited", "--public")
            view = (await here.run("services", "config", "view", "Desk")).stdout
            assert "retry max attempts           unlimited" in view
            assert "public                       yes" in view

            for wrong in (
                ("--retry-max-attempts", "0"),
                ("--retry-max-attempts", "many"),
                ("--journal-retention", "60"),
                (),
            ):
                await here.run(*change, *wrong, code=2)
            refused = await here.run(*change, "--workflow-completion-retention", "1d", code=1)
            assert "unsupported" in refused.stderr

    run(test())


def test_settings_are_edited(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            edit = ("services", "config", "edit", "Desk")
            script = "d['public'] = False; d['retry_policy']['max_attempts'] = 'unlimited'"
            await here.run(*edit, EDITOR=editor(tmp_path, script), VISUAL="")
            view = (await here.run("services", "config", "view", "Desk")).stdout
            assert "public                       no" in view
            assert "retry max attempts           unlimited" in view
            same = await here.run(*edit, EDITOR=editor(tmp_path, ""), VISUAL="")
            assert same.stdout == "Desk stays as it is\n"

    run(test())


SETTINGS: dict[str, Any] = {
    "public": True,
    "retry_policy": {"max_attempts": 3, "max_interval": "1m"},
}


def test_the_difference_names_only_what_was_changed() -> None:
    assert difference(SETTINGS, SETTINGS) == {}
    edited = {"public": False, "retry_policy": {"max_attempts": None, "max_interval": "1m"}}
    assert difference(SETTINGS, edited) == {
        "public": False,
        "retry_policy": {"max_attempts": UNLIMITED},
    }


@pytest.mark.parametrize(
    ("edited", "sentence"),
    [
        ({"public": True}, "retry_policy is missing"),
        ({**SETTINGS, "pubic": True}, "pubic is unknown"),
        ({**SETTINGS, "retry_policy": {"max_attempts": 3}}, "max_interval is missing"),
    ],
)
def test_names_stay_as_they_are(edited: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        difference(SETTINGS, edited)


def test_whoami(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            shown = await here.run("whoami")
            assert row(shown, "admin    ")[1] == here.world.admin
            assert row(shown, "health") == ["health", "healthy"]
            answer = await here.json("whoami")
            assert (answer["admin_url"], answer["health"]) == (here.world.admin, "healthy")

    run(test())
