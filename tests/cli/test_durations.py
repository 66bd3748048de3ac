"""Durations: what is read, what is refused, and that what is written can be read back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadfaas.durations import format_duration, parse_duration

READ = [
    ("0s", 0),
    ("500ms", 500),
    ("2m", 120_000),
    ("10s", 10_000),
    ("1day", 86_400_000),
    ("10 days", 864_000_000),
    ("3m 5s", 185_000),
    ("1s500ms", 1_500),
    ("1 day, 2 hours", 93_600_000),
    ("1d2h3m4s5ms", 93_784_005),
    ("2weeks", 1_209_600_000),
    ("1hr 30min", 5_400_000),
    ("1.5s", 1_500),
    ("0.5ms", 1),
    ("1us", 1),
    ("1000us", 1),
    ("1001µs", 2),
    ("1ns", 1),
    ("  7s  ", 7_000),
    ("PT2M", 120_000),
    ("PT0S", 0),
    ("PT1.5S", 1_500),
    ("PT0,25S", 250),
    ("P1D", 86_400_000),
    ("P1W", 604_800_000),
    ("P1DT2H3M4S", 93_784_000),
    ("pt10s", 10_000),
    ("PT36H", 129_600_000),
    ("200000d", 200_000 * 86_400_000),
]

REFUSED = [
    ("", "missing"),
    ("   ", "missing"),
    ("60", "has no unit"),
    ("1.5", "has no unit"),
    ("0", "has no unit"),
    ("soon", "not a duration"),
    ("-5s", "not a duration"),
    ("+5s", "not a duration"),
    ("5 s5", "not a duration"),
    ("5  s", "not a duration"),
    ("1M", "not a duration"),
    ("٣s", "not a duration"),
    ("1 fortnight", "'fortnight'"),
    ("1s 1m", "from the largest"),
    ("1s 1s", "each unit once"),
    ("1s,", "middle"),
    ("1s,,2ms", "not a duration"),
    ("P", "not an ISO-8601"),
    ("PT", "not an ISO-8601"),
    ("P1DT", "not an ISO-8601"),
    ("P-1D", "not an ISO-8601"),
    ("PT1S2M", "not an ISO-8601"),
    ("PT5", "not an ISO-8601"),
    ("P1M", "months or years"),
    ("P1Y2D", "months or years"),
    ("200000d 1ms", "longer than"),
    ("9" * 60 + "d", "longer than"),
    ("9" * 101 + "d", "too long"),
]

WRITTEN = [
    (0, "0s"),
    (1, "1ms"),
    (500, "500ms"),
    (1_000, "1s"),
    (1_500, "1s 500ms"),
    (60_000, "1m"),
    (185_000, "3m 5s"),
    (600_000, "10m"),
    (86_400_000, "1d"),
    (93_784_005, "1d 2h 3m 4s 5ms"),
    (1_209_600_000, "14d"),
]


@pytest.mark.parametrize(("text", "millis"), READ)
def test_reads(text: str, millis: int) -> None:
    assert parse_duration(text) == millis


@pytest.mark.parametrize(("text", "hint"), REFUSED)
def test_refuses_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_duration(text)


@pytest.mark.parametrize(("millis", "text"), WRITTEN)
def test_writes(millis: int, text: str) -> None:
    assert format_duration(millis) == text


def test_writes_no_negative_duration() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(-1)


@given(st.integers(min_value=0, max_value=200_000 * 86_400_000))
def test_what_is_written_can_be_read(millis: int) -> None:
    assert parse_duration(format_duration(millis)) == millis


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= 0
