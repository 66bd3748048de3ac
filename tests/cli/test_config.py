"""`steadfaas config`: a file is checked without an engine, and described for editors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import app

RIGHT = """\
[[deployments]]
name = "greeter"
target = "lambda:greeter@live"
headers = { authorization = { env = "TOKEN_OF_NOBODY" } }
[[deployments]]
name = "shop"
target = "vercel:acme/shop@main"
[services.Checkout]
public = false
"""


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command of the group in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STEADFAAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("TOKEN_OF_NOBODY", raising=False)
    return lambda *words: CliRunner().invoke(app, ["config", *words])


def test_a_right_file_is_counted(config: Callable[..., Result]) -> None:
    Path("steadfaas.toml").write_text(RIGHT)
    done = config("check")
    assert done.exit_code == 0
    assert done.stdout == "steadfaas.toml is fine: 2 deployments, 1 service.\n"
    assert done.stderr == (
        "Note: steadfaas.toml, line 4, deployments[1].headers.authorization (greeter): "
        "the variable TOKEN_OF_NOBODY is not set here.\n"
    )


@pytest.mark.parametrize("named", [True, False])
def test_a_file_of_another_name(
    config: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    Path("other.toml").write_text("max_queued = 5")
    monkeypatch.setenv("STEADFAAS_CONFIG", "other.toml" if not named else "missing.toml")
    done = config("check", *(["other.toml"] if named else []))
    assert done.stdout == "other.toml is fine: 0 deployments, 0 services.\n"


def test_all_problems_are_told(config: Callable[..., Result]) -> None:
    Path("steadfaas.toml").write_text(RIGHT + "publik = true\n")
    done = config("check", "--set", "deployments.shop.keep=x")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "Error: steadfaas.toml, line 10, services.Checkout.publik: there is no such key. "
        "Did you mean 'public'?",
        '--set, deployments[2].keep (shop): expected a whole number from 0, got "x".',
    ]


def test_problems_as_json(config: Callable[..., Result]) -> None:
    Path("steadfaas.toml").write_text(RIGHT + "publik = true\n")
    done = config("check", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "file": "steadfaas.toml",
        "problems": [
            {
                "source": "steadfaas.toml",
                "line": 10,
                "key": "services.Checkout.publik",
                "message": "there is no such key. Did you mean 'public'?",
            }
        ],
        "notes": [],
    }
    done = config("check", "--json", "--set", "services.Checkout.publik=1")
    assert [each["source"] for each in json.loads(done.stdout)["problems"]] == ["--set"]


def test_a_right_file_as_json(config: Callable[..., Result]) -> None:
    Path("steadfaas.toml").write_text(RIGHT)
    done = config("check", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert [each["line"] for each in found["notes"]] == [4]


def test_without_a_file_there_is_nothing_to_check(config: Callable[..., Result]) -> None:
    done = config("check")
    assert done.exit_code == 1
    assert done.stderr == "Error: The settings file steadfaas.toml does not exist.\n"


def test_the_schema_is_printed(config: Callable[..., Result]) -> None:
    done = config("schema")
    assert done.exit_code == 0
    schema = json.loads(done.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"ingress", "engine", "deployments", "services"} <= schema["properties"].keys()
