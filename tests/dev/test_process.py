"""Processes of versions: their output, and that nothing of them outlives its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steadfaas.cli.dev.ports import free_port, is_free
from steadfaas.cli.dev.process import Process
from tests.dev.system import gone, until, wait_gone

pytestmark = pytest.mark.e2e

# Starts a child, says who both are, and goes on; with `stubborn` both ignore to be asked.
FAMILY = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
if "leave" in sys.argv:
    sys.exit(3)
time.sleep(600)
"""
# `steadfaas dev` in so far as it matters here.
PARENT = """
import os, sys, time
from pathlib import Path
from steadfaas.cli.dev.process import Process
tell = lambda line: print(line, flush=True)
Process(sys.argv[1:], Path("."), os.environ, tell, grace=0.2)
time.sleep(600)
"""


class Lines(list[str]):
    """What a process printed."""

    def pids(self) -> list[int]:
        until("a line", lambda: bool(self))
        return [int(word) for word in self[0].split()]


def start(lines: Lines, *words: str, grace: float = 5.0) -> Process:
    return Process(
        [sys.executable, "-c", *words],
        Path(),
        os.environ,
        lines.append,
        grace=grace,
    )


@pytest.mark.parametrize("words", [(), ("stubborn",)])
def test_the_end_is_the_end_of_all(words: tuple[str, ...]) -> None:
    lines = Lines()
    process = start(lines, FAMILY, *words, grace=0.2)
    pids = lines.pids()
    process.end()
    wait_gone(set(pids))
    assert process.exit_code is not None


def test_who_ends_by_itself_leaves_nobody_behind() -> None:
    lines = Lines()
    process = start(lines, FAMILY, "leave")
    pids = lines.pids()
    until("the end", lambda: process.exit_code is not None)
    assert process.exit_code == 3
    until("the end of its child", lambda: gone(pids[1]))
    process.end()


@pytest.mark.parametrize("words", [(), ("stubborn",)])
def test_a_parent_that_is_killed_takes_them_along(words: tuple[str, ...]) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, sys.executable, "-c", FAMILY, *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    wait_gone(set(pids))
    parent.stdout.close()


def test_what_cannot_be_run_is_said() -> None:
    lines = Lines()
    process = Process(
        ["./no-such-program"],
        Path(),
        os.environ,
        lines.append,
        grace=1.0,
    )
    until("the end", lambda: process.exit_code is not None)
    assert process.exit_code == 127
    assert process.last_lines == ["cannot run ./no-such-program: No such file or directory"]
    process.end()


def test_the_last_lines_are_kept() -> None:
    lines = Lines()
    process = start(lines, "for n in range(30): print('line', n)")
    until("the end", lambda: process.exit_code is not None)
    assert process.last_lines == [f"line {n}" for n in range(10, 30)]
    assert len(lines) == 30
    process.end()


def test_waiting_until_it_answers() -> None:
    port = free_port(())
    process = start(
        Lines(),
        "import sys; from http.server import *;"
        " HTTPServer(('127.0.0.1', int(sys.argv[1])), BaseHTTPRequestHandler).serve_forever()",
        str(port),
    )
    assert process.wait_ready(port, 20.0, lambda: False)
    assert not is_free(port)
    process.end()
    assert is_free(port)
    assert not process.wait_ready(port, 20.0, lambda: False), "it has ended"


def test_waiting_can_be_given_up() -> None:
    process = start(Lines(), "import time; time.sleep(600)")
    assert not process.wait_ready(free_port(()), 60.0, lambda: True)
    process.end()


def test_ports_that_deployments_have_are_not_given_to_others() -> None:
    [left] = {free_port(())}
    taken = set(range(20_000, 32_000)) - {left}
    assert free_port(taken) == left
    with pytest.raises(OSError, match="no port is free"):
        free_port({*taken, left})
