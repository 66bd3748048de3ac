"""The page and the sample are true: their commands are run, their files tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import steadfaas.testing
from steadfaas.testing import Invocation, Steadfaas
from tests.house.checkout import ROOT, run
from tests.house.readme_script import blocks

PAGE = (ROOT / "core/docs/testing.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "samples/testing"


def test_the_page_works_when_it_is_followed(tmp_path: Path) -> None:
    commands, expected = [], 0
    for block in blocks(PAGE):
        if block.kind == "file":
            (tmp_path / block.name).write_text(block.text, encoding="utf-8")
        elif block.kind == "run":
            commands.append(block.text.strip())
        else:
            expected += int(block.text.split()[0])
    assert len(commands) == expected == 5
    files = " ".join(command.rpartition(" ")[2] for command in commands)
    # One run instead of five: starting Python is what takes the time.
    printed = run("bash", "-c", commands[0].rpartition(" ")[0] + " " + files, folder=tmp_path)
    assert f"{expected} passed" in printed


def test_the_page_has_its_parts() -> None:
    assert PAGE.count("<!-- ") == len(blocks(PAGE)), "a marked block is not understood"
    assert PAGE.count("```python") == sum(block.kind == "file" for block in blocks(PAGE))


def test_what_the_page_names_exists() -> None:
    for name in re.findall(r"steadfaas\.(\w+)\(", PAGE):
        assert hasattr(Steadfaas, name), name
    looking = PAGE.partition("## Looking")[2].partition("##")[0].partition("When a test")[0]
    for name in re.findall(r"`(\w+)(?:\(\))?`", looking):
        assert hasattr(Invocation, name) or name in ("deployments", "outcomes"), name
    for name in steadfaas.testing.__all__:
        assert getattr(steadfaas.testing, name).__doc__ or name == "AsgiApp", name


def test_the_sample_passes(tmp_path: Path) -> None:
    folder = tmp_path / "testing"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    printed = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=folder)
    assert "6 passed" in printed


def test_the_sample_and_the_user_of_types(tmp_path: Path) -> None:
    """What a user writes passes mypy --strict, with the types that are installed."""
    folder = tmp_path / "testing"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "wrong.py").write_text(
        "from steadfaas.testing import Steadfaas\n"
        "async def f(kit: Steadfaas) -> None:\n"
        "    reveal_type(await kit.send('A/b'))\n"
        "    kit.fail('v1')\n"
        "    await kit.advance(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "."],
        cwd=folder,
        env={**os.environ, "MYPYPATH": f"{ROOT / 'core'}:{ROOT / 'adapters'}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in done.stdout.splitlines() if ": note: " not in line]
    assert [line.partition(": error: ")[0] for line in lines] == ["wrong.py:4", "wrong.py:5"], (
        done.stdout + done.stderr
    )
    assert 'Revealed type is "steadfaas.testing.handles.Invocation"' in done.stdout
