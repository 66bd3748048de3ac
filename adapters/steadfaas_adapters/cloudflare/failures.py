"""What the answers mean that Cloudflare puts in the place of the Worker's.

Its own number decides, where it gives one (developers.cloudflare.com/workers/observability/errors,
and .../support/troubleshooting/http-status-codes): the HTTP status is the same for many things.
What the Worker itself answered is none of this file's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas_adapters import _retry_after
from steadfaas_adapters.cloudflare.standing import Finding, Standing

# To programs Cloudflare answers `error code: 1101`; to browsers with a page that says it somewhere.
_PLAIN: Final = re.compile(r"error code: (\d{3,4})")
_PAGE: Final = re.compile(r"\s*<(?:!doctype html|html)", re.IGNORECASE)
_ON_PAGE: Final = re.compile(r"\berror(?:\s|</?\w+[^>]*>)*(1\d{3})\b", re.IGNORECASE)
_NOTHING_HERE: Final = "there is nothing here yet"
# The SDK's own answers carry it.
_SDK: Final = "x-restate-server"
_ACCESS: Final = ".cloudflareaccess.com"
# Before the next attempt after a throttle that does not say how long it lasts (milliseconds).
_BREATHER: Final = 2000

_CODES: Final = {
    Verdict.GONE: "SF0003",
    Verdict.DENIED: "SF0004",
    Verdict.THROTTLED: "RT0023",
    Verdict.RETRY: "RT0010",
    Verdict.BUG: "SF0005",
}
_NUMBERS: Final[Mapping[int, tuple[Verdict, str]]] = {
    1015: (Verdict.THROTTLED, "too many requests in a short time"),
    1019: (Verdict.BUG, "the Worker calls itself in a loop"),
    1020: (Verdict.DENIED, "a firewall rule of the account forbids the request"),
    1021: (Verdict.BUG, "the Worker calls a host that it must not call"),
    1022: (Verdict.RETRY, "Cloudflare found no way to the Worker"),
    1024: (Verdict.BUG, "the Worker calls an address that Cloudflare must not call"),
    1027: (
        Verdict.DENIED,
        "the account has used up the free plan's requests of this day; more come at midnight UTC,"
        " or with a paid plan",
    ),
    1103: (Verdict.DENIED, "the account's owner must ask Cloudflare's support"),
}
# The Worker ran, and failed.
_CODE_FAILED: Final = {
    1101: "it threw an exception",
    1102: "it used more CPU time or memory than its plan or its limits allow",
}
_GONE_STEPS: Final = (
    "This version will not come back. Look for code that goes on with the journal: 'steadfaas check"
    " INVOCATION --deployment ID', then 'steadfaas invocations resume INVOCATION --deployment ID';"
    " or kill it"
)


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Nothing answers at this URL. `certain`: Cloudflare says so; else it may be the Worker."""

    certain: bool


def understood(
    uri: str, status: int, headers: Mapping[str, str], text: str
) -> AttemptFailure | Nowhere | None:
    """What an answer means; None if it is not Cloudflare's own."""
    if _SDK in headers:
        return None
    if status in (301, 302, 303, 307, 308) and _is_access(headers.get("location", "")):
        return _denied(uri, "Cloudflare Access asks for a login")
    number = _number(text)
    if status == 404:
        certain = number == 1042 or _NOTHING_HERE in text.lower()
        return Nowhere(certain)
    if number in _CODE_FAILED:
        return AttemptFailure(
            "RT0007", f"the Worker failed (Cloudflare's error {number}): {_CODE_FAILED[number]}"
        )
    if number is not None and 1000 <= number < 2000:
        return _numbered(uri, number, status, headers)
    if status == 429:
        return _numbered(uri, 1015, status, headers)
    if status == 403:
        return _denied(uri, "the request was forbidden (status 403)")
    if 520 <= status <= 530:
        return _failure(Verdict.RETRY, f"Cloudflare did not get an answer of {uri} ({status})")
    return None


def nowhere(uri: str, found: Finding) -> AttemptFailure:
    """Cloudflare says that nothing is at a URL, and this is why."""
    if found.standing is Standing.GONE:
        return _failure(Verdict.GONE, f"nothing is at {uri} any more: {found.why}. {_GONE_STEPS}")
    if found.standing is Standing.OFF:
        return _failure(Verdict.DENIED, f"nothing answers at {uri}: {found.why}")
    if found.standing is Standing.THERE:
        return _failure(
            Verdict.RETRY, f"nothing answers at {uri}, although {found.why}: it may need a moment"
        )
    return _failure(
        Verdict.RETRY,
        f"nothing answers at {uri}: the version was deleted, or its URL is switched off;"
        f" {found.why}",
    )


def _numbered(uri: str, number: int, status: int, headers: Mapping[str, str]) -> AttemptFailure:
    verdict, why = _NUMBERS.get(number, (Verdict.RETRY, "trouble of the platform"))
    message = f"Cloudflare did not run {uri} (error {number}): {why}"
    if verdict is not Verdict.THROTTLED:
        return _failure(verdict, message)
    return AttemptFailure(
        _CODES[verdict],
        message,
        http_code=429,
        verdict=verdict,
        # Always a delay, never the policy's: what did not run has not failed.
        retry_after=_retry_after.milliseconds(headers) or _BREATHER,
    )


def _denied(uri: str, what: str) -> AttemptFailure:
    return _failure(
        Verdict.DENIED,
        f"{uri} was not reached: {what}. If Cloudflare Access protects it, name a service token"
        " with '--protection env:CLIENT_ID --protection env:CLIENT_SECRET' (references, not"
        " values), and allow that token in a policy whose action is 'Service Auth'",
    )


def _failure(verdict: Verdict, message: str) -> AttemptFailure:
    return AttemptFailure(_CODES[verdict], message, verdict=verdict)


def _number(text: str) -> int | None:
    """Cloudflare's own number for what happened. A Worker's own words may hold anything, so only
    an answer that is nothing else counts."""
    found = _PLAIN.fullmatch(text.strip())
    if found is None and _PAGE.match(text):
        found = _ON_PAGE.search(text)
    return None if found is None else int(found[1])


def _is_access(location: str) -> bool:
    try:
        return (urlsplit(location).hostname or "").lower().endswith(_ACCESS)
    except ValueError:
        return False
