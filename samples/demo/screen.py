"""What the demo shows: a story that grows, and where each order stands.

On a terminal both are drawn in place; anywhere else the story comes as plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_STYLE = {"v1": "cyan", "v2": "magenta"}


@dataclass
class Order:
    """One request of the demo and what is known about it."""

    name: str
    version: str  # that must do all of it
    seconds: float
    id: str = ""
    status: str = "not sent"
    attempts: list[dict[str, Any]] = field(default_factory=list)
    receipt: dict[str, Any] | None = None


class Screen:
    """Prints the story and keeps the orders' table up to date."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        # Which version a deployment is, for the eye: dp_… → v1.
        self.version_of: dict[str, str] = {}
        self._console = Console()
        if not self._console.is_terminal:
            self._console = Console(width=120)
        self._story: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=8, transient=True
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs; afterwards the story stays as printed lines."""
        if not self._console.is_terminal:
            yield
            return
        try:
            with self._live:
                yield
        finally:
            self._console.print(self._lines())

    def say(self, line: str) -> None:
        """Add a line to the story."""
        self._story.append((time.monotonic() - self._began, line))
        if not self._console.is_terminal:
            self._console.print(self._line(*self._story[-1]))

    def report(self) -> None:
        """Print for every order which version each attempt ran on."""
        self._console.print(self._table(), end="")

    def verdict(self, sentence: str, *, good: bool) -> None:
        """Print the last line."""
        mark = "✔" if good else "✘"
        self._console.print(Text(f"{mark} {sentence}", style="bold green" if good else "bold red"))

    def details(self, title: str, text: str) -> None:
        """Print a block of foreign text under a title."""
        self._console.print(Text(f"--- {title}", style="bold"))
        self._console.print(Text(text), soft_wrap=True)

    def _draw(self) -> RenderableType:
        title = Text("Every request finishes on the version that started it", style="bold")
        return Group(title, Padding(self._lines(), (1, 0)), self._table())

    def _lines(self) -> Text:
        return Text("\n").join(self._line(*entry) for entry in self._story)

    def _line(self, at: float, words: str) -> Text:
        line = Text.assemble((f"{at:5.1f} s  ", "dim"), words)
        for version, style in _STYLE.items():
            line.highlight_words([version], style)
        return line

    def _table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in ("ORDER", "STATUS", "ATTEMPTS", "DONE BY"):
            table.add_column(title)
        for order in self.orders:
            done_by = order.receipt["version"] if order.receipt else ""
            table.add_row(
                order.name,
                order.status,
                self._attempts(order),
                Text(done_by, style=_STYLE.get(done_by, "")),
            )
        return table

    def _attempts(self, order: Order) -> Text:
        """Where each attempt ran and how it ended, in order; equal neighbours are counted."""
        cells = []
        for (version, outcome), same in groupby(order.attempts, self._fate):
            count = len(list(same))
            cells.append(
                Text.assemble(
                    (version, _STYLE.get(version, "bold red")),
                    " ",
                    (outcome, "yellow" if outcome.startswith("RT") else ""),
                    f" x {count}" if count > 1 else "",
                )
            )
        return Text(", ").join(cells)

    def _fate(self, attempt: dict[str, Any]) -> tuple[str, str]:
        version = self.version_of.get(attempt.get("deployment_id") or "", "?")
        return version, attempt["outcome"]
