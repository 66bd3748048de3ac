"""What a target means now, and whether a version is still what it was: by Cloudflare's API.

Which version it is, says `choice`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from steadfaas.errors import BadRequest, Conflict, DiscoveryError
from steadfaas.spi import EndpointReference, Evidence, Version
from steadfaas_adapters._control_plane import ApiRefusal
from steadfaas_adapters.cloudflare import target as grammar
from steadfaas_adapters.cloudflare.api import Cloudflare, Worker, WorkerVersion, cloudflare, missing
from steadfaas_adapters.cloudflare.choice import (
    SWITCH_ON,
    chosen,
    explained,
    has_host,
    no_url,
    refused,
)
from steadfaas_adapters.cloudflare.settings import ACCOUNT, settings
from steadfaas_adapters.cloudflare.target import CloudflareTarget

NAME: Final = "cloudflare"
_LONGEST: Final = 500


async def resolve(wanted: CloudflareTarget) -> EndpointReference:
    """The version that a target means now. Raises BadRequest, DiscoveryError."""
    async with _about(wanted) as (api, account):
        with explained(account, wanted):
            worker = await api.worker(account, wanted.worker)
            if not worker.subdomain.previews_enabled:
                raise refused(_switched_off(wanted))
            version = await chosen(api, account, wanted)
        host = wanted.host or _host(version, wanted)
        facts = _facts(version, account, wanted.worker)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        facts |= {"previews_enabled": "true", "proven_at": now}
        uri = grammar.endpoint(host, wanted.path)
        return EndpointReference(NAME, uri, Evidence.CONTROL_PLANE, facts)


async def list_versions(wanted: CloudflareTarget) -> list[Version]:
    """All versions of a Worker, newest first. `names`: its tag, and its part of the traffic."""
    async with _about(wanted) as (api, account):
        with explained(account, wanted):
            found = await api.versions(account, wanted.worker)
            shares = await api.deployed(account, wanted.worker)
        return [
            Version(
                label=str(each.number),
                uri=_address(each, account, wanted),
                created_at=int(each.created_on.timestamp() * 1000),
                names=_names(each, shares),
                facts=_facts(each, account, wanted.worker),
            )
            for each in found
        ]


async def verify(reference: EndpointReference) -> list[str]:
    """What is other about a version than it was when it was registered."""
    wanted = _recorded(reference)
    async with _about(wanted) as (api, account):
        try:
            worker = await api.worker(account, wanted.worker)
            version = await _registered(api, account, wanted, reference.facts)
        except ApiRefusal as error:
            if not missing(error):
                raise
            version = None
        if version is None:
            return [
                f"Cloudflare's account {account} has no such version of the Worker"
                f" '{wanted.worker}' (any more)"
            ]
        return _differences(reference, wanted, worker, version)


async def needed_by(reference: EndpointReference) -> str | None:
    """Its share of the traffic; None if it is not deployed, or if it is not there (any more)."""
    wanted = _recorded(reference)
    async with _about(wanted) as (api, account):
        try:
            version = await _registered(api, account, wanted, reference.facts)
            return None if version is None else await _deployed(api, account, wanted, version)
        except ApiRefusal as error:
            if not missing(error):
                raise
            return None


async def retire(reference: EndpointReference) -> None:
    """Delete a version; one that is gone already is fine. Raises Conflict while it is deployed."""
    wanted = _recorded(reference)
    async with _about(wanted) as (api, account):
        try:
            version = await _registered(api, account, wanted, reference.facts)
            if version is None:
                raise _unknown_here(wanted, account)
            if needed := await _deployed(api, account, wanted, version):
                raise Conflict(needed)
            await api.delete(account, wanted.worker, version.id)
        except ApiRefusal as error:
            if error.http_status == 409:
                raise Conflict(_in_use(wanted, error.message)) from error
            if not missing(error):
                raise
            if "version" not in reference.facts:
                raise _unknown_here(wanted, account) from error


async def _deployed(
    api: Cloudflare, account: str, wanted: CloudflareTarget, version: WorkerVersion
) -> str | None:
    """Its share of the traffic, in a sentence; None if it is not deployed."""
    share = (await api.deployed(account, wanted.worker)).get(version.id)
    if share is None:
        return None
    return _in_use(wanted, f"it is deployed, with {share:g} % of the traffic")


async def _registered(
    api: Cloudflare, account: str, wanted: CloudflareTarget, facts: Mapping[str, str]
) -> WorkerVersion | None:
    """The version of a deployment: by its recorded id, or else by its URL."""
    if version := facts.get("version"):
        return await api.version(account, wanted.worker, version)
    found = await api.versions(account, wanted.worker)
    return next((each for each in found if has_host(each, wanted.host)), None)


# --- asking ------------------------------------------------------------------------------------


@asynccontextmanager
async def _about(wanted: CloudflareTarget) -> AsyncIterator[tuple[Cloudflare, str]]:
    """The API, and the account of a target."""
    async with cloudflare() as api:
        yield api, wanted.account or settings().account or await _only_account(api)


async def _only_account(api: Cloudflare) -> str:
    found = await api.accounts()
    if len(found) != 1:
        raise BadRequest(
            f"the token sees {len(found) or 'no'} accounts: set {ACCOUNT} to the id of the one that"
            " is meant"
        )
    return found[0].id


# --- words -------------------------------------------------------------------------------------


def _recorded(reference: EndpointReference) -> CloudflareTarget:
    """What a deployment leads to. Raises BadRequest."""
    parsed = grammar.parse(reference.uri)
    return CloudflareTarget(
        parsed.kind,
        parsed.worker,
        reference.facts.get("account") or parsed.account,
        parsed.qualifier,
        parsed.host,
        parsed.path,
    )


def _differences(
    reference: EndpointReference, wanted: CloudflareTarget, worker: Worker, version: WorkerVersion
) -> list[str]:
    problems = []
    if not worker.subdomain.previews_enabled:
        problems.append(_switched_off(wanted))
    if not has_host(version, wanted.host):
        problems.append(f"Cloudflare does not name {wanted.host} as a URL of {version.id} any more")
    now = _facts(version, reference.facts.get("account", ""), wanted.worker)
    problems += [
        f"{name} was {reference.facts[name]} at registration and is {now[name]} now"
        for name in ("number", "created")
        if name in reference.facts and reference.facts[name] != now[name]
    ]
    return problems


def _facts(version: WorkerVersion, account: str, worker: str) -> dict[str, str]:
    facts = {
        "account": account,
        "worker": worker,
        "version": version.id,
        "number": str(version.number),
        "created": version.created_on.isoformat(),
    }
    if version.tag:
        facts["tag"] = version.tag[:_LONGEST]
    if version.message:
        facts["message"] = version.message[:_LONGEST]
    return facts


def _names(version: WorkerVersion, shares: Mapping[str, float]) -> tuple[str, ...]:
    deployed = (f"live {shares[version.id]:g} %",) if version.id in shares else ()
    return (*deployed, *((version.tag,) if version.tag else ()))


def _host(version: WorkerVersion, wanted: CloudflareTarget) -> str:
    for url in version.urls:
        if host := grammar.version_host(url):
            return host
    raise refused(
        f"version {version.id} of the Worker '{wanted.worker}' has no URL: {no_url(wanted)}"
    )


def _address(version: WorkerVersion, account: str, wanted: CloudflareTarget) -> str:
    """Where a version is reached, or how it is named where it has no URL."""
    for url in version.urls:
        if host := grammar.version_host(url):
            return grammar.endpoint(host, wanted.path)
    return f"{grammar.PREFIX}{account}/{wanted.worker}@{version.id}"


def _switched_off(wanted: CloudflareTarget) -> str:
    return f"the Version URLs of the Worker '{wanted.worker}' are switched off: {SWITCH_ON}"


def _in_use(wanted: CloudflareTarget, why: str) -> str:
    return (
        f"the version of the Worker '{wanted.worker}' is not deleted: {why}. Deploy another version"
        " first, and try again"
    )


def _unknown_here(wanted: CloudflareTarget, account: str) -> DiscoveryError:
    """It was registered on somebody's word: it may be in another account."""
    return refused(
        f"nothing was deleted: no version of a Worker '{wanted.worker}' in the account {account}"
        f" has the URL {wanted.host}. If it is in another account, set {ACCOUNT}"
    )
