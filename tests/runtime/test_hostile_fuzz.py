"""Random answers against the whole engine, with restarts between.

The seed is printed, and `STEADFAAS_FUZZ_SEED` sets it; `STEADFAAS_FUZZ_SECONDS` makes a longer run.

What must hold, whatever an endpoint answers: well-behaved work goes on beside it; the engine logs
no error of its own; the store is whole whenever the engine is down; and once the endpoint behaves,
everything that was begun comes to an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from steadfaas import ids
from steadfaas.machine.status import Status
from steadfaas.store.sqlite import FILE_NAME
from tests.runtime.endpoint import Endpoint, Exchange, complete, run
from tests.runtime.hostile_random import Fuzz
from tests.runtime.hostile_world import (
    FLOW,
    OBJECT,
    PLAIN,
    SERVICES,
    Control,
    World,
    check_store,
    eventually,
    fine,
    hostile,
    path_of,
    running,
)

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("STEADFAAS_FUZZ_SECONDS", "6"))
SEED = os.environ.get("STEADFAAS_FUZZ_SEED") or secrets.token_hex(4)
AT_ONCE = 12  # workers
PER_LIFE = 3.0  # seconds between restarts


class Load:
    """Sends requests for random handlers, and acts on them at random, as operators would."""

    def __init__(self, world: World, random: Random, begun: int) -> None:
        self._world = world
        self._random = random
        self.begun = begun

    async def keep_up(self, seconds: float) -> None:
        """Several workers, for this long."""
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._work(end) for _ in range(AT_ONCE)))

    async def _work(self, end: float) -> None:
        sent: list[str] = []
        while asyncio.get_running_loop().time() < end:
            sent.append(await self._send())
            if self._random.random() < 0.15:
                action = self._random.choice(("cancel", "kill"))
                status = await self._world.act(self._random.choice(sent), action)
                assert status in (200, 202, 404, 409, 425), (action, status)
            await self._world.describe_if_there(self._random.choice(sent))
            await asyncio.sleep(self._random.random() * 0.2)

    async def _send(self) -> str:
        self.begun += 1
        kind = self._random.choice((PLAIN, PLAIN, OBJECT, FLOW))
        key = f"{self.begun}" if kind == FLOW else f"{self._random.randrange(20)}"
        handler = "look" if kind != PLAIN and self._random.random() < 0.2 else "run"
        return await self._world.send(path_of(kind, key, handler), f"fuzz {self.begun}".encode())


def unfinished(data_dir: Path) -> list[str]:
    """What a stopped engine would go on with, but for what waits for a time that never comes."""
    with contextlib.closing(sqlite3.connect(data_dir / FILE_NAME)) as database:
        rows = database.execute(
            "SELECT id FROM invocation WHERE status < 100 AND status != ?", (Status.SCHEDULED,)
        )
        return [ids.format_invocation(id) for (id,) in rows]


async def end_all(world: World, left: list[str]) -> None:
    """The endpoint behaves now: resume whatever waits, until everything has ended."""
    waiting = set(left)

    async def ended() -> bool:
        for id in list(waiting):
            seen = await world.describe_if_there(id)
            if seen is None or seen["status"] == "completed":
                waiting.discard(id)
            elif seen["status"] in ("suspended", "paused", "backing-off"):
                await world.act(id, "resume")
        return not waiting

    await eventually(ended, lambda: f"unfinished: {sorted(waiting)}", seconds=30 + len(left) / 50)


async def fuzz(data_dir: Path) -> Counter[str]:
    script, random, tally = Fuzz(SEED), Random(SEED), Counter[str]()
    left = SECONDS

    async def answer(exchange: Exchange) -> None:
        if not await fine(exchange):
            await script(exchange)

    async with Endpoint(*SERVICES, script=answer) as endpoint:
        while left > 0:
            async with hostile(data_dir, endpoint) as world:
                control, load = Control(world), Load(world, random, tally["begun"])
                async with control.beside():
                    await load.keep_up(min(left, PER_LIFE))
                tally["begun"] = load.begun
                tally["control"] += control.calls
            check_store(data_dir)
            tally["lives"] += 1
            tally["exchanges"] = len(endpoint.exchanges)
            left -= PER_LIFE
        endpoint.script = complete
        async with running(data_dir) as world:
            await end_all(world, unfinished(data_dir))
            await Control(world).once()
            await world.until_idle()
        assert unfinished(data_dir) == []
        check_store(data_dir)
        outcomes = count_outcomes(data_dir)
        print(f"seed {SEED}: {dict(tally)}; attempts {dict(outcomes)}")
        assert outcomes.keys() >= {"suspended", "RT0007", "RT0010", "RT0012"}
        assert not outcomes.keys() & {"RT0006", "RT0011", "RT0013"}
    return tally


def count_outcomes(data_dir: Path) -> Counter[str]:
    """How attempts ended, by outcome."""
    with contextlib.closing(sqlite3.connect(data_dir / FILE_NAME)) as database:
        rows = database.execute("SELECT outcome, count(*) FROM attempt GROUP BY outcome")
        return Counter(dict(rows.fetchall()))


def test_random_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nfuzz seed {SEED} (STEADFAAS_FUZZ_SEED), {SECONDS:g} s (STEADFAAS_FUZZ_SECONDS)")
    tally = run(fuzz(tmp_path), seconds=60 + 3 * SECONDS)
    assert tally["begun"] >= 20 * SECONDS
    assert tally["control"] >= 5 * SECONDS
