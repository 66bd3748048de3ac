"""Processes and ports as the tests see them, and waiting for what happens there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from steadfaas.cli.dev.ports import LOOPBACK


def until(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for it; an error after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        return Path("/proc/self").exists()  # it ended just now, or there is no such folder
    return state == "Z"


def wait_gone(pids: set[int]) -> None:
    """Wait until all of them have ended."""
    until(f"the end of {pids}", lambda: all(map(gone, pids)))


@contextmanager
def occupied(port: int) -> Iterator[None]:
    """Another program listens there, from the moment at which that is possible."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def bound() -> bool:
            try:
                taken.bind((LOOPBACK, port))
            except OSError:
                return False
            return True

        until(f"port {port} is free", bound)
        taken.listen()
        yield
