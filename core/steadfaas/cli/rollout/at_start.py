"""Applying a file to the engine that has just started in this process: beside its work.

What is not ready yet (a platform that builds, a handler process that starts later than the engine)
is tried again. What is refused is said, and the engine goes on: requests in flight need it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import typer

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from steadfaas.config import Address, Declared
    from steadfaas.servers.app import Served

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


def applying(declared: Declared, admin_address: Address) -> Callable[[Served], None]:
    """What applies a file in a thread of its own, to the engine whose admin API listens there."""

    def begin(served: Served) -> None:
        url = replace(admin_address, port=served.admin_port).local_url
        threading.Thread(
            target=_apply, args=(declared, url), name="apply-at-start", daemon=True
        ).start()

    return begin


def _apply(declared: Declared, url: str) -> None:
    from steadfaas.cli.apply import carried_out
    from steadfaas.cli.rollout.connect import connect

    admin.use(url)
    for pause in _pauses():
        try:
            # Old versions go by the hand of those who have rights for that, not by the engine's.
            code = carried_out(declared, connect(patient=True), retiring=False)
        except CommandError as error:
            typer.echo(f"Error: {error.message}", err=True)
            code = error.exit_code
        if code is not ExitCode.TRY_LATER:
            break
        typer.echo(f"Not all is deployed yet; next try in {pause:.0f} s.", err=True)
        time.sleep(pause)
    if code is not ExitCode.DONE:
        typer.echo(
            "The engine goes on with what is registered. Correct the file, and run"
            " 'steadfaas apply'.",
            err=True,
        )


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
