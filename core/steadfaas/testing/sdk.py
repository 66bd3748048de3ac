"""The official Python SDK's clocks and threads, made the test's own.

An app that runs in this process computes when a sleep or a delayed send is due from the machine's
clock. The engine must store that moment in the test's time, to the millisecond: times would differ
from run to run otherwise. So the SDK is listened to: which lengths of time the handler asked for.
`ctx.time()` tells the test's time.

The SDK runs steps that are no coroutines in threads. Which of two ends first would decide about
the order of all that follows. So the loop waits for such a step, as long as it is short: it stays
in its thread, where it may block and even run a loop of its own, and the order is always the same.

Nothing changes outside exchanges of the kit. An app that does not use the SDK is understood by
arithmetic: the length is the roundest one that fits.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

from steadfaas.testing.patches import Patches

_SEND_DELAY: Final = 4  # position of `delay` among the arguments of `sys_send`
# A clock that is set while a test runs moves by more than this (ms).
_TOLERANCE: Final = 5
# How long the loop stands still for a step in a thread (seconds). One that takes longer perhaps
# waits for the loop itself: for a server of the test's, say.
_SHORT_STEP: Final = 0.25


class Lengths:
    """The lengths of time that a handler asked for in one exchange, in order, in ms."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now  # ms of the test's clock
        self._began = _machine_time()
        self._noted: list[int] = []

    def note(self, milliseconds: int) -> None:
        """The handler asks for one more."""
        self._noted.append(milliseconds)

    def take(self, due: int) -> int:
        """The length behind the next moment in the answer, `due` by the machine's clock."""
        shortest, longest = due - _machine_time(), due - self._began
        if self._noted:
            noted = self._noted.pop(0)
            if shortest - _TOLERANCE <= noted <= longest + _TOLERANCE:
                return noted
        return _roundest(shortest, longest)


CURRENT: Final[ContextVar[Lengths | None]] = ContextVar("steadfaas_lengths", default=None)
_patches: Final = Patches()


def hold() -> None:
    """Listen to the SDK, if it is there, until `release`."""
    if _patches.hold() and "restate.vm" in sys.modules:
        from restate import server_context
        from restate.vm import VMWrapper

        _patches.set(VMWrapper, "sys_sleep", _sleeping(VMWrapper.sys_sleep))
        _patches.set(VMWrapper, "sys_send", _sending(VMWrapper.sys_send))
        context = server_context.ServerInvocationContext
        _patches.set(context, "create_run_coroutine", _running(context.create_run_coroutine))
        _patches.set(server_context, "time", SimpleNamespace(**{**vars(time), "time": _time}))


def release() -> None:
    """Stop listening."""
    _patches.release()


def _sleeping(real: Callable[..., Any]) -> Callable[..., Any]:
    def sys_sleep(vm: Any, millis: int, *args: Any, **kwargs: Any) -> Any:
        lengths = CURRENT.get()
        if lengths is not None and not vm.is_replaying():
            lengths.note(millis)
        return real(vm, millis, *args, **kwargs)

    return sys_sleep


def _sending(real: Callable[..., Any]) -> Callable[..., Any]:
    def sys_send(vm: Any, *args: Any, **kwargs: Any) -> Any:
        lengths = CURRENT.get()
        delay = args[_SEND_DELAY] if len(args) > _SEND_DELAY else kwargs.get("delay")
        if lengths is not None and delay is not None and not vm.is_replaying():
            lengths.note(delay)
        return real(vm, *args, **kwargs)

    return sys_send


def _running(real: Callable[..., Any]) -> Callable[..., Any]:
    def create_run_coroutine(context: Any, handle: int, action: Any, *args: Any) -> Any:
        if CURRENT.get() is not None and not inspect.iscoroutinefunction(action):
            return real(context, handle, _in_a_thread(action), *args)
        return real(context, handle, action, *args)

    return create_run_coroutine


def _in_a_thread(action: Callable[[], Any]) -> Callable[[], Any]:
    async def step() -> Any:
        done: Future[Any] = _threads().submit(copy_context().run, action)
        wait([done], _SHORT_STEP)  # on purpose, the loop stands still here: see above
        return done.result() if done.done() else await asyncio.wrap_future(done)

    return step


@cache
def _threads() -> ThreadPoolExecutor:
    """One pool for the whole process; its threads start with the steps that need them."""
    return ThreadPoolExecutor(32, "steadfaas-step")


def _time() -> float:
    lengths = CURRENT.get()
    return time.time() if lengths is None else lengths.now() / 1000


def _machine_time() -> int:
    return time.time_ns() // 1_000_000


def _roundest(shortest: int, longest: int) -> int:
    """The number from `shortest` to `longest` that a person would have chosen."""
    for unit in (86_400_000, 3_600_000, 60_000, 1000, 100, 10):
        round_one = longest // unit * unit
        if round_one >= shortest:
            return round_one
    return longest
