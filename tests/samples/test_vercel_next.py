"""The sample `vercel_next`: its handler under Node, its workflow's command, on a fake Vercel.

Next.js itself is not run: what it would call is the same module with the same request.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from steadfaas.testing import FakeVercel, Sent, SteadfaasEngine
from tests.house.checkout import ROOT, import_path
from tests.support.npm import NpmParts
from tests.support.processes import ServiceProcess

SAMPLE = ROOT / "samples/vercel_next"
ROUTE = "app/restate/[[...path]]/route.ts"
WORKFLOW = (SAMPLE / ".github/workflows/register.yml").read_text(encoding="utf-8")
BYPASS = "bypass-4c81d0f7a2"


class Built(ServiceProcess):
    """The sample as a deployment would serve it, with other code if `greeting` says so."""

    name = "vercel-next"

    def __init__(self, folder: Path, parts: NpmParts, greeting: str) -> None:
        super().__init__(folder)
        self._parts = parts
        self._app = folder / "app"
        shutil.copytree(SAMPLE, self._app, ignore=shutil.ignore_patterns("node_modules", ".next"))
        (self._app / "node_modules").symlink_to(parts.node_modules)
        code = self._app / "greeter.ts"
        code.write_text(code.read_text().replace('"Hello"', f'"{greeting}"'))

    def command(self) -> list[str]:
        """The pinned Node, which strips the types by itself."""
        return [str(self._parts.node), str(ROOT / "tests/services/fetch_app.mjs")]

    def environment(self) -> Mapping[str, str]:
        """Where to listen, and what to serve."""
        return {"TEST_PORT": str(self.port), "TEST_MODULE": str(self._app / ROUTE)}


def test_the_settings_are_taken() -> None:
    from steadfaas.config import load_settings

    route = (SAMPLE / ROUTE).read_text(encoding="utf-8")
    [longest] = re.findall(r"maxDuration = (\d+);", route)
    settings = load_settings(config_file=SAMPLE / "steadfaas.toml")
    assert settings.abort_timeout > int(longest) * 1000


@pytest.mark.e2e
def test_the_workflow_registers_what_was_promoted(
    npm_parts: NpmParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        FakeVercel() as vercel,
        Built(tmp_path / "one", npm_parts, "Hello") as one,
        Built(tmp_path / "two", npm_parts, "Good morning") as two,
    ):
        for name, value in {**vercel.env(), "VERCEL_BYPASS": BYPASS}.items():
            monkeypatch.setenv(name, value)
        shop = vercel.project("shop")
        shop.bypass = BYPASS
        with SteadfaasEngine(tmp_path / "engine") as engine:
            first = shop.deploy(one.url, branch="main", target="production")
            shop.promote(first)
            run_workflow(engine, first.url)
            early = engine.send("Greeter/greet", "Ada")
            until_asleep(early)
            second = shop.deploy(two.url, branch="main", target="production")
            shop.promote(second)
            run_workflow(engine, second.url)
            assert engine.call("Greeter/greet", "Bob") == "Good morning Bob!"
            assert early.result() == "Hello Ada!"
            assert len(early.deployments) == 1


def until_asleep(order: Sent) -> None:
    end = time.monotonic() + 30
    while order.status != "suspended":
        assert time.monotonic() < end, order.describe()
        time.sleep(0.02)


def run_workflow(engine: SteadfaasEngine, url: str) -> None:
    """The step that registers, as a runner would run it: without the engine's own variables."""
    [command] = re.findall(r"^ +run: (steadfaas .+)$", WORKFLOW, re.MULTILINE)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", command],
        env={
            **import_path(ROOT / "core", ROOT / "adapters"),
            **{"PATH": programs, "URL": url, "STEADFAAS_ADMIN_URL": engine.admin_url},
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
