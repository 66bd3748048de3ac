"""The grammar of Cloudflare targets. Pure: nobody is asked.

A Version URL begins with the first eight hexadecimal digits of a version's id
(developers.cloudflare.com/workers/versions-and-deployments/version-urls). Grammar can refuse what
does not, but it cannot accept what does: a Worker, an alias or a Preview may be called
`deadbeef-shop` too. Those are told apart by Cloudflare's API; see `control`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn
from urllib.parse import urlsplit

from steadfaas.errors import BadRequest

PREFIX: Final = "cloudflare:"
WORKERS_DEV: Final = ".workers.dev"
# Production and Previews of a Worker, never a version of it.
CLOUDFLARE_APP: Final = ".cloudflare.app"

_LONGEST: Final = 2048
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_AUTHORITY: Final = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#\\]*)", re.IGNORECASE)
_PORT: Final = re.compile(r":\d*$")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VERSION_LABEL: Final = re.compile(r"(?P<start>[0-9a-f]{8})-(?P<worker>[a-z0-9][a-z0-9-]*)")
_BAD_IN_PATH: Final = re.compile(r"[\"<>\\^`{|}]|%(?![0-9a-fA-F]{2})|/\.{1,2}(?=/|$)|//")

_WORKER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}")
_ACCOUNT: Final = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
# The API takes tags of so many bytes ("workers/tag").
_LONGEST_TAG: Final = 100

_FORMS: Final = (
    f"Write '{PREFIX}ACCOUNT/WORKER@latest' (the newest version with a Version URL), '@live' (the"
    " one that is deployed), '@tag:TAG', '@VERSION-ID', or a Version URL:"
    " https://<8 hex digits>-WORKER.SUBDOMAIN.workers.dev"
)


class Kind(Enum):
    """How a version is named."""

    URL = "a Version URL"
    LATEST = "latest"
    LIVE = "live"
    TAG = "tag"
    VERSION = "version"
    ANY = "none"  # a Worker without a version, where all its versions are meant


@dataclass(frozen=True, slots=True)
class CloudflareTarget:
    """A Worker, and which version of it. `account` is None where the settings say it.

    `qualifier` is a tag or a version's id; of a URL, the id's first eight digits. `path` is where
    the SDK's endpoint is mounted: empty, or beginning with a slash.
    """

    kind: Kind
    worker: str
    account: str | None = None
    qualifier: str = ""
    host: str = ""
    path: str = ""

    @property
    def uri(self) -> str:
        """The normal form of a URL."""
        return endpoint(self.host, self.path)


def endpoint(host: str, path: str) -> str:
    """The address of an SDK endpoint in a version."""
    return f"https://{host}{path or '/'}"


def host_of(url: str) -> str:
    """The host of one of the URLs that the API names for a version, which may lack its scheme."""
    written = url if "://" in url else f"https://{url}"
    try:
        return (urlsplit(written).hostname or "").lower()
    except ValueError:
        return ""


def version_host(url: str) -> str | None:
    """The host of a URL of the API, if it has the form of a Version URL."""
    host = host_of(url)
    label, _, rest = host.partition(".")
    if not _VERSION_LABEL.fullmatch(label) or not rest.endswith(WORKERS_DEV):
        return None
    return host


def claims(target: str) -> bool:
    """Whether a target is about Cloudflare Workers, well written or not."""
    if target.lower().startswith(PREFIX):
        return True
    found = _AUTHORITY.match(target)
    if found is None:
        return False
    host = _PORT.sub("", found[1].rpartition("@")[2]).rstrip(".").lower()
    return f".{host}".endswith((WORKERS_DEV, CLOUDFLARE_APP))


def parse(target: str, *, any_version: bool = False) -> CloudflareTarget:
    """What a target means. `any_version` allows one that names no version. Raises BadRequest."""
    if len(target) > _LONGEST:
        raise BadRequest(f"a Cloudflare target has {_LONGEST} characters at most")
    if "@" in (found[1] if (found := _AUTHORITY.match(target)) else ""):
        # What stands there is a secret: it is not repeated.
        raise BadRequest(
            "the target holds a user name or password; name protection with --protection, and other"
            " secrets with --secret-header"
        )
    if not _VISIBLE.fullmatch(target):
        raise BadRequest(
            f"{target!a} holds spaces, control or non-ASCII characters; names of Workers have"
            " letters, digits and dashes only"
        )
    if target.lower().startswith(PREFIX):
        return _named(target, target[len(PREFIX) :], any_version=any_version)
    return _url(target)


# --- names -------------------------------------------------------------------------------------


def _named(target: str, rest: str, *, any_version: bool) -> CloudflareTarget:
    name, mounted, path = rest.partition(":/")
    path = _path(target, f"/{path}") if mounted else ""
    owner, at, qualifier = name.partition("@")
    account, slash, worker = owner.rpartition("/")
    if slash and not _ACCOUNT.fullmatch(account):
        raise BadRequest(
            f"{account!a} is not the id of a Cloudflare account, which has 32 hexadecimal digits"
            " (the dashboard shows it beside 'Account ID'; 'wrangler whoami' prints it)"
        )
    if not _WORKER.fullmatch(worker):
        raise BadRequest(f"{target!a} names no Worker. {_FORMS}")
    if not at and not any_version:
        raise BadRequest(
            f"{target!a} names no version, so it means what is deployed, which changes. {_FORMS}"
        )
    kind, value = _qualified(target, qualifier) if at else (Kind.ANY, "")
    return CloudflareTarget(kind, worker, account.lower() or None, value, path=path)


def _qualified(target: str, qualifier: str) -> tuple[Kind, str]:
    if qualifier in (Kind.LATEST.value, Kind.LIVE.value):
        return Kind(qualifier), ""
    if _UUID.fullmatch(qualifier):
        return Kind.VERSION, qualifier.lower()
    if qualifier.startswith("tag:"):
        tag = qualifier.removeprefix("tag:")
        if not 0 < len(tag) <= _LONGEST_TAG:
            raise BadRequest(f"a tag has 1 to {_LONGEST_TAG} characters, unlike that of {target!a}")
        return Kind.TAG, tag
    raise BadRequest(f"{target!a} does not say which version. {_FORMS}")


# --- URLs --------------------------------------------------------------------------------------


def _url(target: str) -> CloudflareTarget:
    try:
        parts = urlsplit(target)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise BadRequest(f"{target!a} is no URL: {error}. {_FORMS}") from None
    if not f".{host.rstrip('.')}".endswith((WORKERS_DEV, CLOUDFLARE_APP)):
        raise BadRequest(
            f"{target!a} is not an address of workers.dev, and custom domains lead to what is"
            f" deployed, never to a version. {_FORMS}"
        )
    if parts.scheme.lower() != "https":
        raise BadRequest(f"{target!a} must begin with https://, which is all that workers.dev has")
    if port is not None or parts.netloc.endswith(":"):
        raise BadRequest(f"{target!a} names a port; Version URLs have none. Leave it out")
    if "?" in target or "#" in target:
        raise BadRequest(
            f"{target!a} has a query or fragment, which has no place in a base address: the path"
            " alone says where the SDK's endpoint is mounted"
        )
    label, worker = _version_label(target, host)
    return CloudflareTarget(
        Kind.URL, worker, qualifier=label[:8], host=host, path=_path(target, parts.path)
    )


def _version_label(target: str, host: str) -> tuple[str, str]:
    """The first label and the Worker's name in it."""
    if f".{host.rstrip('.')}".endswith(CLOUDFLARE_APP):
        raise BadRequest(
            f"{target!a} is the address of a Worker's production or of a Preview, which lead to"
            f" what was deployed last. {_FORMS}"
        )
    labels = host.split(".")
    if len(labels) != 4 or not all(_LABEL.fullmatch(each) for each in labels):
        raise BadRequest(f"{target!a} is no Version URL: its host has another form. {_FORMS}")
    found = _VERSION_LABEL.fullmatch(labels[0])
    if found is None:
        _moving(target, labels[0])
    return labels[0], found["worker"]


def _moving(target: str, label: str) -> NoReturn:
    if "-" not in label:
        what = f"the production address of the Worker '{label}', which every deploy changes"
    else:
        what = (
            "the address of a Worker's production, of an alias or of a Preview, which can be"
            " pointed elsewhere: no version's eight hexadecimal digits stand before its first dash"
        )
    raise BadRequest(f"{target!a} is {what}. {_FORMS}")


def _path(target: str, path: str) -> str:
    """Without its last slash, so that equal places have equal texts."""
    if _BAD_IN_PATH.search(path):
        raise BadRequest(
            f"{target!a} has characters in its path that must be percent-encoded, or empty or"
            " dotted steps"
        )
    if "?" in path or "#" in path:
        raise BadRequest(f"the path of {target!a} has a query or fragment; leave it out")
    return path.rstrip("/")
