"""The program of an execution environment: `python bootstrap.py PARENT_PID HANDLER`.

It runs AWS's own runtime interface client, and dies with its parent. It is started by its path and
imports nothing of steadfaas: a handler sees what it would see on Lambda.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it has ended."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def main() -> None:
    """Serve invocations until killed."""
    die_with(int(sys.argv[1]))
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])

    from awslambdaric.__main__ import main as run

    run([sys.argv[0], sys.argv[2]])


if __name__ == "__main__":
    main()
