"""Asks Vercel about deployments: which one a name means now, what there is, what to drop."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from steadfaas.errors import BadRequest, Conflict, DiscoveryError
from steadfaas.spi import Endpoint, EndpointReference, Evidence, Promise, Version
from steadfaas_adapters.vercel import leases, select, settings, target
from steadfaas_adapters.vercel.api import Vercel, has_token, missing, vercel
from steadfaas_adapters.vercel.facts import facts_of, state_of, written_time
from steadfaas_adapters.vercel.models import Deployment
from steadfaas_adapters.vercel.target import NamedTarget, UrlTarget

NAME: Final = "vercel"
# Facts that may not change while it is the same deployment.
_FIXED: Final = ("deployment_id", "project_id", "created_at", "target", "commit")
_DAY_MS: Final = 86_400_000
# An attempt waits for the API's opinion no longer.
_DOUBT_SECONDS: Final = 5.0


async def resolve(text: str, promise: Promise) -> EndpointReference:
    """The deployment that a target means now, with what Vercel says of it."""
    wanted = target.parse(text, dev=promise is Promise.DEV)
    if isinstance(wanted, NamedTarget):
        async with vercel(wanted.team) as api:
            return await _proven(api, await select.find(api, wanted), wanted.path)
    address = target.uri(wanted.host, wanted.path)
    if promise is Promise.DEV:
        return EndpointReference(NAME, address, Evidence.MUTABLE)
    if not has_token():
        if promise is Promise.IMMUTABLE:
            return EndpointReference(NAME, address, Evidence.ASSERTED)
        raise _unprovable(wanted)
    async with vercel(settings.load().team) as api:
        found = await api.deployment(wanted.host)
        _check_own_url(found, wanted)
        return await _proven(api, found, wanted.path)


async def list_versions(text: str) -> list[Version]:
    """All deployments of a project that can be called, the newest first, with their aliases."""
    wanted = target.parse(text, dev=True)
    team = wanted.team if isinstance(wanted, NamedTarget) else settings.load().team
    async with vercel(team) as api:
        if isinstance(wanted, NamedTarget):
            project_id = (await api.project(wanted.project)).id
        else:
            project_id = _project_of(await api.deployment(wanted.host))
        names: dict[str, list[str]] = {}
        for alias in await api.project_aliases(project_id):
            names.setdefault(alias.deployment_id or "", []).append(alias.alias)
        found = [
            Version(
                label=each.id,
                uri=target.uri(each.url, wanted.path),
                created_at=each.created,
                names=tuple(sorted(names.get(each.id, ()))),
                facts=facts_of(each, team=api.team),
            )
            async for page in api.deployments(project_id, state="READY")
            for each in page
            if each.ready
        ]
    return sorted(found, key=lambda version: version.created_at or 0, reverse=True)


async def verify(reference: EndpointReference) -> list[str]:
    """What is other about a deployment than was recorded of it."""
    async with vercel(_team_of(reference)) as api:
        try:
            found = await api.deployment(_host_of(reference))
        except DiscoveryError as error:
            if error.status != 404:
                raise
            return [f"{error.message}."]
    problems = []
    if found.url != _host_of(reference):
        problems.append(f"{_host_of(reference)} is an alias, which leads to {found.url} now.")
    if not found.ready:
        problems.append(f"It is {state_of(found)}.")
    now = facts_of(found)
    for name in _FIXED:
        before, after = reference.facts.get(name), now.get(name)
        if None not in (before, after) and before != after:
            problems.append(f"{name} is {after}, and was {before}.")
    return problems


async def still_there(endpoint: Endpoint) -> bool:
    """Whether Vercel's API shows a deployment as callable, of which its hosts say that it is gone.

    Where the API cannot be asked, or not soon, the hosts are believed.
    """
    host, team = urlsplit(endpoint.uri).netloc, endpoint.facts.get("team")
    try:
        async with asyncio.timeout(_DOUBT_SECONDS), vercel(team or settings.load().team) as api:
            found = await api.deployment(endpoint.facts.get("deployment_id") or host)
    except (BadRequest, DiscoveryError, TimeoutError):
        return False
    return found.ready and found.url == host


async def needed_by(reference: EndpointReference) -> str | None:
    """What leads to a deployment; None if nothing does, or if it is not there any more."""
    async with vercel(_team_of(reference)) as api:
        found = await _found(api, reference)
        return None if found is None else await _what_needs(api, found)


async def retire(reference: EndpointReference) -> None:
    """Delete a deployment. One that is not there any more is no error. Raises Conflict while
    something leads to it."""
    async with vercel(_team_of(reference)) as api:
        found = await _found(api, reference)
        if found is None:
            return
        if needed := await _what_needs(api, found):
            raise Conflict(needed)
        await api.delete(found.id)  # its aliases go with it, our lease too


async def hold(reference: EndpointReference) -> str:
    """Keep a deployment from the retention policy; what was done, in a sentence."""
    async with vercel(_team_of(reference)) as api:
        found = await api.deployment(_identity(reference))
        _check_identity(found, reference)
        return await leases.take(api, found.id)


async def release(reference: EndpointReference) -> None:
    """Leave it to the retention policy. One that is not there any more is no error."""
    async with vercel(_team_of(reference)) as api:
        found = await _found(api, reference)
        if found is not None:
            await leases.drop(api, found.id)


def expiry(reference: EndpointReference) -> tuple[int, str] | None:
    """When a deployment may go (ms since the epoch) and by which rule; None: never, or unknown.

    Vercel counts from its creation, whoever calls it meanwhile. It keeps the newest ones and those
    with an alias for longer (vercel.com/docs/deployment-retention), so this is the earliest time.
    """
    facts = reference.facts
    if told := facts.get("expires_at"):
        return written_time(told), "the project's retention policy, as Vercel told it"
    created = facts.get("created_at")
    if created is None:
        return None  # asserted: nobody was asked
    known, production = settings.load(), facts.get("target") == "production"
    days = known.retention_production_days if production else known.retention_preview_days
    kind = "production" if production else "other"
    if not days:
        return None
    why = f"Vercel's default retention of {kind} deployments: {days} days from their creation"
    return written_time(created) + days * _DAY_MS, why


# --- what a reference is about -----------------------------------------------------------------


def _host_of(reference: EndpointReference) -> str:
    """The host of its address."""
    return urlsplit(reference.uri).netloc


def _team_of(reference: EndpointReference) -> str:
    """The team that it was found with, or that of the settings."""
    return reference.facts.get("team") or settings.load().team


def _identity(reference: EndpointReference) -> str:
    """What the API is asked for: the id, or the host of one that was only asserted."""
    return reference.facts.get("deployment_id") or _host_of(reference)


async def _found(api: Vercel, reference: EndpointReference) -> Deployment | None:
    """The deployment, if it is still there. Raises BadRequest for what is only an alias."""
    try:
        found = await api.deployment(_identity(reference))
    except DiscoveryError as error:
        if error.status == 404:
            return None
        raise
    _check_identity(found, reference)
    return found


def _check_identity(found: Deployment, reference: EndpointReference) -> None:
    """Refuse to change what an alias led to: it may be another one tomorrow. Raises BadRequest."""
    if found.url != _host_of(reference):
        raise BadRequest(
            f"{_host_of(reference)} is not the URL of a deployment: it leads to {found.url} now,"
            " which is not touched"
        )


# --- proof -------------------------------------------------------------------------------------


async def _proven(api: Vercel, found: Deployment, path: str) -> EndpointReference:
    _check_ready(found)
    row = None
    # When it expires stands only in the list. Without that, the defaults tell.
    with suppress(DiscoveryError):
        row = await api.row(found)
    facts = facts_of(found, row, team=api.team, proven_at=time.time_ns() // 1_000_000)
    return EndpointReference(NAME, target.uri(found.url, path), Evidence.CONTROL_PLANE, facts)


def _check_own_url(found: Deployment, wanted: UrlTarget) -> None:
    if found.url == wanted.host:
        return
    raise BadRequest(
        f"'{wanted.host}' is an alias, which can be pointed to another deployment at any time."
        f" Write '{target.uri(found.url, wanted.path)}' to register the deployment that it leads to"
        " now"
    )


def _check_ready(found: Deployment) -> None:
    if found.ready:
        return
    which = f"the deployment {found.url} is {state_of(found)}"
    if found.removed:
        raise missing(f"{which}. Restore it on Vercel, or deploy its commit again")
    if found.state in select.UNDER_WAY:
        raise DiscoveryError(
            f"{which}, so it cannot be called yet. Try again in a moment",
            code="META0003",
            status=503,
            retryable=True,
        )
    raise DiscoveryError(
        f"{which}, so it will never be callable. Deploy again, and register that",
        code="META0003",
        status=400,
    )


def _unprovable(wanted: UrlTarget) -> DiscoveryError:
    return DiscoveryError(
        f"only Vercel can tell whether '{wanted.host}' is a deployment's own URL or an alias that"
        f" looks like one: set {settings.TOKEN} where this runs, or {settings.TOKEN}_FILE to the"
        " file that holds it; or vouch for the URL with --assert-immutable",
        code="META0003",
        status=403,
    )


def _project_of(found: Deployment) -> str:
    if found.project_id is None:
        raise DiscoveryError(
            f"Vercel does not show this token which project {found.url} belongs to; write"
            f" '{target.PREFIX}TEAM/PROJECT'",
            code="META0003",
            status=403,
        )
    return found.project_id


async def _what_needs(api: Vercel, found: Deployment) -> str | None:
    """What leads to the deployment apart from our own lease, in a sentence; None if nothing."""
    project = await api.project(_project_of(found))
    live = project.targets.get("production")
    if live is not None and live.id == found.id:
        return (
            f"{found.url} serves production of '{project.name}'; promote another deployment first"
        )
    if found.substate == "ROLLING":
        return (
            f"{found.url} is part of a rolling release of '{project.name}'; complete or abort that"
            " first"
        )
    aliases = set(await api.aliases(found.id)) - {found.url, leases.alias_of(found.id)}
    if not aliases:
        return None
    return (
        f"{found.url} is what {', '.join(sorted(aliases))}"
        f" {'leads' if len(aliases) == 1 else 'lead'} to; point"
        f" {'it' if len(aliases) == 1 else 'them'} elsewhere first (vercel alias)"
    )
