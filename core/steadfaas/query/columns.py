"""A table's columns: how SQLite has them, how conditions on them are said, how Arrow gets them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Protocol

import pyarrow as pa

from steadfaas import ids
from steadfaas.errors import RequestError
from steadfaas.query.clauses import FALSE, TRUE, Clause, every, negated, some
from steadfaas.query.conditions import Value

#: Takes the values of a column's parts, one list for each part, and the column's type.
Convert = Callable[..., pa.Array]
_LARGEST: Final = 2**63 - 1
_LONGEST_PATTERN: Final = 10_000
_BIGGEST_TEXT: Final = "\U0010ffff"


class QueryFailed(RequestError):
    """A statement cannot be answered. The message is the one Restate's clients look for."""

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(f"Datafusion error: {reason}", status=status)


def plain(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    """Values that Arrow takes as SQLite has them."""
    if pa.types.is_boolean(type):
        values = [None if value is None else bool(value) for value in values]
    return pa.array(values, type)


# --- conditions --------------------------------------------------------------------------------


class Matcher(Protocol):
    """Says conditions on a column in SQL, exactly. What it cannot say is None.

    `sql` is the column's expression.
    """

    def compare(self, sql: str, operator: str, value: Value) -> Clause | None:
        """The column beside a value."""
        ...

    def one_of(self, sql: str, values: Sequence[Value]) -> Clause | None:
        """The column is one of the values."""
        ...

    def like(self, sql: str, pattern: str) -> Clause | None:
        """The column matches a pattern."""
        ...


class Plain:
    """A column whose values are the same in SQLite and in Arrow."""

    def compare(self, sql: str, operator: str, value: Value) -> Clause | None:
        """The column beside a value."""
        return Clause(f"{sql} {operator} ?", (value,)) if _fits(value) else None

    def one_of(self, sql: str, values: Sequence[Value]) -> Clause | None:
        """The column is one of the values."""
        if not all(map(_fits, values)):
            return None
        return Clause(f"{sql} IN ({', '.join('?' * len(values))})", tuple(values))

    def like(self, sql: str, pattern: str) -> Clause | None:
        """The column matches a pattern."""
        return _glob(sql, pattern, sql)


class Ids:
    """Invocation ids: texts outside, bytes inside."""

    def compare(self, sql: str, operator: str, value: Value) -> Clause | None:
        """The column beside a value. Raises QueryFailed for what can be no id."""
        if operator not in ("=", "!="):
            return None
        return Clause(f"{sql} {operator} ?", (_raw_id(value),))

    def one_of(self, sql: str, values: Sequence[Value]) -> Clause | None:
        """The column is one of the values. Raises QueryFailed for what can be no id."""
        raw = [None if value is None else _raw_id(value) for value in values]
        return Clause(f"{sql} IN ({', '.join('?' * len(raw))})", tuple(raw))

    def like(self, sql: str, pattern: str) -> Clause | None:
        """The column matches a pattern."""
        return None


@dataclass(frozen=True, slots=True)
class Codes:
    """A number inside, a word outside. Whatever is asked can be decided word by word.

    Where `only` is given, the column has this one number in every row.
    """

    words: Mapping[int, str]
    only: int | None = None

    def compare(self, sql: str, operator: str, value: Value) -> Clause | None:
        """The column beside a value."""
        return self._those(sql, lambda word: _COMPARE[operator](word, value))

    def one_of(self, sql: str, values: Sequence[Value]) -> Clause | None:
        """The column is one of the values."""
        return None if None in values else self._those(sql, lambda word: word in values)

    def like(self, sql: str, pattern: str) -> Clause | None:
        """The column matches a pattern."""
        if "\\" in pattern:
            return None
        return self._those(sql, lambda word: bool(_pattern(pattern).fullmatch(word)))

    def _those(self, sql: str, test: Callable[[str], bool]) -> Clause:
        codes = [code for code, word in self.words.items() if test(word)]
        if self.only is not None:
            return TRUE if self.only in codes else FALSE
        if len(codes) in (0, len(self.words)):
            return TRUE if codes else FALSE
        return Clause(f"{sql} IN ({', '.join(map(str, codes))})")


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one.encode() < other.encode(),
    "<=": lambda one, other: one.encode() <= other.encode(),
    ">": lambda one, other: one.encode() > other.encode(),
    ">=": lambda one, other: one.encode() >= other.encode(),
}


