"""Lengths of time as people write them: `2m`, `1day`, `3m 5s`, `PT2M`, and back to `3m 5s`.

Values are whole milliseconds. A part of a millisecond counts as a whole one, so that no wait ends
before the time that was asked for. A number without a unit is refused: nobody remembers whether
`60` meant seconds or milliseconds. So are months and years, which have no fixed length.
"""

from __future__ import annotations

import re
from typing import Final

_NANOS_PER_MS: Final = 1_000_000
# Far beyond any sensible wait, and still far from what 64 bits hold once a date is added to it.
_MAX_MS: Final = 200_000 * 86_400_000
_MAX_TEXT: Final = 100

_WRITTEN: Final = (
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
)

_UNIT_NAMES: Final = (
    (604_800_000_000_000, "w wk wks week weeks"),
    (86_400_000_000_000, "d day days"),
    (3_600_000_000_000, "h hr hrs hour hours"),
    (60_000_000_000, "m min mins minute minutes"),
    (1_000_000_000, "s sec secs second seconds"),
    (1_000_000, "ms msec msecs milli millis millisecond milliseconds"),
    (1_000, "us usec usecs µs micro micros microsecond microseconds"),
    (1, "ns nsec nsecs nano nanos nanosecond nanoseconds"),
)
_NANOS: Final = {name: nanos for nanos, names in _UNIT_NAMES for name in names.split()}

_FRIENDLY_PART: Final = re.compile(r"([0-9]+)(?:\.([0-9]{1,9}))? ?([a-zµ]+)")
_FRIENDLY_GAP: Final = re.compile(r"(?:, ?| )?")
_ISO: Final = re.compile(
    r"P(?:(?P<w>[0-9]+)W)?(?:(?P<d>[0-9]+)D)?"
    r"(?:T(?:(?P<h>[0-9]+)H)?(?:(?P<m>[0-9]+)M)?(?:(?P<s>[0-9]+)(?:[.,](?P<f>[0-9]{1,9}))?S)?)?",
    re.IGNORECASE,
)
_ISO_CALENDAR: Final = re.compile(r"P[^T]*[0-9][YM]", re.IGNORECASE)


def parse_duration(text: str) -> int:
    """Milliseconds of a duration in friendly (`3m 5s`) or ISO-8601 (`PT3M5S`) form.

    Raises ValueError with a sentence that quotes the text and says what would be right.
    """
    trimmed = text.strip()
    if not trimmed:
        raise ValueError("a duration is missing; write for example '10s' or 'PT10S'")
    if len(trimmed) > _MAX_TEXT:
        raise ValueError(f"'{trimmed[:20]}…' is too long for a duration")
    nanos = _iso(trimmed) if trimmed[0] in "Pp" else _friendly(trimmed)
    millis = -(-nanos // _NANOS_PER_MS)
    if millis > _MAX_MS:
        raise ValueError(f"'{trimmed}' is longer than {format_duration(_MAX_MS)}")
    return millis


def format_duration(millis: int) -> str:
    """The compact friendly form of a number of milliseconds: `1d`, `3m 5s`, `500ms`, `0s`.

    Raises ValueError for a negative number.
    """
    if millis < 0:
        raise ValueError(f"a duration cannot be negative: {millis}")
    parts = []
    for name, size in _WRITTEN:
        count, millis = divmod(millis, size)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts) or "0s"


def _friendly(text: str) -> int:
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"'{text}' has no unit; write for example '{text}s' or '{text}ms'")
    nanos, place, smallest = 0, 0, None
    while place < len(text):
        part = _FRIENDLY_PART.match(text, place)
        if part is None:
            raise ValueError(f"'{text}' is not a duration; write for example '3m 5s' or 'PT3M5S'")
        whole, fraction, name = part.groups()
        unit = _NANOS.get(name)
        if unit is None:
            raise ValueError(f"'{name}' in '{text}' is not a unit; use d, h, m, s or ms")
        if smallest is not None and unit >= smallest:
            raise ValueError(f"'{text}' must name each unit once, from the largest to the smallest")
        nanos += int(whole) * unit + _fraction(fraction, unit)
        smallest = unit
        place = _after_gap(text, part.end())
    return nanos


def _after_gap(text: str, place: int) -> int:
    gap = _FRIENDLY_GAP.match(text, place)
    end = place if gap is None else gap.end()
    # The text is trimmed, so what a gap ends with can only be a comma without a next part.
    if end == len(text) and end != place:
        raise ValueError(f"'{text}' ends in the middle of a duration")
    return end


def _iso(text: str) -> int:
    if _ISO_CALENDAR.match(text):
        raise ValueError(f"'{text}' names months or years, whose length varies; write days")
    match = _ISO.fullmatch(text)
    if match is None or text[-1] in "PpTt":
        raise ValueError(f"'{text}' is not an ISO-8601 duration; write for example 'PT3M5S'")
    nanos = sum(int(match[name]) * _NANOS[name] for name in "wdhms" if match[name])
    return nanos + _fraction(match["f"], _NANOS["s"])


def _fraction(digits: str | None, unit: int) -> int:
    """Nanoseconds of the digits after the point, rounded up."""
    if not digits:
        return 0
    scale: int = 10 ** len(digits)
    return -(-int(digits) * unit // scale)
