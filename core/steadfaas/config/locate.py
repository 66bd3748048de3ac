"""Finds the line of a key in TOML text, which the parser of the standard library does not tell.

It reads only text that the parser took, so it checks nothing: it follows headers, keys, strings,
tables and arrays just far enough to know where each begins.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from steadfaas.config.problems import KeyPath

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[^\s.=\]\"']+")
_BASIC: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL: Final = re.compile(r"'[^']*'")
# Up to two quotes may stand before the three that end it.
_LONG_BASIC: Final = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL)
_LONG_LITERAL: Final = re.compile(r"'''.*?'{3,5}", re.DOTALL)
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, on which each key, header and member of an array begins."""
    return _Reader(text).lines


class _Reader:
    """Walks once over the text."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._place = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._tables: dict[KeyPath, int] = {}  # arrays of tables, and how many they have so far
        self._document()

    def _document(self) -> None:
        here: KeyPath = ()
        while self._next() != "":
            here = self._header() if self._next() == "[" else self._pair(here)

    def _header(self) -> KeyPath:
        """Reads `[a.b]` or `[[a.b]]`; gives the path of the table that begins there."""
        line, many = self._line(), self._text.startswith("[[", self._place)
        self._place += 2 if many else 1
        *above, last = self._key()
        self._place += 2 if many else 1
        path: KeyPath = ()
        for part in above:
            path = self._inside((*path, part), line)
        path = (*path, last)
        if not many:
            return self._inside(path, line)
        self._tables[path] = self._tables.get(path, 0) + 1
        return self._inside(path, line)

    def _inside(self, path: KeyPath, line: int) -> KeyPath:
        """The path, and where an array of tables has it, that of its last table."""
        self.lines.setdefault(path, line)
        if path in self._tables:
            path = (*path, self._tables[path] - 1)
            self.lines.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        """Reads `key = value`; gives the path of the table back."""
        line, path = self._line(), table
        for part in self._key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._place += 1  # the sign
        self._value(path)
        return table

    def _key(self) -> list[str]:
        parts = []
        while True:
            parts.append(self._key_part())
            if self._next() != ".":
                return parts
            self._place += 1

    def _key_part(self) -> str:
        match self._next():
            case '"':
                return str(tomllib.loads(f"key = {self._take(_BASIC)}")["key"])
            case "'":
                return self._take(_LITERAL)[1:-1]
            case _:
                return self._take(_BARE_KEY)

    def _value(self, path: KeyPath) -> None:
        match self._next():
            case "{":
                self._members(path, "}")
            case "[":
                self._members(path, "]")
            case '"':
                long = self._text.startswith('"""', self._place)
                self._take(_LONG_BASIC if long else _BASIC)
            case "'":
                long = self._text.startswith("'''", self._place)
                self._take(_LONG_LITERAL if long else _LITERAL)
            case _:
                self._take(_SCALAR)

    def _members(self, path: KeyPath, end: str) -> None:
        self._place += 1
        number = 0
        while self._next() != end:
            if end == "}":
                self._pair(path)
            else:
                self.lines[(*path, number)] = self._line()
                self._value((*path, number))
                number += 1
            if self._next() == ",":
                self._place += 1
        self._place += 1

    def _next(self) -> str:
        """The next character that means something; empty at the end."""
        self._take(_BLANK)
        return self._text[self._place : self._place + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._place)
        if found is None:
            raise ValueError(f"not TOML at character {self._place}")
        self._place = found.end()
        return found[0]

    def _line(self) -> int:
        return bisect_left(self._ends, self._place) + 1
