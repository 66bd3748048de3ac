"""What a batch of operations costs the requests beside it.

`python -m tests.bench.batches` lets ten thousand invocations sleep, puts a load of short requests
on the engine, first alone and then beside each batch, and compares the 99th percentiles.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.load import Measured, Order, measure
from tests.bench.scenarios import SCENARIOS
from tests.support import npm
from tests.support.ports import LOOPBACK
from tests.support.processes import PythonService, SteadfaasServer

_PAGE = 1000
_SENDERS = 32
# Each leaves what the next needs; for the last, everything is sent once more.
_OPERATIONS = ("pause", "resume", "cancel", "purge", "kill")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: what it counted, how long it took (seconds), and the load beside it."""

    operation: str
    counts: dict[str, int]
    seconds: float
    beside: Measured


def main() -> int:
    """Run it; 1 if a request beside a batch failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.batches", description=__doc__)
    parser.add_argument("--invocations", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time of each load")
    options = parser.parse_args()
    npm.CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=npm.CACHE))
    try:
        alone, batches = _run(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Console().print(_table(alone, batches))
    return int(any(one.beside.failures for one in batches))


def _run(folder: Path, options: argparse.Namespace) -> tuple[Measured, list[Batch]]:
    with PythonService(folder) as service, SteadfaasServer(folder / "engine") as engine:
        engine.register(service)
        _send_sleepers(engine.ingress_port, options.invocations)
        alone = _load(engine, options)
        batches = []
        for operation in _OPERATIONS:
            if operation == "kill":
                _send_sleepers(engine.ingress_port, options.invocations)
            with ThreadPoolExecutor(1) as beside:
                load = beside.submit(_load, engine, options)
                time.sleep(1.5)
                began = time.perf_counter()
                counts = _batch(engine.admin_port, operation)
                took = time.perf_counter() - began
                batches.append(Batch(operation, counts, took, load.result()))
        return alone, batches


def _load(engine: SteadfaasServer, options: argparse.Namespace) -> Measured:
    greet = SCENARIOS[0].make(f"{LOOPBACK}:{engine.ingress_port}")
    return measure(
        Order(
            host=LOOPBACK,
            port=engine.ingress_port,
            connections=options.connections,
            warmup=1.0,
            seconds=options.seconds,
            requests=[raw.decode("latin-1") for raw in greet],
        )
    )


def _send_sleepers(port: int, number: int) -> None:
    def send(share: int) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, port)
        for _ in range(share):
            connection.request("POST", "/Basic/sleepFor/send", b"3600000", _JSON)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202
        connection.close()

    with ThreadPoolExecutor(_SENDERS) as senders:
        list(senders.map(send, [number // _SENDERS] * _SENDERS))


_JSON = {"content-type": "application/json"}


def _batch(port: int, operation: str) -> dict[str, int]:
    counts = {"matched": 0, "done": 0, "accepted": 0, "refused": 0}
    body: dict[str, Any] = {"operation": operation, "limit": _PAGE}
    body["filter"] = {"service": "Basic", "handler": "sleepFor"}
    while True:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        connection.request("POST", "/invocations/batch", json.dumps(body).encode(), _JSON)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        assert response.status == 200, answer
        for name in counts:
            counts[name] += answer[name]
        if "next" not in answer:
            return counts
        body["after"] = answer["next"]


def _table(alone: Measured, batches: list[Batch]) -> Table:
    table = Table("load beside", "counts", "s", "requests/s", "p50 ms", "p99 ms", "p99 x")
    table.add_row(
        "nothing", "", "", f"{alone.rate:.0f}", f"{alone.p50:.2f}", f"{alone.p99:.2f}", "1.00"
    )
    for one in batches:
        counts = " ".join(f"{name}={count}" for name, count in one.counts.items())
        table.add_row(
            one.operation, counts, f"{one.seconds:.1f}", f"{one.beside.rate:.0f}",
            f"{one.beside.p50:.2f}", f"{one.beside.p99:.2f}",
            f"{one.beside.p99 / alone.p99:.2f}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
