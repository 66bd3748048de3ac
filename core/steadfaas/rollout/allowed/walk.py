"""The walk through two schemas at once, place by place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader
from steadfaas.rollout.allowed.changes import Change, looser, tighter, unclear
from steadfaas.rollout.allowed.containers import array_changes, object_changes
from steadfaas.rollout.allowed.documents import Place, PlaceId, Schema, Unclear
from steadfaas.rollout.allowed.groups import grouped, type_changes, value_changes
from steadfaas.rollout.allowed.json_values import show_all
from steadfaas.rollout.allowed.keywords import NEIGHBOURLY
from steadfaas.rollout.allowed.members import OpaqueRule, opaque_rules
from steadfaas.rollout.allowed.memory import Memory
from steadfaas.rollout.allowed.same import same, same_keywords
from steadfaas.rollout.allowed.scalars import format_changes, number_changes, string_changes
from steadfaas.rollout.allowed.unions import union_changes

_MOST_STEPS: Final = 5_000


class TooLarge(Exception):
    """The comparison takes more steps than anybody should wait for."""


class Walk:
    """One comparison of two documents."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._memory = Memory()
        self._steps = 0

    def compare(self, before: Schema, after: Schema) -> list[Change]:
        """What changed, with paths from here. Raises TooLarge."""
        pair = _ids(before), _ids(after)
        return self._memory.answer(pair, lambda: self._changes(before, after))

    def _changes(self, before: Schema, after: Schema) -> list[Change]:
        reader = self._reader
        try:
            old = grouped(reader, reader.alternatives(before))
            new = grouped(reader, reader.alternatives(after))
            changes = type_changes(old, new)
            if changes and (_is_anything(before) or _is_anything(after)):
                return changes  # they say it all
            for type in old:
                if type in new:
                    changes += value_changes(reader, old[type], new[type])
                    changes += union_changes(reader, old[type], new[type], self._differ)
            return changes
        except Unclear as why:
            return [] if same(before, after) else [unclear(str(why))]

    def _differ(self, before: Alternative, after: Alternative) -> list[Change]:
        """What changed from one alternative to another of its type. Raises Unclear."""
        # Where else a place points to makes no difference any more.
        old = _ids(place for place in before.places if place.rules)
        new = _ids(place for place in after.places if place.rules)
        return self._memory.answer(
            (before.type, old, new), lambda: self._differences(before, after)
        )

    def _differences(self, before: Alternative, after: Alternative) -> list[Change]:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise TooLarge
        changes = _listed_changes(before, after)
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


def _ids(places: Iterable[Place]) -> tuple[PlaceId, ...]:
    return tuple(place.id for place in places)


def _is_anything(schema: Schema) -> bool:
    return all(place.says_nothing for place in schema)


def _listed_changes(before: Alternative, after: Alternative) -> list[Change]:
    """What changed in lists of values whose members are in doubt, or all is told already."""
    old, new = before.values, after.values
    if old is None and new is None:
        return []
    if old is None or new is None:
        if new is not None:
            return [tighter(f"allows only {show_all(new.values())} now")]
        return [looser(f"is not limited to {show_all(old.values())} any more")] if old else []
    changes = []
    if lost := [value for key, value in old.items() if key not in new]:
        changes.append(Change(f"no longer allows {show_all(lost)}", rejects=None, allows=False))
    if won := [value for key, value in new.items() if key not in old]:
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
