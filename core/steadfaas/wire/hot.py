"""The payloads the engine writes for every invocation, built without message objects.

Each function gives the bytes that `codec.encode` gives for the same message (tests hold them
together) in a sixth to two thirds of the time. ValueError as there: a number too large or negative.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steadfaas.wire.codec import prefixes, varint

_VARINT: Final = 0
_BYTES: Final = 2

_START_ID = prefixes(1, _BYTES)
_START_DEBUG_ID = prefixes(2, _BYTES)
_START_KNOWN_ENTRIES = prefixes(3, _VARINT)
_START_STATE_MAP = prefixes(4, _BYTES)
_START_PARTIAL_STATE = prefixes(5, _VARINT)[1]
_START_KEY = prefixes(6, _BYTES)
_START_RETRY_COUNT = prefixes(7, _VARINT)
_START_DURATION = prefixes(8, _VARINT)
_START_RANDOM_SEED = prefixes(9, _VARINT)

_INPUT_HEADERS = prefixes(1, _BYTES)
_INPUT_VALUE = prefixes(14, _BYTES)

_COMPLETION_ID = prefixes(1, _VARINT)
_COMPLETION_VOID = prefixes(4, _BYTES)[0]
_COMPLETION_VALUE = prefixes(5, _BYTES)
_COMPLETION_INVOCATION_ID = prefixes(16, _BYTES)

# The pair in a header or a state entry, and the content of a Value.
_FIRST = prefixes(1, _BYTES)
_SECOND = prefixes(2, _BYTES)

_MAX_UINT32: Final = 0xFFFFFFFF


def start_payload(
    invocation_id: bytes,
    debug_id: str,
    known_entries: int,
    *,
    state_map: Iterable[tuple[bytes, bytes]] = (),
    partial_state: bool = False,
    key: str = "",
    retry_count: int = 0,
    duration: int = 0,
    random_seed: int = 0,
) -> bytes:
    """A `Start`. `duration` is in milliseconds; leave `random_seed` out for version 5."""
    parts = [_bytes(_START_ID, invocation_id), _bytes(_START_DEBUG_ID, debug_id.encode())]
    if known_entries:
        parts.append(_uint32(_START_KNOWN_ENTRIES, known_entries))
    for name, content in state_map:
        entry = _bytes(_FIRST, name) + _bytes(_SECOND, content)
        parts.append(_present(_START_STATE_MAP, entry))
    if partial_state:
        parts.append(_START_PARTIAL_STATE)
    if key:
        parts.append(_bytes(_START_KEY, key.encode()))
    if retry_count:
        parts.append(_uint32(_START_RETRY_COUNT, retry_count))
    if duration:
        parts.append(_uint64(_START_DURATION, duration))
    if random_seed:
        parts.append(_uint64(_START_RANDOM_SEED, random_seed))
    return b"".join(parts)


def input_payload(headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """An `InputCommand` with these headers, in this order, and the request's body as its value."""
    parts = [
        _present(_INPUT_HEADERS, _bytes(_FIRST, name.encode()) + _bytes(_SECOND, value.encode()))
        for name, value in headers
    ]
    parts.append(_present(_INPUT_VALUE, _bytes(_FIRST, body)))
    return b"".join(parts)


def void_completion(completion_id: int) -> bytes:
    """A `Completion` that says only that it happened: a timer, an absent key."""
    return _completion(completion_id) + _COMPLETION_VOID


def value_completion(completion_id: int, content: bytes) -> bytes:
    """A `Completion` with a value, among others of a run step: `content` is what it proposed."""
    return _completion(completion_id) + _present(_COMPLETION_VALUE, _bytes(_FIRST, content))


def invocation_id_completion(completion_id: int, invocation_id: str) -> bytes:
    """The `Completion` that tells a caller the id of the invocation it made."""
    named = _present(_COMPLETION_INVOCATION_ID, invocation_id.encode())
    return _completion(completion_id) + named


def _completion(completion_id: int) -> bytes:
    return _uint32(_COMPLETION_ID, completion_id) if completion_id else b""


def _bytes(short: tuple[bytes, ...], data: bytes) -> bytes:
    """A plain field of bytes: nothing if they are empty."""
    return _present(short, data) if data else b""


def _present(short: tuple[bytes, ...], data: bytes) -> bytes:
    """A nested message, or bytes whose presence counts: written even if empty."""
    size = len(data)
    return (short[size] if size < 128 else short[0][:-1] + varint(size)) + data


def _uint32(short: tuple[bytes, ...], value: int) -> bytes:
    if value > _MAX_UINT32:
        raise ValueError(f"not an unsigned number of 32 bits: {value}")
    return _uint64(short, value)


def _uint64(short: tuple[bytes, ...], value: int) -> bytes:
    return short[value] if 0 <= value < 128 else short[0][:-1] + varint(value)
