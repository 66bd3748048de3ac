"""How commands print: tables and facts for people, JSON for scripts.

A table is drawn with rich on a terminal. Into a pipe it goes as plain columns of full width, so
that nothing an id or an address needs is cut off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import typer

Row = Sequence[str]


def print_json(value: object) -> None:
    """The value as indented JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Name and value pairs, aligned; those without a value are left out."""
    shown = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name.ljust(width)}  {value}")


def print_table(header: Row, rows: Sequence[Row], *, empty: str) -> None:
    """Rows under a header, or the sentence `empty` when there are none."""
    if not rows:
        typer.echo(empty)
    elif sys.stdout.isatty():
        _draw(header, rows)
    else:
        _write_columns(header, rows)


def plural(count: int, noun: str) -> str:
    """`1 invocation`, `2 invocations`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def first_line(text: object, limit: int = 80) -> str:
    """The first line of a text, cut to `limit` characters."""
    lines = str(text or "").splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def moment(text: object) -> str:
    """A timestamp of the API, cut to seconds: `2026-11-23T02:28:59.668000000Z` → `… 02:28:59`."""
    written = str(text or "")
    return f"{written[:10]} {written[11:19]}" if len(written) >= 19 else written


def _draw(header: Row, rows: Sequence[Row]) -> None:
    # Loaded here: most runs print into pipes or fail before they print.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def _write_columns(header: Row, rows: Sequence[Row]) -> None:
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
