"""Loaded chance: the functions of `random` give what is asked of them, within one exchange.

A branch that hangs on a random number takes each of its ways only if the number is made to differ.
So an exchange draws from a script: its first draws lie where the script puts them between the
lowest and the highest possible value. Later draws are honest, so that code which draws until it
likes what it gets comes to an end.

All functions of the module `random` are loaded, also where they were imported by name, and
whatever they derive from a draw (`choice`, `shuffle`, `gauss`, …). Generators of one's own
(`random.Random()`, numpy) are not.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from steadfaas.testing.patches import Patches

_LOADED: Final = 32
_HIGHEST: Final = 1 - 2**-53
_STEPS: Final = 12
_SEEDS: Final = 6

# Where the draw with this number lies, from 0 (the lowest value) to just below 1 (the highest).
Script = Callable[[int], float]


class Chance:
    """The draws of one exchange."""

    def __init__(self, script: Script) -> None:
        self.drawn = 0
        self._script = script
        self._honest = random.Random(0)

    def random(self) -> float:
        """A number in [0, 1), as `random.random` gives it."""
        self.drawn += 1
        return self._script(self.drawn) if self.drawn <= _LOADED else self._honest.random()

    def below(self, n: int) -> int:
        """A number in [0, n)."""
        return int(self.random() * 2**53) * n >> 53


CURRENT: Final[ContextVar[Chance | None]] = ContextVar("steadfaas_chance", default=None)


def extreme(*, high: bool) -> Chance:
    """Always the highest, or always the lowest value."""
    return Chance(lambda number: _HIGHEST if high else 0.0)


def sweep() -> list[Chance]:
    """Chances that differ from each other in as many ways as code may depend on."""
    scripts = [_constant((step + 0.5) / _STEPS) for step in range(_STEPS)]
    scripts += [_alternating(0), _alternating(1)]
    scripts += [_seeded(seed) for seed in range(_SEEDS)]
    return [Chance(script) for script in scripts]


def _constant(value: float) -> Script:
    return lambda number: value


def _alternating(first: int) -> Script:
    return lambda number: (0.0, _HIGHEST)[(number + first) % 2]


def _seeded(seed: int) -> Script:
    generator = random.Random(seed)
    return lambda number: generator.random()


_patches: Final = Patches()


def hold() -> None:
    """Load the functions of `random`, until `release`. Where `CURRENT` is not set they are real."""
    if not _patches.hold():
        return
    # The module's functions are methods of one hidden generator. Where those that it is built on
    # are replaced, all others follow, by whatever name they were imported.
    generator: Any = random._inst
    real = {name: getattr(generator, name) for name in ("random", "getrandbits", "_randbelow")}
    replaced = {
        real["random"]: _loaded(real["random"], Chance.random),
        real["getrandbits"]: _loaded(real["getrandbits"], lambda chance, k: chance.below(1 << k)),
    }
    for name, method in real.items():
        new = replaced.get(method) or _loaded(method, Chance.below)
        _patches.set(generator, name, new)
    # These two are no Python functions: whoever imported them by name holds the real ones.
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if type(value) is type(real["random"]) and value in replaced:
                _patches.set(module, name, replaced[value])


def release() -> None:
    """Give the functions of `random` back."""
    _patches.release()


def _loaded(real: Callable[..., Any], chosen: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        chance = CURRENT.get()
        return real(*args) if chance is None else chosen(chance, *args)

    return function
