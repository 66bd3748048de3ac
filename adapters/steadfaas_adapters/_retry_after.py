"""How long a platform asks us to wait, in the header `Retry-After`: seconds, or nothing we heed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_DAY: Final = 86_400


def seconds(headers: Mapping[str, str]) -> float | None:
    """None where nothing is asked for, or a day and more."""
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return asked if 0 < asked < _DAY else None


def milliseconds(headers: Mapping[str, str]) -> int | None:
    """The same, as `AttemptFailure.retry_after` wants it."""
    asked = seconds(headers)
    return None if asked is None else int(asked * 1000)


__all__ = ["milliseconds", "seconds"]
