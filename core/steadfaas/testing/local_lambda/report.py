"""What is told of each invocation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """An invocation that has ended, for whoever watches. `milliseconds` include a cold start."""

    version_arn: str
    request_id: str
    cold_start: bool
    milliseconds: float
    error: str | None
