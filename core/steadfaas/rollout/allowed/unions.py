"""Which alternative of a type became which, and what changed in it.

One side's alternative is *covered* if some alternative of the other side takes all of it. What is
covered lost nothing, however it is written now. The others are paired, the most alike first, and
the differences of a pair are told; what finds no partner is gone, or new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader
from steadfaas.rollout.allowed.changes import Change, below, different
from steadfaas.rollout.allowed.groups import NOUNS, Group, missing
from steadfaas.rollout.allowed.json_values import show, show_all
from steadfaas.rollout.allowed.members import tagged_apart
from steadfaas.rollout.allowed.paths import alternative

Differ = Callable[[Alternative, Alternative], list[Change]]

# Objects with different tags are never one alternative before and after.
_APART: Final = different("has another tag now")


def union_changes(reader: Reader, old: Group, new: Group, differ: Differ) -> list[Change]:
    """What changed between the alternatives of a type, but for single values. Raises Unclear."""
    was, now = _unknown_to(reader, old.others, new), _unknown_to(reader, new.others, old)
    if not was and not now:
        return []
    if not new.others:
        endless = any(each.values is None for each in was)
        said = f"allows only {show_all(new.values.values())} now"
        return [Change(said, rejects=True if endless else None, allows=False)]
    if not old.others:
        endless = any(each.values is None for each in now)
        said = f"is not limited to {show_all(old.values.values())} any more"
        return [Change(said, rejects=False, allows=True if endless else None)]
    if len(old.others) == len(new.others) == 1:
        return differ(old.others[0], new.others[0])
    return _Pairing(reader, old.others, new.others, differ).changes()


def _unknown_to(
    reader: Reader, alternatives: Sequence[Alternative], group: Group
) -> list[Alternative]:
    """The alternatives without those whose values another group surely allows, one by one."""
    return [
        each
        for each in alternatives
        if each.values is None or any(missing(reader, each.values, group))
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
        self._old = old
        self._new = new
        self._table = [
            [[_APART] if tagged_apart(reader, one, other) else differ(one, other) for other in new]
            for one in old
        ]
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
            for row in range(len(self._old))
            for column in range(len(self._new))
            if not self._settled_old[row]
            and not self._settled_new[column]
            and self._table[row][column] != [_APART]
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
    return NOUNS[each.type] if label == each.type else f"{NOUNS[each.type]} ({label})"
