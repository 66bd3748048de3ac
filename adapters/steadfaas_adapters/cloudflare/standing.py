"""Whether a version still stands where it stood, asked when nothing answers there.

Only Cloudflare's API can tell a version that was deleted from one whose URL is switched off: what
answers in their place is the same page. A thousand invocations may want to know at once, so an
answer holds for some seconds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from steadfaas.errors import BadRequest, DiscoveryError

if TYPE_CHECKING:
    from steadfaas.spi import Endpoint

# How long an answer holds (seconds).
_HOLDS: Final = 5.0
_MOST: Final = 1024
_now = time.monotonic


class Standing(Enum):
    """What has become of a version."""

    THERE = "there"
    GONE = "gone"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What has become of it, and a sentence about that."""

    standing: Standing
    why: str = ""


class Standings:
    """Asks about versions, about one of them once at a time."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, asyncio.Task[Finding]]] = {}

    async def of(self, endpoint: Endpoint) -> Finding:
        """What has become of an endpoint's version."""
        asked_at, question = self._asked.get(endpoint.uri, (0.0, None))
        if question is None or not _holds(asked_at, question):
            if len(self._asked) >= _MOST:
                self._asked.clear()
            question = asyncio.get_running_loop().create_task(_look(endpoint))
            self._asked[endpoint.uri] = _now(), question
        # Shielded: the others that wait for it go on when this one is cancelled.
        return await asyncio.shield(question)


def _holds(asked_at: float, question: asyncio.Task[Finding]) -> bool:
    if not question.done():
        return question.get_loop() is asyncio.get_running_loop()
    return not question.cancelled() and _now() - asked_at < _HOLDS


async def _look(endpoint: Endpoint) -> Finding:
    from steadfaas_adapters.cloudflare.api import has_token
    from steadfaas_adapters.cloudflare.settings import TOKEN

    facts = endpoint.facts
    try:
        if not has_token():
            return Finding(
                Standing.UNKNOWN, f"with {TOKEN} set, Cloudflare's API could be asked which it is"
            )
        if not all(name in facts for name in ("account", "worker", "version")):
            return Finding(
                Standing.UNKNOWN,
                "nobody can be asked which it is, because the version was registered on somebody's"
                " word: registering it again with --force asks the API",
            )
        return await _asked(facts["account"], facts["worker"], facts["version"])
    except (BadRequest, DiscoveryError) as error:
        return Finding(Standing.UNKNOWN, error.message)


async def _asked(account: str, worker: str, version: str) -> Finding:
    from steadfaas_adapters._control_plane import ApiRefusal
    from steadfaas_adapters.cloudflare.api import cloudflare, missing
    from steadfaas_adapters.cloudflare.choice import SWITCH_ON

    async with cloudflare() as api:
        try:
            found = await api.version(account, worker, version)
            switches = (await api.worker(account, worker)).subdomain
        except ApiRefusal as error:
            if not missing(error):
                raise
            return Finding(
                Standing.GONE,
                f"Cloudflare's account {account} has no version {version} of the Worker '{worker}'",
            )
    if not switches.previews_enabled or not found.urls:
        return Finding(
            Standing.OFF,
            f"version {version} is there, but the Version URLs of the Worker '{worker}' are"
            f" switched off, all of them at once: {SWITCH_ON}",
        )
    return Finding(Standing.THERE, f"version {version} is there, and its URL is switched on")
