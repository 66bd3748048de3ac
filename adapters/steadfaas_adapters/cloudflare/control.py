"""What a target means now, and whether a version is still what it was: by Cloudflare's API.

That a URL always leads to one version is proven when the API lists it among that version's `urls`:
those never move, and aliases are not among them (API reference, Workers versions).
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
from steadfaas_adapters.cloudflare.settings import ACCOUNT, settings
from steadfaas_adapters.cloudflare.target import CloudflareTarget, Kind

NAME: Final = "cloudflare"
SWITCH_ON: Final = (
    'set "preview_urls": true in its wrangler configuration and deploy it, or switch "Preview URLs"'
    " on in the dashboard (Settings, Domains & Routes)"
)
_LONGEST: Final = 500
_NAMED: Final = 3


async def resolve(wanted: CloudflareTarget) -> EndpointReference:
    """The version that a target means now. Raises BadRequest, DiscoveryError."""
    async with _about(wanted) as (api, account):
        worker = await _worker(api, account, wanted)
        if not worker.subdomain.previews_enabled:
            raise _refused(_switched_off(wanted))
        version = await _chosen(api, account, wanted)
        host = wanted.host or _host(version, wanted)
        facts = _facts(version, account, wanted.worker)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        facts |= {"previews_enabled": "true", "proven_at": now}
        uri = grammar.endpoint(host, wanted.path)
        return EndpointReference(NAME, uri, Evidence.CONTROL_PLANE, facts)


async def list_versions(wanted: CloudflareTarget) -> list[Version]:
    """All versions of a Worker, newest first. `names`: its tag, and its part of the traffic."""
    async with _about(wanted) as (api, account):
        found = await _versions(api, account, wanted)
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


async def retire(reference: EndpointReference) -> None:
    """Delete a version; one that is gone already is fine. Raises Conflict while it is deployed."""
    wanted = _recorded(reference)
    async with _about(wanted) as (api, account):
        try:
            version = await _registered(api, account, wanted, reference.facts)
            if version is None:
                return
            share = (await api.deployed(account, wanted.worker)).get(version.id)
            if share is not None:
                raise _in_use(wanted, f"it is deployed, with {share:g} % of the traffic")
            await api.delete(account, wanted.worker, version.id)
        except ApiRefusal as error:
            if error.http_status == 409:
                raise _in_use(wanted, error.message) from error
            if not missing(error):
                raise


# --- which version -----------------------------------------------------------------------------


async def _chosen(api: Cloudflare, account: str, wanted: CloudflareTarget) -> WorkerVersion:
    if wanted.kind is Kind.VERSION:
        return await _by_id(api, account, wanted, wanted.qualifier)
    if wanted.kind is Kind.LIVE:
        return await _by_id(api, account, wanted, await _live(api, account, wanted))
    found = await _versions(api, account, wanted)
    if wanted.kind is Kind.URL:
        return _by_host(found, wanted)
    return _tagged(found, wanted) if wanted.kind is Kind.TAG else _newest(found, wanted)


def _by_host(found: list[WorkerVersion], wanted: CloudflareTarget) -> WorkerVersion:
    proven = [each for each in found if _has_host(each, wanted.host)]
    if len(proven) == 1:
        return proven[0]
    if proven:  # eight digits of two ids may be the same
        raise _refused(
            f"{wanted.host} is the URL of two versions, {proven[0].id} and {proven[1].id}: nobody"
            " can say which of them answers. Upload a new one"
        )
    if alike := [each for each in found if each.id.startswith(wanted.qualifier)]:
        raise _refused(
            f"Cloudflare names no Version URL {wanted.host} for version {alike[0].id}:"
            f" {_no_url(wanted)}"
        )
    raise _refused(
        f"no version of the Worker '{wanted.worker}' has the URL {wanted.host}. It was deleted, or"
        f" this is the address of an alias, a Preview or a Worker that is called"
        f" '{wanted.qualifier}-{wanted.worker}', which can change. Write"
        f" '{grammar.PREFIX}{wanted.worker}@latest' for the newest version"
    )


def _has_host(version: WorkerVersion, host: str) -> bool:
    return any(grammar.host_of(url) == host for url in version.urls)


def _newest(found: list[WorkerVersion], wanted: CloudflareTarget) -> WorkerVersion:
    for each in found:
        if any(grammar.version_host(url) for url in each.urls):
            return each
    raise _refused(f"no version of the Worker '{wanted.worker}' has a URL: {_no_url(wanted)}")


def _tagged(found: list[WorkerVersion], wanted: CloudflareTarget) -> WorkerVersion:
    tagged = [each for each in found if each.tag == wanted.qualifier]
    if len(tagged) > 1:
        ids = ", ".join(each.id for each in tagged[:_NAMED])
        raise BadRequest(
            f"{len(tagged)} versions of the Worker '{wanted.worker}' have the tag"
            f" '{wanted.qualifier}' ({ids}): write '@' and the id of one of them"
        )
    if not tagged:
        raise _refused(
            f"no version of the Worker '{wanted.worker}' has the tag '{wanted.qualifier}'. Give it"
            " one when it is uploaded: 'wrangler versions upload --tag TAG'"
        )
    return tagged[0]


async def _live(api: Cloudflare, account: str, wanted: CloudflareTarget) -> str:
    deployed = await _deployed(api, account, wanted)
    shares = {version: share for version, share in deployed.items() if share}
    if len(shares) > 1:
        split = " and ".join(f"{each} ({share:g} %)" for each, share in shares.items())
        raise BadRequest(
            f"the traffic of the Worker '{wanted.worker}' is split over {split}: write '@' and the"
            " id of one of them"
        )
    if not shares:
        raise _refused(f"nothing is deployed of the Worker '{wanted.worker}'")
    return next(iter(shares))


async def _by_id(
    api: Cloudflare, account: str, wanted: CloudflareTarget, version: str
) -> WorkerVersion:
    try:
        return await api.version(account, wanted.worker, version)
    except ApiRefusal as error:
        if not missing(error):
            raise
        raise _refused(
            f"the Worker '{wanted.worker}' has no version {version} (any more)"
        ) from error


async def _registered(
    api: Cloudflare, account: str, wanted: CloudflareTarget, facts: Mapping[str, str]
) -> WorkerVersion | None:
    """The version of a deployment: by its recorded id, or else by its URL."""
    if version := facts.get("version"):
        return await api.version(account, wanted.worker, version)
    found = await api.versions(account, wanted.worker)
    return next((each for each in found if _has_host(each, wanted.host)), None)


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


async def _worker(api: Cloudflare, account: str, wanted: CloudflareTarget) -> Worker:
    try:
        return await api.worker(account, wanted.worker)
    except ApiRefusal as error:
        raise _no_worker(error, account, wanted) from error


async def _versions(api: Cloudflare, account: str, wanted: CloudflareTarget) -> list[WorkerVersion]:
    try:
        return await api.versions(account, wanted.worker)
    except ApiRefusal as error:
        raise _no_worker(error, account, wanted) from error


async def _deployed(api: Cloudflare, account: str, wanted: CloudflareTarget) -> dict[str, float]:
    try:
        return await api.deployed(account, wanted.worker)
    except ApiRefusal as error:
        raise _no_worker(error, account, wanted) from error


def _no_worker(error: ApiRefusal, account: str, wanted: CloudflareTarget) -> DiscoveryError:
    if not missing(error):
        return error
    also = ""
    if wanted.kind is Kind.URL:
        other = f"{wanted.qualifier}-{wanted.worker}"
        also = (
            f". If there is one that is called '{other}', this is its production address: write"
            f" '{grammar.PREFIX}{other}@latest'"
        )
    return _refused(f"the account {account} has no Worker '{wanted.worker}'{also}")


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
    if not _has_host(version, wanted.host):
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
    raise _refused(
        f"version {version.id} of the Worker '{wanted.worker}' has no URL: {_no_url(wanted)}"
    )


def _address(version: WorkerVersion, account: str, wanted: CloudflareTarget) -> str:
    """Where a version is reached, or how it is named where it has no URL."""
    for url in version.urls:
        if host := grammar.version_host(url):
            return grammar.endpoint(host, wanted.path)
    return f"{grammar.PREFIX}{account}/{wanted.worker}@{version.id}"


def _switched_off(wanted: CloudflareTarget) -> str:
    return f"the Version URLs of the Worker '{wanted.worker}' are switched off: {SWITCH_ON}"


def _no_url(wanted: CloudflareTarget) -> str:
    return (
        f"check that the Version URLs of '{wanted.worker}' are switched on ({SWITCH_ON}). Workers"
        " with Durable Objects, and versions from before September 2024, have none"
    )


def _in_use(wanted: CloudflareTarget, why: str) -> Conflict:
    return Conflict(
        f"the version of the Worker '{wanted.worker}' is not deleted: {why}. Deploy another version"
        " first, and try again"
    )


def _refused(message: str) -> DiscoveryError:
    return DiscoveryError(message, code="META0003", status=400)
