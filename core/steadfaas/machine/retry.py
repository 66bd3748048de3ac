"""The retry policy between attempts: how long to wait, and when to stop trying."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

# Jitter only lengthens a delay, by less than this share of it.
JITTER_SHARE: Final = 0.3


class OnMaxAttempts(Enum):
    """What happens when attempts run out."""

    PAUSE = "Pause"
    KILL = "Kill"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How an invocation is retried. Intervals are in milliseconds.

    `max_attempts` counts the first attempt too; None means that attempts never run out.
    """

    initial_interval: int = 500
    factor: float = 2.0
    max_interval: int = 60_000
    max_attempts: int | None = 70
    on_max_attempts: OnMaxAttempts = OnMaxAttempts.PAUSE


def delay(policy: RetryPolicy, failure_number: int, jitter: float) -> int:
    """Milliseconds to wait after the failure with this number (the first is 1).

    The interval grows by the policy's factor up to its maximum; `jitter`, a number in [0, 1), adds
    up to 30 % on top, so that invocations which failed together do not come back together.
    """
    interval = _interval(policy, max(failure_number, 1) - 1)
    return interval + int(interval * jitter * JITTER_SHARE)


def _interval(policy: RetryPolicy, growths: int) -> int:
    if policy.initial_interval == 0:
        return 0
    try:
        interval = policy.initial_interval * math.pow(policy.factor, growths)
    except OverflowError:
        return policy.max_interval
    # Compared before it is rounded: a product may be infinite, which no int can hold.
    return policy.max_interval if interval >= policy.max_interval else int(interval)
