"""From a target to the address of one revision, proven by the control plane.

The proof is the revision's own timeline: it is one of the app that the address names, and the
address is one of its domains. The app counts because an app may be called like an address of
another one: then the same host is its production address, and moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from steadfaas.errors import DiscoveryError
from steadfaas.spi import EndpointReference, Evidence, Promise
from steadfaas_adapters.deno_deploy import target
from steadfaas_adapters.deno_deploy.api import Deno, Revision, Timeline, deno, has_token
from steadfaas_adapters.deno_deploy.settings import TOKEN_VARIABLE
from steadfaas_adapters.deno_deploy.target import Pick, Target

NAME: Final = "deno-deploy"
# How many revisions are looked at for the one that is active somewhere; each costs a request.
_MOST_LOOKED_AT: Final = 300
_LONGEST: Final = 500
# docs.deno.com/deploy/reference/timelines and …/env_vars_and_contexts.
_VARIABLES: Final = (
    "a revision's own address runs with the variables and the database of the development context,"
    " also if production runs the same revision"
)


async def resolve(wanted: Target, promise: Promise) -> EndpointReference:
    """The revision that a target means now. Raises DiscoveryError."""
    if wanted.pick is Pick.MOVING:
        return EndpointReference(NAME, f"https://{wanted.host}{wanted.path}", Evidence.MUTABLE)
    if wanted.pick is Pick.REVISION and promise is not Promise.NONE and not has_token():
        return _unproven(wanted, promise)
    _check_token(wanted)
    async with deno() as api:
        if wanted.pick is Pick.REVISION:
            return await _by_id(api, wanted, wanted.name)
        if wanted.pick is Pick.NEWEST:
            return await _by_id(api, wanted, await _newest(api, wanted))
        return await _active(api, wanted)


def moving(timelines: Iterable[Timeline], host: str) -> tuple[str, ...]:
    """The names of the timelines that lead to a revision now and could lead elsewhere: all but the
    one with the revision's own host."""
    return tuple(sorted({each.name for each in timelines if each.moves and not each.leads(host)}))


def host_of(wanted: Target, revision: str, timelines: Iterable[Timeline]) -> str | None:
    """The host that leads to this revision alone, if there is one under the names of the target."""
    host = target.own_host(wanted.org, wanted.app, revision)
    proven = any(each.app.slug == wanted.app and each.leads(host) for each in timelines)
    return host if proven else None


def facts_of(found: Revision, host: str, timelines: list[Timeline]) -> dict[str, str]:
    """What the platform says of a revision, as it is kept."""
    app = timelines[0].app
    active = moving(timelines, host)
    facts = {
        "revision": found.id,
        "app": app.slug,
        "app_id": app.id,
        "org": host.split(".")[1],
        "status": found.status,
        "created_at": found.created_at,
        "production": "yes" if any(each.is_production for each in timelines) else "no",
        "timelines": ", ".join(active),
        "retention": found.retention or "",
    }
    return {name: value[:_LONGEST] for name, value in facts.items() if value}


# --- the forms of a target ---------------------------------------------------------------------


def _check_token(wanted: Target) -> None:
    if has_token():
        return
    without = (
        ", or promise that it never changes (--assert-immutable)"
        if wanted.pick is Pick.REVISION
        else f", or register a revision by its id, '{wanted.app_name}@REVISION', and promise that"
        " it never changes (--assert-immutable)"
    )
    raise DiscoveryError(
        "without a token Deno Deploy cannot be asked which revision this is: set"
        f" {TOKEN_VARIABLE} for the engine, or {TOKEN_VARIABLE}_FILE to the file that holds an"
        f" organisation's token{without}",
        code="META0003",
        status=403,
    )


def _unproven(wanted: Target, promise: Promise) -> EndpointReference:
    """There is nobody to ask: it is as good as the word of whoever registers it."""
    host = target.own_host(wanted.org, wanted.app, wanted.name)
    evidence = Evidence.ASSERTED if promise is Promise.IMMUTABLE else Evidence.MUTABLE
    facts = {
        "revision": wanted.name,
        "app": wanted.app,
        "org": wanted.org,
        "variables": _VARIABLES,
        "unverified": f"{TOKEN_VARIABLE} is not set, so nobody was asked",
    }
    return EndpointReference(NAME, f"https://{host}{wanted.path}", evidence, facts)


