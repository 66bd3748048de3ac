"""What a file declares: how it is read, and that it survives a plan file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from steadfaas.config import Declared, DeclaredService, Secret, load_file
from steadfaas.config.shape import has_free_names, model_at
from steadfaas.durations import format_duration

EXAMPLE = """\
[engine]
admin = "http://127.0.0.1:9070/"

[[deployments]]
name = "greeter"
target = "lambda:greeter@live"
keep = 3
min_age = "24h"

[[deployments]]
name = "shop"
target = "vercel:acme/shop@commit:${GIT_SHA}"
headers = { x-vercel-protection-bypass = { env = "VERCEL_BYPASS" }, x-team = "${TEAM:-web}" }
protection = [{ file = "/run/secrets/bypass" }]
breaking = false
metadata = { team = "web" }

[services.Checkout]
public = false
inactivity_timeout = "1m"
retry = { max_attempts = 20, on_max_attempts = "pause" }

[services.Endless]
retry = { max_attempts = "unlimited", exponentiation_factor = 2, initial_interval = "PT1S" }
"""


def _load(text: str, **environ: str) -> Declared:
    Path("steadfaas.toml").write_text(text)
    return load_file(environ=environ).declared


def test_reads_what_is_declared() -> None:
    declared = _load(EXAMPLE, GIT_SHA="3f2c91e")
    assert declared.engine.admin == "http://127.0.0.1:9070"
    greeter, shop = declared.deployments
    assert (greeter.name, greeter.keep, greeter.min_age) == ("greeter", 3, 86_400_000)
    assert greeter.has_policy
    assert shop.target == "vercel:acme/shop@commit:3f2c91e"
    assert shop.plain_headers == {"x-team": "web"}
    assert shop.secret_headers == {"x-vercel-protection-bypass": "env:VERCEL_BYPASS"}
    assert [secret.reference for secret in shop.protection] == ["file:/run/secrets/bypass"]
    assert shop.metadata == {"team": "web"}
    assert not shop.has_policy
    checkout, endless = declared.services["Checkout"], declared.services["Endless"]
    assert (checkout.public, checkout.inactivity_timeout) == (False, 60_000)
    assert checkout.abort_timeout is None
    assert checkout.retry is not None
    assert (checkout.retry.max_attempts, checkout.retry.on_max_attempts) == (20, "pause")
    assert endless.retry is not None
    assert (endless.retry.max_attempts, endless.retry.initial_interval) == ("unlimited", 1000)
    assert endless.retry.exponentiation_factor == 2.0


@pytest.mark.parametrize(("line", "policy"), [("", False), ("keep = 0", True)])
def test_a_policy_is_one_that_was_written(line: str, policy: bool) -> None:
    [deployment] = _load(f'[[deployments]]\nname = "a"\ntarget = "t"\n{line}').deployments
    assert deployment.has_policy is policy


def test_without_a_file_nothing_is_declared() -> None:
    found = load_file()
    assert found.declared == Declared()
    assert found.path == Path("steadfaas.toml")


def test_a_plan_file_says_it_as_the_file_does() -> None:
    document = _load(EXAMPLE, GIT_SHA="1").to_json()
    assert document["deployments"][0] == {
        "name": "greeter",
        "target": "lambda:greeter@live",
        "keep": 3,
        "min_age": "1d",
    }
    assert document["services"]["Checkout"] == {
        "public": False,
        "inactivity_timeout": "1m",
        "retry": {"max_attempts": 20, "on_max_attempts": "pause"},
    }


def test_the_value_of_a_secret_stands_nowhere() -> None:
    declared = _load(EXAMPLE, GIT_SHA="1", VERCEL_BYPASS="hunter2")
    assert "hunter2" not in repr(declared)
    assert "hunter2" not in json.dumps(declared.to_json())


def test_what_is_declared_never_changes() -> None:
    with pytest.raises(ValidationError):
        Declared().engine.admin = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "document",
    [
        {"deployments": [{"name": "a"}]},
        {"deployments": [{"name": "a", "target": "t"}, {"name": "a", "target": "u"}]},
        {"services": {"X": {"journal_retention": 5}}},
        {"unknown": {}},
    ],
)
def test_a_plan_file_is_checked_as_well(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Declared.from_json(document)


DURATIONS = st.integers(1, 10**12).map(format_duration)
WORDS = st.text("abcxyz0:@/$.-_", min_size=1, max_size=12)
NAMES = st.text("abXY09.-_", min_size=1, max_size=8)
SECRETS = st.one_of(
    st.fixed_dictionaries({"env": st.text("ABC_", min_size=1)}),
    st.fixed_dictionaries({"file": st.text("abc/.", min_size=1)}),
)
DEPLOYMENTS = st.fixed_dictionaries(
    {"name": NAMES, "target": WORDS},
    optional={
        "adapter": WORDS,
        "keep": st.integers(0, 99),
        "min_age": DURATIONS,
        "headers": st.dictionaries(st.text("abc-", min_size=1), st.one_of(WORDS, SECRETS)),
        "protection": st.lists(SECRETS, max_size=3),
        "metadata": st.dictionaries(st.text("abc.", min_size=1), st.text()),
        **dict.fromkeys(("breaking", "assert_immutable", "dev"), st.booleans()),
        "assume_role_arn": WORDS,
    },
)
SERVICES = st.fixed_dictionaries(
    {},
    optional={
        "public": st.booleans(),
        **{
            name: DURATIONS
            for name in DeclaredService.model_fields
            if name.endswith(("retention", "timeout"))
        },
        "retry": st.fixed_dictionaries(
            {},
            optional={
                "initial_interval": st.just("1ms"),
                "max_interval": DURATIONS,
                "exponentiation_factor": st.floats(1, 1e9),
                "max_attempts": st.one_of(st.integers(1, 2**40), st.just("unlimited")),
                "on_max_attempts": st.sampled_from(["pause", "kill"]),
            },
        ),
    },
)


@given(
    st.lists(DEPLOYMENTS, max_size=4, unique_by=lambda each: str(each["name"])),
    st.dictionaries(st.text(min_size=1), SERVICES, max_size=4),
)
def test_nothing_is_lost_in_a_plan_file(
    deployments: list[dict[str, Any]], services: dict[str, Any]
) -> None:
    declared = Declared.from_json({"deployments": deployments, "services": services})
    document = json.loads(json.dumps(declared.to_json()))
    assert Declared.from_json(document) == declared
    assert Declared.from_json(document).to_json() == document


def test_the_shape_names_every_table_of_the_models() -> None:
    """`shape` says in words what the models say in types; every model has its place there."""
    named = {
        model_at(path)
        for path in [
            ("engine",),
            ("deployments", 0),
            ("deployments", 0, "headers", "x"),
            ("services", "X"),
            ("services", "X", "retry"),
        ]
    }
    defined = Declared.model_json_schema()["$defs"]
    assert {model.__name__ for model in named if model is not None} == defined.keys()
    assert model_at(("deployments", 0, "protection", 0)) is Secret
    for path in [("deployments",), ("services",), ("deployments", 0, "metadata")]:
        assert has_free_names(path)
        assert model_at(path) is None
    assert all(issubclass(model, BaseModel) for model in named if model is not None)
