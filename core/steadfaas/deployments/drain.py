"""What still needs a deployment: nothing unfinished is pinned to a drained one, or can be routed
to it.

An unfinished invocation counts for the deployment that it is pinned to; without a pin, for the one
that takes the new requests of its service. Answers are exact for the moment at which the store was
read: inside a transaction until its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from weakref import WeakKeyDictionary

from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.drain_memory import DrainMemory
from steadfaas.deployments.needs import COUNTS, Drain, DrainState, Oldest, Tally
from steadfaas.store import deployments as table
from steadfaas.store.port import Reader

__all__ = ["COUNTS", "Drain", "DrainState", "Oldest", "drain_all", "drain_of", "learn_all"]

_memories: Final[WeakKeyDictionary[Catalog, DrainMemory]] = WeakKeyDictionary()


def drain_of(
    reader: Reader, catalog: Catalog, deployment_id: str, *, now: int, blockers: int = 100
) -> Drain:
    """What needs this deployment, with up to `blockers` ids."""
    active = [known.name for known in catalog.active_services(deployment_id)]
    tally, named = Tally(), max(blockers, 1)
    with table.snapshot(reader):
        for status, asleep, size, first_due, last_due in table.pinned_to(reader, deployment_id):
            tally.add(status, True, asleep, first_due, last_due, size)
        oldest = table.first_pinned_to(reader, deployment_id, named)
        waiting = table.unpinned(reader, active) if active else []
        for _, status, due_at in waiting:
            tally.add(status, False, 0, due_at, due_at)
        oldest += [seq for seq, _, _ in waiting[:named]]
        briefs = table.briefs(reader, sorted(oldest)[:named])
    return tally.drain(active, briefs, now=now, blockers=blockers)


def drain_all(reader: Reader, catalog: Catalog, *, now: int, blockers: int = 5) -> dict[str, Drain]:
    """The same for every deployment at once, with up to `blockers` ids of each.

    As exact, and cheap when asked again: what has not changed since is not added up anew.
    """
    memory = _memories.get(catalog)
    if memory is None or memory.reader is not reader:
        memory = _memories[catalog] = DrainMemory(reader)
    return memory.drains(catalog, now, blockers)


def learn_all(reader: Reader, catalog: Catalog, *, blockers: int = 5) -> Iterator[dict[str, Drain]]:
    """Prepare for the first question of `drain_all`, in steps of some milliseconds.

    Other work may be done between them. Each gives the drain states that it worked out: those of a
    moment, which the answer to the question corrects.
    """
    memory = DrainMemory(reader)
    yield from memory.learn(catalog, blockers)
    _memories.setdefault(catalog, memory)  # somebody may have asked meanwhile
