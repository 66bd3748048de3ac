"""The line of a key, whatever TOML it is written in."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadfaas.config.locate import lines_of
from steadfaas.config.problems import KeyPath

# Text, key, line.
TABLE: list[tuple[str, KeyPath, int]] = [
    ("a = 1", ("a",), 1),
    ("\n# a = 1\na = 2", ("a",), 3),
    ("a = 1\r\nb = 2\r\n", ("b",), 2),
    ("\ta\t=\t1 # b = 2\nb = 3", ("b",), 2),
    ("[a]\nb = 1\n[c]\nb = 2", ("c", "b"), 4),
    ("[a]\nb = 1\n[c]\nb = 2", ("c",), 3),
    ("[ a . b ]\nc = 1", ("a", "b", "c"), 2),
    ("[ a . b ]\nc = 1", ("a",), 1),
    ("[a.b]\n[a]\nc = 1", ("a", "c"), 3),
    ("[[a]]\nb = 1\n[[a]]\nb = 2", ("a", 1, "b"), 4),
    ("[[a]]\nb = 1\n[[a]]\nb = 2", ("a", 1), 3),
    ("[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\nc = 2", ("a", 1, "b", "c"), 6),
    ("[[a]]\n[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n[[a]]\n[[a.b]]\nc = 3", ("a", 1, "b", 0, "c"), 8),
    ("a.b.c = 1\na.d = 2", ("a", "d"), 2),
    ("a . b = 1", ("a", "b"), 1),
    ('"a b"."c.d" = 1', ("a b", "c.d"), 1),
    ("\n'a\"b' = 1", ('a"b',), 2),
    ('"\\u0061\\"" = 1', ('a"',), 1),
    ('["x.y"]\n"=" = 1', ("x.y", "="), 2),
    ("a = { b = 1, c = { d = 2 } }", ("a", "c", "d"), 1),
    ("a = [\n  1,\n  2, # three\n  [\n    4,\n  ],\n]\nb = 5", ("a", 2, 0), 5),
    ("a = [\n  1,\n  2, # three\n  [\n    4,\n  ],\n]\nb = 5", ("b",), 8),
    ("a = [\n  { b = 1 },\n  { b = 2 },\n]", ("a", 1, "b"), 3),
    ('a = """\nb = 1\n[c]\n"""\nb = 2', ("b",), 5),
    ('a = """\\"""" # b = 1\nb = 2', ("b",), 2),
    ('a = """x"""""\nb = 2', ("b",), 2),
    ('a = """"""\nb = 2', ("b",), 2),
    ("a = '''\nb = 1'''''\nb = 2", ("b",), 3),
    ("a = '\\'\nb = 2", ("b",), 2),
    ('a = "]}#,\\""\nb = 2', ("b",), 2),
    ("a = 1979-05-27 07:32:00Z\nb = 2", ("b",), 2),
    ("a = -1_0.5e+3\nb = inf", ("b",), 2),
]


@pytest.mark.parametrize(("text", "key", "line"), TABLE)
def test_finds_the_line(text: str, key: KeyPath, line: int) -> None:
    lines = lines_of(text.replace("\r\n", "\n"))
    assert lines[key] == line
    assert lines.keys() == _keys(tomllib.loads(text))


def _keys(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """The paths of everything in a document."""
    inner: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        inner = enumerate(value)
    return {path[:length] for length in range(1, len(path) + 1)}.union(
        *(_keys(each, (*path, key)) for key, each in inner)
    )


class Writer:
    """Writes a document in one of many ways, and remembers the line of each key."""

    def __init__(self, data: st.DataObject) -> None:
        self.text = ""
        self.lines: dict[KeyPath, int] = {}
        self._data = data

    def table(self, table: dict[str, Any], path: KeyPath) -> None:
        """The values of a table, then its tables: TOML wants them in this order."""
        inline: list[tuple[str, Any]] = []
        below: list[tuple[str, Any]] = []
        for key, value in table.items():
            own = bool(value) and (isinstance(value, dict) or _all_tables(value))
            (below if own and self._flip() else inline).append((key, value))
        for key, value in inline:
            self._gap()
            self._mark((*path, key))
            self.text += f"{self._key(key)}{self._blank()}={self._blank()}"
            self._value(value, (*path, key))
            self.text += self._blank() + self._pick(["\n", " # [x]\n", " # y = '''\n"])
        for key, value in below:
            for number, each in enumerate(value if isinstance(value, list) else [value]):
                self._gap()
                self._mark((*path, key))
                here = (*path, key, number) if isinstance(value, list) else (*path, key)
                self._mark(here)
                name = ".".join(self._key(part) for part in here if isinstance(part, str))
                self.text += f"[[{name}]]\n" if isinstance(value, list) else f"[ {name} ]\n"
                self.table(each, here)

    def _value(self, value: Any, path: KeyPath) -> None:
        match value:
            case dict():
                self.text += "{"
                for number, (key, inner) in enumerate(value.items()):
                    self.text += ", " if number else " "
                    self._mark((*path, key))
                    self.text += f"{self._key(key)} = "
                    self._value(inner, (*path, key))
                self.text += " }"
            case list():
                self.text += "["
                for number, inner in enumerate(value):
                    self._gap()
                    self._mark((*path, number))
                    self._value(inner, (*path, number))
                    self.text += self._blank() + ","
                self._gap()
                self.text += "]"
            case str():
                self.text += self._string(value)
            case _:
                self.text += json.dumps(value)

    def _string(self, value: str) -> str:
        plain = _quoted(value)
        ways = [plain, f'""{plain}""', f'"""\n{plain[1:-1]}"""']
        if "'" not in value and value.isprintable():
            ways += [f"'{value}'", f"'''\n{value}'''", f"'''\n\n{value}\n'''"]
        return self._pick(ways)

    def _key(self, key: str) -> str:
        bare = key.isascii() and key.isalnum()
        return key if bare and self._flip() else _quoted(key)

    def _gap(self) -> None:
        self.text += self._pick(["", "\n", "# [no]\n", ' # k = """\n\n', "\t"])

    def _blank(self) -> str:
        return self._pick(["", " ", "\t "])

    def _mark(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def _flip(self) -> bool:
        return self._data.draw(st.booleans())

    def _pick(self, ways: list[str]) -> str:
        return self._data.draw(st.sampled_from(ways))


def _quoted(text: str) -> str:
    """As a basic string of TOML, which is JSON's but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _all_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


TEXT = st.text(
    st.one_of(st.sampled_from("abc =[]{}#,.'\"\\\n"), st.characters(exclude_categories=["Cs"])),
    max_size=6,
)
VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(TEXT, inner, max_size=3),
        st.lists(st.dictionaries(TEXT, inner, max_size=2), max_size=2),
    ),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.data())
def test_finds_every_key_of_any_document(document: dict[str, Any], data: st.DataObject) -> None:
    writer = Writer(data)
    writer.table(document, ())
    assert tomllib.loads(writer.text).keys() == document.keys()
    assert dict(lines_of(writer.text)) == writer.lines
