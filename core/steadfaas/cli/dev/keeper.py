"""The program around each version's process: `keeper.py GRACE COMMAND…`.

It ends the command, and all that the command started, once its own standard input ends: that is a
pipe whose other end only `steadfaas dev` holds, so that nothing outlives it, however it came to its
end. The command is first asked as by Ctrl-C; what is left after GRACE seconds is killed. This is
started by its path and imports nothing of steadfaas.
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
    grace, command = float(sys.argv[1]), sys.argv[2:]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", flush=True)
        return 127
    ending = threading.Thread(target=_end_with_parent, args=(child, grace), daemon=True)
    ending.start()
    code = child.wait()
    _signal(child, signal.SIGKILL)  # what it left behind
    return code if code >= 0 else 128 - code


def _end_with_parent(child: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(0, 4096):
        pass
    # Not SIGTERM: the Python SDK takes that for itself, and its server then never hears of it.
    _signal(child, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main())
