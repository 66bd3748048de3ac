"""Which of a Worker's versions a target means, by what Cloudflare's API says of all of them.

That a URL always leads to one version is proven when the API lists it among that version's `urls`:
those never move, and aliases are not among them (API reference, Workers versions).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from steadfaas.errors import BadRequest, DiscoveryError
from steadfaas_adapters._control_plane import ApiRefusal
from steadfaas_adapters.cloudflare import target as grammar
from steadfaas_adapters.cloudflare.api import Cloudflare, WorkerVersion, missing
from steadfaas_adapters.cloudflare.target import CloudflareTarget, Kind

SWITCH_ON: Final = (
    'set "preview_urls": true in its wrangler configuration and deploy it, or switch "Preview URLs"'
    " on in the dashboard (Settings, Domains & Routes)"
)
_NAMED: Final = 3


async def chosen(api: Cloudflare, account: str, wanted: CloudflareTarget) -> WorkerVersion:
    """The version that a target means now. Raises BadRequest, DiscoveryError."""
    if wanted.kind is Kind.VERSION:
        return await _by_id(api, account, wanted, wanted.qualifier)
    if wanted.kind is Kind.LIVE:
        return await _by_id(api, account, wanted, await _live(api, account, wanted))
    found = await api.versions(account, wanted.worker)
    if wanted.kind is Kind.URL:
        return _by_host(found, wanted)
    return _tagged(found, wanted) if wanted.kind is Kind.TAG else _newest(found, wanted)


def _by_host(found: list[WorkerVersion], wanted: CloudflareTarget) -> WorkerVersion:
    proven = [each for each in found if has_host(each, wanted.host)]
    if len(proven) == 1:
        return proven[0]
    if proven:  # eight digits of two ids may be the same
        raise refused(
            f"{wanted.host} is the URL of two versions, {proven[0].id} and {proven[1].id}: nobody"
            " can say which of them answers. Upload a new one"
        )
    if alike := [each for each in found if each.id.startswith(wanted.qualifier)]:
        raise refused(
            f"Cloudflare names no Version URL {wanted.host} for version {alike[0].id}:"
            f" {no_url(wanted)}"
        )
    raise refused(
        f"no version of the Worker '{wanted.worker}' has the URL {wanted.host}. It was deleted, or"
        f" this is the address of an alias, a Preview or a Worker that is called"
        f" '{wanted.qualifier}-{wanted.worker}', which can change. Write"
        f" '{grammar.PREFIX}{wanted.worker}@latest' for the newest version"
    )


def has_host(version: WorkerVersion, host: str) -> bool:
    """Whether the API names a host as one of this version for good."""
    return any(grammar.host_of(url) == host for url in version.urls)


def _newest(found: list[WorkerVersion], wanted: CloudflareTarget) -> WorkerVersion:
    for each in found:
        if any(grammar.version_host(url) for url in each.urls):
            return each
    raise refused(f"no version of the Worker '{wanted.worker}' has a URL: {no_url(wanted)}")


def _tagged(found: list[WorkerVersion], wanted: CloudflareTarget) -> WorkerVersion:
    tagged = [each for each in found if each.tag == wanted.qualifier]
    if len(tagged) > 1:
        ids = ", ".join(each.id for each in tagged[:_NAMED])
        raise BadRequest(
            f"{len(tagged)} versions of the Worker '{wanted.worker}' have the tag"
            f" '{wanted.qualifier}' ({ids}): write '@' and the id of one of them"
        )
    if not tagged:
        raise refused(
            f"no version of the Worker '{wanted.worker}' has the tag '{wanted.qualifier}'. Give it"
            " one when it is uploaded: 'wrangler versions upload --tag TAG'"
        )
    return tagged[0]


async def _live(api: Cloudflare, account: str, wanted: CloudflareTarget) -> str:
    deployed = await api.deployed(account, wanted.worker)
    shares = {version: share for version, share in deployed.items() if share}
    if len(shares) > 1:
        split = " and ".join(f"{each} ({share:g} %)" for each, share in shares.items())
        raise BadRequest(
            f"the traffic of the Worker '{wanted.worker}' is split over {split}: write '@' and the"
            " id of one of them"
        )
    if not shares:
        raise refused(f"nothing is deployed of the Worker '{wanted.worker}'")
    return next(iter(shares))


async def _by_id(
    api: Cloudflare, account: str, wanted: CloudflareTarget, version: str
) -> WorkerVersion:
    try:
        return await api.version(account, wanted.worker, version)
    except ApiRefusal as error:
        if not missing(error):
            raise
        raise refused(
            f"the Worker '{wanted.worker}' has no version {version} (any more)"
        ) from error


@contextmanager
def explained(account: str, wanted: CloudflareTarget) -> Iterator[None]:
    """Say of what is missing that it is the Worker. Raises DiscoveryError."""
    try:
        yield
    except ApiRefusal as error:
        if not missing(error):
            raise
        also = ""
        if wanted.kind is Kind.URL:
            other = f"{wanted.qualifier}-{wanted.worker}"
            also = (
                f". If there is one that is called '{other}', this is its production address:"
                f" write '{grammar.PREFIX}{other}@latest'"
            )
        message = f"the account {account} has no Worker '{wanted.worker}'{also}"
        raise refused(message) from error


# --- words -------------------------------------------------------------------------------------


def no_url(wanted: CloudflareTarget) -> str:
    """What may be done about a version without a URL."""
    return (
        f"check that the Version URLs of '{wanted.worker}' are switched on ({SWITCH_ON}). Workers"
        " with Durable Objects, and versions from before September 2024, have none"
    )


def refused(message: str) -> DiscoveryError:
    """The platform does not have what is wanted."""
    return DiscoveryError(message, code="META0003", status=400)
