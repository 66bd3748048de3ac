"""Faults on the wire between the engine and a deployment, as a test orders them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Fault:
    """What happens to the next exchanges. Exactly one of `status`, `cut_after`, `latency` is set.

    `deployment` (its address) and `invocation` narrow it down (None: any); `attempts` names numbers
    of attempts, the first being 1. `times` counts down; None means: until it is taken back.
    """

    deployment: str | None = None
    invocation: str | None = None
    attempts: frozenset[int] | None = None
    times: int | None = 1
    status: int | None = None
    retry_after: int | None = None  # ms, for a status
    cut_after: int | None = None  # messages of the answer that still arrive
    latency: int | None = None  # ms of virtual time before the request arrives

    def applies(self, deployment: str, invocation: str, attempt: Callable[[], int]) -> bool:
        """Whether it is meant for this exchange, and not used up."""
        return (
            self.times != 0
            and self.deployment in (None, deployment)
            and self.invocation in (None, invocation)
            and (self.attempts is None or attempt() in self.attempts)
        )


class Faults:
    """The faults that were ordered, oldest first."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Order a fault; give it to `remove` to take it back."""
        self._ordered.append(fault)

    def remove(self, fault: Fault) -> None:
        """Take a fault back. One that is used up, or was taken back before: nothing."""
        if fault in self._ordered:
            self._ordered.remove(fault)

    def take(self, deployment: str, invocation: str, attempt: Callable[[], int]) -> Fault | None:
        """The oldest fault that applies to an exchange; it is used once by that.

        `attempt` is asked for the attempt's number only if a fault depends on it.
        """
        for fault in self._ordered:
            if fault.applies(deployment, invocation, attempt):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._ordered.remove(fault)
                return fault
        return None


def attempt_numbers(attempts: int | Iterable[int] | None) -> frozenset[int] | None:
    """Attempt numbers as a test writes them: one, several, or None for all.

    Raises ValueError for a number below 1: the first attempt is number 1.
    """
    if attempts is None:
        return None
    numbers = frozenset({attempts} if isinstance(attempts, int) else attempts)
    if not numbers or min(numbers) < 1:
        raise ValueError(f"attempts are counted from 1: {sorted(numbers)}")
    return numbers
