"""Attributes of other modules that are replaced while a test runs, and put back after it."""

from __future__ import annotations

from typing import Any, Final

_ABSENT: Final = object()


class Patches:
    """Replaced attributes; `undo` puts them back in reverse order.

    Shared by all kits of this process: `hold` and `release` count, the last release undoes.
    """

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any]] = []
        self._holders = 0

    def hold(self) -> bool:
        """One more needs them. True: nothing was set yet, so that the holder must `set` them."""
        self._holders += 1
        return not self._done

    def release(self) -> None:
        """One less needs them."""
        self._holders -= 1
        if self._holders == 0:
            while self._done:
                owner, name, former = self._done.pop()
                if former is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, former)

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute of the very object `owner`, not of its class."""
        self._done.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, value)
