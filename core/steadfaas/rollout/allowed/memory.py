"""Answers to questions that lead back to themselves, because models do.

A question that is asked again while it is open is taken to have the answer "nothing changed":
whatever did is told where it was asked first. Answers that were found on the way *lean on* that.
They are used again as long as the question is open. Once it is answered, they stay if the
assumption proved right, and are forgotten if it did not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

from steadfaas.rollout.allowed.changes import Change, unclear

_DEEPEST: Final = 64
_FIRST: Final = 1  # the bit of the first question, which is open to the end


# Of a change in a model that is used in many places, as many places are told.
_PLACES: Final = 3


class Memory:
    """All answers of one walk. A set of open questions is a number with a bit for each depth."""

    def __init__(self) -> None:
        self._open: dict[Hashable, int] = {}
        self._known: dict[Hashable, tuple[list[Change], int]] = {}
        self._leaning: list[Hashable] = []  # what leans on open questions, oldest first
        self._leans_on = 0  # what the answer to the present question leans on

    def answer(self, question: Hashable, find: Callable[[], list[Change]]) -> list[Change]:
        """The answer to a question: known, assumed, or found now."""
        if question in self._open:
            self._leans_on |= 1 << self._open[question]
            return []
        if question in self._known:
            changes, leans_on = self._known[question]
            self._leans_on |= leans_on
            return changes
        depth = len(self._open)
        if depth >= _DEEPEST:
            self._leans_on |= _FIRST  # not so everywhere: an answer for nobody further up
            return [unclear("it is nested too deep")]
        self._open[question] = depth
        first = len(self._leaning)
        outer, self._leans_on = self._leans_on, 0
        right = False
        try:
            changes = _few(find(), question)
            right = not changes
        finally:
            del self._open[question]
            self._settle(1 << depth, first, right=right)
            leans_on = self._leans_on
            self._leans_on |= outer
        self._keep(question, changes, leans_on)
        return changes

    def _settle(self, bit: int, first: int, *, right: bool) -> None:
        """A question is answered, and what leaned on it proved right or wrong. That was all found
        since it was asked."""
        if not self._leans_on & bit:
            return
        self._leans_on &= ~bit
        since, self._leaning[first:] = self._leaning[first:], []
        for question in since:
            changes, leans_on = self._known.pop(question)
            if not leans_on & bit:
                self._keep(question, changes, leans_on)
            elif right:
                self._keep(question, changes, (leans_on & ~bit) | self._leans_on)

    def _keep(self, question: Hashable, changes: list[Change], leans_on: int) -> None:
        self._known[question] = changes, leans_on
        if leans_on:
            self._leaning.append(question)


def _few(changes: list[Change], question: Hashable) -> list[Change]:
    """The changes, with where each of them comes from, and few of each origin: through models that
    are used everywhere, more ways lead to one change than anybody could read."""
    known = [
        change if change.origin else replace(change, origin=(question, change.path))
        for change in changes
    ]
    seen: Counter[Change] = Counter()
    told = set()
    for change in sorted(set(known), key=lambda change: len(change.path)):
        same = replace(change, path="")
        seen[same] += 1
        if seen[same] <= _PLACES:
            told.add(change)
    return [change for change in dict.fromkeys(known) if change in told]
