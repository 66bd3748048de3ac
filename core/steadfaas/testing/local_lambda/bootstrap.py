"""The program of an execution environment: `python bootstrap.py HANDLER [FOLDER]`.

It runs AWS's own runtime interface client, and dies when its standard input ends: that is a pipe
whose other end only the parent holds. It is started by its path and imports nothing of steadfaas: a
handler sees what it would see on Lambda.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from pathlib import Path


def command(handler: str, installed_packages: bool) -> list[str]:
    """The command line that runs a handler, to be started by this process.

    Without `installed_packages` the handler can import the standard library and its own code, and
    the folder of the runtime client is named for this program alone.
    """
    program = [__file__, handler]
    if installed_packages:
        # Without this folder among the places to import from.
        return [sys.executable, "-P", *program]
    import awslambdaric

    return [sys.executable, "-I", "-S", *program, str(Path(awslambdaric.__file__).parents[1])]


def die_with_parent() -> None:
    """Have the kernel kill this process, and all that it starts, when the parent has ended.

    The kernel sends the signal to the process group as soon as the pipe's other end is closed, and
    a parent's end closes it, however it came. A thread that reads could be kept from it by a
    handler; PR_SET_PDEATHSIG would leave the handler's own children alone.
    """
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 1)
        os._exit(1)  # it ended before we asked


def main() -> None:
    """Serve invocations until killed."""
    handler, *client_folder = sys.argv[1:]
    die_with_parent()
    sys.path[:0] = client_folder

    from awslambdaric.__main__ import main as run

    sys.path[: len(client_folder)] = [os.environ["LAMBDA_TASK_ROOT"]]
    run([sys.argv[0], handler])


if __name__ == "__main__":
    main()
