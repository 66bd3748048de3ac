"""What answers mean that are Deno Deploy's own and not the SDK's.

Whether a revision was deleted, or is only disabled because nobody called it, the answer does not
tell: both are 404. So the control plane is asked, and only what it says ends a pin.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Final

from steadfaas.errors import AttemptFailure, DiscoveryError, Verdict
from steadfaas.spi import Endpoint
from steadfaas_adapters.deno_deploy import target
from steadfaas_adapters.deno_deploy.api import Timeline, deno, has_token
from steadfaas_adapters.deno_deploy.resolve import host_of
from steadfaas_adapters.deno_deploy.settings import TOKEN_VARIABLE
from steadfaas_adapters.deno_deploy.target import Pick, Target

# An answer of the control plane serves all that ask within so long (seconds).
_FRESH_SECONDS: Final = 10.0
_MOST_REMEMBERED: Final = 1000

_MISSING: Final = "DEPLOYMENT_NOT_FOUND"
# The process died, or was never ready (codes of Deno Deploy Classic, docs.deno.com/deploy/classic).
_BROKEN: Final = ("BOOT_FAILURE", "DEPLOYMENT_FAILED", "UNCAUGHT_EXCEPTION")
_CODE: Final = re.compile(rf"\b({'|'.join((_MISSING, *_BROKEN))})\b")

_NEXT_STEP: Final = (
    "It will not come back. Look for code that goes on with the journal: 'steadfaas check"
    " INVOCATION --deployment ID', then 'steadfaas invocations resume INVOCATION --deployment ID';"
    " or kill it"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a revision stands, by the control plane."""

    verdict: Verdict
    sentence: str

    def failure(self) -> AttemptFailure:
        """What that means for an attempt."""
        codes = {Verdict.GONE: "SF0003", Verdict.DENIED: "SF0004"}
        code = codes.get(self.verdict, "RT0010")
        return AttemptFailure(code, self.sentence, verdict=self.verdict)


async def diagnose(endpoint: Endpoint, status: int, text: str) -> AttemptFailure | None:
    """What an answer means; None if it is not the platform's."""
    found = _CODE.search(text)
    code = "" if found is None else found[1]
    if status == 404 and code == _MISSING:
        return (await _standing(endpoint)).failure()
    if status == 502 and code in _BROKEN:
        return AttemptFailure(
            "RT0010",
            f"Deno Deploy could not run {endpoint.uri} ({code}): {text.strip()}. If that goes on,"
            " the revision itself is broken: look at its logs on console.deno.com",
        )
    return None


async def _standing(endpoint: Endpoint) -> Standing:
    wanted = target.parse(endpoint.uri, dev=True)
    if wanted.pick is not Pick.REVISION:
        return Standing(Verdict.RETRY, f"nothing is deployed at {endpoint.uri}")
    try:
        if not has_token():
            return Standing(
                Verdict.RETRY,
                f"Deno Deploy does not serve {endpoint.uri}: it was deleted, or disabled because"
                f" nobody called it. Set {TOKEN_VARIABLE} for the engine, and it will find out"
                " which",
            )
        return await _REMEMBERED.standing(endpoint, wanted)
    except DiscoveryError as error:
        return Standing(
            Verdict.RETRY,
            f"Deno Deploy does not serve {endpoint.uri}, and whether it was deleted is not known:"
            f" {error.message}",
        )


async def _ask(endpoint: Endpoint, wanted: Target) -> Standing:
    """Raises DiscoveryError."""
    where = f"the revision {wanted.name} of {wanted.app}"
    async with deno() as api:
        found = await api.revision(wanted.name)
        if found is None:
            # A token of another organisation sees nothing, either. Names do not tell: both may have
            # an app of this one.
            app_id = endpoint.facts.get("app_id")
            if app_id is not None and await api.app(app_id) is not None:
                return Standing(Verdict.GONE, f"Deno Deploy has no more {where}. {_NEXT_STEP}")
            return Standing(
                Verdict.DENIED,
                f"Deno Deploy knows neither {where} nor the app: the app was deleted (support can"
                " restore it for 30 days), or the token is one of another organisation",
            )
        if found.deleted_at is not None:
            when = f"deleted on {found.deleted_at}"
            return Standing(Verdict.GONE, f"{where} was {when} on Deno Deploy. {_NEXT_STEP}")
        timelines = await api.timelines(wanted.name)
    if host_of(wanted, wanted.name, timelines) is None:
        return Standing(
            Verdict.DENIED,
            f"{where} is still there, but not at {wanted.host}: the app or the organisation was"
            f" renamed. {_moved_to(wanted, timelines)}",
        )
    return Standing(
        Verdict.DENIED,
        f"Deno Deploy does not serve {where} although it is still there: it was disabled because"
        " nobody called it for long. Enable it again on the app's page on console.deno.com, before"
        " it is deleted; the invocation stays on it and goes on then",
    )


def _moved_to(wanted: Target, timelines: list[Timeline]) -> str:
    for line in timelines:
        for each in line.domains:
            if each.domain.startswith(f"{line.app.slug}-{wanted.name}."):
                url = f"https://{each.domain}{wanted.path}"
                return f"Correct its address: 'steadfaas deployments update ID --url {url}'"
    return "Correct its address: 'steadfaas deployments update ID --url URL'"


@dataclass(frozen=True, slots=True)
class _Asked:
    loop: asyncio.AbstractEventLoop
    until: float
    answer: asyncio.Task[Standing]


class _Remembered:
    """Asks once for all that wait: thousands may be pinned to a revision that is gone."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    async def standing(self, endpoint: Endpoint, wanted: Target) -> Standing:
        """Raises DiscoveryError."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        known = self._asked.get(wanted.name)
        if known is None or known.loop is not loop or known.until < now or _failed(known.answer):
            if len(self._asked) >= _MOST_REMEMBERED:
                self._asked.clear()
            task = loop.create_task(_ask(endpoint, wanted))
            known = self._asked[wanted.name] = _Asked(loop, now + _FRESH_SECONDS, task)
        # Whoever gives up does not take the answer from the others.
        return await asyncio.shield(known.answer)


def _failed(task: asyncio.Task[Standing]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


_REMEMBERED: Final = _Remembered()
