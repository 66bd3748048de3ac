"""Failures as texts: of attempts that may be repeated, and of invocations that ended with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, Final

import pyarrow as pa

from steadfaas.query.columns import Convert
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode

_OWN_REASONS: Final = {500: "Internal", 570: "Journal mismatch", 571: "Protocol violation"}


def described(code: int, message: str) -> str:
    """`[500 Internal] text`; without a word for a code that has none."""
    reason = _OWN_REASONS.get(code)
    if reason is None and code in HTTPStatus.__members__.values():
        reason = HTTPStatus(code).phrase
    return f"[{code} {reason}] {message}" if reason else f"[{code}] {message}"


@lru_cache(maxsize=256)
def _record(stored: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(stored)
    return record


def _attempt(name: str, values: Sequence[str | None], type: pa.DataType) -> pa.Array:
    return pa.array([None if v is None else _record(v).get(name) for v in values], type)


def attempt_field(name: str) -> Convert:
    """A field of the stored record of an attempt's failure."""
    return partial(_attempt, name)


def attempt_texts(values: Sequence[str | None], type: pa.DataType) -> pa.Array:
    """Stored records of attempts' failures as texts."""
    return pa.array([None if value is None else _attempt_text(value) for value in values], type)


def _attempt_text(stored: str) -> str:
    record = _record(stored)
    text = described(record["http_code"], record.get("message", ""))
    return f"{text}\n{record['stacktrace']}" if record.get("stacktrace") else text


def result(output: bytes | None) -> str | None:
    """`success` or `failure`, for the payload of an Output: also an SQL function."""
    if output is None:
        return None
    return "success" if _failure(output) is None else "failure"


def result_texts(values: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
    """The failures that invocations ended with, as `[409] text`; None for a result that is none."""
    failures = [None if value is None else _failure(value) for value in values]
    return pa.array([f and f"[{f.code}] {f.message}" for f in failures], type)


def _failure(output: bytes) -> m.Failure | None:
    try:
        return decode(m.OutputCommand, output).failure
    except MalformedMessage:
        return None
