"""The list of deployments as JSON, fast with thousands of them.

A deployment is an immutable value, so what it looks like is encoded once and kept for as long as
that value is registered. What still needs it changes by itself; it is encoded again when it did.

After a start nothing is encoded yet. That is done beside the work, in small steps: a list that is
asked for before it is finished waits for it, and nobody else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from steadfaas.clock import Time
from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.deployments.drain import Drain, drain_all, learn_all
from steadfaas.deployments.outlook import Outlooks
from steadfaas.servers.admin_views import deployment_view, drain_view, outlook_view
from steadfaas.store.port import Reader

_BLOCKERS: Final = 5
# Other work has its turn after so many encoded deployments.
_AT_ONCE: Final = 25
# Seconds between two steps of what nobody waits for.
_PAUSE: Final = 0.002
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class _Entry:
    deployment: Deployment
    head: bytes  # the encoded deployment, without its closing brace
    drain: Drain
    whole: bytes


class DeploymentList:
    """The list of one server, with its encoded entries by deployment."""

    def __init__(self, catalog: Catalog, reader: Reader, clock: Time, outlooks: Outlooks) -> None:
        self._catalog = catalog
        self._reader = reader
        self._clock = clock
        self._outlooks = outlooks
        self._entries: dict[str, _Entry] = {}
        # The latest one of those that nothing unfinished needs: they look the same by the thousand.
        self._idle: tuple[Drain, bytes] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._awaited = False

    def prepare(self) -> None:
        """Begin to encode what the first list needs, beside everything else."""
        self._preparing = asyncio.create_task(self._prepare(), name="deployment-list")

    async def close(self) -> None:
        """Stop that."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait([self._preparing])

    async def _prepare(self) -> None:
        steps = learn_all(self._reader, self._catalog, blockers=_BLOCKERS)
        # A store that cannot be read is the next list's to report.
        with contextlib.suppress(sqlite3.Error):
            for found in steps:
                for id, drain in found.items():
                    deployment = self._catalog.deployment(id)
                    if deployment is not None:
                        self._encoded(deployment, drain)
                await asyncio.sleep(0 if self._awaited else _PAUSE)

    async def body(self) -> bytes:
        """The whole list as it is now, a JSON object."""
        if self._preparing is not None and not self._preparing.done():
            self._awaited = True
            await asyncio.wait([self._preparing])
        deployments, now = self._catalog.deployments(), self._clock.now()
        drains = drain_all(self._reader, self._catalog, now=now, blockers=_BLOCKERS)
        outlooks = self._outlooks.of(deployments, now)
        parts = []
        for place, deployment in enumerate(deployments):
            entry = self._encoded(deployment, drains[deployment.id])
            outlook = outlooks.get(deployment.id)
            if outlook is not None:  # changes with time alone
                entry = entry[:-1] + b',"expires":' + _encode(outlook_view(outlook)).encode() + b"}"
            parts.append(entry)
            if place % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        self._forget_all_but(deployments)
        return b'{"deployments":[' + b",".join(parts) + b"]}"

    def _encoded(self, deployment: Deployment, drain: Drain) -> bytes:
        """The entry of this deployment, while this is needed of it."""
        entry = self._entries.get(deployment.id)
        if entry is None or entry.deployment is not deployment:
            head = _encode(deployment_view(deployment)).encode()[:-1]
        elif entry.drain is drain or entry.drain == drain:
            return entry.whole
        else:
            head = entry.head
        whole = head + b',"drain":' + self._drain(drain) + b"}"
        self._entries[deployment.id] = _Entry(deployment, head, drain, whole)
        return whole

    def _drain(self, drain: Drain) -> bytes:
        if self._idle is not None and self._idle[0] is drain:
            return self._idle[1]
        made = _encode(drain_view(drain)).encode()
        if not drain.unfinished:
            self._idle = drain, made
        return made

    def _forget_all_but(self, deployments: Iterable[Deployment]) -> None:
        """Drop the entries of all others."""
        kept = {deployment.id for deployment in deployments}
        for id in self._entries.keys() - kept:
            del self._entries[id]
