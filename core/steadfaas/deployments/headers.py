"""The headers that a registration adds to every exchange with its endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from steadfaas.errors import BadRequest
from steadfaas.spi import ANYBODY, Access
from steadfaas.wire.jsonshape import show

# With lower-case names, by name.
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """How an endpoint is reached, beside its address: headers sent along, headers whose values are
    secrets (see `secrets`), and access to its platform."""

    headers: Headers = ()
    secret_headers: Headers = ()
    access: Access = ANYBODY


UNADORNED: Final = Connection()

_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,256}")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]{0,16384}")
# These belong to the exchange itself: a fixed value would break it.
_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def additional_headers(given: Mapping[str, str]) -> Headers:
    """The headers with lower-case names, by name. Raises BadRequest; it never repeats a value,
    which may be a secret."""
    headers: dict[str, str] = {}
    for written, value in given.items():
        name = written.lower()
        reason = reason_against_header(written, value)
        if reason is None and name in headers:
            reason = f"the header '{name}' is given twice"
        if reason is not None:
            raise BadRequest(
                f"The request field 'additional_headers' is invalid. Reason: {reason}."
            )
        headers[name] = value.strip()
    return tuple(sorted(headers.items()))


def reason_against_header(written: str, value: str) -> str | None:
    """Why a header cannot be sent along, or None if it can. It never repeats the value."""
    name = written.lower()
    if not _NAME.fullmatch(name):
        return f"{show(written)} is not a header name"
    if name in _OURS:
        return f"the header '{name}' is set by the engine itself"
    if not _VALUE.fullmatch(value):
        return f"the value of '{name}' is too long or holds characters beyond visible ASCII"
    return None
