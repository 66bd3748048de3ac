"""The rules of an alternative, put together from all its places."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from steadfaas.rollout.allowed.alternatives import Alternative
from steadfaas.rollout.allowed.changes import Limit
from steadfaas.rollout.allowed.documents import Document, Place, Schema, Unclear

_TEXT: Final = Document({"type": "string"})


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers between two limits which are multiples of `step`. A step of 1: integers."""

    low: Limit | None
    high: Limit | None
    step: Fraction | None


def numbers(alternative: Alternative) -> Numbers:
    """The rules of a number."""
    places = alternative.places
    steps = [Fraction(str(step)) for step in _said(places, "multipleOf")]
    if alternative.integral:
        steps.append(Fraction(1))
    step = None
    for each in steps:
        step = each if step is None else _common_multiple(step, each)
    low = max(_limits(places, "minimum", "exclusiveMinimum"), default=None)
    high = min(
        _limits(places, "maximum", "exclusiveMaximum"),
        key=lambda limit: (limit[0], not limit[1]),
        default=None,
    )
    if step is not None and step.denominator == 1:
        low = low and ((math.floor(low[0]) + 1, False) if low[1] else (math.ceil(low[0]), False))
        high = high and (
            (math.ceil(high[0]) - 1, False) if high[1] else (math.floor(high[0]), False)
        )
    return Numbers(low, high, step)


@dataclass(frozen=True, slots=True)
class Strings:
    """Strings of a length, which match all patterns and have all formats."""

    shortest: Limit | None
    longest: Limit | None
    patterns: frozenset[str]
    formats: frozenset[str]


def strings(alternative: Alternative) -> Strings:
    """The rules of a string."""
    places = alternative.places
    return Strings(
        *_counts(places, "minLength", "maxLength"),
        frozenset(_said(places, "pattern")),
        formats(alternative),
    )


def formats(alternative: Alternative) -> frozenset[str]:
    """The formats that an alternative of any type names."""
    return frozenset(_said(alternative.places, "format"))


@dataclass(frozen=True, slots=True)
class Arrays:
    """Arrays of a length. `heads` is how many first items have schemas of their own."""

    places: tuple[Place, ...]
    shortest: Limit | None
    longest: Limit | None
    unique: bool
    heads: int

    def item(self, index: int) -> Schema:
        """What the item at an index may be. At `heads`: all items from there on."""
        return tuple(_items(self.places, index))


def arrays(alternative: Alternative) -> Arrays:
    """The rules of an array."""
    places = alternative.places
    found = Arrays(
        places,
        *_counts(places, "minItems", "maxItems"),
        any(_said(places, "uniqueItems")),
        max((len(_heads(place)[1]) for place in places), default=0),
    )
    for index in range(found.heads + 1):
        if found.longest is not None and found.longest[0] <= index:
            break
        if any(place.value is False for place in found.item(index)):
            return Arrays(places, found.shortest, (index, False), found.unique, found.heads)
    return found


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects with required properties. For what a property may be: `property`, and `rest` for
    those that nothing names."""

    places: tuple[Place, ...]
    required: frozenset[str]
    fewest: Limit | None
    most: Limit | None
    names: Schema  # what the names themselves may be

    @property
    def declared(self) -> Iterator[str]:
        """The names of the properties that are described, in the order of the schema."""
        return (name for place in self.places for name in place.value.get("properties", ()))

    @property
    def patterns(self) -> frozenset[str]:
        """The patterns that describe properties."""
        return frozenset(
            pattern for place in self.places for pattern in place.value.get("patternProperties", ())
        )

    @property
    def rest(self) -> Schema:
        """What a property may be that no place names or matches."""
        return tuple(
            place.at("additionalProperties")
            for place in self.places
            if "additionalProperties" in place.value
        )

    def property(self, name: str) -> Schema:
        """What the property of this name may be: anything if no place has a rule for it."""
        found: list[Place] = []
        for place in self.places:
            named = _named(place, name)
            if not named and "additionalProperties" in place.value:
                named = [place.at("additionalProperties")]
            found += named
        return tuple(found)

    def matching(self, pattern: str) -> Schema:
        """What this pattern says of the properties that it matches."""
        return tuple(
            place.at("patternProperties", pattern)
            for place in self.places
            if pattern in place.value.get("patternProperties", ())
        )


def objects(alternative: Alternative) -> Objects:
    """The rules of an object."""
    places = alternative.places
    names = tuple(place.at("propertyNames") for place in places if "propertyNames" in place.value)
    return Objects(
        places,
        frozenset(name for names in _said(places, "required") for name in names),
        *_counts(places, "minProperties", "maxProperties"),
        (*_TEXT.schema, *names),
    )


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of a schema matches somewhere in a text. Raises Unclear."""
    try:
        return re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError):
        raise Unclear(f"it has a pattern that cannot be read here, {pattern!r:.80}") from None


def _named(place: Place, name: str) -> list[Place]:
    value = place.value
    found = [place.at("properties", name)] if name in value.get("properties", ()) else []
    return found + [
        place.at("patternProperties", pattern)
        for pattern in value.get("patternProperties", ())
        if matches(pattern, name)
    ]


def _items(places: Iterable[Place], index: int) -> Iterator[Place]:
    for place in places:
        keyword, heads = _heads(place)
        rest = "additionalItems" if keyword == "items" else "items"
        if index < len(heads):
            yield place.at(keyword, index)
        elif rest in place.value:
            yield place.at(rest)


def _heads(place: Place) -> tuple[str, list[Any]]:
    """The keyword that lists the first items, and its list; `items` up to draft 2019-09."""
    if isinstance(place.value.get("items"), list):
        return "items", place.value["items"]
    return "prefixItems", place.value.get("prefixItems", [])


def _said(places: Iterable[Place], name: str) -> list[Any]:
    return [place.value[name] for place in places if name in place.value]


def _counts(places: Iterable[Place], least: str, most: str) -> tuple[Limit | None, Limit | None]:
    """The limits of something that is counted, where none at least is no limit."""
    places = tuple(places)
    low, high = max(_said(places, least), default=0), min(_said(places, most), default=None)
    return (int(low), False) if low else None, None if high is None else (int(high), False)


def _limits(places: Iterable[Place], name: str, exclusive: str) -> Iterator[Limit]:
    for place in places:
        limit, beyond = place.value.get(name), place.value.get(exclusive)
        if limit is not None:
            yield limit, beyond is True
        if beyond is not None and not isinstance(beyond, bool):
            yield beyond, True


def _common_multiple(one: Fraction, other: Fraction) -> Fraction:
    return Fraction(
        math.lcm(one.numerator * other.denominator, other.numerator * one.denominator),
        one.denominator * other.denominator,
    )
