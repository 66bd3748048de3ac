"""What Vercel's own answers mean for the attempt that met them.

The code decides, never the status alone: 503 is a throttle as well as a project that was paused
(vercel.com/docs/errors). It stands in the header `x-vercel-error`, or in the body as `Code: …`. An
answer without one is the app's; only whether somebody must be let in first is read off the status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas_adapters import _retry_after

VERDICTS: Final[Mapping[Verdict, frozenset[str]]] = {
    # It will not answer any more by itself.
    Verdict.GONE: frozenset({"DEPLOYMENT_DELETED", "DEPLOYMENT_NOT_FOUND"}),
    # It is there, and shut until somebody does something about it.
    Verdict.DENIED: frozenset(
        {
            "DEPLOYMENT_BLOCKED",
            "DEPLOYMENT_DISABLED",
            "DEPLOYMENT_PAUSED",
            "MIDDLEWARE_RUNTIME_DEPRECATED",
        }
    ),
    Verdict.THROTTLED: frozenset({"FUNCTION_THROTTLED"}),
    # It will pass by itself. `INTERNAL_…`, of which there are dozens, belongs here too.
    Verdict.RETRY: frozenset(
        {
            "DEPLOYMENT_NOT_READY_REDIRECTING",
            "EDGE_FUNCTION_INVOCATION_FAILED",
            "EDGE_FUNCTION_INVOCATION_TIMEOUT",
            "FUNCTION_INVOCATION_FAILED",
            "FUNCTION_INVOCATION_TIMEOUT",
            "MIDDLEWARE_INVOCATION_FAILED",
            "MIDDLEWARE_INVOCATION_TIMEOUT",
            "NO_RESPONSE_FROM_FUNCTION",
        }
    ),
    Verdict.TOO_LARGE: frozenset(
        {"FUNCTION_PAYLOAD_TOO_LARGE", "FUNCTION_RESPONSE_PAYLOAD_TOO_LARGE"}
    ),
    # We asked wrongly: asking again changes nothing.
    Verdict.BUG: frozenset({"INFINITE_LOOP_DETECTED", "NOT_FOUND"}),
}

_VERDICT_OF: Final = {code: verdict for verdict, codes in VERDICTS.items() for code in codes}
_INTERNAL: Final = "INTERNAL_"
_CODES: Final = {
    Verdict.GONE: "SF0003",
    Verdict.DENIED: "SF0004",
    Verdict.THROTTLED: "RT0023",
    Verdict.RETRY: "RT0010",
    Verdict.TOO_LARGE: "RT0019",
    Verdict.BUG: "SF0005",
}
_GO_ON: Final = (
    "look for code that goes on with the journal: 'steadfaas check INVOCATION --deployment ID',"
    " then 'steadfaas invocations resume INVOCATION --deployment ID'; or kill it"
)
_STEPS: Final = {
    "DEPLOYMENT_DELETED": (
        "For 30 days it can be restored on Vercel (project settings, Security, Recently Deleted):"
        f" resume the invocation then. Or {_GO_ON}"
    ),
    "DEPLOYMENT_NOT_FOUND": f"This deployment will not come back. Now {_GO_ON}",
    "DEPLOYMENT_BLOCKED": "Vercel's support has to unblock it; the invocation goes on then",
    "DEPLOYMENT_DISABLED": "Settle the account's payment on Vercel; the invocation goes on then",
    "DEPLOYMENT_PAUSED": "Resume the project on Vercel; the invocation goes on then",
    "MIDDLEWARE_RUNTIME_DEPRECATED": (
        f"Its middleware needs a runtime that Vercel has switched off. Now {_GO_ON}"
    ),
    "FUNCTION_PAYLOAD_TOO_LARGE": "Keep large values elsewhere and pass references to them",
    "FUNCTION_RESPONSE_PAYLOAD_TOO_LARGE": (
        "Keep large values elsewhere and return references to them"
    ),
    "NOT_FOUND": "The deployment is there, but nothing at this path: check the endpoint's path",
}
# The login of Vercel's deployment protection.
_LOGIN: Final = re.compile(r"/(sso-api|login|sso)\b")
_LOGIN_HOSTS: Final = frozenset({"vercel.com", "www.vercel.com"})
# Vercel's error pages as text: a line with the code, a line with the request's id, `fra1::…`.
_IN_BODY: Final = re.compile(r"^(?:Code: )?`?([A-Z][A-Z_]{4,60})`?\s*$", re.MULTILINE)
_REQUEST: Final = re.compile(r"^(?:ID: )?`?[a-z]{3}\d{1,2}::\S+", re.MULTILINE)
_ID: Final = re.compile(r"[\w:.-]{1,200}")
# Before the next attempt after a throttle that does not say how long it lasts (milliseconds).
_BREATHER: Final = 2000


def diagnose(status: int, headers: Mapping[str, str], text: str, uri: str) -> AttemptFailure | None:
    """What an answer means that is not a good one of the SDK; None if it is the app's own."""
    code = _code(headers, text)
    verdict = _verdict(code)
    if code is not None and verdict is not None:
        return _failure(code, verdict, status, headers, uri)
    if code is None and (status in (401, 403) or _leads_to_login(status, headers)):
        return _protected(status, uri)
    return None


def contradicted(failure: AttemptFailure) -> AttemptFailure:
    """What it means that a deployment is gone, when Vercel's API says that it is not."""
    answered = failure.message.partition(". ")[0]
    return AttemptFailure(
        _CODES[Verdict.RETRY],
        f"{answered}, but its API shows the deployment as ready: this should pass by itself",
    )


def _failure(
    code: str, verdict: Verdict, status: int, headers: Mapping[str, str], uri: str
) -> AttemptFailure:
    step = f". {_STEPS[code]}" if code in _STEPS else ""
    shown = headers.get("x-vercel-id", "")
    request = f", request {shown}" if _ID.fullmatch(shown) else ""
    throttled = verdict is Verdict.THROTTLED
    return AttemptFailure(
        "RT0001" if code.endswith("_INVOCATION_TIMEOUT") else _CODES[verdict],
        f"Vercel answered for {uri} with {code} (status {status}{request}){step}",
        http_code=status if throttled or verdict is Verdict.TOO_LARGE else 500,
        verdict=verdict,
        # Always a delay of Vercel's, never the policy's: what did not run has not failed.
        retry_after=(_retry_after.milliseconds(headers) or _BREATHER) if throttled else None,
    )


def _protected(status: int, uri: str) -> AttemptFailure:
    return AttemptFailure(
        _CODES[Verdict.DENIED],
        f"{uri} lets nobody in without credentials (status {status}). If that is Vercel's"
        " deployment protection, make a secret for automation in the project (Deployment"
        " Protection, Protection Bypass for Automation), put it where the engine runs, and register"
        " with --protection env:NAME",
        verdict=Verdict.DENIED,
    )


def _code(headers: Mapping[str, str], text: str) -> str | None:
    if stated := headers.get("x-vercel-error", "").strip():
        return stated
    found = _IN_BODY.search(text)
    return found.group(1) if found and _REQUEST.search(text) else None


def _verdict(code: str | None) -> Verdict | None:
    if code is None:
        return None
    return Verdict.RETRY if code.startswith(_INTERNAL) else _VERDICT_OF.get(code)


def _leads_to_login(status: int, headers: Mapping[str, str]) -> bool:
    if not 300 <= status < 400:
        return False
    try:
        there = urlsplit(headers.get("location", ""))
    except ValueError:
        return False
    return there.hostname in _LOGIN_HOSTS and bool(_LOGIN.match(there.path))
