"""Waiting for what happens in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for it; an error after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.01)
