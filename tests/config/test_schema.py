"""The JSON Schema of the file takes right files, refuses wrong ones, and explains every key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from steadfaas.config.schema import file_schema
from tests.config.test_declared import EXAMPLE
from tests.house.checkout import ROOT

SCHEMA = file_schema()
SAMPLES = sorted(ROOT.glob("samples/**/steadfaas.toml"))


def _complaints(text: str) -> list[str]:
    found = Draft202012Validator(SCHEMA).iter_errors(tomllib.loads(text))
    return [error.message for error in found]


def test_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SAMPLES


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name)
def test_takes_the_samples(path: Path) -> None:
    assert _complaints(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        'retry_max_attempts = "unlimited"\nmax_body_bytes = "64MiB"\nmax_frame_bytes = 70000000',
        'abort_timeout = "${ABORT:-5m}"\ndurability = "relaxed"\ndev = true\ndrain_seconds = 2',
        "[services.X]",
    ],
)
def test_takes_right_files(text: str) -> None:
    assert _complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "max_queue = 5",
        "[service.X]",
        "abort_timeout = 5",
        'durability = "fast"',
        "[engine]\nadmn = 'x'",
        "[[deployments]]\nname = 'a'",
        "[[deployments]]\nname = 'a'\ntarget = 't'\nminage = '1d'",
        "[[deployments]]\nname = 'a'\ntarget = 't'\nmin_age = 5",
        "[[deployments]]\nname = 'a'\ntarget = 't'\nkeep = -1",
        "[[deployments]]\nname = 'a'\ntarget = 't'\nheaders = { a = { vault = 'x' } }",
        "[[deployments]]\nname = 'a'\ntarget = 't'\nheaders = { a = { } }",
        "[[deployments]]\nname = 'a'\ntarget = 't'\nprotection = [{ env = 'A', file = 'B' }]",
        "[services.X]\npublic = 'yes'",
        "[services.X]\nretry = { max_attempts = 0 }",
        "[services.X]\nretry = { tries = 3 }",
    ],
)
def test_refuses_wrong_files(text: str) -> None:
    assert _complaints(text)


def _described(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, each in node.get("properties", {}).items():
            yield name, each
        for each in node.values():
            yield from _described(each)
    elif isinstance(node, list):
        for each in node:
            yield from _described(each)


def test_every_key_is_explained() -> None:
    keys = dict(_described(SCHEMA))
    assert {"ingress", "engine", "deployments", "keep", "retry", "env", "max_attempts"} <= set(keys)
    for name, key in keys.items():
        assert len(key["description"]) > 20, name
        assert not {"allowed", "each", "title"} & key.keys(), name


def test_defaults_are_as_the_file_would_say_them() -> None:
    keys = SCHEMA["properties"]
    assert keys["ingress"]["default"] == "127.0.0.1:8080"
    assert keys["abort_timeout"]["default"] == "10m"
    assert keys["max_body_bytes"]["default"] == 33_554_432
    assert keys["dev"]["default"] is False
    assert "default" not in SCHEMA["$defs"]["DeclaredService"]["properties"]["public"]
    defaults = {name: key["default"] for name, key in keys.items() if "default" in key}
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(defaults)] == []
