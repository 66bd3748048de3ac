"""Much at once: it all finishes, in order where order counts, and leaves no memory behind."""

from __future__ import annotations

import asyncio
import gc
import os
from datetime import timedelta
from pathlib import Path

import pytest
import restate

from steadfaas.store import invocations
from tests.runtime.in_process import World, code, eventually, run, world

SLEEPING = 1000
QUEUED = 10_000
KEYS = 64
# What a second round of the same load may add to the resident memory of the whole process, which
# is the engine, the handlers and the clients.
MARGIN = 12 * 1024 * 1024

pytestmark = pytest.mark.e2e


def _resident() -> int:
    """Bytes of memory in use, garbage collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Load:
    """Something to sleep in, and something to queue for; nothing is kept of what is done."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.seen: dict[str, list[int]] = {}
        self.service = service = restate.Service("Nap", journal_retention=timedelta(0))
        self.line = line = restate.VirtualObject("Line", journal_retention=timedelta(0))

        @service.handler()
        async def nap(ctx: restate.Context, milliseconds: int) -> int:
            await ctx.sleep(timedelta(milliseconds=milliseconds))
            return milliseconds

        @line.handler()
        async def add(ctx: restate.ObjectContext, number: int) -> int:
            await self.gate.wait()
            self.seen.setdefault(ctx.key(), []).append(number)
            total = (await ctx.get("total", type_hint=int) or 0) + 1
            ctx.set("total", total)
            return total


async def _sleep_together(here: World) -> None:
    """All of them sleep at the same moment: memory must not hold them."""
    ids = [await here.send("/Nap/nap", 2000) for _ in range(SLEEPING)]
    await eventually(lambda: not here.engine.open_exchanges)
    asleep = here.engine.store.reader.execute("SELECT count(*) FROM timer").fetchone()[0]
    assert asleep > SLEEPING // 4
    await here.check_books()
    assert not here.engine.ledger.lives
    for id in ids:
        # Done, and not kept: whoever attaches gets the result, or learns that it is gone.
        assert (await here.get(f"/restate/invocation/{id}/attach")).status in (200, 404)


async def _stand_in_line(here: World, load: Load, rounds: int) -> None:
    """All of them wait for their key before the first of them may go on."""
    load.gate.clear()

    async def one_at_a_time(keys: range) -> None:
        for number in range(QUEUED):
            if number % KEYS in keys:
                await here.send(f"/Line/k{number % KEYS}/add", number)

    await asyncio.gather(*(one_at_a_time(range(key, key + 4)) for key in range(0, KEYS, 4)))
    waiting = invocations.count_waiting(here.engine.store.reader)
    assert waiting == QUEUED - KEYS
    assert len(here.engine.ledger.lives) == KEYS
    load.gate.set()
    for key in range(KEYS):
        count = len(range(key, QUEUED, KEYS)) * rounds
        assert await here.call(f"/Line/k{key}/add", -1) == count + rounds
        assert load.seen.pop(f"k{key}") == [*range(key, QUEUED, KEYS), -1]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_flat_over_rounds_of_sleeping_and_queued_work(tmp_path: Path) -> None:
    async def test() -> None:
        load = Load()
        async with code(load.service, load.line) as endpoint, world(tmp_path, endpoint) as here:
            sizes = []
            for rounds in (1, 2, 3):
                await _sleep_together(here)
                await _stand_in_line(here, load, rounds)
                await here.idle()
                sizes.append(_resident())
            tables = ("invocation", "journal", "attempt", "inbox", "timer", "listener")
            for table in tables:
                rows = here.engine.store.reader.execute(f"SELECT count(*) FROM {table}").fetchone()
                assert rows == (0,), table
            print(f"resident after each round: {[size // 1024 for size in sizes]} KiB")
            assert sizes[2] - sizes[1] < MARGIN

    run(test(), seconds=300)
