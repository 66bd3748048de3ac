"""The program around each version's process: `keeper.py SIGNAL GRACE COMMAND…`.

It ends the command, and all that the command started, once its own standard input ends: that is a
pipe whose other end only `steadfaas dev` holds, so that nothing outlives it, however it came to its
end. SIGNAL is tried first; what is left after GRACE seconds is killed. It is started by its path
and imports nothing of steadfaas.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the command; its exit code."""
    number, grace, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", flush=True)
        return 127
    ending = threading.Thread(target=_end_with_parent, args=(child, number, grace), daemon=True)
    ending.start()
    code = child.wait()
    _signal(child, signal.SIGKILL)  # what it left behind
    return code if code >= 0 else 128 - code


def _end_with_parent(child: subprocess.Popen[bytes], number: int, grace: float) -> None:
    while os.read(0, 4096):
        pass
    _signal(child, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main())
