"""The grammar of Deno Deploy targets. Pure: nobody is asked.

Each revision has an address of its own, `https://APP-REVISION.ORG.deno.net`, whose timeline holds
that revision alone (docs.deno.com/deploy/reference/timelines). Nobody can tell from the text that
an address is one: an app may be called `shop-rh2r15rgy802`, too. So the grammar refuses what
certainly moves and says what was meant; the control plane proves the rest.

An SDK endpoint that is not served at the root has its path in the address itself, or behind a
colon where an app is named. Git allows none in a branch's name (git-check-ref-format), so the
two cannot be mistaken for each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from steadfaas.errors import BadRequest

PREFIX: Final = "deno:"
DOMAIN: Final = "deno.net"

_LONGEST: Final = 512
_LONGEST_LABEL: Final = 63  # RFC 1035
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_CLAIMED: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?[^/?#\\\s]*\.deno\.(?P<end>net|dev)\.?(?::\d*)?(?=[/?#]|$)",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9.-]+)(?P<path>/[^?#]*)?", re.IGNORECASE
)
_SLUG: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"
# `rh2r15rgy802` is the sample of docs.deno.com/deploy/reference/oidc. That ids always have twelve
# characters is said nowhere, so a few more or less are left to the control plane.
_REVISION: Final = r"[a-z0-9]{8,32}"
_OWN: Final = re.compile(rf"(?P<app>{_SLUG})-(?P<revision>{_REVISION})")
_NAMED: Final = re.compile(
    rf"deno:(?P<org>{_SLUG})/(?P<app>{_SLUG})(?:@(?P<pick>[^?]+?))?(?::(?P<path>/[^?#]*))?"
)
# What git allows in a branch's name, as far as it matters here (git-check-ref-format).
_BRANCH: Final = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\/](?:[^\x00-\x20\x7f~^:?*\[\\]*[^/.])?")
_BAD_IN_PATH: Final = re.compile(
    r"[\"<>\\^`{|}]|%(?![0-9a-fA-F]{2})|//|/\.{1,2}(?=/|$)", re.IGNORECASE
)
_FORMS: Final = (
    "Write the address of a revision, 'https://APP-REVISION.ORG.deno.net', or name it:"
    " 'deno:ORG/APP@production', 'deno:ORG/APP@branch:NAME', 'deno:ORG/APP@REVISION',"
    " 'deno:ORG/APP' (the newest revision that was built)"
)


class Pick(Enum):
    """How a target says which revision it means."""

    REVISION = "revision"  # by its id
    PRODUCTION = "production"  # the one that production is now
    BRANCH = "branch"  # the one that a branch is now
    NEWEST = "newest"  # the newest that was built, deployed anywhere or not
    MOVING = "moving"  # none: an address whose revision changes, for development


@dataclass(frozen=True, slots=True)
class Target:
    """An app, which of its revisions, and where the SDK's endpoint is mounted in it.

    `name` is the revision's id or the branch; `host` is None where an app was named. Of a moving
    address only host and organisation are known for sure, and `app` is empty.
    """

    org: str
    app: str
    pick: Pick
    name: str = ""
    path: str = "/"
    host: str | None = None

    @property
    def app_name(self) -> str:
        """The app as it is written in targets: `deno:ORG/APP`."""
        return f"{PREFIX}{self.org}/{self.app}"


def own_host(org: str, app: str, revision: str) -> str:
    """The host that leads to one revision and to no other."""
    return f"{app}-{revision}.{org}.{DOMAIN}"


def claims(target: str) -> bool:
    """Whether a target is about Deno Deploy, well written or not."""
    return target.lower().startswith(PREFIX) or _CLAIMED.match(target) is not None


def parse(target: str, *, dev: bool = False) -> Target:
    """What a target means. `dev` allows addresses that move. Raises BadRequest."""
    if len(target) > _LONGEST:
        raise BadRequest(f"a Deno target has {_LONGEST} characters at most, this one has more")
    claimed = _CLAIMED.match(target)
    if claimed is not None and "@" in claimed.group():
        # It is a secret: the target is not repeated.
        raise BadRequest(
            "this address holds a user name or password; send credentials in 'additional_headers'"
        )
    if not _VISIBLE.fullmatch(target):
        raise BadRequest(
            f"{target!a} holds spaces, control characters or letters beyond ASCII, which no name"
            f" on Deno Deploy has. {_FORMS}"
        )
    if claimed is not None:
        return _address(target, claimed, dev=dev)
    return _named(target)


def _named(target: str) -> Target:
    found = _NAMED.fullmatch(target)
    if found is None:
        raise BadRequest(
            f"{target!a} is not a Deno target. {_FORMS}. The path of an endpoint that is not at"
            " the root goes behind it: ':/restate'"
        )
    path = _path(target, found["path"])
    pick, name = _picked(target, found["pick"])
    return Target(found["org"], found["app"], pick, name, path)


def _picked(target: str, written: str | None) -> tuple[Pick, str]:
    if written is None:
        return Pick.NEWEST, ""
    if written == Pick.PRODUCTION.value:
        return Pick.PRODUCTION, ""
    kind, colon, name = written.partition(":")
    if colon and kind == Pick.BRANCH.value and _BRANCH.fullmatch(name):
        return Pick.BRANCH, name
    if re.fullmatch(_REVISION, written):
        return Pick.REVISION, written
    raise BadRequest(
        f"'@{written}' picks no revision of {target.partition('@')[0]}. {_FORMS}"
        + (f". For the branch '{written}': '@branch:{written}'" if not colon else "")
    )


def _address(target: str, claimed: re.Match[str], *, dev: bool) -> Target:
    if claimed["end"].lower() == "dev":
        raise BadRequest(
            f"{target!a} is an address of Deno Deploy Classic, which was shut down on 2026-07-20:"
            f" nothing answers there any more. Deploy the app on console.deno.com. {_FORMS}"
        )
    if ":" in claimed.group().partition("://")[2]:
        raise BadRequest(f"{target!a} names a port; Deno Deploy serves HTTPS on its own port only")
    if "?" in target or "#" in target:
        raise BadRequest(
            f"{target!a} has a query or a fragment, which has no place in a base address. The"
            " path of an endpoint that is not at the root is a part of the address:"
            " 'https://APP-REVISION.ORG.deno.net/restate'"
        )
    found = _ADDRESS.fullmatch(target)
    if found is None:
        raise BadRequest(f"{target!a} is no address. {_FORMS}")
    if found["scheme"].lower() != "https":
        raise BadRequest(f"{target!a} must begin with https://: Deno Deploy serves nothing else")
    return _served(target, found["host"].lower(), _path(target, found["path"]), dev=dev)


def _served(target: str, host: str, path: str, *, dev: bool) -> Target:
    labels = host.removesuffix(f".{DOMAIN}").split(".")
    if len(labels) != 2 or not re.fullmatch(_SLUG, labels[1]):
        raise BadRequest(f"{target!a} has no host of the form APP-REVISION.ORG.deno.net. {_FORMS}")
    label, org = labels
    if len(label) > _LONGEST_LABEL:
        raise BadRequest(f"{target!a} has a host name with more than {_LONGEST_LABEL} characters")
    own = _OWN.fullmatch(label)
    if own is not None:
        return Target(org, own["app"], Pick.REVISION, own["revision"], path, host)
    if dev and re.fullmatch(rf"{_SLUG}(?:--[a-z0-9-]+)?", label):
        return Target(org, "", Pick.MOVING, path=path, host=host)
    raise BadRequest(_why_it_moves(target, org, label, path))


def _why_it_moves(target: str, org: str, label: str, path: str) -> str:
    app, timeline, branch = label.partition("--")
    if not re.fullmatch(_SLUG, app):
        return f"{target!a} has no host of the form APP-REVISION.ORG.deno.net. {_FORMS}"
    mounted = "" if path == "/" else f":{path}"
    if timeline:
        return (
            f"{target!a} is the address of a branch, which moves with every push. Write"
            f" '{PREFIX}{org}/{app}@branch:{branch}{mounted}' (the name as it is in git) to"
            " register the revision that it is now"
        )
    return (
        f"{target!a} is an app's production address, which moves with every deploy. Write"
        f" '{PREFIX}{org}/{app}@production{mounted}' to register the revision that production is"
        " now"
    )


def _path(target: str, written: str | None) -> str:
    """A mount path; equal ones are equal texts."""
    path = (written or "").rstrip("/")
    if _BAD_IN_PATH.search(written or ""):
        raise BadRequest(
            f"{target!a} has a path with empty or dotted parts, or with characters that must be"
            " percent-encoded"
        )
    return path or "/"
