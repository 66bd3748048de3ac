"""What an import loads: adapters, pytest runs and `--help` must not pay for the engine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house.checkout import ROOT, import_path

HEAVY = {
    *("aiohttp", "asyncio", "boto3", "google", "pydantic", "pydantic_settings", "rich"),
    *("sqlite3", "ssl", "tenacity", "typer", "uvloop"),
}


def _loaded_by(module: str) -> set[str]:
    code = f"import sys; import {module}; import json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=import_path(ROOT / "core", ROOT / "adapters"),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("steadfaas", set()),
        ("steadfaas.errors", set()),
        ("steadfaas.durations", set()),
        ("steadfaas.testing", set()),
        ("steadfaas_adapters.cloudflare", {"asyncio", "ssl"}),
        ("steadfaas_adapters.deno_deploy", set()),
        ("steadfaas_adapters.vercel", set()),
        # http.client, which speaks to the admin API, brings ssl along.
        ("steadfaas.cli", {"typer", "ssl"}),
    ],
)
def test_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    assert _loaded_by(module) & HEAVY <= allowed


def test_the_package_alone_loads_no_part_of_itself() -> None:
    ours = {name for name in _loaded_by("steadfaas") if name.startswith("steadfaas")}
    assert ours == {"steadfaas"}
