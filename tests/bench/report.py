"""The tables people read, and the JSON that other programs read."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tests.bench.run import Row, Samples, medians

_FIGURES = (
    ("requests/s", "rate", 0),
    ("p50 ms", "p50", 2),
    ("p99 ms", "p99", 2),
    ("CPU ms", "cpu", 2),
)


def scenario_table(samples: dict[str, Samples]) -> Table:
    """One line per scenario; with two engines each figure is followed by first / second."""
    names = list(samples)
    title = "CPU ms: the engine's processes only, user + system, per completed request"
    if len(names) == 2:
        title += f"; ratio: {names[0]} / {names[1]}"
    table = Table(title=title)
    table.add_column("scenario", no_wrap=True)
    for figure, _, _ in _FIGURES:
        for name in names:
            table.add_column(f"{name}\n{figure}", justify="right", no_wrap=True)
        if len(names) == 2:
            table.add_column("ratio", justify="right", style="bold")
    table.add_column("not 200", justify="right")
    for scenario in _scenario_names(samples):
        rows = [medians(samples[name].scenarios.get(scenario, [])) for name in names]
        table.add_row(scenario, *_cells(rows))
    return table


def process_table(samples: dict[str, Samples]) -> Table:
    """Boot time and memory."""
    table = Table(title="boot: from spawn to health, empty data folder")
    for title in ("engine", "boot ms", "RSS idle MB", "RSS after MB"):
        table.add_column(title, justify="left" if title == "engine" else "right")
    figures = {name: _process_figures(one) for name, one in samples.items()}
    for name, values in figures.items():
        table.add_row(name, *(f"{value:.0f}" if value is not None else "-" for value in values))
    if len(figures) == 2:
        first, second = figures.values()
        table.add_row("ratio", *(_ratio(a, b) for a, b in zip(first, second, strict=True)))
    return table


def as_json(samples: dict[str, Samples], context: dict[str, Any]) -> dict[str, Any]:
    """Everything measured: the medians, and each round as it was."""
    return {
        "context": context,
        "medians": {
            name: {
                scenario: asdict(row)
                for scenario, measured in one.scenarios.items()
                if (row := medians(measured)) is not None
            }
            for name, one in samples.items()
        },
        "rounds": {name: asdict(one) for name, one in samples.items()},
    }


def busiest_load(samples: dict[str, Samples]) -> float:
    """The highest share of one core the load generator used in any scenario (median)."""
    rows = [
        row
        for one in samples.values()
        for measured in one.scenarios.values()
        if (row := medians(measured)) is not None
    ]
    return max((row.load_share for row in rows), default=0.0)


def _cells(rows: list[Row | None]) -> list[str]:
    cells = []
    for _, attribute, digits in _FIGURES:
        values = [getattr(row, attribute) if row else None for row in rows]
        cells += [f"{value:.{digits}f}" if value is not None else "-" for value in values]
        if len(values) == 2:
            cells.append(_ratio(values[0], values[1]))
    failures = sum(row.failures for row in rows if row)
    cells.append(f"[red]{failures}[/red]" if failures else "0")
    return cells


def _ratio(first: float | None, second: float | None) -> str:
    return f"{first / second:.2f}" if first is not None and second else "-"


def _scenario_names(samples: dict[str, Samples]) -> list[str]:
    names: dict[str, None] = {}
    for one in samples.values():
        names |= dict.fromkeys(one.scenarios)
    return list(names)


def _process_figures(one: Samples) -> list[float | None]:
    megabyte = 1_000_000
    return [
        _median([value * 1000 for value in one.boot]),
        _median([value / megabyte for value in one.idle]),
        _median([value / megabyte for value in one.after]),
    ]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
