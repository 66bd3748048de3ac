"""The grammar of Vercel targets. Pure: nobody is asked.

Each deployment has a URL of its own, `PROJECT-HASH-SCOPE.vercel.app` with nine letters or digits in
the middle (vercel.com/docs/deployments/generated-urls). Whoever owns a project may give the same
shape to an alias, so this grammar can refuse a URL but never prove one: that is up to the API.

Names are looked up now: `vercel:TEAM/PROJECT@SELECTOR:/PATH`. A colon and a slash stand before the
path, because a branch may hold slashes and nearly everything else, but never a colon
(git-check-ref-format); and because no shell takes them for a pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import SplitResult, urlsplit

from steadfaas.errors import BadRequest

PREFIX: Final = "vercel:"
SUFFIX: Final = ".vercel.app"

_LONGEST: Final = 2048
_FORMS: Final = (
    "'vercel:TEAM/PROJECT@production', '@commit:SHA', '@branch:NAME' or '@dpl_…' (with ':/PATH'"
    " behind it where the endpoint is not at the root)"
)

# What stands before the path of anything like a URL; a backslash ends it for browsers.
_AUTHORITY: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//([^/?#\\]*)|([^/?#\\]*)", re.IGNORECASE)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HASHED: Final = re.compile(r"[a-z0-9-]*[a-z0-9]-[a-z0-9]{9}-[a-z0-9][a-z0-9-]*")
_BRANCH_URL: Final = "-git-"

_PATH: Final = r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
_WHOLE_PATH: Final = re.compile(_PATH)
# What a branch may be called, as far as it matters here: git forbids these characters.
_BRANCH: Final = r"[^\x00-\x20\x7f~^:?*\[\\]+"
_NAMED: Final = re.compile(
    r"(?P<team>[A-Za-z0-9][A-Za-z0-9_-]{0,99})/(?P<project>[A-Za-z0-9_][A-Za-z0-9._-]{0,99})"
    rf"(?:@(?:(?P<production>production)|commit:(?P<commit>[^:]*)|branch:(?P<branch>{_BRANCH})"
    r"|(?P<deployment>dpl_[A-Za-z0-9]+)))?"
    rf"(?::(?P<path>{_PATH}))?"
)
_SHA: Final = re.compile(r"[0-9a-f]{7,40}")


class Kind(Enum):
    """How a name says which deployment of a project is meant."""

    PRODUCTION = "production"  # what serves production now
    COMMIT = "commit"  # the newest ready one of a commit
    BRANCH = "branch"  # the newest ready one of a branch
    DEPLOYMENT = "deployment"  # this one


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A host under `vercel.app`, and where the endpoint is on it (`/` or `/a/b`)."""

    host: str
    path: str


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """A project's deployment by a name that is looked up now; `value` is a SHA, a branch, an id."""

    team: str
    project: str
    kind: Kind
    value: str = ""
    path: str = "/"


def claims(target: str) -> bool:
    """Whether a target is about Vercel, well written or not."""
    if target.lower().startswith(PREFIX):
        return True
    host = _authority(target).rpartition("@")[2].partition(":")[0]
    return host.lower().rstrip(".").endswith(SUFFIX)


def parse(target: str, *, dev: bool = False) -> UrlTarget | NamedTarget:
    """What a target means. `dev` allows hosts that can lead elsewhere later. Raises BadRequest."""
    if len(target) > _LONGEST:
        raise BadRequest(f"a Vercel target has {_LONGEST} characters at most, this one has more")
    if target.lower().startswith(PREFIX):
        return _named(target)
    return _url(target, dev=dev)


def _authority(target: str) -> str:
    """Host and what stands around it, in anything like a URL."""
    found = _AUTHORITY.match(target)
    return "" if found is None else found.group(1) or found.group(2) or ""


def uri(host: str, path: str) -> str:
    """The address of an endpoint, always the same text for the same one."""
    return f"https://{host}{path}"


# --- names -------------------------------------------------------------------------------------


