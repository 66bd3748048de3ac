"""The walk through two schemas at once, place by place.

Models refer to themselves. A pair of alternatives that is met again while it is being compared is
taken to be equal: whatever differs in it is told where it was met first. What was found with the
help of such an assumption is not kept for later, because the assumption may turn out to be wrong.
"""

from __future__ import annotations

import sys
from typing import Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader
from steadfaas.rollout.allowed.changes import Change, looser, tighter, unclear
from steadfaas.rollout.allowed.containers import array_changes, object_changes
from steadfaas.rollout.allowed.documents import Place, PlaceId, Schema, Unclear
from steadfaas.rollout.allowed.json_values import member, show_all
from steadfaas.rollout.allowed.keywords import NEIGHBOURLY
from steadfaas.rollout.allowed.members import OpaqueRule, opaque_rules
from steadfaas.rollout.allowed.same import same, same_keywords
from steadfaas.rollout.allowed.scalars import format_changes, number_changes, string_changes
from steadfaas.rollout.allowed.unions import type_changes, union_changes

_DEEPEST: Final = 32
_MOST_STEPS: Final = 10_000

_Ids = tuple[str, tuple[PlaceId, ...]]
_Pair = tuple[_Ids, _Ids]
_NOTHING: Final = sys.maxsize


class TooLarge(Exception):
    """The comparison takes more steps than anybody should wait for."""


class Walk:
    """One comparison of two documents."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._steps = 0
        self._open: dict[_Pair, int] = {}  # pairs that are being compared, with their depth
        self._found: dict[_Pair, list[Change]] = {}
        self._leaned_on = _NOTHING  # the least depth that the present pair's answer assumes equal

    def compare(self, before: Schema, after: Schema) -> list[Change]:
        """What changed, with paths from here. Raises TooLarge."""
        self._count()
        try:
            old, new = self._reader.alternatives(before), self._reader.alternatives(after)
            changes = type_changes(self._reader, old, new)
            if changes and (_is_anything(before) or _is_anything(after)):
                return changes  # they say it all
            return changes + union_changes(self._reader, old, new, self._differ)
        except Unclear as why:
            return [] if same(before, after) else [unclear(str(why))]

    def _differ(self, before: Alternative, after: Alternative) -> list[Change]:
        """What changed from one alternative to another of its type. Raises Unclear."""
        pair = _ids(before), _ids(after)
        if pair in self._open:
            self._leaned_on = min(self._leaned_on, self._open[pair])
            return []
        if pair in self._found:
            return self._found[pair]
        depth = len(self._open)
        if depth > _DEEPEST:
            self._leaned_on = -1  # deeper is not equal, only not looked at: keep nothing of this
            return [unclear("it is nested too deep")]
        self._open[pair] = depth
        outer, self._leaned_on = self._leaned_on, _NOTHING
        try:
            changes = self._differences(before, after)
            if self._leaned_on >= depth:
                self._found[pair] = changes
                self._leaned_on = _NOTHING
        finally:
            del self._open[pair]
            self._leaned_on = min(self._leaned_on, outer)
        return changes

    def _differences(self, before: Alternative, after: Alternative) -> list[Change]:
        self._count()
        changes = _value_changes(before, after)
        match before.type:
            case "number":
                changes += number_changes(before, after)
            case "string":
                changes += string_changes(before, after)
            case "array":
                changes += array_changes(before, after, self.compare)
            case "object":
                changes += object_changes(before, after, self.compare, self._reader)
        changes += format_changes(before, after)
        return changes + _opaque_changes(
            opaque_rules(self._reader, before), opaque_rules(self._reader, after)
        )

    def _count(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise TooLarge


def _ids(alternative: Alternative) -> _Ids:
    return alternative.type, tuple(place.id for place in alternative.places if place.rules)


def _is_anything(schema: Schema) -> bool:
    return all(place.says_nothing for place in schema)


def _value_changes(before: Alternative, after: Alternative) -> list[Change]:
    """What changed in lists of values whose members are in doubt, or all is told already."""
    old, new = before.values, after.values
    if old is None and new is None:
        return []
    if old is None:
        return [tighter(f"allows only {show_all(new or ())} now")]
    if new is None:
        return [looser(f"is not limited to {show_all(old)} any more")]
    changes = []
    if lost := [value for value in old if not member(value, new)]:
        changes.append(Change(f"no longer allows {show_all(lost)}", rejects=None, allows=False))
    if won := [value for value in new if not member(value, old)]:
        changes.append(Change(f"allows {show_all(won)} now", rejects=False, allows=None))
    return changes


def _opaque_changes(before: list[OpaqueRule], after: list[OpaqueRule]) -> list[Change]:
    """What changed in rules that are not understood: each is kept, new or gone."""
    gone = _unmatched(before, after)
    new = _unmatched(after, before)
    changed = [names for names in new if names in gone]
    return [
        *(unclear(f"{_rule(names)} changed") for names in changed),
        *(
            Change(f"has a rule by {_rule(names)} now", rejects=None, allows=False)
            for names in new
            if names not in changed
        ),
        *(
            Change(f"the rule by {_rule(names)} is gone", rejects=False, allows=None)
            for names in gone
            if names not in changed
        ),
    ]


def _unmatched(rules: list[OpaqueRule], others: list[OpaqueRule]) -> list[tuple[str, ...]]:
    found = []
    for place, names in rules:
        if not any(names == theirs and _kept(place, other, names) for other, theirs in others):
            found.append(names)
    return list(dict.fromkeys(found))


def _kept(before: Place, after: Place, names: tuple[str, ...]) -> bool:
    if any(name in NEIGHBOURLY for name in names):
        return same((before,), (after,))
    return same_keywords(before, after, names)


def _rule(names: tuple[str, ...]) -> str:
    return f"'{names[0]}'"
