"""How long to leave what fails alone before it is tried again."""

from __future__ import annotations

import time
from typing import Final

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0


class Pauses:
    """Pauses that grow with each try of the same thing."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[float, float]] = {}

    def over(self, what: str) -> bool:
        """Whether it may be tried now; if so, that counts as a try."""
        now = time.monotonic()
        not_before, pause = self._tries.get(what, (now, _FIRST_SECONDS))
        if now < not_before:
            return False
        self._tries[what] = (now + pause, min(2 * pause, _LONGEST_SECONDS))
        return True

    def forget(self, what: str) -> None:
        """It went well: the next try may be at once."""
        self._tries.pop(what, None)
