"""What can be sent along as a header, and how it is written where a secret value stands."""

from __future__ import annotations

import re
from typing import Final

from steadfaas.wire.jsonshape import show

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

_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,255}|file:[\x21-\x7e]{1,1024}")
# Who reaches the admin API must not get at what the engine itself works with.
_ENGINES_OWN: Final = re.compile(r"env:(?:STEADFAAS|AWS)_")


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


def is_reference(text: str) -> bool:
    """Whether a text says where a secret stands."""
    return bool(_REFERENCE.fullmatch(text))


def is_engines_own(reference: str) -> bool:
    """Whether it is what the engine itself works with, which no endpoint gets."""
    return bool(_ENGINES_OWN.match(reference))
