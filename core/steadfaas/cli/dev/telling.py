"""What the command says: one line per event for people, one JSON object a line for programs."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Final

import typer

SHORT: Final = 7  # digits of a version that people see


class Teller:
    """Says what happens, from any thread. A reader who left is no reason to end."""

    def __init__(self, *, as_json: bool = False, write: Callable[[str], None] = typer.echo) -> None:
        self._as_json = as_json
        self._write = write
        self._lock = threading.Lock()
        self._told: dict[str, str] = {}

    def event(self, kind: str, text: str, version: str | None = None, **facts: object) -> None:
        """Something happened: `kind` and `facts` for programs, `text` for people."""
        if self._as_json:
            about = {} if version is None else {"version": version}
            self._line(json.dumps({"event": kind, **about, "text": text, **facts}))
        else:
            self._line(text if version is None else f"v {version[:SHORT]}  {text}")

    def once(self, key: str, kind: str, text: str, version: str, **facts: object) -> None:
        """An event, unless this was the last text about `key`."""
        if self._told.get(key) != text:
            self._told[key] = text
            self.event(kind, text, version, **facts)

    def forget(self, key: str) -> None:
        """Tell about it again, even if it is the same."""
        self._told.pop(key, None)

    def output(self, who: str, line: str) -> None:
        """A process of a version, or the engine, printed a line."""
        if self._as_json:
            self._line(json.dumps({"event": "output", "of": who, "line": line}))
        else:
            self._line(f"{who[:SHORT]} | {line}")

    def _line(self, text: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._write(text)
