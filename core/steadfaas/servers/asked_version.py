"""The version that a caller asks for, in headers: `x-steadfaas-version: git:3f2c91e`."""

from __future__ import annotations

from typing import Final

from steadfaas.durations import parse_duration
from steadfaas.errors import BadRequest
from steadfaas.servers import http1

VERSION: Final = "x-steadfaas-version"
WAIT: Final = "x-steadfaas-version-wait"
LONGEST: Final = 256


def checked_version(text: str) -> str:
    """The `key:value` in the header. Raises BadRequest."""
    key, colon, value = text.partition(":")
    fault = None
    if len(text) > LONGEST:
        fault = f"it is longer than {LONGEST} characters"
    elif not text.isascii() or not text.isprintable():
        fault = "it may hold printable ASCII characters only"
    elif not colon or not key.strip() or not value.strip():
        fault = "it needs a key and a value"
    if fault is not None:
        raise BadRequest(
            f"bad header {VERSION}: {fault}. Write a pair of a deployment's metadata with a colon"
            f" between, as in '{VERSION}: git:3f2c91e'"
        )
    return text


def checked_wait(request: http1.Request, longest: int) -> int:
    """How long the request may wait for its version, in ms: a caller may shorten `longest`. Raises
    BadRequest."""
    text = request.header(WAIT)
    if text is None:
        return longest
    try:
        return min(parse_duration(text), longest)
    except ValueError as error:
        raise BadRequest(f"bad header {WAIT}: {error}") from None