async def _by_id(api: Deno, wanted: Target, id: str) -> EndpointReference:
    found = await api.revision(id)
    if found is None:
        raise _refused(_unknown(wanted, id))
    _check(found)
    return _proven(wanted, found, await api.timelines(found.id))


async def _newest(api: Deno, wanted: Target) -> str:
    async for found in api.revisions(wanted.app, "succeeded"):
        return found.id
    raise _refused(f"the app '{wanted.app}' has no revision that was built; deploy it first")


async def _active(api: Deno, wanted: Target) -> EndpointReference:
    """The API does not say which revision is active in a timeline, only in which timelines a
    revision is: the newest revisions are asked one after another."""
    looked_at = 0
    async for found in api.revisions(wanted.app, "succeeded"):
        timelines = await api.timelines(found.id)
        if any(_is_meant(wanted, each) for each in timelines):
            return _proven(wanted, found, timelines)
        looked_at += 1
        if looked_at == _MOST_LOOKED_AT:
            break
    where = "production" if wanted.pick is Pick.PRODUCTION else f"the branch '{wanted.name}'"
    raise _refused(
        f"none of the {looked_at} newest revisions of {wanted.app_name} that were built is active"
        f" in {where}; deploy there first, or name the revision: '{wanted.app_name}@REVISION'"
    )


def _is_meant(wanted: Target, timeline: Timeline) -> bool:
    if wanted.pick is Pick.PRODUCTION:
        return timeline.is_production
    return timeline.is_of_branch(wanted.name)


# --- the proof ---------------------------------------------------------------------------------


def _proven(wanted: Target, found: Revision, timelines: list[Timeline]) -> EndpointReference:
    host = host_of(wanted, found.id, timelines)
    if host is None:
        raise _refused(_elsewhere(wanted, found, timelines))
    facts = {
        **facts_of(found, host, timelines),
        "variables": _VARIABLES,
        "proven_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return EndpointReference(NAME, f"https://{host}{wanted.path}", Evidence.CONTROL_PLANE, facts)


def _check(found: Revision) -> None:
    """Raises DiscoveryError for a revision that does not serve."""
    if found.deleted_at is not None:
        raise _refused(f"the revision '{found.id}' was deleted on {found.deleted_at}")
    if found.status in ("queued", "building"):
        raise DiscoveryError(
            f"the revision '{found.id}' is not built yet: it is {found.status}. Try again in a"
            " moment",
            code="META0003",
            status=503,
            retryable=True,
        )
    if found.status != "succeeded":
        why = found.failure_reason or "Deno gives no reason"
        raise _refused(f"the revision '{found.id}' cannot run, its build {found.status}: {why}")


def _unknown(wanted: Target, id: str) -> str:
    if wanted.host is None:
        return (
            f"Deno Deploy knows no revision '{id}'; 'steadfaas adapters versions"
            f" {wanted.app_name}' lists those that there are"
        )
    app = f"{wanted.app}-{id}"
    return (
        f"Deno Deploy knows no revision '{id}', so {wanted.host} may be the production address of"
        f" an app '{app}', which moves. If it is, write '{target.PREFIX}{wanted.org}/{app}"
        "@production' to register the revision that production is now"
    )


def _elsewhere(wanted: Target, found: Revision, timelines: list[Timeline]) -> str:
    hosts = sorted({each.domain for line in timelines for each in line.domains})
    claimed = target.own_host(wanted.org, wanted.app, found.id)
    seen = f"it has {', '.join(hosts)}" if hosts else "it has none"
    return (
        f"the revision '{found.id}' has no address {claimed} of its own on Deno Deploy ({seen})."
        " Check the names of organisation and app: renaming either ends all addresses"
    )


def _refused(sentence: str) -> DiscoveryError:
    return DiscoveryError(sentence, code="META0003", status=400)
