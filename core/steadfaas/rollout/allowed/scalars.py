"""What changed in the rules for numbers and strings."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from steadfaas.rollout.allowed.alternatives import Alternative
from steadfaas.rollout.allowed.changes import Change, bounds, different, looser, tighter
from steadfaas.rollout.allowed.json_values import show_all
from steadfaas.rollout.allowed.rules import formats, numbers, strings

# The formats that the standard defines, each with the wider ones that take all of it.
_FORMATS: Final = {
    **dict.fromkeys(
        (
            *("date", "date-time", "duration", "idn-email", "idn-hostname", "ipv4", "ipv6"),
            *("iri-reference", "json-pointer", "regex", "relative-json-pointer", "time"),
            *("uri-template", "uuid"),
        ),
        frozenset[str](),
    ),
    "email": frozenset({"idn-email"}),
    "hostname": frozenset({"idn-hostname"}),
    "iri": frozenset({"iri-reference"}),
    "uri": frozenset({"uri-reference", "iri", "iri-reference"}),
    "uri-reference": frozenset({"iri-reference"}),
}


def number_changes(before: Alternative, after: Alternative) -> list[Change]:
    """What changed in the rules of a number."""
    old, new = numbers(before), numbers(after)
    return [
        *_step(old.step, new.step),
        *bounds("minimum", old.low, new.low, at_least=True),
        *bounds("maximum", old.high, new.high, at_least=False),
    ]


def string_changes(before: Alternative, after: Alternative) -> list[Change]:
    """What changed in the rules of a string, but for its format."""
    old, new = strings(before), strings(after)
    return [
        *bounds("minimum length", old.shortest, new.shortest, at_least=True),
        *bounds("maximum length", old.longest, new.longest, at_least=False),
        *_patterns(old.patterns, new.patterns),
    ]


def format_changes(before: Alternative, after: Alternative) -> list[Change]:
    """What changed in the formats of a value of any type. What a format of somebody's own takes is
    not known; nor is that any standard one is, for anything but strings."""
    old, new = formats(before), formats(after)
    if old == new:
        return []
    said = _moved("format", old, new)
    known = before.type == "string" and (old ^ new) <= _FORMATS.keys()
    rejects = True if known else None
    if _implied(new, old):
        return [Change(said, rejects=False, allows=rejects)]
    if _implied(old, new):
        return [Change(said, rejects=rejects, allows=False)]
    return [different(said) if known else Change(said, rejects=None, allows=None)]


def _implied(wanted: frozenset[str], given: frozenset[str]) -> bool:
    """Whether what has the formats `given` has those that are wanted."""
    return all(name in given or any(name in _wider(each) for each in given) for name in wanted)


def _wider(format: str) -> frozenset[str]:
    return _FORMATS.get(format, frozenset())


def _patterns(old: frozenset[str], new: frozenset[str]) -> list[Change]:
    if old == new:
        return []
    said = _moved("pattern", old, new)
    if old < new:
        return [Change(said, rejects=None if old else True, allows=False)]
    if new < old:
        return [Change(said, rejects=False, allows=None if new else True)]
    return [Change(said, rejects=None, allows=None)]


def _moved(what: str, old: frozenset[str], new: frozenset[str]) -> str:
    """That something named by strings changed, in words."""
    lost, won = show_all(sorted(old - new)), show_all(sorted(new - old))
    if lost and won:
        return f"{what} changed from {lost} to {won}"
    return f"must have the {what} {won} now" if won else f"{what} {lost} is gone"


def _step(old: Fraction | None, new: Fraction | None) -> list[Change]:
    if old == new:
        return []
    if new is None:
        return [looser("may have fractions now" if old == 1 else f"need not be {_kind(old)} now")]
    if old is None:
        return [tighter(f"must be {_kind(new)} now")]
    said = f"must be {_kind(new)} now, was {_kind(old)}"
    if old % new == 0:
        return [looser(said)]
    return [tighter(said) if new % old == 0 else different(said)]


def _kind(step: Fraction | None) -> str:
    if step == 1 or step is None:
        return "an integer"
    return f"a multiple of {step.numerator if step.denominator == 1 else float(step)}"
