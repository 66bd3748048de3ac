"""What changed between alternatives: types, single values, and which alternative became which.

One side's alternative is *covered* if some alternative of the other side takes all of it. What is
covered lost nothing, however it is written now. The others are paired, the most alike first, and
the differences of a pair are told; what finds no partner is gone, or new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader
from steadfaas.rollout.allowed.changes import Change, below, different, looser, tighter
from steadfaas.rollout.allowed.json_values import member, show, show_all
from steadfaas.rollout.allowed.members import holds, some, tagged_apart
from steadfaas.rollout.allowed.paths import alternative
from steadfaas.rollout.allowed.rules import numbers

Differ = Callable[[Alternative, Alternative], list[Change]]

_NOUNS: Final = {
    "null": "null",
    "boolean": "a boolean",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
}


@dataclass(frozen=True, slots=True)
class _Group:
    """The alternatives of one type: those that are nothing but certain values, and the others."""

    all: tuple[Alternative, ...]
    values: tuple[Any, ...]
    others: tuple[Alternative, ...]

    def __str__(self) -> str:
        type = self.all[0].type
        if not self.others and not (type in ("null", "boolean") and _is_whole(type, self.values)):
            return show_all(self.values)
        if type == "number" and all(numbers(each).step == 1 for each in self.others):
            return "an integer"
        return _NOUNS[type]


_Groups = dict[str, _Group]


def union_changes(
    reader: Reader, before: Sequence[Alternative], after: Sequence[Alternative], differ: Differ
) -> list[Change]:
    """What changed between two lists of alternatives in the types that both have. Raises
    Unclear."""
    old, new = _groups(reader, before), _groups(reader, after)
    changes: list[Change] = []
    for type in _NOUNS:
        if type in old and type in new:
            changes += _values(reader, old[type], new[type])
            changes += _others(reader, old[type], new[type], differ)
    return changes


def _groups(reader: Reader, alternatives: Sequence[Alternative]) -> _Groups:
    groups: _Groups = {}
    for each in alternatives:
        group = groups.get(each.type, _Group((), (), ()))
        verdicts = [(value, holds(reader, each, value)) for value in each.values or ()]
        if each.values is None or any(verdict is None for _, verdict in verdicts):
            values, others = group.values, (*group.others, each)
        else:
            more = [value for value, sure in verdicts if sure and not member(value, group.values)]
            values, others = (*group.values, *more), group.others
        if values or others:
            groups[each.type] = _Group((*group.all, each), values, others)
    return groups


# --- types -------------------------------------------------------------------------------------


def type_changes(
    reader: Reader, before: Sequence[Alternative], after: Sequence[Alternative]
) -> list[Change]:
    """Which types came or went. Raises Unclear."""
    old, new = _groups(reader, before), _groups(reader, after)
    lost, won = old.keys() - new.keys(), new.keys() - old.keys()
    if not lost and not won:
        return []
    if not old:
        return [looser("is allowed now")]
    if not new:
        return [tighter("is no longer allowed")]
    if lost and won:
        return [different(f"must be {_any_of(new)} now, was {_any_of(old)}")]
    if won:
        return [looser(f"may be {_any_of(new, won)} now")]
    if _any_of(old) == _ANYTHING:
        return [tighter(f"must be {_any_of(new)} now, was anything")]
    return [tighter(f"may no longer be {_any_of(old, lost)}")]


_ANYTHING: Final = "anything"


def _any_of(groups: _Groups, types: set[str] | None = None) -> str:
    if len(groups) == len(_NOUNS):
        return _ANYTHING
    *some, last = [
        str(groups[type]) for type in _NOUNS if type in (groups if types is None else types)
    ]
    return f"{', '.join(some)} or {last}" if some else last


def _is_whole(type: str, values: Sequence[Any]) -> bool:
    return len(values) == {"null": 1, "boolean": 2}[type]


# --- values ------------------------------------------------------------------------------------


def _values(reader: Reader, old: _Group, new: _Group) -> Iterator[Change]:
    lost, unsure = _missing(reader, old.values, new)
    if lost:
        yield tighter(f"no longer allows {show_all(lost)}")
    if unsure:
        yield Change(f"may no longer allow {show_all(unsure)}", rejects=None, allows=False)
    won, unsure = _missing(reader, new.values, old)
    if won:
        yield looser(f"allows {show_all(won)} now")
    if unsure:
        yield Change(f"may allow {show_all(unsure)} now", rejects=False, allows=None)


def _missing(reader: Reader, values: Sequence[Any], group: _Group) -> tuple[list[Any], list[Any]]:
    """The values that a group does not allow, and those of which that cannot be told."""
    verdicts = [(value, some(holds(reader, each, value) for each in group.all)) for value in values]
    return (
        [value for value, verdict in verdicts if verdict is False],
        [value for value, verdict in verdicts if verdict is None],
    )


# --- all other alternatives --------------------------------------------------------------------


def _others(reader: Reader, old: _Group, new: _Group, differ: Differ) -> list[Change]:
    was, now = _unknown_to(reader, old.others, new), _unknown_to(reader, new.others, old)
    if not was and not now:
        return []
    if not new.others:
        endless = any(each.values is None for each in was)
        said = f"allows only {show_all(new.values)} now"
        return [Change(said, rejects=True if endless else None, allows=False)]
    if not old.others:
        endless = any(each.values is None for each in now)
        said = f"is not limited to {show_all(old.values)} any more"
        return [Change(said, rejects=False, allows=True if endless else None)]
    if len(old.others) == len(new.others) == 1:
        return differ(old.others[0], new.others[0])
    return _Pairing(reader, old.others, new.others, differ).changes()


def _unknown_to(
    reader: Reader, alternatives: Sequence[Alternative], group: _Group
) -> list[Alternative]:
    """The alternatives without those whose values another group surely allows, one by one."""
    return [
        each
        for each in alternatives
        if each.values is None or any(_missing(reader, each.values, group))
    ]


class _Pairing:
    """Alternatives of one type, each side's compared with each of the other's."""

    def __init__(
        self,
        reader: Reader,
        old: Sequence[Alternative],
        new: Sequence[Alternative],
        differ: Differ,
    ) -> None:
        self._reader = reader
        self._old = old
        self._new = new
        self._table = [[differ(one, other) for other in new] for one in old]
        columns = [[row[place] for row in self._table] for place in range(len(new))]
        self._kept = [any(_rejects_nothing(cell) for cell in row) for row in self._table]
        self._known = [any(_allows_nothing(cell) for cell in column) for column in columns]
        self._settled_old = [[] in row for row in self._table]
        self._settled_new = [[] in column for column in columns]

    def changes(self) -> list[Change]:
        """What changed in all of them."""
        found: list[Change] = []
        paired_old, paired_new = set(), set()
        for row, column in self._alike():
            if row in paired_old or column in paired_new:
                continue
            paired_old.add(row)
            paired_new.add(column)
            step = alternative(_label(self._new[column]))
            found += below(step, self._told(row, column))
        found += [
            self._lost(row)
            for row in range(len(self._old))
            if row not in paired_old and not self._kept[row]
        ]
        found += [
            self._won(column)
            for column in range(len(self._new))
            if column not in paired_new and not self._known[column]
        ]
        return found

    def _alike(self) -> list[tuple[int, int]]:
        """The pairs that may be one alternative before and after, the most alike first."""
        pairs = [
            (row, column)
            for row, old in enumerate(self._old)
            for column, new in enumerate(self._new)
            if not self._settled_old[row]
            and not self._settled_new[column]
            and not tagged_apart(self._reader, old, new)
        ]
        return sorted(pairs, key=lambda pair: self._distance(*pair))

    def _distance(self, row: int, column: int) -> tuple[bool, int]:
        renamed = _label(self._old[row]) != _label(self._new[column])
        return renamed, len(self._table[row][column])

    def _told(self, row: int, column: int) -> Iterator[Change]:
        for change in self._table[row][column]:
            rejects = False if self._kept[row] else change.rejects
            allows = False if self._known[column] else change.allows
            if rejects is not False or allows is not False:
                yield replace(change, rejects=rejects, allows=allows)

    def _lost(self, row: int) -> Change:
        said = f"no longer allows {_described(self._old[row])}"
        sure = all(any(change.rejects for change in cell) for cell in self._table[row])
        return Change(said, rejects=True if sure else None, allows=False)

    def _won(self, column: int) -> Change:
        said = f"allows {_described(self._new[column])} now"
        sure = all(any(change.allows for change in row[column]) for row in self._table)
        return Change(said, rejects=False, allows=True if sure else None)


def _rejects_nothing(changes: list[Change]) -> bool:
    return all(change.rejects is False for change in changes)


def _allows_nothing(changes: list[Change]) -> bool:
    return all(change.allows is False for change in changes)


def _label(each: Alternative) -> str:
    """What people call an alternative: its title, the name that references give it, or its tag."""
    own = [place for place in each.places if not place.value.keys() & {"anyOf", "oneOf"}]
    for place in reversed(own):
        title, reference = place.value.get("title"), place.value.get("$ref")
        if isinstance(title, str):
            return title
        if isinstance(reference, str) and "/" in reference:
            return reference.rpartition("/")[2]
    tags = (
        f"{name}={show(schema['const'])}"
        for place in own
        for name, schema in place.value.get("properties", {}).items()
        if isinstance(schema, dict) and "const" in schema
    )
    return next(tags, each.type)


def _described(each: Alternative) -> str:
    label = _label(each)
    return _NOUNS[each.type] if label == each.type else f"{_NOUNS[each.type]} ({label})"
