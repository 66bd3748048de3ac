"""The sample `deno_deploy` as Deno runs it: the service behind its key, settings, workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from steadfaas.config import load_settings
from steadfaas.testing import SteadfaasEngine
from steadfaas.testing.failures import Refused
from tests.house.checkout import ROOT
from tests.support import npm
from tests.support.deno import DenoService

SAMPLE = ROOT / "samples/deno_deploy"
KEY = "a-key-of-the-greeter"


class Sample(DenoService):
    """The service of the sample."""

    source = SAMPLE / "main.ts"
    ready_status = 401  # nobody is let in without the key

    def environment(self) -> Mapping[str, str]:
        """With the key that is asked for."""
        return {**super().environment(), "GREETER_KEY": KEY}


@pytest.mark.e2e
def test_it_runs_behind_its_key(
    tmp_path: Path, deno_parts: npm.DenoParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREETER_KEY", KEY)
    (tmp_path / "deno").mkdir()
    with (
        Sample(tmp_path / "deno", deno_parts) as service,
        SteadfaasEngine(tmp_path / "engine") as engine,
    ):
        with pytest.raises(Refused, match="401"):
            engine.deploy(service.origin)
        secret = {"x-greeter-key": "env:GREETER_KEY"}
        body: dict[str, object] = {"target": service.origin, "secret_headers": secret}
        engine.admin("POST", "/deployments", body)
        assert engine.call("Greeter/greet", "Ada") == "Hello Ada!"


def test_the_settings_are_taken() -> None:
    settings = load_settings(config_file=SAMPLE / "steadfaas.toml")
    assert (settings.abort_timeout, settings.retry_max_attempts) == (120_000, 20)


def test_the_packages_are_those_that_are_tested() -> None:
    imports = json.loads((SAMPLE / "deno.json").read_text())["imports"]
    version = npm.DENO_PINS["@restatedev/restate-sdk"]
    assert imports == {"@restatedev/restate-sdk": f"npm:@restatedev/restate-sdk@^{version}"}


def test_the_workflow_trusts_no_text_from_outside() -> None:
    """Expressions stand in variables only; in a script they would be run."""
    workflow = yaml.safe_load((SAMPLE / ".github/workflows/register.yml").read_text())
    # YAML 1.1 reads `on` as true.
    assert workflow[True] == {"repository_dispatch": {"types": ["deno_deploy.build.routed"]}}
    [job] = workflow["jobs"].values()
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    assert any("steadfaas deployments register" in script for script in scripts)
    assert not any("${{" in script for script in scripts)
