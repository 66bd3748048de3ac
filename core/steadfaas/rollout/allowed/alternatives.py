"""What a schema allows, as alternatives: values of one type each, with the rules for them.

`{"type": ["string", "null"]}`, `{"anyOf": [{"type": "string"}, {"type": "null"}]}` and a reference
to either come out as the same two alternatives. That makes two schemas comparable however they are
written: references are followed, `allOf` is combined, `anyOf` and `oneOf` are spread out. That the
alternatives of a `oneOf` exclude one another is a rule of its own, see `rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from steadfaas.rollout.allowed.documents import Place, PlaceId, Schema, Unclear
from steadfaas.rollout.allowed.json_values import Values, by_key, kind_of
from steadfaas.rollout.allowed.keywords import KINDS

_ANY: Final = frozenset(kind for kinds in KINDS.values() for kind in kinds)
_FEW: Final = {"null": (None,), "boolean": (False, True)}
_MOST: Final = 256
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Alternative:
    """Values of one type: all that keep the rules of all these places, and are among `values` if
    those are given. The type is never `integer`: that is a number with a rule."""

    type: str
    places: tuple[Place, ...]
    integral: bool = False
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class _Branch:
    kinds: frozenset[str]
    places: tuple[Place, ...] = ()

    def with_(self, other: _Branch) -> _Branch:
        known = {place.id for place in self.places}
        more = tuple(place for place in other.places if place.id not in known)
        return _Branch(self.kinds & other.kinds, self.places + more)


class Reader:
    """Reads schemas, each of them once."""

    def __init__(self) -> None:
        self._read: dict[tuple[PlaceId, ...], tuple[Alternative, ...]] = {}
        # Kept by `members.py`: for places with a `oneOf`, and for objects.
        self.exclusive: dict[PlaceId, bool] = {}
        self.tags: dict[tuple[PlaceId, ...], Mapping[str, Values]] = {}

    def alternatives(self, schema: Schema) -> tuple[Alternative, ...]:
        """What a schema allows; none if it allows nothing. Raises Unclear."""
        key = tuple(place.id for place in schema)
        if key not in self._read:
            branches = [_Branch(_ANY)]
            for place in schema:
                branches = _both(branches, _branches(place, ()))
            self._read[key] = tuple(_alternatives(branches))
        return self._read[key]


def _branches(place: Place, trail: tuple[PlaceId, ...]) -> list[_Branch]:
    if isinstance(place.value, bool):
        return [_Branch(_ANY)] if place.value else []
    if place.id in trail:
        raise Unclear("it refers to itself without end")
    if len(trail) > _DEEPEST:
        raise Unclear("it is nested too deep")
    trail = (*trail, place.id)
    keywords, document = place.keywords, place.document
    if document.old and "$ref" in keywords:
        return _branches(document.resolve(keywords["$ref"]), trail)
    found = [_Branch(_kinds(keywords), (place,))]
    if "$ref" in keywords:
        found = _both(found, _branches(document.resolve(keywords["$ref"]), trail))
    for index in range(len(keywords.get("allOf", ()))):
        found = _both(found, _branches(place.at("allOf", index), trail))
    for name in ("anyOf", "oneOf"):
        if name in keywords:
            found = _both(found, list(_either(place, name, trail)))
    found = [branch for branch in found if branch.kinds]
    return _both([_Branch(_ANY, discriminated(place))], found)


def _either(place: Place, name: str, trail: tuple[PlaceId, ...]) -> Iterator[_Branch]:
    for index in range(len(place.value[name])):
        yield from _branches(place.at(name, index), trail)


def _both(some: list[_Branch], others: list[_Branch]) -> list[_Branch]:
    if len(some) * len(others) > _MOST:
        raise Unclear("it has too many alternatives")
    return [one.with_(other) for one in some for other in others if one.kinds & other.kinds]


def _kinds(keywords: Any) -> frozenset[str]:
    if "type" not in keywords:
        return _ANY
    said = keywords["type"]
    names = said if isinstance(said, list) else [said]
    kinds = frozenset(kind for name in names for kind in KINDS[name])
    return kinds | KINDS["null"] if keywords.get("nullable") is True else kinds


def discriminated(place: Place) -> Schema:
    """What a discriminator says: its property is there. Who writes that keyword beside a `oneOf`
    rejects an object without it, also where the alternatives call it optional."""
    said = place.value.get("discriminator")
    name = said.get("propertyName") if isinstance(said, dict) and "oneOf" in place.value else None
    return (place.document.demanding(name),) if isinstance(name, str) else ()


def _alternatives(branches: Iterable[_Branch]) -> Iterator[Alternative]:
    seen = set()
    for branch in branches:
        for type in ("null", "boolean", "number", "string", "array", "object"):
            kinds = branch.kinds & KINDS[type]
            key = (kinds, tuple(place.id for place in branch.places))
            if not kinds or key in seen:
                continue
            seen.add(key)
            values = _values(type, kinds, branch.places)
            if values != {}:
                yield Alternative(type, branch.places, kinds == KINDS["integer"], values)


def _values(type: str, kinds: frozenset[str], places: tuple[Place, ...]) -> Values | None:
    lists = [by_key(_FEW[type])] if type in _FEW else []
    for place in places:
        if "enum" in place.value:
            lists.append(by_key(place.value["enum"]))
        if "const" in place.value:
            lists.append(by_key([place.value["const"]]))
    if not lists:
        return None
    return {
        key: value
        for key, value in lists[0].items()
        if kind_of(value) in kinds and all(key in others for others in lists)
    }
