"""The processes of the demo: started on loopback, logged to files, gone when the demo ends."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"


class Unmet(Exception):
    """Something the demo relies on, or shows, did not happen."""


class Part:
    """One process with a log of its own, appended to over restarts."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        folder: Path,
        health: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._log = folder / f"{name}.log"
        self._health = health
        self._environment = surroundings(environment or {})
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the process and wait until it is healthy; the seconds that took. Raises Unmet."""
        began = time.monotonic()
        with self._log.open("ab") as log, _undisturbed():
            # A session of its own: Ctrl-C reaches the demo, and the demo ends its parts.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._cwd,
                start_new_session=True,
            )
        while not _healthy(self._health):
            if self._process.poll() is not None:
                raise Unmet(f"{self.name} ended with code {self._process.returncode} at its start")
            if time.monotonic() - began > 10:
                raise Unmet(f"{self.name} was not healthy after 10 seconds")
            time.sleep(0.01)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to say or save anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask the process to end, and insist after two seconds."""
        if self._process is None:
            return
        # SIGINT rather than SIGTERM: the Python SDK takes SIGTERM away from uvicorn.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def tail(text: str, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(text.splitlines()[-lines:]) or "(nothing was logged)"


def surroundings(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part: ours with `more`, and no proxy before the loopback interface."""
    loopback = {"NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK}
    return {**os.environ, "PYTHONUNBUFFERED": "1", **loopback, **more}


def free_port() -> int:
    """A loopback port nobody listens on.

    Drawn from below the usual ephemeral range: a port from inside it could be taken by some
    client's outgoing connection while the engine is down.
    """
    for _ in range(200):
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise Unmet("no free loopback port was found")


def ask(method: str, url: str, body: object = None) -> tuple[int, Any]:
    """Status and parsed JSON (None if empty) of one HTTP call. Raises OSError."""
    host, slash, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        payload = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        connection.request(method, slash + path, payload, headers)
        answer = connection.getresponse()
        raw = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no usable answer from {url}: {error!r}") from error
    finally:
        connection.close()
    try:
        return answer.status, json.loads(raw) if raw else None
    except ValueError:
        return answer.status, raw.decode(errors="replace")


def engine(folder: Path, ingress: int, admin: int, environment: Mapping[str, str]) -> Part:
    """The engine, started the way a user starts it."""
    command = [
        *(sys.executable, "-m", "steadfaas", "up"),
        *("--ingress", f"{LOOPBACK}:{ingress}", "--admin", f"{LOOPBACK}:{admin}"),
        *("--data-dir", str(folder / "data")),
    ]
    health = f"http://{LOOPBACK}:{admin}/health"
    return Part("engine", command, folder=folder, health=health, environment=environment)


def steadfaas(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a command of steadfaas prints. Raises Unmet when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "steadfaas", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=surroundings(environment),
        timeout=15,
    )
    if done.returncode != 0:
        raise Unmet(f"steadfaas {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout.rstrip()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that end the demo wait for the end of the block: no process is left unnoticed."""
    came: list[int] = []
    ending = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, lambda number, frame: came.append(number)) for each in ending]
    try:
        yield
    finally:
        for each, handler in zip(ending, before, strict=True):
            signal.signal(each, handler)
    for number in came:
        signal.raise_signal(number)


def _healthy(url: str) -> bool:
    try:
        return ask("GET", url)[0] == 200
    except OSError:
        return False
