"""Progress of long work, on standard error: one line that changes, or a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

import typer

# How often a log file, where nothing can be overwritten, gets a line.
_SECONDS_BETWEEN_LINES: Final = 10.0


class Progress:
    """Shows the latest text. Leaves nothing behind on a terminal.

    Elsewhere quick work leaves nothing either, unless the first text is to be shown `at_once`.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ""
        self._next_line_at = time.monotonic() + (0 if at_once else _SECONDS_BETWEEN_LINES)

    def show(self, text: str) -> None:
        """Replace what is shown."""
        if text == self._shown:
            return
        if self._terminal:
            typer.echo(f"\r\x1b[K{text}", nl=False, err=True)
        elif self._is_due():
            typer.echo(text, err=True)
        self._shown = text

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next_line_at:
            return False
        self._next_line_at = now + _SECONDS_BETWEEN_LINES
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal and self._shown:
            typer.echo("\r\x1b[K", nl=False, err=True)
