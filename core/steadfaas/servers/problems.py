"""Errors to HTTP answers, in one place. The verdict and the code decide, never the text.

The admin API answers `{"message", "restate_code"}`. The ingress answers `{"code", "message",
"source"}` and repeats the source in a header: `ingress` for what we refuse, `invocation` for what a
handler ended with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from steadfaas import ids
from steadfaas.errors import (
    AttemptFailure,
    DiscoveryError,
    Overloaded,
    RequestError,
    SteadfaasError,
    StoreError,
)
from steadfaas.servers.http1 import Reply

INGRESS: Final = "ingress"
INVOCATION: Final = "invocation"
SOURCE_HEADER: Final = "x-restate-error-source"
# Ours: what an error means for whoever asked, which Restate's statuses do not always say.
VERDICT_HEADER: Final = "x-steadfaas-verdict"
ID_HEADER: Final = "x-restate-id"


def admin_problem(error: SteadfaasError) -> web.Response:
    """The admin API's answer to an error."""
    message = _message(error)
    if error.code is not None:
        message = f"[{error.code}] {message}"
    body = {"message": message, "restate_code": error.code}
    headers = {**_retry_headers(error), VERDICT_HEADER: error.verdict.value}
    return _json(status_of(error), body, headers)


def ingress_problem(
    error: SteadfaasError, *, source: str = INGRESS, invocation_id: bytes | None = None
) -> Reply:
    """The ingress' answer to an error.

    With the source INVOCATION the error's status is what the handler chose: any number, in the body
    as it is, and as the HTTP status where that means failure.
    """
    code = status_of(error)
    headers = {**_retry_headers(error), SOURCE_HEADER: source}
    if invocation_id is not None:
        headers[ID_HEADER] = ids.format_invocation(invocation_id)
    body = {"code": code, "message": _message(error), "source": source}
    carried = 400 <= code <= 599  # a failure must not look like a success, or like nothing
    headers["content-type"] = "application/json"
    return Reply(code if carried else 500, _encode(body), headers)


def status_of(error: SteadfaasError) -> int:
    """The HTTP status of an error."""
    match error:
        case RequestError() | DiscoveryError():
            return error.status
        case AttemptFailure():
            return error.http_code
        case StoreError():
            return 503
        case _:
            return 500


def _message(error: SteadfaasError) -> str:
    # AttemptFailure puts its code into its text as well; its message has none.
    message: str | None = getattr(error, "message", None)
    if message is None:
        return str(error) or type(error).__name__
    return message


def _retry_headers(error: SteadfaasError) -> dict[str, str]:
    return {"retry-after": str(error.retry_after)} if isinstance(error, Overloaded) else {}


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=_encode(body),
        # Without a charset: the CLI compares the whole value.
        headers={**headers, "content-type": "application/json"},
    )


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
