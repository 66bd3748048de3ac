"""The program of an execution environment: `python bootstrap.py PARENT_PID HANDLER [FOLDER]`.

It runs AWS's own runtime interface client, and dies with its parent. It is started by its path and
imports nothing of steadfaas: a handler sees what it would see on Lambda.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def command(handler: str, installed_packages: bool) -> list[str]:
    """The command line that runs a handler, to be started by this process.

    Without `installed_packages` the handler can import the standard library and its own code, and
    the folder of the runtime client is named for this program alone.
    """
    program = [__file__, str(os.getpid()), handler]
    if installed_packages:
        # Without this folder among the places to import from.
        return [sys.executable, "-P", *program]
    import awslambdaric

    return [sys.executable, "-I", "-S", *program, str(Path(awslambdaric.__file__).parents[1])]


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it has ended."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def main() -> None:
    """Serve invocations until killed."""
    parent, handler, *client_folder = sys.argv[1:]
    die_with(int(parent))
    sys.path[:0] = client_folder

    from awslambdaric.__main__ import main as run

    sys.path[: len(client_folder)] = [os.environ["LAMBDA_TASK_ROOT"]]
    run([sys.argv[0], handler])


if __name__ == "__main__":
    main()
