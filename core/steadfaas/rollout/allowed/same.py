"""Whether two schemas say the same, in the same words.

This is for what is not understood by its meaning: an `if` that has not changed allows what it
allowed. References are followed, so that it has not changed where it points either; descriptions do
not count. Schemas that are the same in other words are not the same here.
"""

from __future__ import annotations

from typing import Any, Final

from steadfaas.rollout.allowed.documents import Place, PlaceId, Schema, Unclear
from steadfaas.rollout.allowed.json_values import equal
from steadfaas.rollout.allowed.keywords import is_annotation

_DEEPEST: Final = 64

# Keywords that hold schemas: one, a list, or by name. Some may hold more than one of these.
_HOLDING: Final = frozenset(
    {
        *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if"),
        *("items", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
        *("allOf", "anyOf", "oneOf", "prefixItems"),
    }
)
_HOLDING_BY_NAME: Final = frozenset(
    {"dependencies", "dependentSchemas", "patternProperties", "properties"}
)


def same(before: Schema, after: Schema) -> bool:
    """Whether two schemas are the same in every place."""
    comparison = _Comparison()
    return len(before) == len(after) and all(
        comparison.places(one, other, 0) for one, other in zip(before, after, strict=True)
    )


def same_keywords(before: Place, after: Place, names: tuple[str, ...]) -> bool:
    """Whether these keywords of two places are the same."""
    comparison = _Comparison()
    return all(comparison.keyword(name, before, after, 0) for name in names)


class _Comparison:
    """Pairs that are being compared are taken to be the same: any difference ends it all."""

    def __init__(self) -> None:
        self._assumed: set[tuple[PlaceId, PlaceId]] = set()

    def places(self, before: Place, after: Place, depth: int) -> bool:
        if depth > _DEEPEST or before.document.old is not after.document.old:
            return False
        pair = before.id, after.id
        if pair in self._assumed:
            return True
        self._assumed.add(pair)
        if not (isinstance(before.value, dict) and isinstance(after.value, dict)):
            return equal(before.value, after.value)
        if _has_own_rules(before) or _has_own_rules(after):
            return False
        names = _said(before)
        return names == _said(after) and all(
            self.keyword(name, before, after, depth) for name in names
        )

    def keyword(self, name: str, before: Place, after: Place, depth: int) -> bool:
        one, other = before.value.get(name), after.value.get(name)
        if name == "$ref":
            return self._references(before, after, depth)
        if name in _HOLDING and _are(list, one, other):
            return len(one) == len(other) and all(
                self.places(before.at(name, index), after.at(name, index), depth + 1)
                for index in range(len(one))
            )
        if name in _HOLDING_BY_NAME and _are(dict, one, other):
            return one.keys() == other.keys() and all(
                self._one_of_many(before.at(name, key), after.at(name, key), depth) for key in one
            )
        if name in _HOLDING and _are(dict, one, other):
            return self.places(before.at(name), after.at(name), depth + 1)
        return (name in before.value) is (name in after.value) and equal(one, other)

    def _one_of_many(self, before: Place, after: Place, depth: int) -> bool:
        if _are(list, before.value, after.value):  # names, in `dependencies`
            return equal(before.value, after.value)
        return self.places(before, after, depth + 1)

    def _references(self, before: Place, after: Place, depth: int) -> bool:
        try:
            one = before.document.resolve(before.value["$ref"])
            other = after.document.resolve(after.value["$ref"])
        except Unclear:
            return False
        return self.places(one, other, depth + 1)


def _said(place: Place) -> set[str]:
    return {name for name in place.value if not is_annotation(name)}


def _has_own_rules(place: Place) -> bool:
    """Whether what is meant depends on more than this document's own paths."""
    if "$dynamicRef" in place.value or "$recursiveRef" in place.value:
        return True
    return isinstance(place.value.get("$id"), str) and place.value is not place.document.root


def _are(kind: type, *values: Any) -> bool:
    return all(isinstance(value, kind) for value in values)
