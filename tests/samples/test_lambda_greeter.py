"""The sample `lambda_greeter` as its user runs it: the tests, the types, and the deploy script."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from steadfaas.testing import LocalLambda, SteadfaasEngine
from tests.house.checkout import ROOT, run

SAMPLE = ROOT / "samples/lambda_greeter"

pytestmark = pytest.mark.e2e


def copied(folder: Path) -> Path:
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_its_tests_pass(tmp_path: Path) -> None:
    printed = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        folder=copied(tmp_path / "lambda_greeter"),
        timeout=120,
    )
    assert "2 passed" in printed


def test_the_test_is_short() -> None:
    """What a user has to write for it: under 25 lines, imports and all."""
    lines = (SAMPLE / "test_versions.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) < 25


def test_the_settings_are_taken(tmp_path: Path) -> None:
    from steadfaas.config import load_settings

    settings = load_settings(config_file=SAMPLE / "steadfaas.toml")
    assert settings.abort_timeout == 60_000


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the program zip")
def test_the_script_releases(local_lambda: LocalLambda, steadfaas_engine: SteadfaasEngine) -> None:
    folder = copied(steadfaas_engine.folder / "lambda_greeter")
    # What runs here is this interpreter: wheels for another would be of no use.
    runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    variables = {
        "STEADFAAS_ADMIN_URL": steadfaas_engine.admin_url,
        "ROLE": local_lambda.role,
        "RUNTIME": runtime,
        "COMMIT": "3f2c91e",
    }

    def release() -> str:
        return run("bash", "deploy.sh", folder=folder, variables=variables, timeout=120)

    assert release() == "registered version 1 of greeter (3f2c91e)\n"
    early = steadfaas_engine.send("Greeter/greet", "Ada")
    assert release() == "registered version 1 of greeter (3f2c91e)\n", "the same files"

    app = folder / "app.py"
    app.write_text(app.read_text().replace("Hello", "Good morning"))
    assert release() == "registered version 2 of greeter (3f2c91e)\n"
    assert steadfaas_engine.call("Greeter/greet", "Bob") == "Good morning Bob!"
    assert early.result() == "Hello Ada!"

    listed = json.loads(
        run(
            "steadfaas",
            "adapters",
            "versions",
            "lambda:greeter",
            "--json",
            folder=folder,
            variables=variables,
        )
    )["versions"]
    assert [each["version"] for each in listed] == ["2", "1"]
    assert [each["names"] for each in listed] == [["live"], []]
    assert [each["drain"]["state"] for each in listed] == ["active", "drained"]
    assert listed[0]["facts"]["description"] == "git:3f2c91e"
