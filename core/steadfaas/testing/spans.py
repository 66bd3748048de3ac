"""Lengths of time as a test writes them."""

from __future__ import annotations

from datetime import timedelta

from steadfaas.durations import parse_duration

Duration = str | timedelta


def milliseconds(duration: Duration) -> int:
    """Milliseconds of `"3 days"`, `"1h 30m"`, `"PT5S"` or a timedelta.

    Raises ValueError, saying what would be right, for any other text and for a negative length.
    """
    if isinstance(duration, str):
        return parse_duration(duration)
    whole = -(-duration // timedelta(milliseconds=1))
    if whole < 0:
        raise ValueError(f"time does not go back: {duration}")
    return whole
