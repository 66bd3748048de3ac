"""What handlers did, what their new code does, and what a check must say: for any SDK.

The moves are those of `tests/services/script_app.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Moves = list[list[Any]]
LONG: Final = 99_999  # seconds
WAITS: Final = "waits for something"


@dataclass(frozen=True, slots=True)
class Case:
    """Old and new code of a handler, and the findings; `index` says that they differ.

    `next` is a word of the reason: what the new code does once it got through.
    """

    old: Moves
    new: Moves
    index: int | None = None
    recorded: str | None = None
    issued: str | None = None
    next: str = ""
    verdict: str = ""
    target: str = "Script/play"
    cancel: bool = False

    @property
    def expected(self) -> tuple[str, int | None, str | None, str | None]:
        """Verdict, index, recorded, issued."""
        verdict = self.verdict or ("compatible" if self.index is None else "diverges")
        return verdict, self.index, self.recorded, self.issued


def _same(moves: Moves, next: str = "waits", **more: Any) -> Case:
    return Case(moves, moves, next=next, **more)


def _after_a_step(new: list[Any], next: str, target: str = "Script/play") -> Case:
    old = [["run", "a"], ["awakeable"]]
    return Case(old, [["run", "a"], new], next=next, target=target)


_A: Final = ["run", "a"]
_B: Final = ["run", "b"]
_C: Final = ["run", "c"]
_WAIT: Final = ["awakeable"]
_NAP: Final = ["sleep", LONG]
_NEVER: Final = ["call", "never", '"x"']

CASES: Final[dict[str, Case]] = {
    # It got through, and does something new.
    "goes on with a step": _after_a_step(_B, "Run b"),
    "goes on with a sleep": _after_a_step(["sleep", 1], "Sleep"),
    "goes on with a call": _after_a_step(["call", "say", '"x"'], "Call"),
    "goes on with a send": _after_a_step(["send", "say", '"x"'], "OneWayCall"),
    "goes on with a signal": _after_a_step(["signal", "go"], "waits"),
    "goes on with several": _after_a_step(["all", _B, _C], "Run b"),
    "ends": _after_a_step(["return", 7], "Output"),
    "fails for good": _after_a_step(["terminal"], "Output"),
    "goes on with a promise": _after_a_step(["promise", "p"], "GetPromise", "Flow/run"),
    "goes on with a look at a promise": _after_a_step(["peek", "p"], "PeekPromise", "Flow/run"),
    "goes on with state": _after_a_step(["get", "n"], "State", "Thing/play"),
    "goes on with lazy state": _after_a_step(["get", "n"], "State", "LazyThing/play"),
    "goes on with keys": _after_a_step(["keys"], "StateKeys", "Thing/play"),
    "goes on with a write": _after_a_step(["set", "n", "1"], "SetState", "Thing/play"),
    "goes on with a deletion": _after_a_step(["clear", "n"], "ClearState", "Thing/play"),
    "goes on with all deletions": _after_a_step(["clear-all"], "ClearAllState", "Thing/play"),
    # It got through, and waits.
    "waits for an awakeable": _same([_A, _WAIT]),
    "waits for a sleep": _same([_A, _NAP]),
    "waits for another sleep": Case([_A, _NAP], [_A, ["sleep", 5]], next="waits"),
    "waits for a call": _same([_A, _NEVER]),
    "waits for a promise": _same([_A, ["promise", "p"]], target="Flow/run"),
    "waits for a signal": _same([_A, ["signal", "go"]]),
    "waits for a step": Case([_A, ["stumble", "b"]], [_A, _B], next="waits"),
    "waits for the only step": Case([["stumble", "b"]], [_B], next="waits"),
    "waits for all": _same([["all", _NAP, _A, ["call", "say", '"x"'], _WAIT]]),
    "waits for steps at once": Case(
        [["all", ["stumble", "x"], ["stumble", "y"]]],
        [["all", ["run", "x"], ["run", "y"]]],
        next="waits",
    ),
    "waits in a race": _same([_A, ["race", _NAP, _WAIT, _NEVER]]),
    "waits after a race": _same([["race", _NAP, _A], _B, _WAIT]),
    "waits with state": _same(
        [["get", "n"], ["set", "n", "1"], ["get", "n"], ["keys"], ["clear", "n"], _WAIT],
        target="Thing/play",
    ),
    "waits with lazy state": _same(
        [["get", "n"], ["set", "n", "1"], ["get", "n"], ["keys"], ["clear", "n"], _WAIT],
        target="LazyThing/play",
    ),
    "lets a step be": Case(
        [["start", ["stumble", "x"]], ["join", 0]],
        [["start", ["run", "x"]], ["return", 1]],
        next="Output",
    ),
    "a step that failed for good": _same([["catch", [["refuse", "a"]], [_B, _WAIT]]]),
    "cancelled while it slept": _same([_A, ["catch", [_NAP], [_B, _WAIT]]], cancel=True),
    "cancelled, and compensates otherwise": Case(
        [_A, ["catch", [_NAP], [_B, _WAIT]]],
        [_A, ["catch", [_NAP], [_C, _WAIT]]],
        2 + 1,
        "Run b",
        "Run c",
        cancel=True,
    ),
    "cancelled while it called": _same([_A, ["catch", [_NEVER], [_B, _WAIT]]], cancel=True),
    # It diverges.
    "another type first": Case([_A, _B, _WAIT], [_NAP, _B, _WAIT], 1, "Run a", "Sleep"),
    "another type in the middle": Case(
        [_A, _B, _C, _WAIT], [_A, ["send", "say", '"x"'], _C, _WAIT], 2, "Run b", "OneWayCall"
    ),
    "another type last": Case([_A, _B, _WAIT], [_A, _NAP], 2, "Run b", "Sleep"),
    "another name": Case([_A, _B, _C, _WAIT], [_A, ["run", "B"], _C, _WAIT], 2, "Run b", "Run B"),
    "another name first": Case([_A, _WAIT], [_B, _WAIT], 1, "Run a", "Run b"),
    "another parameter": Case(
        [_A, ["call", "say", '"x"'], _WAIT], [_A, ["call", "say", '"y"'], _WAIT], 2, "Call", "Call"
    ),
    "another handler": Case(
        [["call", "say", '"x"'], _WAIT], [["call", "never", '"x"'], _WAIT], 1, "Call", "Call"
    ),
    "another key": Case(
        [["get", "n"], _WAIT],
        [["get", "m"], _WAIT],
        1,
        "GetEagerState",
        "GetEagerState",
        target="Thing/play",
    ),
    "another value": Case(
        [["set", "n", "1"], _WAIT],
        [["set", "n", "2"], _WAIT],
        1,
        "SetState",
        "SetState",
        target="Thing/play",
    ),
    "state for a step": Case(
        [_A, _WAIT], [["get", "n"], _WAIT], 1, "Run a", "GetEagerState", target="Thing/play"
    ),
    "swapped": Case([_A, _B, _WAIT], [_B, _A, _WAIT], 1, "Run a", "Run b"),
    "a step inserted": Case([_A, _B, _WAIT], [_A, _C, _B, _WAIT], 2, "Run b", "Run c"),
    "a step left out": Case([_A, _B, _C, _WAIT], [_A, _C, _WAIT], 2, "Run b", "Run c"),
    "ends early": Case([_A, _B, _WAIT], [_A, ["return", 1]], 2, "Run b", "Output"),
    "fails for good early": Case([_A, _B, _WAIT], [_A, ["terminal"]], 2, "Run b", "Output"),
    "waits early": Case([_A, _B, _C, _WAIT], [_A, _WAIT, _B, _C], 2, "Run b", WAITS),
    "waits at once": Case([_A, _B, _WAIT], [_WAIT, _A, _B], 1, "Run a", WAITS),
    "waits early for a sleep": Case(
        [["start", _NAP], _A, _B, ["join", 0]], [_NAP, _A, _B], 2, "Run a", WAITS
    ),
    "waits early for a step": Case(
        [["start", ["stumble", "x"], _A], ["join", 1], _B, ["join", 0]],
        [["start", ["run", "x"], _A], ["join", 0], _B],
        3,
        "Run b",
        WAITS,
    ),
    "waits early for the first step": Case(
        [["start", ["stumble", "x"], _A], ["join", 1], _B, ["join", 0]],
        [["run", "x"], _A, _B],
        2,
        "Run a",
        WAITS,
    ),
    # It ended.
    "completed": Case([_A, _B], [_A, _B], next="same result"),
    "completed with nothing": Case([["return", 1]], [["return", 1]], next="same result"),
    "completed for good": Case([_A, ["terminal"]], [_A, ["terminal"]], next="same result"),
    "completed otherwise": Case(
        [_A, ["return", 1]], [_A, ["return", 2]], next="another result"
    ),
    "completed, and goes on": Case([_A, ["return", 1]], [_A, _B], 2, "Output", "Run b"),
    "completed, and waits": Case([_A, ["return", 1]], [_A, _WAIT], 2, "Output", WAITS),
    "completed, and waits for nothing else": Case(
        [["return", 1]], [_WAIT], 1, "Output", WAITS
    ),
    "completed, and diverges": Case([_A, _B], [_A, _C], 2, "Run b", "Run c"),
    "completed, and ends early": Case([_A, _B], [_A], 2, "Run b", "Output"),
    # Nobody can tell.
    "fails": Case([_A, _B, _WAIT], [_A, ["raise"]], verdict="cannot-tell", next="broken"),
    "fails at once": Case([_A, _WAIT], [["raise"]], verdict="cannot-tell", next="broken"),
    "fails at the end": Case([_A, _WAIT], [_A, ["raise"]], verdict="cannot-tell", next="broken"),
    # Nothing was recorded.
    "nothing recorded": Case([_WAIT], [_A], next="nothing but its input"),
}  # fmt: skip
