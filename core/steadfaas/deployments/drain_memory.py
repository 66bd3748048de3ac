"""What needs each deployment, remembered from one question to the next.

Every question reads the index of unfinished invocations; among thousands of deployments only those
are looked at again for which a line of it came, went or changed. What is remembered of an
invocation beside that never changes: its id, its target, its date.

The first question has everything to learn. It can be learned before, in small steps that see
several moments of the store: no answer yet, but the next question finds out what changed since.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import nsmallest
from operator import itemgetter
from typing import Final

from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.needs import Drain, Tally, idle
from steadfaas.store import deployments as table
from steadfaas.store.deployments import Brief, Columns, Line, Unfinished
from steadfaas.store.port import Reader

# Of thousands of deployments most are drained, and look the same.
_DRAINED: Final = idle()

_NUMBER: Final = itemgetter(0)
_KIND: Final = itemgetter(1, 2, 4)
_FEW: Final = 32  # below, what helps with many only costs
_LONG_AGO: Final = 0  # the question itself sees which times are over
# What one step of learning looks at: some milliseconds of work.
_LINES_AT_ONCE: Final = 400
_DEPLOYMENTS_AT_ONCE: Final = 20


class DrainMemory:
    """The drain states of all deployments, brought up to date by each question."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._forget()

    def _forget(self) -> None:
        self._asked: tuple[int, int] | None = None  # when (ms since the epoch), for how many ids
        self._version = -1  # of the catalog
        self._active: dict[str, tuple[str, ...]] = {}  # deployment → services
        self._columns: Columns | None = None  # as the latest question read them
        self._lines: set[Line] = set()
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
            self._work_out(touched, now, blockers)
        self._let_pass(now)
        self._asked = now, blockers
        return dict(self._drains)

    def learn(self, catalog: Catalog, blockers: int) -> Iterator[dict[str, Drain]]:
        """Learn what the first question needs, a step at a time, each with what it worked out."""
        self._forget()
        self._look_at_catalog(catalog)
        yield {}
        last: int | None = -1
        while last is not None:
            with table.snapshot(self.reader):
                lines = table.unfinished(self.reader, last, _LINES_AT_ONCE).lines()
                self._take(set(), set(lines), catalog)
            last = Unfinished.of(lines[-1]).seq if lines else None
            yield {}
        waiting = list(self._drains)
        for start in range(0, len(waiting), _DEPLOYMENTS_AT_ONCE):
            with table.snapshot(self.reader):
                some = waiting[start : start + _DEPLOYMENTS_AT_ONCE]
                found = self._work_out(some, _LONG_AGO, blockers)
            yield found
        self._asked = _LONG_AGO, blockers

    def _look_at_catalog(self, catalog: Catalog) -> set[str]:
        """Which deployments are new and needed, or take new requests of other services."""
        if catalog.version == self._version:
            return set()
        before, drains = self._active, self._drains
        self._active = active = catalog.active_names()
        self._drains = {one.id: drains.get(one.id, _DRAINED) for one in catalog.deployments()}
        self._pinned = {id: rows for id, rows in self._pinned.items() if rows}
        self._version = catalog.version
        changed = {id for id in active.keys() | before.keys() if active.get(id) != before.get(id)}
        return changed | (self._pinned.keys() & (self._drains.keys() - drains.keys()))

    def _look_at_store(self, catalog: Catalog) -> set[str]:
        """For which deployments other invocations are unfinished than before."""
        columns = table.unfinished(self.reader)
        if columns == self._columns:
            return set()
        lines = columns.lines()
        new = {line for line in lines if line not in self._lines}
        touched = self._take(self._lines.difference(lines), new, catalog)
        self._columns = columns
        return touched

    def _take(self, gone: set[Line], new: set[Line], catalog: Catalog) -> set[str]:
        """Take some lines in place of others. Which deployments that concerns."""
        self._lines -= gone
        self._lines |= new
        left, came = list(map(Unfinished.of, gone)), list(map(Unfinished.of, new))
        self._learn(row.seq for row in came if row.deployment is None)
        for row in left:
            del self._group(row)[row.seq]
        for row in came:
            self._group(row)[row.seq] = row
        changed = left + came
        touched = {row.deployment for row in changed if row.deployment is not None}
        services = {self._briefs[row.seq].service for row in changed if row.deployment is None}
        touched |= {known.deployment_id for known in map(catalog.latest, services) if known}
        for seq in {row.seq for row in left} - {row.seq for row in came}:
            self._briefs.pop(seq, None)
        return touched

    def _work_out(self, ids: Iterable[str], now: int, blockers: int) -> dict[str, Drain]:
        """What needs these deployments, as far as they are registered."""
        rows = {id: self._rows_of(id) for id in ids if id in self._drains}
        oldest = {id: _oldest(rows[id], max(blockers, 1)) for id in rows}
        self._learn(seq for seqs in oldest.values() for seq in seqs)
        found = {id: self._drain(id, rows[id], oldest[id], now, blockers) for id in rows}
        self._drains |= found
        return found

    def _drain(
        self, id: str, rows: list[Unfinished], oldest: list[int], now: int, blockers: int
    ) -> Drain:
        # Between two steps of learning one may be forgotten; the next question notices.
        named = [self._briefs[seq] for seq in oldest if seq in self._briefs]
        active = self._active.get(id, ())
        if named:
            return _tally(rows).drain(active, named, now=now, blockers=blockers)
        return idle(active) if active else _DRAINED

    def _group(self, row: Unfinished) -> dict[int, Unfinished]:
        """Those that count together with this one."""
        if row.deployment is not None:
            return self._pinned.setdefault(row.deployment, {})
        return self._waiting.setdefault(self._briefs[row.seq].service, {})

    def _rows_of(self, id: str) -> list[Unfinished]:
        rows = list(self._pinned.get(id, {}).values())
        for service in self._active.get(id, ()):
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
