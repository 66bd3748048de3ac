"""How many exchanges may be open: in all, and with each deployment. The rest waits in line.

Only numbers wait here, never journals: whoever gets a slot is read from the store.
"""

from __future__ import annotations

from collections import deque


class Slots:
    """Free places for open exchanges."""

    def __init__(self, limit: int, limit_per_deployment: int) -> None:
        self._limit = limit
        self._limit_per_deployment = limit_per_deployment
        self._open: dict[str, int] = {}
        self._waiting: dict[str, deque[int]] = {}
        self.total = 0

    def take(self, deployment: str) -> bool:
        """Take a slot if one is free and nobody waited longer."""
        if self._waiting.get(deployment) or not self._free(deployment):
            return False
        self._count(deployment)
        return True

    def give_back(self, deployment: str) -> None:
        """An exchange is over."""
        self.total -= 1
        left = self._open[deployment] - 1
        if left:
            self._open[deployment] = left
        else:
            del self._open[deployment]

    def wait(self, deployment: str, seq: int) -> None:
        """Stand in line for a slot."""
        self._waiting.setdefault(deployment, deque()).append(seq)

    def admit(self) -> list[tuple[str, int]]:
        """Take slots for those who waited longest, deployments in turn: (deployment, seq) each."""
        admitted: list[tuple[str, int]] = []
        progress = bool(self._waiting)
        while progress:
            progress = False
            for deployment in list(self._waiting):
                if self._free(deployment):
                    line = self._waiting.pop(deployment)
                    self._count(deployment)
                    admitted.append((deployment, line.popleft()))
                    progress = True
                    if line:
                        self._waiting[deployment] = line  # to the end of the row
        return admitted

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(len(line) for line in self._waiting.values())

    def open_with(self, deployment: str) -> int:
        """How many exchanges are open with this deployment."""
        return self._open.get(deployment, 0)

    def _free(self, deployment: str) -> bool:
        return (
            self.total < self._limit and self._open.get(deployment, 0) < self._limit_per_deployment
        )

    def _count(self, deployment: str) -> None:
        self.total += 1
        self._open[deployment] = self._open.get(deployment, 0) + 1
