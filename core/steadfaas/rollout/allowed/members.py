"""Whether a value is among those that a schema allows; whether two schemas share none.

Each answer may be None: cannot be told.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any, Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader, discriminated
from steadfaas.rollout.allowed.documents import Place, Schema, Unclear
from steadfaas.rollout.allowed.json_values import Values, by_key, key_of, kind_of
from steadfaas.rollout.allowed.keywords import KINDS, opaque
from steadfaas.rollout.allowed.rules import arrays, formats, matches, numbers, objects, strings

OpaqueRule = tuple[Place, tuple[str, ...]]

_DEEPEST: Final = 8
_DEEPEST_APART: Final = 3


def allows(reader: Reader, schema: Schema, value: Any, depth: int = 0) -> bool | None:
    """Whether a schema allows a value."""
    if depth > _DEEPEST:
        return None
    try:
        found = reader.alternatives(schema)
        return some(holds(reader, each, value, depth) for each in found)
    except Unclear:
        return None


def holds(reader: Reader, alternative: Alternative, value: Any, depth: int = 0) -> bool | None:
    """Whether a value is one of an alternative's."""
    if kind_of(value) not in KINDS[alternative.type]:
        return False
    if alternative.values is not None and key_of(value) not in alternative.values:
        return False
    try:
        return every(_verdicts(reader, alternative, value, depth))
    except Unclear:
        return None


def opaque_rules(reader: Reader, alternative: Alternative) -> list[OpaqueRule]:
    """The keywords, with their places, that an alternative is not understood without."""
    found: list[OpaqueRule] = []
    for place in alternative.places:
        found += [(place, names) for names in opaque(place.value, alternative.type)]
        if "oneOf" in place.value and not _exclusive(reader, place):
            found.append((place, ("oneOf",)))
    return found


def every(verdicts: Iterable[bool | None]) -> bool | None:
    """No if any is no; else unknown if any is unknown; else yes."""
    seen = set(verdicts)
    return False if False in seen else None if None in seen else True


def some(verdicts: Iterable[bool | None]) -> bool | None:
    """Yes if any is yes; else unknown if any is unknown; else no."""
    seen = set(verdicts)
    return True if True in seen else None if None in seen else False


def apart(reader: Reader, one: Schema, other: Schema, depth: int = 0) -> bool:
    """Whether it is certain that no value is allowed by both schemas."""
    if depth > _DEEPEST_APART:
        return False
    try:
        return all(
            alternatives_apart(reader, mine, theirs, depth)
            for mine in reader.alternatives(one)
            for theirs in reader.alternatives(other)
        )
    except Unclear:
        return False


def alternatives_apart(
    reader: Reader, one: Alternative, other: Alternative, depth: int = 0
) -> bool:
    """The same of two alternatives. Raises Unclear."""
    if one.type != other.type:
        return True
    for mine, theirs in ((one, other), (other, one)):
        if mine.values is not None:
            return all(holds(reader, theirs, value) is False for value in mine.values.values())
    if one.type == "number":
        return _numbers_apart(one, other)
    return one.type == "object" and _objects_apart(reader, one, other, depth)


def tagged_apart(reader: Reader, one: Alternative, other: Alternative) -> bool:
    """Whether two objects are told apart by a property with fixed values. Raises Unclear."""
    return one.type == "object" and any(_differing_tags(reader, one, other))


def _differing_tags(reader: Reader, one: Alternative, other: Alternative) -> Iterator[str]:
    mine, theirs = _tags(reader, one), _tags(reader, other)
    return (
        name
        for name in mine.keys() & theirs.keys()
        if mine[name].keys().isdisjoint(theirs[name].keys())
    )


def _tags(reader: Reader, alternative: Alternative) -> Mapping[str, Values]:
    """The properties of an object that have fixed values, with all that these may be."""
    key = tuple(place.id for place in alternative.places)
    if key not in reader.tags:
        rules = objects(alternative)
        found = {name: _fixed(reader, rules.property(name)) for name in rules.declared}
        reader.tags[key] = {name: values for name, values in found.items() if values}
    return reader.tags[key]


def _fixed(reader: Reader, schema: Schema) -> Values:
    """All values that a schema allows at most, if they are few; else none."""
    found: dict[Hashable, Any] = {}
    for each in reader.alternatives(schema):
        if each.values is None:
            return {}
        found.update(each.values)
    return found


def _numbers_apart(one: Alternative, other: Alternative) -> bool:
    for mine, theirs in ((numbers(one), numbers(other)), (numbers(other), numbers(one))):
        if mine.high is not None and theirs.low is not None:
            high, low = mine.high, theirs.low
            if high[0] < low[0] or (high[0] == low[0] and (high[1] or low[1])):
                return True
    return False


def _objects_apart(reader: Reader, one: Alternative, other: Alternative, depth: int) -> bool:
    mine, theirs = objects(one), objects(other)
    needed = mine.required | theirs.required
    if any(name in needed for name in _differing_tags(reader, one, other)):
        return True
    return any(
        apart(reader, mine.property(name), theirs.property(name), depth + 1) for name in needed
    )


def _exclusive(reader: Reader, place: Place) -> bool:
    """Whether it is certain that the alternatives of a `oneOf` exclude one another."""
    if place.id not in reader.exclusive:
        reader.exclusive[place.id] = False  # not certain, as long as it is being looked at
        options = [
            (place.at("oneOf", index), *discriminated(place))
            for index in range(len(place.value["oneOf"]))
        ]
        reader.exclusive[place.id] = all(
            apart(reader, one, other) for one, other in combinations(options, 2)
        )
    return reader.exclusive[place.id]


def _verdicts(
    reader: Reader, alternative: Alternative, value: Any, depth: int
) -> Iterator[bool | None]:
    if opaque_rules(reader, alternative) or formats(alternative):
        yield None
    match alternative.type:
        case "number":
            yield from _number(alternative, value)
        case "string":
            rules = strings(alternative)
            yield _within(rules.shortest, len(value), rules.longest)
            yield from (matches(pattern, value) for pattern in rules.patterns)
        case "array":
            yield from _array(reader, alternative, value, depth)
        case "object":
            yield from _object(reader, alternative, value, depth)


def _number(alternative: Alternative, value: Any) -> Iterator[bool]:
    rules = numbers(alternative)
    yield _within(rules.low, value, rules.high)
    yield rules.step is None or Fraction(str(value)) % rules.step == 0


def _array(
    reader: Reader, alternative: Alternative, value: list[Any], depth: int
) -> Iterator[bool | None]:
    rules = arrays(alternative)
    yield _within(rules.shortest, len(value), rules.longest)
    yield not rules.unique or len(by_key(value)) == len(value)
    for index, item in enumerate(value):
        yield allows(reader, rules.item(index), item, depth + 1)


def _object(
    reader: Reader, alternative: Alternative, value: dict[str, Any], depth: int
) -> Iterator[bool | None]:
    rules = objects(alternative)
    yield _within(rules.fewest, len(value), rules.most)
    yield rules.required <= value.keys()
    for name, inner in value.items():
        yield allows(reader, rules.names, name, depth + 1)
        yield allows(reader, rules.property(name), inner, depth + 1)


def _within(low: Any, value: Any, high: Any) -> bool:
    above = low is None or value > low[0] or (value == low[0] and not low[1])
    return above and (high is None or value < high[0] or (value == high[0] and not high[1]))
