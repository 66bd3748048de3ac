"""Many invocation ids as texts at once: `ids.format_invocation` in columns instead of one by one.

Arrow divides numbers of 64 bits only, so a long number is divided digit by digit, as on paper: its
digits here have 32 bits, and each division by 62^5 splits off five digits of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from steadfaas import ids

_FEW: Final = 512
_FIVE: Final = 62**5
_THREE: Final = 62**3
_WORDS: Final = ids.INVOCATION_BYTES // 4
_NOBODY: Final = bytes(ids.INVOCATION_BYTES)
_PREFIX: Final = pa.scalar("inv_1", pa.large_utf8())
_BETWEEN: Final = pa.scalar("", pa.large_utf8())
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def format_ids(raw: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
    """The `inv_1…` texts of raw ids; None stays null."""
    if len(raw) < _FEW:
        return pa.array([None if id is None else ids.format_invocation(id) for id in raw], type)
    there = pa.array([id is not None for id in raw])
    words = _words([id or _NOBODY for id in raw])
    parts = [*_base62(words[1::-1], 11), *_base62(words[:1:-1], 22)]
    text = pc.binary_join_element_wise(_PREFIX, *parts, _BETWEEN)
    return pc.if_else(there, text, pa.scalar(None, type)).cast(type)


def _words(raw: list[bytes]) -> list[Any]:
    """Six columns of 32-bit words, the least significant of each number first."""
    flat = pa.Array.from_buffers(
        pa.uint32(), _WORDS * len(raw), [None, pa.py_buffer(b"".join(raw))]
    )
    rows = pa.FixedSizeListArray.from_arrays(flat, _WORDS)
    return [pc.list_element(rows, at).cast(pa.uint64()) for at in range(_WORDS)]


def _base62(words: list[Any], width: int) -> list[Any]:
    """Columns of text that make up the number, most significant word first, in `width` digits."""
    parts: list[Any] = []
    while width > 5:
        words, rest = _divided(words)
        high = pc.divide(rest, _THREE)
        low = pc.subtract(rest, pc.multiply(high, _THREE))
        parts += [_texts(3).take(low), _texts(2).take(high)]
        width -= 5
    return [_texts(width).take(words[-1]), *reversed(parts)]


def _divided(words: list[Any]) -> tuple[list[Any], Any]:
    quotient: list[Any] = []
    rest: Any = pa.scalar(0, pa.uint64())
    for word in words:
        number = pc.add(pc.multiply(rest, pa.scalar(1 << 32, pa.uint64())), word)
        part = pc.divide(number, pa.scalar(_FIVE, pa.uint64()))
        rest = pc.subtract(number, pc.multiply(part, pa.scalar(_FIVE, pa.uint64())))
        quotient.append(part)
    return quotient, rest


@lru_cache(maxsize=4)
def _texts(width: int) -> Any:
    """All numbers of so many digits, as texts."""
    digits = pa.array(list(_DIGITS), pa.large_utf8())
    if width == 1:
        return digits
    numbers = pa.array(range(62**width))
    high = pc.divide(numbers, 62)
    low = pc.subtract(numbers, pc.multiply(high, 62))
    return pc.binary_join_element_wise(_texts(width - 1).take(high), digits.take(low), _BETWEEN)
