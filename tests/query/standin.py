"""An engine for tests of the processes around it: a statement is a word and an argument."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from pathlib import Path

import pyarrow as pa

from steadfaas.errors import RequestError

MIB = 1024 * 1024
_kept: list[bytearray] = []


def run(database: Path, statement: str, *, max_rows: int, memory: int) -> pa.Table:
    """Do what the statement says."""
    word, _, argument = statement.partition(" ")
    match word:
        case "echo":
            return pa.table({"said": [argument], "max_rows": [max_rows], "at": [str(database)]})
        case "rows":
            return pa.table({"n": range(int(argument)), "text": ["x" * 100] * int(argument)})
        case "refuse":
            status, _, message = argument.partition(" ")
            raise RequestError(message, status=int(status))
        case "allocate":
            bytearray(int(argument) * MIB)
        case "wrap":
            try:
                raise MemoryError("short of memory")
            except MemoryError as error:
                raise RequestError("it says something else", status=500) from error
        case "keep":
            _kept.append(bytearray(int(argument) * MIB))
        case "print":
            print(argument, flush=True)
            os.write(1, argument.encode())
        case "forever":
            threading.Event().wait()
        case "limits":
            return _limits()
        case "exit":
            os._exit(int(argument))
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            print(argument, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
    return pa.table({"done": [statement]})


def _limits() -> pa.Table:
    return pa.table(
        {
            "nice": [os.nice(0)],
            "core": [resource.getrlimit(resource.RLIMIT_CORE)[0]],
            "file": [resource.getrlimit(resource.RLIMIT_FSIZE)[0]],
        }
    )
