"""How long a plan of many deployments takes: `python -m tests.bench.rollout`.

Entries on four platforms, each of whose answers (and each discovery) takes 50 ms. The engine and
every command are processes of their own. Beside each command somebody sends a small request to the
engine every 20 ms, and notes how long it took.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from steadfaas.testing import SteadfaasEngine
from tests.bench.procfs import cpu_seconds
from tests.support.four_platforms import PLATFORMS, FourPlatforms
from tests.support.npm import CHECKOUT
from tests.support.processes import PythonService

_EVERY_SECONDS = 0.02
_AGAIN = "plan, all new again"
_STEPS = {
    "(nothing)": [],
    "plan": ["plan"],
    "apply": ["apply"],
    "plan, unchanged": ["plan"],
    "apply, unchanged": ["apply"],
    _AGAIN: ["plan"],
    "apply, all new again": ["apply"],
    "gc --dry-run": ["gc", "--dry-run"],
    "status": ["status"],
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one command, in seconds. `requests`: median, 99th percentile and maximum of those beside
    it, in ms."""

    wall: float
    cpu: float
    engine_cpu: float
    requests: list[float]


def main() -> int:
    """Measure in a temporary folder, print, and drop it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rollout", description=__doc__)
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--latency", type=float, default=50.0, help="of each answer, in ms")
    parser.add_argument("--knock", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.knock:
        _knock(options.knock)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="bench-rollout-", dir=CHECKOUT))
    try:
        _measure(options.entries, options.latency / 1000, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _measure(entries: int, latency: float, folder: Path) -> None:
    print(f"{entries} deployments on {len(PLATFORMS)} platforms, {latency * 1000:g} ms an answer")
    with (
        FourPlatforms(entries, latency) as platforms,
        patch.dict(os.environ, platforms.env()),
        PythonService(folder) as service,
        SteadfaasEngine(folder / "engine") as engine,
    ):
        engine.deploy(service.url)
        file = folder / "steadfaas.toml"
        file.write_text(platforms.file("keep = 1\n"))
        table = Table("command", "s", "its CPU s", "engine CPU s", "request p50 / p99 / max ms")
        calls = Table("command", "discoveries (most at once)", *PLATFORMS)
        for title, words in _STEPS.items():
            if title == _AGAIN:
                platforms.publish()
            line = [*words, "--config", str(file)] if words else []
            platforms.reset()
            found = _figures(engine, line)
            requests = " / ".join(f"{each:.1f}" for each in found.requests)
            row = (f"{each:.2f}" for each in (found.wall, found.cpu, found.engine_cpu))
            table.add_row(title, *row, requests)
            paces = (platforms.discovery, *(platforms.paces[name] for name in PLATFORMS))
            calls.add_row(title, *(f"{pace.calls} ({pace.most})" for pace in paces))
        for each in (table, calls):
            Console(width=120).print(each)


def _figures(engine: SteadfaasEngine, words: list[str]) -> Figures:
    """Run a command (none: two seconds of nothing), and somebody who asks meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.rollout", "--knock", engine.ingress_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as knocking:
        assert knocking.stdout is not None
        knocking.stdout.readline()  # it has begun
        began, engine_cpu, cpu = time.perf_counter(), cpu_seconds(engine.pid), _children()
        if words:
            _run(engine, words)
        else:
            time.sleep(2.0)
        wall, cpu = time.perf_counter() - began, _children() - cpu
        engine_cpu = cpu_seconds(engine.pid) - engine_cpu
        told, _ = knocking.communicate()
    return Figures(wall, cpu, engine_cpu, *json.loads(told))


def _run(engine: SteadfaasEngine, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steadfaas", "--admin-url", engine.admin_url, *words],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{words}: {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- the process that asks ---------------------------------------------------------------------


def _knock(ingress: str) -> None:
    """Ask until the input ends; then print median, 99th percentile and maximum in ms."""
    address = urlsplit(ingress)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    times: list[float] = []
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], _EVERY_SECONDS)[0]:
        began = time.perf_counter()
        connection.request("POST", "/Basic/greet", b'"bench"', {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        times.append((time.perf_counter() - began) * 1000)
    print(json.dumps([[statistics.median(times), _percentile(times, 0.99), max(times)]]))


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


if __name__ == "__main__":
    sys.exit(main())
