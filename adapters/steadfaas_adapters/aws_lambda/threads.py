"""Runs boto3, which blocks, beside the event loop.

Not in asyncio's own pool: its few threads are for short work, a call that waits for AWS would keep
them from it, and the end of the program would wait for that call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(work: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """Call `work` in a thread of its own. Whoever is cancelled leaves it to end by itself."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(outcome: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(outcome)  # type: ignore[arg-type]

    def run() -> None:
        outcome: _T | None = None
        error: BaseException | None = None
        try:
            outcome = work(*args, **named)
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, outcome, error)

    threading.Thread(target=run, name="steadfaas-aws", daemon=True).start()
    return await done
