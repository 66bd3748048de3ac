"""The demos tell their story to the end, without a terminal too, and in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, import_path

DEMO = ROOT / "samples" / "demo"


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["demo.py", "demo_http.py"])
def test_the_demo_ends_well(name: str) -> None:
    began = time.monotonic()
    done = _run(DEMO / name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("no request changed its version")
    assert "SIGKILL" in done.stdout
    assert _states(done.stdout) == {"active", "drained"}
    assert time.monotonic() - began < 30


@pytest.mark.e2e
def test_a_step_that_another_version_ran_is_noticed(tmp_path: Path) -> None:
    """Or says so: a step of version 2 calls itself one of version 1."""
    for file in DEMO.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    second = tmp_path / "checkout_v2.py"
    second.write_text(second.read_text().replace('"charge", "v2"', '"charge", "v1"'))
    done = _run(tmp_path / "demo_http.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the result of order-3 is not that of v2" in done.stdout


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("name", ["demo.py", "demo_http.py"])
def test_nothing_is_left_of_a_demo_that_is_ended_half_way(name: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(DEMO / name)],
        env={**_environment(), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "sleep until they must pay" in line:
                break
        assert len(_processes_of(tmp_path)) > 2
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(20) == 128 + signal.SIGTERM
    assert not _processes_of(tmp_path)
    assert not list(tmp_path.iterdir())


def _run(demo: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(demo)],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _environment() -> dict[str, str]:
    return import_path(ROOT / "core", ROOT / "adapters")


def _states(told: str) -> set[str]:
    """The drain states in the table of versions."""
    return {word for line in told.splitlines() if "dp_" in line for word in line.split()} & {
        *("active", "draining", "drained")
    }


def _processes_of(folder: Path) -> list[str]:
    """The processes with the folder in their command or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in told and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_text())
    return found
