"""The import contracts hold, and each of them can fail.

A contract that cannot fail looks exactly like one that is kept. So each is also run over a
throw-away package with the same names in which one import breaks it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, import_path, project

CONTRACTS = project()["tool"]["importlinter"]["contracts"]

# Contract → module that gets a forbidden import, and that import.
PLANTED = {
    "The core never imports an adapter": (
        "steadfaas.deployments",
        "import steadfaas_adapters",
    ),
    "Floors of the core": ("steadfaas.store", "import steadfaas.runtime"),
    "Rollouts know an engine by its admin API only": (
        "steadfaas.rollout",
        "import steadfaas.deployments",
    ),
    "Message types and the state machine do no input or output": (
        "steadfaas.machine",
        "import socket",
    ),
    "Nothing that ships depends on the test kit": (
        "steadfaas.runtime",
        "import steadfaas.testing",
    ),
    "Adapters see the service interface, not the engine": (
        "steadfaas_adapters",
        "import steadfaas.store",
    ),
    "Watch mode is a client of the admin API": ("steadfaas.cli.dev", "import steadfaas.store"),
    "Adapters do not know one another": (
        "steadfaas_adapters.cloudflare",
        "import steadfaas_adapters.vercel",
    ),
    "Only the query process loads the SQL engine": ("steadfaas.servers", "import pyarrow"),
}


def test_the_contracts_hold() -> None:
    done = _lint(ROOT, ROOT / "core", ROOT / "adapters")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract["name"] for contract in CONTRACTS} == set(PLANTED)


def test_the_throw_away_package_keeps_all_contracts(tmp_path: Path) -> None:
    _build(tmp_path)
    done = _lint(tmp_path, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_is_caught(contract: str, tmp_path: Path) -> None:
    module, line = PLANTED[contract]
    _build(tmp_path)
    (tmp_path / Path(*module.split(".")) / "__init__.py").write_text(f"{line}\n")
    done = _lint(tmp_path, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{contract} BROKEN" in done.stdout


def _lint(folder: Path, *import_folders: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        env={**import_path(*import_folders), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _build(folder: Path) -> None:
    """Empty packages for every module that a contract names, under the real contracts."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("[tool.importlinter]") :]
    (folder / "pyproject.toml").write_text(section)
    for name in sorted(set(re.findall(r"\bsteadfaas(?:_adapters)?(?:\.\w+)*", section))):
        package = folder / Path(*name.split("."))
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
