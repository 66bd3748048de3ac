"""The rounds: boot an engine, register the handlers, put every scenario on it, stop it."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.load import Measured, Order, measure
from tests.bench.procfs import resident_bytes
from tests.bench.scenarios import Scenario
from tests.support.ports import LOOPBACK
from tests.support.processes import EngineServer, NotReady, PythonService

MakeEngine = Callable[[Path], EngineServer]


@dataclass(slots=True)
class Samples:
    """What the rounds gave for one engine. Times in seconds, memory in bytes."""

    boot: list[float] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    scenarios: dict[str, list[Measured]] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one scenario on one engine; CPU in milliseconds per request."""

    rate: float
    p50: float
    p99: float
    cpu: float
    service_cpu: float
    load_share: float
    failures: int


def run_rounds(
    engines: dict[str, MakeEngine],
    scenarios: list[Scenario],
    *,
    rounds: int,
    seconds: float,
    warmup: float,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, Samples]:
    """Measure every engine `rounds` times, taking turns, with one endpoint process for all."""
    samples = {name: Samples() for name in engines}
    with PythonService(folder) as service:
        for number in range(rounds):
            # Every other round in reverse: who comes first meets a colder machine.
            order = list(engines) if number % 2 == 0 else list(reversed(engines))
            for name in order:
                say(f"round {number + 1} of {rounds}: {name}")
                work = folder / f"{name}-{number}"
                try:
                    _one_round(
                        engines[name](work), service, scenarios, seconds, warmup, samples[name]
                    )
                except (NotReady, AssertionError, OSError, RuntimeError) as error:
                    samples[name].trouble.append(f"round {number + 1}: {error}")
                finally:
                    shutil.rmtree(work, ignore_errors=True)
    return samples


def _one_round(
    engine: EngineServer,
    service: PythonService,
    scenarios: list[Scenario],
    seconds: float,
    warmup: float,
    samples: Samples,
) -> None:
    with engine:
        samples.boot.append(engine.boot_seconds)
        engine.register(service)
        time.sleep(1.0)
        samples.idle.append(resident_bytes(engine.pid))
        host = f"{LOOPBACK}:{engine.ingress_port}"
        watch = {"engine": engine.pid, "service": service.pid}
        for scenario in scenarios:
            requests = [raw.decode("latin-1") for raw in scenario.make(host)]
            order = Order(
                host=LOOPBACK,
                port=engine.ingress_port,
                connections=scenario.connections,
                warmup=warmup,
                seconds=seconds,
                requests=requests,
                watch=watch,
            )
            samples.scenarios.setdefault(scenario.name, []).append(measure(order))
        samples.after.append(resident_bytes(engine.pid))


def medians(measured: list[Measured]) -> Row | None:
    """The medians over the rounds, or None where no round completed a request."""
    good = [one for one in measured if one.completed]
    if not good:
        return None
    return Row(
        rate=statistics.median(one.rate for one in good),
        p50=statistics.median(one.p50 for one in good),
        p99=statistics.median(one.p99 for one in good),
        cpu=statistics.median(_per_request(one, "engine") for one in good),
        service_cpu=statistics.median(_per_request(one, "service") for one in good),
        load_share=statistics.median(one.cpu["load"] / one.seconds for one in good),
        failures=sum(sum(one.failures.values()) for one in measured),
    )


def _per_request(one: Measured, process: str) -> float:
    return one.cpu[process] * 1000 / one.completed
