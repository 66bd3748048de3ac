"""What changed in the rules for arrays and objects, and in what is inside them.

**The one assumption.** An object that leaves out `additionalProperties` lets undeclared properties
pass, whatever they are. Taken at its word, an input that learns a new optional property rejects the
requests that always sent something else under that very name. Nobody means that. So a property that
one side does not mention, and has no rule for, is taken to be absent on that side: a new optional
property breaks nobody, nor does one that is gone. Such a change is marked as `assumed`. It says so
in its sentence, and it counts as compatible in both directions. Where `additionalProperties` is
written down, be it `true`, somebody wants undeclared properties, and its word is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader
from steadfaas.rollout.allowed.changes import (
    Change,
    below,
    bounds,
    different,
    looser,
    tighter,
    unclear,
)
from steadfaas.rollout.allowed.documents import Schema, Unclear
from steadfaas.rollout.allowed.json_values import show_all
from steadfaas.rollout.allowed.paths import named, of_pattern
from steadfaas.rollout.allowed.rules import Arrays, Objects, arrays, objects
from steadfaas.rollout.allowed.same import same

Compare = Callable[[Schema, Schema], list[Change]]

_NEW: Final = (
    "is new and optional (other values of that name were let through before, taken to be unused)"
)
_GONE: Final = "is not declared any more (any value of that name is let through now)"


def array_changes(before: Alternative, after: Alternative, compare: Compare) -> list[Change]:
    """What changed in an array and its items."""
    old, new = arrays(before), arrays(after)
    changes = [
        *bounds("minimum number of items", old.shortest, new.shortest, at_least=True),
        *bounds("maximum number of items", old.longest, new.longest, at_least=False),
    ]
    if old.unique is not new.unique:
        changes.append(
            tighter("items must be unique now") if new.unique else looser("items may repeat now")
        )
    return changes + list(_items(old, new, compare))


def _items(old: Arrays, new: Arrays, compare: Compare) -> Iterator[Change]:
    heads = max(old.heads, new.heads)
    for index in range(heads + 1):
        # Items that one side cannot have: its maximum has said so.
        if any(side.longest is not None and side.longest[0] <= index for side in (old, new)):
            return
        step = f"[{index}]" if index < heads else "[*]" if heads == 0 else f"[{heads}:]"
        yield from below(step, compare(old.item(index), new.item(index)))


def object_changes(
    before: Alternative, after: Alternative, compare: Compare, reader: Reader
) -> list[Change]:
    """What changed in an object and its properties. Raises Unclear."""
    old, new = objects(before), objects(after)
    changes = [
        *bounds("minimum number of properties", old.fewest, new.fewest, at_least=True),
        *bounds("maximum number of properties", old.most, new.most, at_least=False),
        *below("{names}", compare(old.names, new.names)),
    ]
    for name in dict.fromkeys(
        [*old.declared, *new.declared, *sorted(old.required), *sorted(new.required)]
    ):
        changes += below(named(name), _property(name, old, new, compare, reader))
    changes += _patterns(old, new, compare)
    return changes + _rest(old, new, compare, reader)


def _property(
    name: str, old: Objects, new: Objects, compare: Compare, reader: Reader
) -> list[Change]:
    was, now = old.property(name), new.property(name)
    needed, needs = name in old.required, name in new.required
    barred, bars = _forbids(reader, was), _forbids(reader, now)
    if bars and not barred:
        swapped = needed and not needs  # what had to be there must not
        return [(different if swapped else tighter)("is no longer allowed")]
    if barred and not bars:
        swapped = needs and not needed
        return [different("is required now") if swapped else looser("is allowed now")]
    inner = compare(was, now)
    if inner and not was and not needed:
        return [tighter("is new and required")] if needs else [_assumed_new()]
    if inner and not now and not needs:
        return [looser(f"{_GONE}, and it may be missing")] if needed else [_assumed_gone()]
    if needed is needs:
        return inner
    return [tighter("is required now") if needs else looser("may be missing now"), *inner]


def _assumed_new() -> Change:
    return Change(_NEW, rejects=True, allows=False, assumed=True)


def _assumed_gone() -> Change:
    return Change(_GONE, rejects=False, allows=True, assumed=True)


def _patterns(old: Objects, new: Objects, compare: Compare) -> list[Change]:
    """Properties that only patterns describe."""
    if not old.patterns and not new.patterns:
        return []
    if len(old.places) > 1 or len(new.places) > 1:
        # Which name meets which rules of which place is more than can be told apart here.
        return [] if same(old.places, new.places) else [unclear("patterns of names are combined")]
    if old.patterns and new.patterns and old.patterns != new.patterns:
        said = f"from {show_all(sorted(old.patterns))} to {show_all(sorted(new.patterns))}"
        return [unclear(f"the patterns of names changed {said}")]
    return [
        change
        for pattern in sorted(old.patterns | new.patterns)
        for change in below(
            of_pattern(pattern),
            # Without patterns of its own, a side treats these names like all that it does not name.
            compare(
                old.matching(pattern) if old.patterns else old.rest,
                new.matching(pattern) if new.patterns else new.rest,
            ),
        )
    ]


def _rest(old: Objects, new: Objects, compare: Compare, reader: Reader) -> list[Change]:
    """Properties that nothing describes."""
    was, now = _forbids(reader, old.rest), _forbids(reader, new.rest)
    if was and now:
        return []
    if now:
        return [tighter("no longer allows properties that it does not name")]
    if was:
        return [looser("allows properties that it does not name now")]
    return below(".*", compare(old.rest, new.rest))


def _forbids(reader: Reader, schema: Schema) -> bool:
    try:
        return not reader.alternatives(schema)
    except Unclear:
        return False
