"""One change between what two schemas allow, before anybody judges it.

A change is seen from both sides, because one walk serves inputs and outputs: does it *reject*
something that was allowed, and does it *allow* something that was rejected? `None` says that this
cannot be told.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Change:
    """One fact, and where: `path` is relative to the place whose schemas were compared.

    `assumed` marks what holds for those only who keep to declared properties: see `objects.py`.
    """

    message: str
    rejects: bool | None
    allows: bool | None
    assumed: bool = False
    path: str = ""
    origin: Hashable = None  # what was compared when it was found, see `memory.py`


def tighter(message: str) -> Change:
    """Allows less than before."""
    return Change(message, rejects=True, allows=False)


def looser(message: str) -> Change:
    """Allows more than before."""
    return Change(message, rejects=False, allows=True)


def different(message: str) -> Change:
    """Allows something else than before."""
    return Change(message, rejects=True, allows=True)


def unclear(why: str) -> Change:
    """Cannot be told in either direction."""
    return Change(f"cannot be compared: {why}", rejects=None, allows=None)


def below(step: str, changes: Iterable[Change]) -> list[Change]:
    """The changes of an inner place, as the outer place tells them."""
    return [replace(change, path=step + change.path) for change in changes]


Bound = int | float
Limit = tuple[Bound, bool]  # a number, and whether it is itself left out


def bounds(name: str, before: Limit | None, after: Limit | None, *, at_least: bool) -> list[Change]:
    """The change of a lower (`at_least`) or an upper limit."""
    if before == after:
        return []
    if before is None or after is None:
        if after is not None:
            return [tighter(f"has a {name} of {_limit(after)} now")]
        return [looser(f"{name} of {_limit(before)} is gone")] if before else []
    # At the same number, the limit that leaves it out is further in.
    raised = (after[0], after[1] is at_least) > (before[0], before[1] is at_least)
    moved = "raised" if raised else "lowered"
    said = f"{name} {moved} from {_limit(before)} to {_limit(after)}"
    return [tighter(said) if raised is at_least else looser(said)]


def _limit(limit: Limit) -> str:
    return f"{limit[0]} (exclusive)" if limit[1] else str(limit[0])
