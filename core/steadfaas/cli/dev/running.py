"""Starting a version's process, and starting it again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from steadfaas.cli.dev.launch import Launch
from steadfaas.cli.dev.process import Process
from steadfaas.cli.dev.shelf import Snapshot
from steadfaas.cli.dev.telling import Teller

# What a first start may have to build.
READY_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Running:
    """A version with its process."""

    version: str
    port: int
    process: Process

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.exit_code is None


class Starts:
    """Starts processes of versions. One that fails is tried again after growing pauses."""

    def __init__(self, launch: Launch, teller: Teller) -> None:
        self._launch = launch
        self._teller = teller
        self._not_before: dict[str, tuple[float, float]] = {}

    def start(self, snapshot: Snapshot, port: int) -> Running:
        """Begin. Raises OSError."""
        launch = Launch(self._launch.base, snapshot.words)
        version = snapshot.version
        process = Process(
            launch.command(port),
            snapshot.code,
            launch.environment(port, snapshot.code),
            lambda line: self._teller.output(version, line),
            stop_signal=launch.stop_signal,
            grace=_GRACE_SECONDS,
        )
        cause = f" ({snapshot.cause})" if snapshot.cause else ""
        self._teller.event("started", f"started on :{port}{cause}", version, port=port)
        return Running(version, port, process)

    def until_ready(self, running: Running, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until it answers; False if it does not. `failure` says why."""
        return running.process.wait_ready(running.port, READY_SECONDS, give_up)

    @staticmethod
    def failure(running: Running) -> str:
        """Why a version that was waited for is not there."""
        code = running.process.exit_code
        if code is not None:
            return f"ended with exit code {code}"
        return (
            f"does not answer at 127.0.0.1:{running.port} after {READY_SECONDS:.0f} s; it has to"
            " listen at the port that the variable PORT names, or {port} in its arguments"
        )

    def due(self, version: str) -> bool:
        """Whether a version may be started again now; counts as a try."""
        now = time.monotonic()
        not_before, pause = self._not_before.get(version, (now, _FIRST_PAUSE_SECONDS))
        if now < not_before:
            return False
        self._not_before[version] = (now + pause, min(2 * pause, _LONGEST_PAUSE_SECONDS))
        return True

    def forget(self, version: str) -> None:
        """A version is well, or gone: its next start may be at once."""
        self._not_before.pop(version, None)
