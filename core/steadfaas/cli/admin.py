"""A small client of the admin API: one call, one answer, one kind of error.

The standard library's client is enough and loads in a few milliseconds. It reads no proxy
variables, so `http://127.0.0.1:9070` always means this machine.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import steadfaas
from steadfaas.cli.exits import CommandError, ExitCode

URL_VARIABLE: Final = "STEADFAAS_ADMIN_URL"
DEFAULT_URL: Final = "http://127.0.0.1:9070"

# A registration waits for discovery, whose own deadline lies below this.
_TIMEOUT_SECONDS: Final = 30.0
# What a server, or a proxy before it, says when the same request may work a little later.
_LATER: Final = frozenset({429, 502, 503, 504})


def call(method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    """The parsed JSON answer of the admin API, or None when it is empty.

    Raises CommandError: TRY_LATER when the server cannot be reached or asks to wait, REFUSED when
    it says no, USAGE when the configured address is none.
    """
    base = os.environ.get(URL_VARIABLE) or DEFAULT_URL
    parts = _parse(base)
    headers = {"accept": "application/json", "user-agent": f"steadfaas/{steadfaas.__version__}"}
    payload = None
    if body is not None:
        payload = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    try:
        with closing(_connection(parts)) as connection:
            connection.request(method, parts.path.rstrip("/") + path, payload, headers)
            answer = connection.getresponse()
            raw = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(base, error) from error
    if answer.status >= 300:
        raise _refusal(answer, raw)
    return _parsed(base, raw)


def _parse(base: str) -> SplitResult:
    parts = urlsplit(base)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise CommandError(
            f"{URL_VARIABLE} is '{base}', which is not an address like {DEFAULT_URL}.",
            ExitCode.USAGE,
        )
    return parts


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)


def _unreachable(base: str, error: Exception) -> CommandError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CommandError(
        f"No answer from the admin API at {base}: {reason}. "
        f"Is the engine running ('steadfaas up')? Set {URL_VARIABLE} if it listens elsewhere.",
        ExitCode.TRY_LATER,
    )


def _refusal(answer: http.client.HTTPResponse, raw: bytes) -> CommandError:
    message, code = _error_body(raw)
    if not message:
        message = f"The server answered {answer.status} {answer.reason} without an explanation."
    later = answer.status in _LATER
    wait = answer.getheader("retry-after")
    if later and wait:
        message += f" Try again in {wait} s."
    return CommandError(
        message,
        ExitCode.TRY_LATER if later else ExitCode.REFUSED,
        status=answer.status,
        code=code,
    )


def _error_body(raw: bytes) -> tuple[str, str | None]:
    """Sentence and stable code of an error answer; restate-server answers some in plain text."""
    try:
        body = json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace").strip(), None
    if not isinstance(body, dict):
        return "", None
    code = body.get("restate_code")
    return str(body.get("message") or ""), str(code) if code else None


def _parsed(base: str, raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise CommandError(
            f"What answered at {base} is not an admin API: its answer is not JSON.",
            ExitCode.REFUSED,
        ) from error
