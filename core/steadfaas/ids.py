"""Identifiers: text forms and raw bytes of invocations, deployments and awakeables.

Text is a prefix, `_`, the version digit `1` and a body. Invocation ids are 24 raw bytes (partition
key u64, uuid u128), deployment ids a 16-byte ULID, both in base62 of the little-endian integer,
left-padded to a fixed width. Awakeable ids are URL-safe base64 of the invocation's bytes followed
by the signal index (u32, big endian).

Minting takes time and randomness as arguments; nothing here reads a clock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import lru_cache
from typing import Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGIT: Final = {char: value for value, char in enumerate(_ALPHABET)}
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]

INVOCATION_BYTES: Final = 24
FIRST_AWAKEABLE_SIGNAL: Final = 17


class InvalidId(ValueError):
    """The text is not an identifier of the expected kind."""


def _base62(number: int, width: int) -> str:
    parts = []
    while number:
        number, pair = divmod(number, 3844)
        parts.append(_PAIRS[pair])
    text = "".join(reversed(parts))
    return text[-width:].rjust(width, "0")


def _from_base62(text: str, size: int) -> bytes:
    number = 0
    for char in text:
        try:
            number = number * 62 + _DIGIT[char]
        except KeyError:
            raise InvalidId(f"unexpected character {char!r}") from None
    try:
        return number.to_bytes(size, "little")
    except OverflowError:
        raise InvalidId("value out of range") from None


def _body(text: str, prefix: str, width: int | None) -> str:
    kind, separator, rest = text.partition("_")
    if not separator or kind != prefix:
        raise InvalidId(f"'{text}' is not an identifier of kind '{prefix}'")
    if not rest.startswith("1"):
        raise InvalidId("unrecognized codec version")
    if width is not None and len(rest) != width + 1:
        raise InvalidId(f"'{text}' has a wrong length")
    return rest[1:]


# --- invocations -------------------------------------------------------------------------------


@lru_cache(maxsize=1024)  # a request needs its own a few times, and no other
def format_invocation(raw: bytes) -> str:
    """`inv_1…` for 24 raw bytes."""
    partition = _base62(int.from_bytes(raw[:8], "little"), 11)
    return f"inv_1{partition}{_base62(int.from_bytes(raw[8:], 'little'), 22)}"


def parse_invocation(text: str) -> bytes:
    """The 24 raw bytes of an `inv_1…` text. Raises InvalidId."""
    body = _body(text, "inv", 33)
    return _from_base62(body[:11], 8) + _from_base62(body[11:], 16)


def key_partition(key: str) -> bytes:
    """The partition bytes that all invocations of one key share."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def mint_ulid(now_ms: int, randomness: bytes) -> bytes:
    """16 ULID bytes: 48 bits of milliseconds since the epoch, then 10 bytes of randomness."""
    return now_ms.to_bytes(6, "big") + randomness


def mint_invocation(uuid: bytes, key: str | None) -> bytes:
    """A fresh invocation id. Without a key the partition repeats the uuid's time, so that ids of
    plain services grow with time and the store's index grows at its right edge."""
    return (uuid[:8] if key is None else key_partition(key)) + uuid


def workflow_invocation(service: str, key: str) -> bytes:
    """The id of a workflow's run: the same for every request that names this workflow and key."""
    return key_partition(key) + hashlib.sha256(f"wf,{service},{key}".encode()).digest()[:16]


def idempotent_invocation(
    service: str, key: str | None, handler: str, idempotency_key: str
) -> bytes:
    """The id of an idempotent request: the same for every repetition of it."""
    parts = [service, handler] if key is None else [service, key, handler]
    # Length prefixes keep ("a,b", "c") and ("a", "b,c") apart; restate joins with commas only.
    text = "ik," + ",".join(f"{len(part)}:{part}" for part in [*parts, idempotency_key])
    partition = key_partition(idempotency_key if key is None else key)
    return partition + hashlib.sha256(text.encode()).digest()[:16]


def random_seed(raw: bytes) -> int:
    """The seed for an invocation's own random numbers (u64): constant over all its attempts."""
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8, person=b"seed").digest(), "big")


# --- deployments -------------------------------------------------------------------------------


def format_deployment(raw: bytes) -> str:
    """`dp_1…` for 16 raw bytes."""
    return f"dp_1{_base62(int.from_bytes(raw, 'little'), 22)}"


def parse_deployment(text: str) -> bytes:
    """The 16 raw bytes of a `dp_1…` text. Raises InvalidId."""
    return _from_base62(_body(text, "dp", 22), 16)


def deployment_created_at(raw: bytes) -> int:
    """When a deployment id was minted, in milliseconds since the epoch."""
    return int.from_bytes(raw[:6], "big")


# --- awakeables --------------------------------------------------------------------------------


def format_awakeable(invocation: bytes, signal: int) -> str:
    """`sign_1…` for an invocation's raw bytes and a signal index."""
    raw = invocation + signal.to_bytes(4, "big")
    return "sign_1" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parse_awakeable(text: str) -> tuple[bytes, int]:
    """Invocation bytes and signal index of a `sign_1…` text. Raises InvalidId."""
    body = _body(text, "sign", 38)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidId(f"'{text}' is not base64") from None
    if len(raw) != INVOCATION_BYTES + 4:
        raise InvalidId(f"'{text}' has a wrong length")
    return raw[:INVOCATION_BYTES], int.from_bytes(raw[INVOCATION_BYTES:], "big")
