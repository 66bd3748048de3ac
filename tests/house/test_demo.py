"""`make demo` tells its story to the end, without a terminal too, and in time."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.house.checkout import ROOT, import_path


@pytest.mark.e2e
def test_the_demo_ends_well() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "samples/demo/demo.py")],
        env=import_path(ROOT / "core", ROOT / "adapters"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("no request changed its version")
    assert "SIGKILL" in done.stdout
    assert time.monotonic() - began < 30
