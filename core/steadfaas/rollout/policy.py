"""Which old versions may go: drained, old enough, beyond those that are kept, and no target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from steadfaas.durations import format_duration
from steadfaas.rollout.judged import Judged
from steadfaas.rollout.plan import RetireStep, Stays
from steadfaas.rollout.world import Json, Known, World

# Whether nobody can ask the platform of a deployment (its view) to remove its version.
PlatformKeeps = Callable[[Json], bool]
# Whether what is at another address would go with the version of a deployment (its view).
GoesWith = Callable[[Json, str], bool]


@dataclass(frozen=True, slots=True)
class Platforms:
    """What is to be known of platforms."""

    keeps: PlatformKeeps
    goes_with: GoesWith


PLATFORM_KEEPS: Final = "drained, platform keeps it"


def goes_and_stays(
    judged: Iterable[Judged],
    world: World,
    *,
    targets: Mapping[str, str],
    now: int,
    platforms: Platforms,
) -> tuple[list[RetireStep], list[Stays]]:
    """The old versions of these entries: those that go with the evidence, and why others stay.

    `targets` are the deployments that the file's targets lead to; `now` is in ms since the epoch.
    """
    goes: list[RetireStep] = []
    stays: list[Stays] = []
    for each in judged:
        kept: list[str] = []
        for known in world.versions_of(each.entry.name):
            if known.id in targets or world.active_services(known.id):
                continue
            why = _why_it_stays(each, known, kept, now, platforms)
            if why is None and known.retiring is None:
                why = _who_shares_it(known, world, platforms)
            if why is None:
                evidence = _evidence(each, known, kept, targets, now)
                goes.append(RetireStep(each.entry.name, known.id, known.uri, evidence))
            else:
                stays.append(Stays(each.entry.name, known.id, known.uri, why))
    return goes, stays


def _why_it_stays(
    judged: Judged, known: Known, kept: list[str], now: int, platforms: Platforms
) -> str | None:
    """None if it goes. One that is kept for its place in the row is added to `kept`."""
    entry = judged.entry
    if not entry.has_policy:
        return f"'{entry.name}' says neither keep nor min_age"
    if judged.trouble is not None:
        return f"where the target of '{entry.name}' leads is not known: {judged.trouble.message}"
    if known.unfinished:
        return _draining(known)
    if known.retiring is not None:
        return None  # begun under the same rules; it goes on
    if len(kept) < (entry.keep or 0):
        kept.append(known.id)
        return f"drained, the {_ordinal(len(kept))} of {entry.keep} that are kept"
    if now - known.created_at < (entry.min_age or 0):
        return (
            f"drained, but {_age(known, now)} old, and it stays for"
            f" {format_duration(entry.min_age or 0)}"
        )
    return PLATFORM_KEEPS if platforms.keeps(known.view) else None


def _who_shares_it(known: Known, world: World, platforms: Platforms) -> str | None:
    """Why it stays for another deployment's sake: that would lose its version too."""
    for other in world.at_host_of(known):
        if other.retiring is None and platforms.goes_with(known.view, other.uri):
            return f"drained, but {other.id} leads to the same version at {other.uri}"
    return None


def _draining(known: Known) -> str:
    drain = known.view.get("drain") or {}
    kinds = ", ".join(f"{count} {kind}" for kind, count in drain.get("counts", {}).items() if count)
    said = f"draining: {known.unfinished} unfinished" + (f" ({kinds})" if kinds else "")
    at = drain.get("earliest_drained_at")
    return f"{said}, not before {at[:10]} {at[11:19]}" if at else said


def _evidence(
    judged: Judged, known: Known, kept: Iterable[str], targets: Mapping[str, str], now: int
) -> Json:
    """Why it may go, for the record."""
    entry = judged.entry
    return {
        "entry": entry.name,
        "unfinished": known.unfinished,
        "age": _age(known, now),
        "min_age": None if entry.min_age is None else format_duration(entry.min_age),
        "keep": entry.keep,
        "kept": list(kept),
        "targets": dict(targets),
        "services": known.revisions,
    }


def _age(known: Known, now: int) -> str:
    return format_duration(max(now - known.created_at, 0) // 1000 * 1000)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number // 10 % 10 != 1 else 0, "th")
    return f"{number}{ending}"
