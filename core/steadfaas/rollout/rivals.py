"""Entries of a file beside one another: two of them cannot have the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from steadfaas.rollout.judged import Judged, Trouble

Headers = frozenset[tuple[str, str]]


def without_rivals(judged: Sequence[Judged]) -> list[Judged]:
    """The same, with trouble for those that lead to one version, or want the same service: each
    apply would take it from the other."""
    # Headers that choose what answers at one address make it several. They may hold secrets, and
    # are not said.
    claims: defaultdict[tuple[str, Headers], list[str]] = defaultdict(list)
    for each in judged:
        if each.trouble is None:
            claims[f"version {each.uri}", frozenset(each.headers.items())].append(each.entry.name)
            for name in each.served:
                claims[f"'{name}'", frozenset()].append(each.entry.name)
    rivalries: defaultdict[str, list[str]] = defaultdict(list)
    for (what, _), names in claims.items():
        for name in names if len(names) > 1 else ():
            rivalries[name].append(f"{what} is what {_all(names)} want")
    return [_rival(each, rivalries[each.entry.name]) for each in judged]


def _rival(judged: Judged, rivalries: Sequence[str]) -> Judged:
    if not rivalries:
        return judged
    trouble = Trouble(f"{'; '.join(rivalries)}. Only one of them can have it.")
    return replace(judged, trouble=trouble)


def _all(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)
