"""The version of a key's state: a hash that says whether it is still what somebody looked at.

URL-safe base64, without padding, of SHA-256 over the entries in the order of their names. Each is
fed as its position (8 bytes, big endian, from 0), 0x01, the name, 0x02, the value, 0x03.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable


def state_version(entries: Iterable[tuple[bytes, bytes]]) -> str:
    """The version of a state with these names and values, given in any order."""
    digest = hashlib.sha256()
    for position, (name, value) in enumerate(sorted(entries)):
        digest.update(position.to_bytes(8, "big") + b"\x01")
        digest.update(name + b"\x02")
        digest.update(value)
        digest.update(b"\x03")
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
