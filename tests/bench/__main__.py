"""Command line of the benchmark."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.ceiling import ceiling
from tests.bench.durability import fdatasync_ms, restate_wal_settings
from tests.bench.report import as_json, busiest_load, process_table, scenario_table
from tests.bench.run import MakeEngine, run_rounds
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.support import npm
from tests.support.processes import RestateServer, SteadfaasServer

ENGINES = ("steadfaas", "restate")


def main() -> int:
    """Run the benchmark; 1 when an engine failed a round or answered anything but 200."""
    options = _parser().parse_args()
    if not sys.platform.startswith("linux"):
        print("the benchmark reads /proc and runs on Linux only", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 170)
    # In the checkout: a temporary folder may be in memory, where durability costs nothing.
    npm.CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=npm.CACHE))
    try:
        return _run(options, console, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(options: argparse.Namespace, console: Console, folder: Path) -> int:
    engines, context = _engines(options.engines, console, folder)
    if not engines:
        console.print("nothing to measure")
        return 1
    context |= _context(console, folder)
    samples = run_rounds(
        engines,
        options.only,
        rounds=options.rounds,
        seconds=options.seconds,
        warmup=options.warmup,
        folder=folder,
        say=console.print,
    )
    console.print(scenario_table(samples))
    console.print(process_table(samples))
    console.print(f"load generator: at most {busiest_load(samples):.0%} of one core")
    trouble = [f"{name}: {text}" for name, one in samples.items() for text in one.trouble]
    for line in trouble:
        console.print(line, style="red", markup=False)
    if options.json:
        options.json.write_text(json.dumps(as_json(samples, context), indent=2) + "\n")
    failed = any(
        measured.failures
        for one in samples.values()
        for rounds in one.scenarios.values()
        for measured in rounds
    )
    return 1 if trouble or failed else 0


def _engines(
    wanted: list[str], console: Console, folder: Path
) -> tuple[dict[str, MakeEngine], dict[str, Any]]:
    engines: dict[str, MakeEngine] = {}
    context: dict[str, Any] = {}
    if "steadfaas" in wanted:
        engines["steadfaas"] = SteadfaasServer
        console.print("steadfaas: default durability (every commit synced)")
    if "restate" in wanted:
        parts = npm.install()
        if isinstance(parts, npm.Unavailable):
            console.print(f"restate-server is left out: {parts.reason}", style="yellow")
        else:
            found = parts
            engines["restate"] = lambda work: RestateServer(work, found)
            settings = restate_wal_settings(RestateServer(folder, parts))
            context["restate-server"] = {"version": npm.RESTATE_SERVER_VERSION, "wal": settings}
            console.print(f"restate-server {npm.RESTATE_SERVER_VERSION}: {settings}", markup=False)
    return engines, context


def _context(console: Console, folder: Path) -> dict[str, Any]:
    top = ceiling(seconds=2.0)
    sync = fdatasync_ms(folder)
    console.print(
        f"{os.cpu_count()} cores; fdatasync {sync:.2f} ms; "
        f"load generator alone: {top.rate:.0f} requests/s at 16 connections, "
        f"{top.cpu['load'] * 1000 / max(top.completed, 1):.3f} ms of CPU each"
    )
    return {"cores": os.cpu_count(), "fdatasync_ms": sync, "load_ceiling": top.rate}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per engine")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time per scenario")
    parser.add_argument("--warmup", type=float, default=1.0, help="unmeasured time before it")
    parser.add_argument(
        "--only",
        type=_scenarios,
        default=SCENARIOS,
        help="comma-separated parts of names: " + ", ".join(one.name for one in SCENARIOS),
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--engines",
        type=_engine_names,
        default=list(ENGINES),
        help=f"comma-separated: {', '.join(ENGINES)}",
    )
    return parser


def _scenarios(text: str) -> list[Scenario]:
    parts = text.split(",")
    chosen = [one for one in SCENARIOS if any(part in one.name for part in parts)]
    if not chosen:
        raise argparse.ArgumentTypeError(f"no scenario matches {text!r}")
    return chosen


def _engine_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(ENGINES):
        raise argparse.ArgumentTypeError(f"unknown engine: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
