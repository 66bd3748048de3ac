"""The retention guard: whether a platform may remove a version before everything pinned to it ends.

A durable sleep is longer than many platforms keep a version that nobody calls or points to. When
the platform may remove it (its adapter knows the rule) is compared with when the last of what is
pinned there wakes up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.plan import reference_of
from steadfaas.errors import RequestError
from steadfaas.spi import Expires, Expiry
from steadfaas.store import deployments as table
from steadfaas.store.port import Reader

# Something pinned waits for what may come at any time: told so long before the removal (ms).
_SOON: Final = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Outlook:
    """When a platform may remove a version (ms since the epoch), and by which rule.

    `needed_until` is when the last of what is pinned to it wakes up by itself; None: nothing is
    pinned, or nobody knows. `at_risk`: it may be removed while something pinned needs it.
    `called_off`: something is pinned, and a call puts the removal off.
    """

    expires_at: int
    why: str
    needed_until: int | None
    at_risk: bool
    called_off: bool = False


class Outlooks:
    """Outlooks of deployments, over one store."""

    def __init__(self, adapters: Adapters, reader: Reader) -> None:
        self._adapters = adapters
        self._reader = reader
        self._rules: dict[str, Expires | None] = {}

    def of(self, deployments: Iterable[Deployment], now: int) -> dict[str, Outlook]:
        """The outlook of each deployment whose platform removes versions by itself, by id."""
        ruled = [(known, rule) for known in deployments if (rule := self._rule(known.adapter))]
        if not ruled:
            return {}
        needs = table.needs(self._reader, [known.id for known, _ in ruled])
        found = {}
        for known, rule in ruled:
            need = needs.get(known.id)
            called_at = known.created_at if need is None else max(need.moved_at, known.created_at)
            expiry = rule.expiry(reference_of(known), called_at=called_at)
            if expiry is not None:
                found[known.id] = _outlook(expiry, need, now)
        return found

    def _rule(self, adapter: str) -> Expires | None:
        if adapter not in self._rules:
            try:
                found = self._adapters.get(adapter)
            except RequestError:
                return None
            self._rules[adapter] = found if isinstance(found, Expires) else None
        return self._rules[adapter]


def _outlook(expiry: Expiry, need: table.Need | None, now: int) -> Outlook:
    if need is None:
        return Outlook(expiry.at, expiry.why, None, at_risk=False)
    # What has no time of its own may wake up at any time.
    until = need.last_due if need.open_ended == 0 else None
    risky = expiry.at < (need.last_due or now) or (until is None and expiry.at < now + _SOON)
    return Outlook(expiry.at, expiry.why, need.last_due, risky, expiry.called_off)
