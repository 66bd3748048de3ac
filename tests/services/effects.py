"""The side-effect log: what the endpoint really executed, whatever the engine later claims.

One JSON object per line, written with a single appending write, so that lines of concurrent
handlers never mix. `connection` numbers the HTTP connections, and each gets a line of its own
(without a step) when it is first seen. That tells an attempt sent by an engine that has since
been killed from one sent by its successor.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

Scope = MutableMapping[str, Any]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]

_connection: ContextVar[int] = ContextVar("connection", default=0)
_numbers = itertools.count(1)
_numbered: dict[tuple[str, int], int] = {}
_file: int | None = None


def log_effect(**fields: Any) -> None:
    """Append one line; does nothing when `TEST_EFFECTS_FILE` is not set."""
    global _file
    path = os.environ.get("TEST_EFFECTS_FILE")
    if not path:
        return
    if _file is None:
        _file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    line = {"at": time.time(), "connection": _connection.get(), **fields}
    os.write(_file, json.dumps(line).encode() + b"\n")


def remember_connection(app: Asgi) -> Asgi:
    """Wrap an ASGI application so that `log_effect` knows the connection of each request."""

    async def wrapped(scope: Scope, receive: Any, send: Any) -> None:
        client = scope.get("client")
        if client is not None:
            peer = (str(client[0]), int(client[1]))
            number = _numbered.get(peer)
            if number is None:
                number = _numbered[peer] = next(_numbers)
                _connection.set(number)
                log_effect()
            _connection.set(number)
        await app(scope, receive, send)

    return wrapped
