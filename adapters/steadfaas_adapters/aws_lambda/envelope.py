"""Requests and answers as JSON events, the way the SDKs read and write them. Pure.

Lambda hands a function one JSON document and takes one back, so the bytes of the protocol travel in
base64 (service protocol, FaaS transports). With zstd, where the deployment's SDK knows it, more of
them fit into Lambda's 6 MB each way.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.spi import Reply, Request

# Lambda's limit for a synchronous call, in bytes, each way (developer guide, "Lambda quotas").
LIMIT: Final = 6 * 1024 * 1024
# Bodies from this size on are compressed (bytes): below it, what is saved is not worth the time.
COMPRESSED_FROM: Final = 1024 * 1024
ZSTD: Final = "zstd"
# What a compressed answer may grow to (bytes).
_MOST_UNPACKED: Final = 128 * 1024 * 1024
_LEVEL: Final = 3
_QUOTED: Final = 500


def wrap(request: Request, compression: str | None) -> bytes:
    """The event for a request. Raises AttemptFailure (too-large) for one beyond Lambda's limit."""
    headers, body = request.headers, request.body
    if compression == ZSTD:
        headers = {**headers, "accept-encoding": ZSTD}
        if len(body) >= COMPRESSED_FROM:
            body = _zstd().compress(body, _LEVEL)
            headers["content-encoding"] = ZSTD
    head = json.dumps(
        {"path": request.path, "httpMethod": request.method, "headers": dict(headers)},
        separators=(",", ":"),
    )
    # Base64 needs no escapes: the body is not looked at again.
    event = b'%b,"isBase64Encoded":true,"body":"%b"}' % (
        head[:-1].encode(),
        binascii.b2a_base64(body, newline=False),
    )
    if len(event) > LIMIT:
        raise AttemptFailure(
            "RT0019",
            f"the journal makes a request of {len(event)} bytes, and Lambda takes {LIMIT} (6 MB):"
            " keep large values elsewhere and pass references to them, or serve the handler with"
            " an SDK that compresses (lambdaCompression)",
            http_code=413,
            verdict=Verdict.TOO_LARGE,
        )
    return event


def unwrap(payload: bytes) -> Reply:
    """The answer in what a function returned. Raises AttemptFailure (bug) if there is none."""
    try:
        answer = json.loads(payload)
        status, headers = answer["statusCode"], _headers(answer.get("headers"))
        body = answer.get("body") or ""
        content = (
            binascii.a2b_base64(body, strict_mode=True)
            if answer.get("isBase64Encoded")
            else body.encode()
        )
        if not isinstance(status, int):
            raise TypeError("statusCode is no number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = payload[:_QUOTED].decode("utf-8", "replace")
        raise AttemptFailure(
            "RT0012",
            "the function returned no answer of a Restate SDK; is its handler the SDK's?"
            f" ({type(error).__name__}: {error}; it returned {said!r})",
            verdict=Verdict.BUG,
        ) from error
    if headers.get("content-encoding") == ZSTD:
        content = _unpacked(content)
        del headers["content-encoding"]
    return Reply(status, headers, content)


def _headers(given: Mapping[str, Any] | None) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in (given or {}).items()}


def _unpacked(content: bytes) -> bytes:
    if not compresses():
        raise AttemptFailure(
            "RT0012", "the answer is packed with zstd, which was not asked for", verdict=Verdict.BUG
        )
    zstd = _zstd()
    unpacker = zstd.ZstdDecompressor()
    try:
        body: bytes = unpacker.decompress(content, _MOST_UNPACKED)
    except zstd.ZstdError as error:
        raise AttemptFailure(
            "RT0012", f"the answer is not valid zstd: {error}", verdict=Verdict.BUG
        ) from error
    if not unpacker.eof:
        if len(body) < _MOST_UNPACKED:
            raise AttemptFailure("RT0012", "the answer's zstd is cut off", verdict=Verdict.BUG)
        raise AttemptFailure(
            "RT0003",
            f"the answer unpacks to more than {_MOST_UNPACKED} bytes",
            verdict=Verdict.TOO_LARGE,
        )
    return body


def compresses() -> bool:
    """Whether zstd is installed here."""
    try:
        _zstd()
    except ImportError:
        return False
    return True


def _zstd() -> Any:
    """The standard library's module (Python 3.14), or its backport."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")
