"""A process that ends with this one, and whose output is passed on line by line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from steadfaas.cli.dev.ports import LOOPBACK

_KEEPER: Final = str(Path(__file__).with_name("keeper.py"))
_LAST_LINES: Final = 20
_LONGEST_LINE: Final = 8192
# Beyond the grace of the process itself.
_PATIENCE_SECONDS: Final = 2.0
_ASK_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.03


class Process:
    """A command, started in `folder`. `tell` gets each line that it prints.

    To be started by the main thread. Raises OSError.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        tell: Callable[[str], None],
        *,
        grace: float,
    ) -> None:
        self._tell = tell
        self._grace = grace
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", _KEEPER, str(grace)),
                *command,
            ],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._keeper.poll()

    @property
    def last_lines(self) -> list[str]:
        """The end of what it printed."""
        if self.exit_code is not None:
            self._reader.join(1.0)
        return list(self._last)

    def wait_ready(self, port: int, seconds: float, give_up: Callable[[], bool]) -> bool:
        """Wait until it answers at its port. False if it ended, took too long, or `give_up`."""
        end = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < end and not give_up():
            if _answers(port):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def ask_to_end(self) -> None:
        """Let it begin to end; it has so many seconds as its grace says."""
        assert self._keeper.stdin is not None
        with contextlib.suppress(OSError):
            self._keeper.stdin.close()

    def mute(self) -> None:
        """Pass on nothing any more."""
        self._tell = lambda _: None

    def end(self) -> None:
        """Ask it to end, and see that it does."""
        self.ask_to_end()
        try:
            self._keeper.wait(self._grace + _PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._reader.join(1.0)

    def _pass_on(self) -> None:
        assert self._keeper.stdout is not None
        with self._keeper.stdout as output:
            while raw := output.readline(_LONGEST_LINE):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self._last.append(line)
                self._tell(line)


def _answers(port: int) -> bool:
    """Whether an HTTP server is there; whether it serves handlers, the engine finds out."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(LOOPBACK, port, timeout=_ASK_SECONDS)
    try:
        connection.request("GET", "/discover")
        connection.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True