def _named(target: str) -> NamedTarget:
    found = _NAMED.fullmatch(target[len(PREFIX) :])
    if found is None:
        # Nor is what may be a URL with a password in it.
        shown = "this" if "//" in target else f"{target!a}"
        raise BadRequest(f"{shown} is not a Vercel target. Write {_FORMS}")
    parts = found.groupdict()
    path = _normal_path(target, parts["path"] or "/")
    kind, value = Kind.PRODUCTION, ""
    if parts["commit"] is not None:
        kind, value = Kind.COMMIT, _sha(parts["commit"])
    elif parts["branch"] is not None:
        kind, value = Kind.BRANCH, _branch(parts["branch"])
    elif parts["deployment"] is not None:
        kind, value = Kind.DEPLOYMENT, parts["deployment"]
    return NamedTarget(parts["team"], parts["project"], kind, value, path)


def _sha(written: str) -> str:
    if not _SHA.fullmatch(written.lower()):
        raise BadRequest(
            f"{written!a} is not a commit: write its SHA, or the first seven digits of it or more"
            " ('git rev-parse HEAD' prints it)"
        )
    return written.lower()


def _branch(written: str) -> str:
    if (
        written[0] == "/"
        or written[-1] in "/."
        or any(bad in written for bad in ("//", "..", "@{", "/."))
    ):
        raise BadRequest(f"{written!a} is not the name of a branch (see git check-ref-format)")
    return written


# --- URLs --------------------------------------------------------------------------------------


def _url(target: str, *, dev: bool) -> UrlTarget:
    # The userinfo is a secret: it is not repeated.
    if "@" in _authority(target):
        raise BadRequest(
            "the URL holds a user name or password, which Vercel does not look at; what opens its"
            " deployment protection is given as --protection env:NAME"
        )
    if not _VISIBLE.fullmatch(target):
        raise BadRequest(
            f"{target!a} holds spaces, control or non-ASCII characters; the URL of a Vercel"
            " deployment has none"
        )
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError as error:
        raise BadRequest(f"{target!a} cannot be parsed as a URL: {error}") from None
    _check_parts(target, parts, port)
    host = parts.netloc.lower().rstrip(".")
    label = host.removesuffix(SUFFIX)
    if label == host or not _LABEL.fullmatch(label):
        raise BadRequest(
            f"'{host}' is not the host of a Vercel deployment, which is"
            f" PROJECT-HASH-SCOPE{SUFFIX}. Write {_FORMS}, which finds it"
        )
    if not dev:
        _check_fixed(host, label)
    return UrlTarget(host, _normal_path(target, parts.path or "/"))


def _check_parts(target: str, parts: SplitResult, port: int | None) -> None:
    if parts.scheme.lower() != "https" or not parts.netloc:
        host = target.partition("://")[2] or target.lstrip("/")
        raise BadRequest(
            f"{target!a} must begin with https://, as everything on Vercel does: write"
            f" 'https://{host}'"
        )
    if port is not None or ":" in parts.netloc:
        raise BadRequest(f"{target!a} names a port; deployments on Vercel have none: leave it out")
    if "?" in target or "#" in target:
        raise BadRequest(
            f"{target!a} has a query (?…) or a fragment (#…), which has no place in the address of"
            " an endpoint; leave it out"
        )


def _check_fixed(host: str, label: str) -> None:
    """Refuse what can be no deployment's own URL."""
    if _BRANCH_URL in label:
        raise BadRequest(
            f"'{host}' is the URL of a branch, which leads to its newest commit. Write"
            f" '{PREFIX}TEAM/PROJECT@branch:NAME' to register the deployment that is the newest one"
            f" now. (Should the project's own name hold '{_BRANCH_URL}', write"
            f" '{PREFIX}TEAM/PROJECT@dpl_…')"
        )
    if not _HASHED.fullmatch(label):
        raise BadRequest(
            f"'{host}' lacks the nine letters and digits that stand between project and team in a"
            " deployment's own URL, so it is one that moves (production, or the newest deployment)."
            f" Write '{PREFIX}TEAM/PROJECT@production' to register the deployment that serves"
            " production now"
        )


def _normal_path(target: str, path: str) -> str:
    if not _WHOLE_PATH.fullmatch(path):
        raise BadRequest(f"{target!a} has characters in its path that must be percent-encoded")
    steps = path.strip("/").split("/")
    if "//" in path or "." in steps or ".." in steps:
        raise BadRequest(f"{target!a} has empty or dot steps in its path: write it without them")
    return path.rstrip("/") or "/"
