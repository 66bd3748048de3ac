"""Times as the APIs write them."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(ms: int) -> str:
    """A time in ms since the epoch, in RFC 3339 with nine digits after the second."""
    try:
        moment = datetime.fromtimestamp(ms // 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "9999-12-31T23:59:59.999000000Z"  # what no calendar holds
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000000Z"


def timestamp_if(ms: int | None) -> str | None:
    """The same; None for None."""
    return None if ms is None else timestamp(ms)
