"""What blocks runs beside the loop, and keeps nothing and nobody from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading

import pytest

from steadfaas_adapters.aws_lambda import threads
from steadfaas_adapters.aws_lambda.threads import in_thread
from tests.deployments.world import run


def test_results_and_errors_come_back() -> None:
    async def test() -> None:
        assert await in_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 7, 0)

    run(test())


def test_more_may_hang_than_the_pool_of_asyncio_has_threads() -> None:
    async def test() -> None:
        gate = threading.Event()
        hanging = [asyncio.ensure_future(in_thread(gate.wait, 5)) for _ in range(50)]
        await asyncio.sleep(0)
        assert await in_thread(lambda: "done") == "done"
        assert await asyncio.to_thread(lambda: "done") == "done"
        gate.set()
        assert all(await asyncio.gather(*hanging))

    run(test())


def test_what_comes_later_waits_for_no_new_thread() -> None:
    async def test() -> None:
        first = await in_thread(threading.current_thread)
        assert first is not threading.main_thread()
        for _ in range(5):
            assert await in_thread(threading.current_thread) is first
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 1, 0)
        assert await in_thread(threading.current_thread) is first

    threads._idle.clear()  # those of other tests
    run(test())


def test_threads_that_have_nothing_to_do_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        first = await in_thread(threading.current_thread)
        await asyncio.to_thread(first.join, 5)
        assert not first.is_alive()
        assert await in_thread(lambda: "done") == "done"

    monkeypatch.setattr(threads, "_IDLE_SECONDS", 0.05)
    threads._idle.clear()
    run(test())


def test_whoever_is_cancelled_does_not_wait() -> None:
    async def test() -> None:
        gate = threading.Event()
        waiting = asyncio.ensure_future(in_thread(gate.wait, 5))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not gate.is_set()
        gate.set()

    run(test())


def test_a_program_ends_although_a_call_hangs() -> None:
    program = textwrap.dedent("""
        import asyncio, threading
        from steadfaas_adapters.aws_lambda.threads import in_thread

        async def main():
            waiting = asyncio.ensure_future(in_thread(threading.Event().wait))
            await asyncio.sleep(0)

        asyncio.run(main())
        print("ended")
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
