"""Looks after revisions: which there are, whether one is unchanged, the end of one."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from steadfaas.errors import BadRequest, Conflict
from steadfaas.spi import EndpointReference, Expiry, Version
from steadfaas_adapters._control_plane import ApiRefusal
from steadfaas_adapters.deno_deploy import target
from steadfaas_adapters.deno_deploy.api import Deno, Revision, Timeline, deno
from steadfaas_adapters.deno_deploy.resolve import facts_of, host_of, moving
from steadfaas_adapters.deno_deploy.settings import settings
from steadfaas_adapters.deno_deploy.target import Pick, Target

# Requests at a time, where each revision costs one.
_AT_ONCE: Final = 8
_DAY_MS: Final = 86_400_000


async def list_versions(wanted: Target) -> list[Version]:
    """The revisions of an app that were built, newest first."""
    async with deno() as api:
        found = [each async for each in api.revisions(wanted.app, "succeeded")]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def timelines(id: str) -> list[Timeline]:
            async with limit:
                return await api.timelines(id)

        lines = await asyncio.gather(*(timelines(each.id) for each in found))
    versions = (_version(wanted, *each) for each in zip(found, lines, strict=True))
    return [version for version in versions if version is not None]


def _version(wanted: Target, found: Revision, timelines: list[Timeline]) -> Version | None:
    host = host_of(wanted, found.id, timelines)
    if host is None:  # another organisation's app of this name
        return None
    return Version(
        label=found.id,
        uri=f"https://{host}{wanted.path}",
        created_at=_milliseconds(found.created_at),
        names=moving(timelines, host),
        facts=facts_of(found, host, timelines),
    )


async def verify(reference: EndpointReference) -> list[str]:
    """What is other about a revision than was recorded of it."""
    wanted = of(reference)
    async with deno() as api:
        found = await api.revision(wanted.name)
        if found is None:
            return [f"Deno Deploy has no revision {wanted.name} (any more)"]
        if found.deleted_at is not None:
            return [f"the revision {wanted.name} was deleted on {found.deleted_at}"]
        timelines = await api.timelines(wanted.name)
    return _differences(reference, wanted, found, timelines)


def _differences(
    reference: EndpointReference, wanted: Target, found: Revision, timelines: list[Timeline]
) -> list[str]:
    problems = []
    if found.status != "succeeded":
        problems.append(f"the build of the revision {wanted.name} is {found.status} now")
    if host_of(wanted, wanted.name, timelines) is None:
        problems.append(
            f"{wanted.host} does not lead to the revision {wanted.name} (any more): renaming an"
            " app or an organisation ends all its addresses"
        )
    recorded = reference.facts.get("app_id")
    if recorded and any(each.app.id != recorded for each in timelines):
        problems.append(f"the revision {wanted.name} belongs to another app than {recorded}")
    return problems


async def needed_by(reference: EndpointReference) -> str | None:
    """Which timelines run a revision; None if none does, or if it is gone."""
    wanted = of(reference)
    async with deno() as api:
        return await _where_active(api, wanted)


async def retire(reference: EndpointReference) -> None:
    """Delete a revision. Raises Conflict while it is active somewhere."""
    wanted = of(reference)
    async with deno() as api:
        if needed := await _where_active(api, wanted):
            raise Conflict(needed)
        try:
            await api.delete(wanted.name)
        except ApiRefusal as refusal:
            if refusal.http_status == 404:
                return
            # It became active in between, or is still built.
            if refusal.http_status == 409:
                raise Conflict(refusal.message) from refusal
            raise


async def _where_active(api: Deno, wanted: Target) -> str | None:
    """Which timelines run a revision, in a sentence; None if none does."""
    active = moving(await _timelines(api, wanted), wanted.host or "")
    if not active:
        return None
    return (
        f"the revision {wanted.name} of {wanted.app} is what"
        f" {'the timeline' if len(active) == 1 else 'the timelines'} {', '.join(active)}"
        " runs now; deploy or roll back to another one there first"
    )


async def _timelines(api: Deno, wanted: Target) -> list[Timeline]:
    try:
        return await api.timelines(wanted.name)
    except ApiRefusal as refusal:
        if refusal.http_status == 404:
            return []
        raise


def expiry(reference: EndpointReference, called_at: int) -> Expiry | None:
    """When Deno stops serving a revision that nobody calls after `called_at` (ms since the epoch).

    That it is only deleted some days later helps nobody who sleeps: a disabled revision wakes up
    by hand only. Enterprises may keep revisions for ever (`retention`).
    """
    if reference.facts.get("retention") == "indefinite":
        return None
    known = settings()
    return Expiry(
        called_at + round(known.idle_days * _DAY_MS),
        f"Deno Deploy disables a revision after {known.idle_days:g} days without traffic, and"
        f" deletes it {known.delete_days:g} days later",
        called_off=True,
    )


def of(reference: EndpointReference) -> Target:
    """The revision behind a registered address. Raises BadRequest."""
    wanted = target.parse(reference.uri, dev=True)
    if wanted.pick is not Pick.REVISION:
        raise BadRequest(f"{reference.uri} is no address of one revision")
    return wanted


def _milliseconds(written: str) -> int | None:
    try:
        return int(datetime.fromisoformat(written).timestamp() * 1000)
    except ValueError:
        return None
