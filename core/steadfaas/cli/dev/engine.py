"""The engine that versions are registered with: somebody else's, or one that this command runs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from steadfaas.cli import admin
from steadfaas.cli.dev.process import Process
from steadfaas.cli.dev.telling import Teller
from steadfaas.cli.exits import CommandError, ExitCode

_START_SECONDS: Final = 30.0
_GRACE_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.05
_HERE: Final = ("localhost", "127.0.0.1", "::1")


def answers(*, up: bool) -> bool:
    """Whether there is one. Raises CommandError if not, unless one may be run (`up`)."""
    try:
        admin.call("GET", "/health")
    except CommandError as error:
        if error.exit_code is not ExitCode.TRY_LATER:
            raise
        if not up:
            error.message += " With --up, this command runs one itself."
            raise
        return False
    return True


def start(base: Path, teller: Teller) -> Process:
    """Run one, with its data in the folder `base`, and wait for it. Raises CommandError."""
    url, source = admin.address()
    parts = urlsplit(url)
    if parts.hostname not in _HERE or parts.port is None:
        raise CommandError(
            f"No engine answers at {url} ({source}), and --up can run one on this machine only:"
            f" leave it out, or name an address such as {admin.DEFAULT_URL}.",
            ExitCode.USAGE,
        )
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    address = f"[{host}]:{parts.port}" if ":" in host else f"{host}:{parts.port}"
    engine = Process(
        [sys.executable, "-P", "-m", "steadfaas", "up", "--admin", address],
        base,
        {**os.environ, "PYTHONUNBUFFERED": "1"},
        lambda line: teller.output("engine", line),
        grace=_GRACE_SECONDS,
    )
    _wait(engine)
    teller.event("engine", f"engine started, admin API at {url}", url=url)
    return engine


def _wait(engine: Process) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            admin.call("GET", "/health", timeout=1.0)
            return
        except CommandError as error:
            if engine.exit_code is not None or time.monotonic() > end:
                said = engine.last_lines[-1:] or ["it says nothing"]
                engine.end()
                raise CommandError(
                    f"The engine did not start: {said[0]}", ExitCode.REFUSED
                ) from error
        time.sleep(_LOOK_SECONDS)
