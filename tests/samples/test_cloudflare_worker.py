"""The sample Worker runs, and its files say what the page about Workers says."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from steadfaas.config import Settings
from steadfaas.testing import SteadfaasEngine
from steadfaas_adapters.cloudflare import target as grammar
from steadfaas_adapters.cloudflare.target import Kind
from tests.house.checkout import ROOT
from tests.support import npm, workers

SAMPLE = ROOT / "samples/cloudflare_worker"


@pytest.mark.e2e
def test_the_worker_greets(tmp_path: Path) -> None:
    parts = npm.install_workers()
    if isinstance(parts, npm.Unavailable):
        pytest.skip(f"workerd: {parts.reason}")
    bundle = workers.bundled(parts, tmp_path / "built", "v1", SAMPLE / "src/index.ts")
    with (
        workers.WorkerProcess(tmp_path / "run", parts, bundle) as worker,
        SteadfaasEngine(tmp_path / "engine") as engine,
    ):
        engine.deploy(worker.url)
        assert engine.call("Greeter/greet", "Ada") == "Hello Ada!"
        welcome = {"name": "Ada", "days": 0}
        assert engine.call("Greeter/welcome", welcome) == ["Hello Ada", "How are you, Ada?"]


def test_the_workflow_registers_what_it_uploaded() -> None:
    workflow = yaml.safe_load((SAMPLE / ".github/workflows/release.yml").read_text())
    release = workflow["jobs"]["release"]
    steps = [step["run"] for step in release["steps"] if "run" in step]
    [upload] = [step for step in steps if "wrangler versions upload" in step]
    [register] = [step for step in steps if "steadfaas deployments register" in step]
    assert '--tag "$TAG"' in upload
    [written] = re.findall(r'"(cloudflare:[^"]*)"', register)
    tag = f"{'a' * 40}-1"
    meant = grammar.parse(written.replace("$CLOUDFLARE_ACCOUNT_ID", "0" * 32).replace("$TAG", tag))
    assert (meant.kind, meant.qualifier) == (Kind.TAG, tag)
    assert meant.worker == _wrangler()["name"]


def test_version_urls_stay_switched_on() -> None:
    assert _wrangler()["preview_urls"] is True


def test_the_settings_are_settings() -> None:
    keys = tomllib.loads((SAMPLE / "steadfaas.toml").read_text())
    assert keys
    assert set(keys) <= set(Settings.model_fields)


def test_the_sdk_is_the_one_that_is_tested() -> None:
    package = json.loads((SAMPLE / "package.json").read_text())
    [(name, version)] = package["dependencies"].items()
    assert npm.WORKER_PINS[name] == version


def _wrangler() -> dict[str, object]:
    text = (SAMPLE / "wrangler.jsonc").read_text()
    found: dict[str, object] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return found
