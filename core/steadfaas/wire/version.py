"""Versions of the two protocols an endpoint speaks: the invocation protocol and the manifest.

Each travels as the number in a media type. The version of an invocation is chosen once, when its
first attempt is pinned, and is stored with the pin; nothing here is asked again after that.
"""

from __future__ import annotations

import re
from typing import Final

#: The invocation protocol versions this engine speaks.
MIN_VERSION: Final = 5
MAX_VERSION: Final = 6

#: The manifest versions this engine reads.
MIN_MANIFEST_VERSION: Final = 1
MAX_MANIFEST_VERSION: Final = 4

#: Sent with discovery. Endpoints answer 415 to a wildcard, so every version is listed.
DISCOVERY_ACCEPT: Final = ", ".join(
    f"application/vnd.restate.endpointmanifest.v{version}+json"
    for version in range(MIN_MANIFEST_VERSION, MAX_MANIFEST_VERSION + 1)
)

_CONTENT_TYPES = {
    version: f"application/vnd.restate.invocation.v{version}"
    for version in range(MIN_VERSION, MAX_VERSION + 1)
}
_MANIFEST = re.compile(
    rf"application/vnd\.restate\.endpointmanifest"
    rf"\.v([{MIN_MANIFEST_VERSION}-{MAX_MANIFEST_VERSION}])\+json"
)


def content_type(version: int) -> str:
    """The media type of an invocation's request and response body.

    Raises ValueError for a version outside `MIN_VERSION`..`MAX_VERSION`.
    """
    try:
        return _CONTENT_TYPES[version]
    except KeyError:
        raise ValueError(f"no such service protocol version here: {version}") from None


def negotiate(min_version: int, max_version: int) -> int | None:
    """The version for a new invocation on an endpoint that speaks `min_version`..`max_version`.

    The highest that both sides know, or None where the two ranges do not meet.
    """
    version = min(max_version, MAX_VERSION)
    return version if version >= max(min_version, MIN_VERSION) else None


def manifest_version(content_type: str) -> int | None:
    """The manifest version a discovery answer declares, or None if it is not a manifest.

    The header must be exactly the media type: no parameters, no other case, no white space.
    """
    found = _MANIFEST.fullmatch(content_type)
    return int(found[1]) if found else None
