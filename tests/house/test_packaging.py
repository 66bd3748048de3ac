"""What is installed is what the project file says, and `make` offers what the documents name."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, entry_points

import pytest

import steadfaas
from tests.house.checkout import ROOT, project

TARGETS = ("demo", "demo-http", "test", "check", "bench", "clean", "help")
NOT_INSTALLED = "steadfaas is not installed as the project file says; run: pip install -e ."


def _declared() -> dict[tuple[str, str], str]:
    table = project()["project"]
    groups = {"console_scripts": table["scripts"], **table["entry-points"]}
    return {
        (group, name): value for group, names in groups.items() for name, value in names.items()
    }


def test_installed_entry_points_are_the_declared_ones() -> None:
    """Installed metadata is a copy, and a stale one is served without a word."""
    try:
        installed = {
            (entry.group, entry.name): entry.value
            for entry in distribution("steadfaas").entry_points
        }
    except PackageNotFoundError:
        pytest.fail(NOT_INSTALLED)
    assert installed == _declared(), NOT_INSTALLED


@pytest.mark.parametrize(("group", "name"), sorted(_declared()))
def test_every_entry_point_loads(group: str, name: str) -> None:
    found = [entry for entry in entry_points(group=group, name=name) if entry.dist]
    assert found, NOT_INSTALLED
    assert found[0].load() is not None


def test_one_version() -> None:
    assert distribution("steadfaas").version == steadfaas.__version__, NOT_INSTALLED
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {steadfaas.__version__}" in changelog


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_the_target(target: str) -> None:
    make = shutil.which("make")
    assert make, "make is needed to work on steadfaas"
    done = subprocess.run(
        [make, "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    listed = set(re.findall(r"^ +make ([\w-]+)", done.stdout, re.MULTILINE))
    assert listed == set(phony[1].split())
    assert set(TARGETS) <= listed


def test_the_demo_installs_nothing_newer_than_the_tests() -> None:
    """`make demo` and `make test` run the same SDK: the bounds are written in two places."""
    wanted = (ROOT / "samples/demo/requirements.txt").read_text(encoding="utf-8").split()
    assert set(wanted) <= set(project()["dependency-groups"]["dev"])
