"""What alternatives allow, by type: which types came and went, and which single values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from steadfaas.rollout.allowed.alternatives import Alternative, Reader
from steadfaas.rollout.allowed.changes import Change, different, looser, tighter
from steadfaas.rollout.allowed.json_values import Values, show_all
from steadfaas.rollout.allowed.members import holds, some
from steadfaas.rollout.allowed.rules import numbers

NOUNS: Final = {
    "null": "null",
    "boolean": "a boolean",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
}
_ANYTHING: Final = "anything"


@dataclass(slots=True)
class Group:
    """The alternatives of one type: the values of those that surely are no more, and the others."""

    type: str
    all: list[Alternative] = field(default_factory=list)
    values: dict[Any, Any] = field(default_factory=dict)
    others: list[Alternative] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.others and len(self.values) != {"null": 1, "boolean": 2}.get(self.type):
            return show_all(self.values.values())
        if self.type == "number" and all(numbers(each).step == 1 for each in self.others):
            return "an integer"
        return NOUNS[self.type]


Groups = Mapping[str, Group]


def grouped(reader: Reader, alternatives: Sequence[Alternative]) -> Groups:
    """Alternatives by type, in the order of `NOUNS`. Raises Unclear."""
    groups = {type: Group(type) for type in NOUNS}
    for each in alternatives:
        group = groups[each.type]
        group.all.append(each)
        verdicts = {key: holds(reader, each, value) for key, value in (each.values or {}).items()}
        if each.values is None or None in verdicts.values():
            group.others.append(each)
        else:
            group.values |= {key: each.values[key] for key, sure in verdicts.items() if sure}
    return {type: group for type, group in groups.items() if group.values or group.others}


# --- types -------------------------------------------------------------------------------------


def type_changes(old: Groups, new: Groups) -> list[Change]:
    """Which types came or went."""
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


def _any_of(groups: Groups, types: set[str] | None = None) -> str:
    if len(groups) == len(NOUNS):
        return _ANYTHING
    *some, last = [str(group) for type, group in groups.items() if types is None or type in types]
    return f"{', '.join(some)} or {last}" if some else last


# --- values ------------------------------------------------------------------------------------


def value_changes(reader: Reader, old: Group, new: Group) -> Iterator[Change]:
    """Which single values of a type came or went."""
    lost, unsure = missing(reader, old.values, new)
    if lost:
        yield tighter(f"no longer allows {show_all(lost)}")
    if unsure:
        yield Change(f"may no longer allow {show_all(unsure)}", rejects=None, allows=False)
    won, unsure = missing(reader, new.values, old)
    if won:
        yield looser(f"allows {show_all(won)} now")
    if unsure:
        yield Change(f"may allow {show_all(unsure)} now", rejects=False, allows=None)


def missing(reader: Reader, values: Values, group: Group) -> tuple[list[Any], list[Any]]:
    """The values that a group does not allow, and those of which that cannot be told."""
    verdicts = [
        (value, some(holds(reader, each, value) for each in group.all))
        for key, value in values.items()
        if key not in group.values
    ]
    return (
        [value for value, verdict in verdicts if verdict is False],
        [value for value, verdict in verdicts if verdict is None],
    )
