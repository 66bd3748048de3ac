"""SIGKILL at any moment, again and again: nothing acknowledged is lost, nothing happens twice.

The engine is a real process and is killed at random moments of its life, some of them while it is
still recovering from the last kill. `STEADFAAS_CRASH_ROUNDS` sets the number of kills,
`STEADFAAS_CRASH_SEED` repeats the moments and the load of an earlier run (timing still differs),
and `STEADFAAS_CRASH_ENGINE=restate` runs the same test on the official server, as a check of the
test itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import npm
from tests.support.crash_evidence import Evidence, Executed, read_effects
from tests.support.crash_load import CrashLoad
from tests.support.processes import EngineServer, PythonService, RestateServer, SteadfaasServer

ROUNDS = int(os.environ.get("STEADFAAS_CRASH_ROUNDS", "8"))
CLIENTS = 16
SETTLE_SECONDS = 20.0


@dataclass(slots=True)
class _Run:
    kills: list[float]
    load: CrashLoad


@pytest.fixture
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> EngineServer:
    """The engine to be killed, not started yet."""
    if os.environ.get("STEADFAAS_CRASH_ENGINE") == "restate":
        parts: npm.NpmParts = request.getfixturevalue("npm_parts")
        return RestateServer(tmp_path, parts)
    return SteadfaasServer(tmp_path)


@pytest.mark.e2e
def test_nothing_acknowledged_is_lost_and_nothing_happens_twice(
    engine: EngineServer, tmp_path: Path
) -> None:
    seed = int(os.environ.get("STEADFAAS_CRASH_SEED", random.SystemRandom().randrange(10**6)))
    print(f"STEADFAAS_CRASH_SEED={seed} STEADFAAS_CRASH_ROUNDS={ROUNDS}")
    evidence = Evidence()
    with PythonService(tmp_path) as service, engine:
        engine.register(service)
        run = asyncio.run(_kill_under_load(engine, seed, evidence))
        evidence.executed = read_effects(service.effects_path, run.kills)
    print(
        f"{len(run.kills)} kills, {run.load.acknowledged} acknowledged, "
        f"{run.load.cut_off} cut off, {len(evidence.executed)} steps executed, "
        f"{sum(map(len, evidence.certain.values()))} ledger entries"
    )
    broken = evidence.violations()
    assert not broken, f"seed {seed}, {len(broken)} violations:\n" + "\n".join(broken[:20])
    # A run in which nothing much happened would prove nothing.
    assert run.load.acknowledged > 20 * ROUNDS
    assert run.load.cut_off > 0


async def _kill_under_load(engine: EngineServer, seed: int, evidence: Evidence) -> _Run:
    """Run the load, kill the engine `ROUNDS` times, and let everything finish."""
    moments = random.Random(seed)
    load = CrashLoad(engine.ingress, seed, evidence)
    enough = asyncio.Event()
    clients = asyncio.create_task(load.run(CLIENTS, enough))
    kills: list[float] = []
    try:
        for _ in range(ROUNDS):
            await asyncio.sleep(moments.uniform(0.2, 4.0))
            _kill(engine, kills)
            # Spawned on this thread: the engine is to die with it, not with a pool thread.
            engine.start()
            if moments.random() < 0.3:
                await asyncio.sleep(moments.uniform(0.02, 0.6))
                _kill(engine, kills)
                engine.start()
            await asyncio.to_thread(engine.wait_ready)
            if clients.done():
                break
        await asyncio.sleep(1.0)
    finally:
        enough.set()
        _, waiting = await asyncio.wait({clients}, timeout=SETTLE_SECONDS)
        clients.cancel()
    assert not waiting, f"clients still without an answer {SETTLE_SECONDS} s after the last kill"
    clients.result()
    await load.settle(SETTLE_SECONDS)
    return _Run(kills, load)


def _kill(engine: EngineServer, kills: list[float]) -> None:
    assert engine.running, f"{engine.name} ended by itself:\n{engine.log_tail()}"
    engine.kill()
    kills.append(time.time())


# The checks themselves, each against evidence with one planted breach. A crash test whose
# judgement cannot fail is worth nothing.


def _sound() -> Evidence:
    evidence = Evidence()
    evidence.results = [{"invocation": "i", "tokens": {"a": "t1", "b": "t2"}}]
    evidence.executed = [
        Executed("i", "a", "t0", {}, 0),  # Repeated after a kill: not committed yet.
        Executed("i", "a", "t1", {}, 1),
        Executed("i", "b", "t2", {"a": "t1"}, 1),
        Executed("i", "a", "t3", {}, 0),  # Late, by an attempt of the engine that was killed.
    ]
    evidence.certain["L"] = {"e1"}
    evidence.doubtful["L"] = {"e1", "e2", "e3"}
    evidence.ledgers["L"] = {"total": 2, "entry e1": 1, "entry e2": 1}
    evidence.totals["L"] = [1, 2]
    evidence.repeats = [("request", 1, 1)]
    return evidence


def _plant_unexecuted(evidence: Evidence) -> None:
    evidence.results.append({"invocation": "i", "tokens": {"c": "t9"}})


def _plant_second_commit(evidence: Evidence) -> None:
    evidence.executed.append(Executed("i", "c", "t4", {"a": "t0"}, 1))


def _plant_execution_after_commit(evidence: Evidence) -> None:
    evidence.executed.append(Executed("i", "a", "t4", {}, 1))


def _plant_lost_entry(evidence: Evidence) -> None:
    evidence.ledgers["L"] = {"total": 1, "entry e2": 1}


def _plant_doubled_entry(evidence: Evidence) -> None:
    evidence.ledgers["L"] = {"total": 3, "entry e1": 1, "entry e2": 2}


def _plant_unknown_entry(evidence: Evidence) -> None:
    evidence.ledgers["L"] |= {"total": 3, "entry e9": 1}


def _plant_lost_update(evidence: Evidence) -> None:
    evidence.ledgers["L"]["total"] = 1


def _plant_shared_total(evidence: Evidence) -> None:
    evidence.totals["L"].append(2)


def _plant_changed_answer(evidence: Evidence) -> None:
    evidence.repeats.append(("request", 1, 2))


def _plant_unfinished(evidence: Evidence) -> None:
    evidence.unfinished.append("inv_x: 404")


def _plant_refusal(evidence: Evidence) -> None:
    evidence.refused.append("/Crash/steps: HTTP 400")


def test_sound_evidence_has_no_violations() -> None:
    assert _sound().violations() == []


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (_plant_unexecuted, "never executed"),
        (_plant_second_commit, "shown 2 tokens"),
        (_plant_execution_after_commit, "executed step a again"),
        (_plant_lost_entry, "e1 counted 0 times"),
        (_plant_doubled_entry, "e2 counted 2 times"),
        (_plant_unknown_entry, "nobody sent e9"),
        (_plant_lost_update, "total 1, entries 2"),
        (_plant_shared_total, "share their total"),
        (_plant_changed_answer, "and later 2"),
        (_plant_unfinished, "without result"),
        (_plant_refusal, "unexpected answer"),
    ],
)
def test_each_breach_is_noticed(plant: Callable[[Evidence], None], expected: str) -> None:
    evidence = _sound()
    plant(evidence)
    broken = evidence.violations()
    assert len(broken) == 1, broken
    assert expected in broken[0]
