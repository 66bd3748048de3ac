"""Runs boto3, which blocks, beside the event loop.

Not in asyncio's own pool: its few threads are for short work, a call that waits for AWS would keep
them from it, and the end of the program would wait for that call. There are as many threads here as
there are calls at the same time. They stay for a while: whoever starts a thread waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Does a call; what it gives tells whoever waits.
_Job = Callable[[], Callable[[], object]]

_IDLE_SECONDS: Final = 30.0
# Where the threads that have nothing to do wait for their next job.
_idle: Final[list[SimpleQueue[_Job]]] = []


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

    def job() -> Callable[[], object]:
        outcome: _T | None = None
        error: BaseException | None = None
        try:
            outcome = work(*args, **named)
        except BaseException as raised:
            error = raised
        return lambda: loop.call_soon_threadsafe(settle, outcome, error)

    _hand_over(job)
    return await done


def _hand_over(job: _Job) -> None:
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = SimpleQueue()
        threading.Thread(target=_serve, args=(jobs,), name="steadfaas-aws", daemon=True).start()
    jobs.put(job)


def _serve(jobs: SimpleQueue[_Job]) -> None:
    while _serve_one(jobs):
        pass


def _serve_one(jobs: SimpleQueue[_Job]) -> bool:
    """Do the next job; False if none comes any more. A function, so that nothing of it is kept."""
    try:
        job = jobs.get(timeout=_IDLE_SECONDS)
    except Empty:
        try:
            _idle.remove(jobs)
        except ValueError:
            return True  # somebody has just taken it
        return False
    tell = job()
    _idle.append(jobs)
    with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
        tell()
    return True
