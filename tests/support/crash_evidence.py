"""What a crash run saw, and the promises it is held against.

The load records what the engine acknowledged, the endpoint logs what it executed (see
`tests.services.crash`), and the ledgers hold what took effect. `violations` compares the three:

1. Every step of every result was executed: its token is in the log.
2. A step has one committed token: nobody is ever shown two.
3. A committed step is never executed again. An attempt that the killed engine had already sent is
   no breach: the endpoint may get to it late. It is told by its connection, opened before the
   kill.
4. Acknowledged ledger entries count exactly once, doubtful ones (sent, but cut off before the
   answer) at most once, and there are no others.
5. Keys are exclusive: no two additions to a ledger ever got the same total.
6. A repeated idempotent request gives the same answer.
7. Whatever was accepted has a result.
"""

from __future__ import annotations

import bisect
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Executed:
    """One executed closure, as the endpoint logged it.

    `engine` is the number of kills before the connection was opened that brought the attempt.
    """

    invocation: str
    step: str
    token: str
    seen: dict[str, str]
    engine: int


@dataclass(slots=True)
class Evidence:
    """Everything a run acknowledged, executed and left behind."""

    results: list[dict[str, Any]] = field(default_factory=list)
    """Each `{"invocation", "tokens"}` that a caller got, directly or inside another result."""

    totals: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By ledger: the totals that additions answered, each acknowledged addition once."""

    certain: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By ledger: entries whose addition was acknowledged."""

    doubtful: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By ledger: entries whose request was sent without an answer."""

    repeats: list[tuple[str, Any, Any]] = field(default_factory=list)
    """An idempotent request, its first answer and a later one."""

    unfinished: list[str] = field(default_factory=list)
    """Accepted work that has no result, with what was answered instead."""

    refused: list[str] = field(default_factory=list)
    """Answers that neither acknowledge nor ask for another try."""

    ledgers: dict[str, dict[str, int]] = field(default_factory=dict)
    """By ledger: its final state."""

    executed: list[Executed] = field(default_factory=list)
    """The side-effect log, in order."""

    def violations(self) -> list[str]:
        """Every broken promise, as a sentence; empty when all were kept."""
        return [
            *self._results_not_executed(),
            *self._committed_twice(),
            *self._executed_after_commit(),
            *self._wrong_ledgers(),
            *self._shared_totals(),
            *(
                f"{request} answered {first!r} and later {second!r}"
                for request, first, second in self.repeats
                if first != second
            ),
            *(f"accepted, but without result: {what}" for what in self.unfinished),
            *(f"unexpected answer: {what}" for what in self.refused),
        ]

    def _results_not_executed(self) -> list[str]:
        logged = {(one.invocation, one.step, one.token) for one in self.executed}
        return [
            f"{result['invocation']} claims {step}={token}, which was never executed"
            for result in self.results
            for step, token in result["tokens"].items()
            if (result["invocation"], step, token) not in logged
        ]

    def _committed_twice(self) -> list[str]:
        shown: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in self.executed:
            for step, token in one.seen.items():
                shown[one.invocation, step].add(token)
        for result in self.results:
            for step, token in result["tokens"].items():
                shown[result["invocation"], step].add(token)
        return [
            f"{invocation} was shown {len(tokens)} tokens for step {step}: {sorted(tokens)}"
            for (invocation, step), tokens in shown.items()
            if len(tokens) > 1
        ]

    def _executed_after_commit(self) -> list[str]:
        committed: dict[tuple[str, str], Executed] = {}
        broken = []
        for one in self.executed:
            observer = committed.get((one.invocation, one.step))
            if observer is not None and one.engine >= observer.engine:
                broken.append(
                    f"{one.invocation} executed step {one.step} again (token {one.token}) "
                    f"after step {observer.step} had seen its result"
                )
            for step in one.seen:
                committed.setdefault((one.invocation, step), one)
        return broken

    def _wrong_ledgers(self) -> list[str]:
        broken = []
        for name in self.certain.keys() | self.doubtful.keys():
            state = dict(self.ledgers.get(name, {}))
            total = state.pop("total", 0)
            counts = {key.removeprefix("entry "): count for key, count in state.items()}
            if total != sum(counts.values()):
                broken.append(f"ledger {name}: total {total}, entries {sum(counts.values())}")
            for entry in self.certain[name]:
                if counts.get(entry, 0) != 1:
                    broken.append(f"ledger {name}: {entry} counted {counts.get(entry, 0)} times")
            for entry, count in counts.items():
                if entry not in self.certain[name] | self.doubtful[name]:
                    broken.append(f"ledger {name}: nobody sent {entry}")
                elif count > 1 and entry not in self.certain[name]:
                    broken.append(f"ledger {name}: {entry} counted {count} times")
        return broken

    def _shared_totals(self) -> list[str]:
        return [
            f"ledger {name}: {len(totals) - len(set(totals))} additions share their total"
            for name, totals in self.totals.items()
            if len(totals) != len(set(totals))
        ]


def read_effects(path: Path, kills: list[float]) -> list[Executed]:
    """Read a side-effect log; `kills` are the times (seconds since the epoch) of the kills."""
    engines: dict[int, int] = {}
    executed = []
    for line in path.read_text().splitlines():
        effect = json.loads(line)
        # The connection's own line comes first, and dates it.
        engine = engines.setdefault(
            effect["connection"], bisect.bisect_left(sorted(kills), effect["at"])
        )
        if "step" in effect:
            executed.append(
                Executed(
                    invocation=effect["invocation"],
                    step=effect["step"],
                    token=effect["token"],
                    seen=effect["seen"],
                    engine=engine,
                )
            )
    return executed
