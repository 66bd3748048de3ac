"""What needs each deployment, remembered from one question to the next.

Every question reads the index of unfinished invocations; among thousands of deployments only those
are looked at again for which a row of it came, went or changed. What is remembered of an invocation
beside that never changes: its id, its target, its date.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from heapq import nsmallest
from operator import itemgetter
from typing import Final

from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.needs import Drain, Tally, idle
from steadfaas.store import deployments as table
from steadfaas.store.deployments import Brief, Unfinished
from steadfaas.store.port import Reader

# Of thousands of deployments most are drained, and look the same.
_DRAINED: Final = idle()

_NUMBER: Final = itemgetter(0)
_KIND: Final = itemgetter(1, 2, 4)
_FEW: Final = 32  # below, what helps with many only costs


class DrainMemory:
    """The drain states of all deployments, brought up to date by each question."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._forget()

    def _forget(self) -> None:
        self._asked: tuple[int, int] | None = None  # when (ms since the epoch), for how many ids
        self._version = -1  # of the catalog
        self._active: dict[str, tuple[str, ...]] = {}  # deployment → services
        self._rows: set[Unfinished] = set()
        self._pinned: dict[str, dict[int, Unfinished]] = {}  # deployment → number → row
        self._waiting: dict[str, dict[int, Unfinished]] = {}  # service → number → row
        self._briefs: dict[int, Brief] = {}
        self._drains: dict[str, Drain] = {}

    def drains(self, catalog: Catalog, now: int, blockers: int) -> dict[str, Drain]:
        """What needs each deployment now, with up to `blockers` ids, oldest first."""
        if self._asked is None or self._asked[1] != blockers or now < self._asked[0]:
            self._forget()
        self._asked = None  # what breaks off half-way is not relied on
        touched = self._look_at_catalog(catalog)
        with table.snapshot(self.reader):
            touched |= self._look_at_store(catalog)
            rows = {id: self._rows_of(id) for id in touched if id in self._active}
            oldest = {id: _oldest(rows[id], max(blockers, 1)) for id in rows}
            self._learn(seq for seqs in oldest.values() for seq in seqs)
        for id, seqs in oldest.items():
            named, active = [self._briefs[seq] for seq in seqs], self._active[id]
            if named:
                drain = _tally(rows[id]).drain(active, named, now=now, blockers=blockers)
            else:
                drain = idle(active) if active else _DRAINED
            self._drains[id] = drain
        self._let_pass(now)
        self._asked = now, blockers
        return dict(self._drains)

    def _look_at_catalog(self, catalog: Catalog) -> set[str]:
        """Which deployments are new, or take the new requests of other services than before."""
        if catalog.version == self._version:
            return set()
        before, drains = self._active, self._drains
        self._active = {
            known.id: tuple([one.name for one in catalog.active_services(known.id)])
            for known in catalog.deployments()
        }
        self._drains = {id: drains.get(id, _DRAINED) for id in self._active}
        self._pinned = {id: rows for id, rows in self._pinned.items() if rows}
        self._version = catalog.version
        return {id for id, services in self._active.items() if before.get(id) != services}

    def _look_at_store(self, catalog: Catalog) -> set[str]:
        """For which deployments other invocations are unfinished than before."""
        rows = set(table.unfinished(self.reader))
        gone, new = self._rows - rows, rows - self._rows
        self._rows = rows
        self._learn(row[0] for row in new if row[2] is None)
        for row in gone:
            del self._group(row)[row[0]]
        for row in new:
            self._group(row)[row[0]] = row
        touched = {row[2] for row in gone | new if row[2] is not None}
        services = {self._briefs[row[0]].service for row in gone | new if row[2] is None}
        touched |= {known.deployment_id for known in map(catalog.latest, services) if known}
        for seq in {row[0] for row in gone} - {row[0] for row in new}:
            self._briefs.pop(seq, None)
        return touched

    def _group(self, row: Unfinished) -> dict[int, Unfinished]:
        """Those that count together with this one."""
        if row[2] is not None:
            return self._pinned.setdefault(row[2], {})
        return self._waiting.setdefault(self._briefs[row[0]].service, {})

    def _rows_of(self, id: str) -> list[Unfinished]:
        rows = list(self._pinned.get(id, {}).values())
        for service in self._active[id]:
            rows += self._waiting.get(service, {}).values()
        return rows

    def _learn(self, seqs: Iterable[int]) -> None:
        unknown = [seq for seq in seqs if seq not in self._briefs]
        if unknown:
            self._briefs.update((brief.seq, brief) for brief in table.briefs(self.reader, unknown))

    def _let_pass(self, now: int) -> None:
        """Times that are over bound nothing any more."""
        for id, drain in self._drains.items():
            bound = drain.earliest_drained_at
            if bound is not None and bound <= now:
                self._drains[id] = replace(drain, earliest_drained_at=None)


def _oldest(rows: list[Unfinished], count: int) -> list[int]:
    if len(rows) < _FEW:
        return sorted([row[0] for row in rows])[:count]
    return nsmallest(count, map(_NUMBER, rows))


def _tally(rows: list[Unfinished]) -> Tally:
    """What `rows` add up to. Where there are many, there are still few kinds."""
    tally = Tally()
    if len(rows) < _FEW:
        for _, status, deployment, due_at, asleep in rows:
            tally.add(status, deployment is not None, asleep, due_at, due_at)
        return tally
    timeless = Counter(map(_KIND, [row for row in rows if row[3] is None]))
    for (status, deployment, _), size in timeless.items():
        tally.add(status, deployment is not None, 0, None, None, size)
    times: defaultdict[tuple[int, str | None, int], list[int]] = defaultdict(list)
    for _, status, deployment, due_at, asleep in rows:
        if due_at is not None:
            times[status, deployment, asleep].append(due_at)
    for (status, deployment, asleep), due in times.items():
        tally.add(status, deployment is not None, asleep, min(due), max(due), len(due))
    return tally
