"""The README's five-minute start, carried out word by word in an empty folder.

Only the port numbers are changed, to free ones, and what installs packages is left out: it is what
`make` did before this test could run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.checkout import ROOT
from tests.house.readme_script import blocks
from tests.support.ports import free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
PORTS = ("8080", "9070", "9080", "9081")
READY_SECONDS = 15.0


class Terminal:
    """An empty folder with the environment's programs, and the servers started in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {port: str(free_port()) for port in PORTS}
        self._servers: list[subprocess.Popen[bytes]] = []
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if "STEADFAAS" not in name}
        self._environment = {
            **kept,
            "PATH": programs,
            "STEADFAAS_INGRESS": f"127.0.0.1:{self._ports['8080']}",
            "STEADFAAS_ADMIN": f"127.0.0.1:{self._ports['9070']}",
            "STEADFAAS_ADMIN_URL": f"http://127.0.0.1:{self._ports['9070']}",
        }

    def write(self, name: str, text: str) -> None:
        """Put a file into the folder."""
        (self._folder / name).write_text(self._moved(text), encoding="utf-8")

    def run(self, commands: str) -> str:
        """What the commands print. Fails when one of them does."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._moved(commands)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def start(self, command: str) -> None:
        """Start a server and wait until its ports answer."""
        log = self._folder / f"server-{len(self._servers)}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {self._moved(command).strip()}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        named = re.findall(r"\d{4,5}", self._moved(command))
        for port in named or [self._ports["8080"], self._ports["9070"]]:
            self._wait_for(int(port), server)

    def stop(self) -> None:
        """End all servers, the engine first: it keeps connections to the others open."""
        for server in self._servers:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(3)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def logs(self) -> str:
        """What the servers logged."""
        paths = sorted(self._folder.glob("server-*.log"))
        return "".join(f"\n--- {path.name}\n{path.read_text(errors='replace')}" for path in paths)

    def _moved(self, commands: str) -> str:
        for written, port in self._ports.items():
            commands = commands.replace(written, port)
        return commands

    def _wait_for(self, port: int, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail(f"no server on port {port}{self.logs()}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    for program in ("bash", "curl", "sed"):
        assert shutil.which(program), f"the README uses {program}"
    made = Terminal(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.e2e
def test_the_five_minute_start_works(terminal: Terminal) -> None:
    printed = ""
    for block in blocks(README):
        if block.kind == "file":
            terminal.write(block.name, block.text)
        elif block.kind == "run: background":
            terminal.start(block.text)
        elif block.kind == "run":
            printed = terminal.run(block.text)
        else:
            assert block.text.strip() in printed, f"{printed}{terminal.logs()}"


def test_the_start_has_its_parts() -> None:
    kinds = [block.kind for block in blocks(README)]
    assert kinds.count("run: background") >= 3
    assert kinds.count("run") >= 3
    assert kinds.count("prints") >= 2
    assert README.count("<!-- ") == len(kinds), "a marked block is not understood"


def test_every_steadfaas_command_named_exists() -> None:
    """Also those in tables: their words must be known to the command line."""
    shown = "\n".join(re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
    spans = "\n".join(re.findall(r"`(steadfaas [^`\n]+)`", README))
    words = r"^steadfaas ([a-z-]+(?: [a-z]+)?)\b"
    named = set(re.findall(words, f"{shown}\n{spans}", re.MULTILINE))
    assert {"up", "deployments register"} <= named
    for command in sorted(named):
        done = subprocess.run(
            [sys.executable, "-m", "steadfaas", *command.split(), "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT / "core")},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, f"steadfaas {command}: {done.stderr}"