class Names:
    """Bytes inside that are text outside, mostly; what is no UTF-8 is shown with a stand-in."""

    def compare(self, sql: str, operator: str, value: Value) -> Clause | None:
        """The column beside a value."""
        if operator not in ("=", "!=") or not _is_clean(value):
            return None
        return Clause(f"{sql} {operator} ?", (str(value).encode(),))

    def one_of(self, sql: str, values: Sequence[Value]) -> Clause | None:
        """The column is one of the values."""
        if not all(map(_is_clean, values)):
            return None
        raw = tuple(str(value).encode() for value in values)
        return Clause(f"{sql} IN ({', '.join('?' * len(raw))})", raw)

    def like(self, sql: str, pattern: str) -> Clause | None:
        """The column matches a pattern."""
        return None


class Targets:
    """`service/handler` or `service/key/handler`, which are columns of their own inside.

    Neither a service nor a handler has a slash in its name; a key may have some.
    """

    def compare(self, sql: str, operator: str, value: Value) -> Clause | None:
        """The column beside a value."""
        if operator not in ("=", "!="):
            return Plain().compare(sql, operator, value)
        same = self._same(str(value))
        return same if operator == "=" else negated(same)

    def one_of(self, sql: str, values: Sequence[Value]) -> Clause | None:
        """The column is one of the values."""
        return None if None in values else some(self._same(str(value)) for value in values)

    def _same(self, target: str) -> Clause:
        service, slash, rest = target.partition("/")
        key, second, handler = rest.rpartition("/")
        if not slash:
            return FALSE
        # IS and not =: a key that is not there is different from another, and not unknown.
        return Clause(
            "i.service = ? AND i.handler = ? AND i.key IS ?",
            (service, handler, key if second else None),
        )

    def like(self, sql: str, pattern: str) -> Clause | None:
        """The column matches a pattern."""
        prefix = re.split(r"[%_\\]", pattern, maxsplit=1)[0]
        if prefix == pattern:
            return self._same(pattern)
        service, slash, rest = pattern.partition("/")
        if slash and rest == "%" and service == prefix[:-1]:
            return Clause("i.service = ?", (service,))
        matches = _glob(sql, pattern, "i.key")
        return None if matches is None else every([*self._services(prefix), matches])

    def _services(self, prefix: str) -> list[Clause]:
        """What follows for the service from the beginning of the target: an index knows that."""
        service, slash, _ = prefix.partition("/")
        if slash:
            return [Clause("i.service = ?", (service,))]
        if not service:
            return []
        return [Clause("i.service >= ? AND i.service < ?", (service, service + _BIGGEST_TEXT))]


def _fits(value: Value) -> bool:
    return not isinstance(value, int) or -_LARGEST <= value <= _LARGEST


def _is_clean(value: Value) -> bool:
    return isinstance(value, str) and "\ufffd" not in value


def _raw_id(value: Value) -> bytes:
    try:
        return ids.parse_invocation(str(value))
    except ids.InvalidId:
        raise QueryFailed("External error: non valid invocation id") from None


def _glob(sql: str, pattern: str, might_hold_nul: str) -> Clause | None:
    """LIKE, with regard to case. SQLite's GLOB does that in the same way, but ends texts at NUL."""
    if "\\" in pattern or "\0" in pattern or len(pattern) > _LONGEST_PATTERN:
        return None
    return Clause(
        f"CASE WHEN instr({might_hold_nul}, char(0)) THEN matches(?, {sql}) ELSE {sql} GLOB ? END",
        (pattern, pattern.translate(_AS_GLOB)),
    )


_AS_GLOB: Final = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def matches(pattern: str, text: str | None) -> bool | None:
    """Whether a text matches a LIKE pattern without escapes: the SQL function of this name."""
    return None if text is None else bool(_pattern(pattern).fullmatch(text))


@lru_cache(maxsize=64)
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(c) or re.escape(c) for c in pattern), re.DOTALL)


# --- columns -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """How one column of a table is had.

    `parts` are SQL expressions, `convert` makes an Arrow array of their values. `matcher` says
    conditions on the first of them, or on `said_of`. `ordered`: the first part is never NULL and
    sorts as the column does.
    """

    parts: tuple[str, ...]
    convert: Convert = plain
    matcher: Matcher | None = field(default_factory=Plain)
    said_of: str | None = None
    ordered: bool = False

    @property
    def sql(self) -> str:
        """The expression that conditions are said of."""
        return self.said_of or self.parts[0]


def column(sql: str, *, ordered: bool = False) -> Column:
    """A column that is the same in SQLite and in Arrow."""
    return Column((sql,), ordered=ordered)


NOTHING: Final = column("NULL")
