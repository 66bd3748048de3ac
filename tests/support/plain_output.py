"""What two servers say, made comparable.

Identifiers become names: those that a story kept under a name, the others by order of appearance.
Times, elapsed spans and addresses become what they are. Blanks that make columns go. What is left
are facts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What only we tell, beside everything that the official server tells.
ADDED_FIELDS = frozenset({"adapter", "changes", "drain", "evidence", "expires", "facts"})

_IDENTIFIER = re.compile(r"\b(inv|sign|prom|dp)_1[0-9A-Za-z_-]{20,}")
_CLOCK = r"\d\d:\d\d:\d\d(\.\d+)?"
_TIMES = re.compile(
    rf"\d{{4}}-\d\d-\d\d[T ]{_CLOCK}( ?(Z|[+-]\d\d:\d\d))?"
    rf"|\w{{3}},? \d{{1,2}} \w{{3}} \d{{4}} {_CLOCK} ([+-]\d\d:?\d\d|GMT)"
)
# What has passed or is left has a fraction; a span that somebody set has none.
_SPANS = re.compile(r"\bPT\d+\.\d+S\b|(?<=took )[\d.]+ ?(ns|µs|ms|s)\b")
# Said of whoever has held a key for more than some seconds: a slow machine makes it true.
_HELD_LONG = re.compile(
    r"(Suspended for <span>)?\. The (key|lock) will not be released"
    r" until this invocation is complete"
)
_INSTANTS = re.compile(r'("(?:wake_up_time|invoke_time)": ?)[1-9]\d{11,}')
_LIST = re.compile(r"(?<= )\[(\w+(?:, \w+)+)\]")
_CELL = re.compile(r" (- \w+ \[\d+\])$")
# Above the first block, which is anybody's.
_HEADING = re.compile(r"\s*(Summary:|Active Keys:|―+|PENDING .*|QUEUE .*)$")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step brought from one server: an exit code or status, and what it said."""

    code: int
    out: str
    err: str = ""


class Names:
    """Stable names for what one server calls otherwise than another, in one story."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._seen: dict[str, str] = {}

    def plain(self, text: str, kept: Mapping[str, str]) -> str:
        """Text with names; `kept` are the identifiers that have one already."""
        for address, name in self._addresses.items():
            text = text.replace(address, f"<{name}>")
        text = _SPANS.sub("<span>", _TIMES.sub("<time>", text))
        text = _INSTANTS.sub(r'\1"<time>"', text)
        text = _HELD_LONG.sub("", text)
        return _IDENTIFIER.sub(lambda found: self._name(found, kept), text)

    def _name(self, found: re.Match[str], kept: Mapping[str, str]) -> str:
        for name, value in kept.items():
            if value == found.group():
                return f"<{name}>"
        number = sum(1 for name in self._seen.values() if found.group(1) in name) + 1
        return self._seen.setdefault(found.group(), f"<{found.group(1)} {number}>")


def difference(got: Outcome, wanted: Outcome) -> str:
    """Where our outcome differs: what is missing in it behind `-`, what is too much behind `+`."""
    lines = [f"  gives {got.code} instead of {wanted.code}"] if got.code != wanted.code else []
    for part in ("out", "err"):
        ours, theirs = getattr(got, part).splitlines(), getattr(wanted, part).splitlines()
        lines += _changed_rows(ours, theirs) or [
            *(f"  - {line}" for line in theirs if line not in ours),
            *(f"  + {line}" for line in ours if line not in theirs),
        ]
        if ours != theirs and sorted(ours) == sorted(theirs):
            lines += ["  order, instead of", *theirs, "  it is", *ours]
        elif ours != theirs and set(ours) == set(theirs):
            lines.append(f"  {len(ours)} lines instead of {len(theirs)}")
    return "\n".join(lines)


def _changed_rows(ours: list[str], theirs: list[str]) -> list[str]:
    """For as many rows of a query: their columns that differ. Empty for anything else."""
    try:
        pairs = [(json.loads(a), json.loads(b)) for a, b in zip(ours, theirs, strict=True)]
    except ValueError:
        return []
    return [
        f"  row {number}: {name} is {one.get(name)} instead of {other.get(name)}"
        for number, (one, other) in enumerate(pairs)
        if isinstance(one, dict) and isinstance(other, dict)
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def same_refusal(got: Outcome, wanted: Outcome) -> bool:
    """Whether two error replies are the same but for the case of letters, and what ours adds.

    Where the official server answers a malformed request in plain text, ours is JSON as any other.
    """
    if got.code != wanted.code or got.code < 400:
        return False
    try:
        ours = json.loads(got.out)
    except ValueError:
        return False
    if not wanted.out.startswith("{"):
        return bool(wanted.out) and bool(ours["message"]) and ours["restate_code"] is None
    theirs = json.loads(wanted.out)
    begins = str(ours["message"]).lower().startswith(theirs["message"].lower().rstrip("."))
    return begins and bool(ours["restate_code"] == theirs["restate_code"])


def as_json(outcome: Outcome) -> Outcome:
    """JSON bodies in one spelling."""
    try:
        value = json.loads(outcome.out)
    except ValueError:
        return outcome
    return Outcome(outcome.code, json.dumps(settled(value), indent=1, sort_keys=True))


def settled(value: Any) -> Any:
    """JSON with its lists sorted, also inside texts: no list of these APIs has an order."""
    if isinstance(value, dict):
        kept = {name: part for name, part in value.items() if name not in ADDED_FIELDS}
        return {name: settled(_unfolded(name, part)) for name, part in kept.items()}
    if isinstance(value, list):
        return sorted((settled(part) for part in value), key=lambda part: json.dumps(part))
    return value


def _unfolded(name: str, part: Any) -> Any:
    return json.loads(part) if name.endswith("_json") and isinstance(part, str) else part


def sorted_lines(outcome: Outcome) -> Outcome:
    def lines(text: str) -> str:
        return "\n".join(sorted(text.splitlines()))

    return Outcome(outcome.code, lines(outcome.out), lines(outcome.err))


def _sorted_list(found: re.Match[str]) -> str:
    return f"[{', '.join(sorted(found.group(1).split(', ')))}]"


def squeezed(text: str) -> str:
    """Text without the blanks that only make columns; a list in a column stands below its row."""
    text = _LIST.sub(_sorted_list, text)
    lines = (_CELL.sub(r"\n\1", " ".join(line.split())) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def only(text: str, prefix: str, what: str) -> str:
    """The lines, or the blocks between empty lines, that name a story's services."""
    parts = text.splitlines() if what == "lines" else re.split(r"\n\s*\n", text)
    own = re.compile(rf"\b{prefix}(Desk|Till|Order)\b|/{prefix}/")
    kept = "\n".join(part for part in parts if own.search(part))
    return "\n".join(line for line in kept.splitlines() if not _HEADING.match(line))
