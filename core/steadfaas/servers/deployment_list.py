"""The list of deployments as JSON, fast with thousands of them.

A deployment is an immutable value, so what it looks like is encoded once and kept for as long as
that value is registered. What still needs it changes by itself; it is encoded again when it did.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.drain import Drain
from steadfaas.servers.admin_views import deployment_view, drain_view

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class _Entry:
    deployment: Deployment
    head: bytes  # the encoded deployment, without its closing brace
    drain: Drain
    whole: bytes


class DeploymentList:
    """Encoded entries of the list, by deployment."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        # The latest one of those that nothing unfinished needs: they look the same by the thousand.
        self._idle: tuple[Drain, bytes] | None = None

    def encoded(self, deployment: Deployment, drain: Drain) -> bytes:
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

    def forget_all_but(self, deployments: Iterable[Deployment]) -> None:
        """Drop the entries of all others."""
        kept = {deployment.id for deployment in deployments}
        for id in self._entries.keys() - kept:
            del self._entries[id]
