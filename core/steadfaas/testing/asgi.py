"""Calls an ASGI app in this process, as an HTTP server would: no socket, no port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
AsgiApp = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


@dataclass(slots=True)
class Head:
    """Status and headers of an answer; names in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Exchange:
    """One request to an app. Read `head()`, then iterate over `body()`; `close()` at the end."""

    def __init__(
        self, app: AsgiApp, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._request = body
        self._requested = False
        self._gone = asyncio.Event()
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._task = asyncio.get_running_loop().create_task(self._call(app, scope))

    async def head(self) -> Head:
        """Status and headers. Raises ConnectionError if the app failed before it answered."""
        message = await self._sent.get()
        if message is None:
            raise ConnectionError(f"the app ended without an answer: {self._task_error()!r}")
        headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        return Head(message["status"], headers)

    async def body(self) -> AsyncIterator[bytes]:
        """The parts of the answer's body. Raises ConnectionError if the app failed within it."""
        while True:
            message = await self._sent.get()
            if message is None:
                raise ConnectionError(f"the app ended within its answer: {self._task_error()!r}")
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                return

    async def close(self) -> None:
        """Go away, as a client does, and wait until the app has noticed."""
        self._gone.set()
        done, _ = await asyncio.wait([self._task], timeout=1)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])

    def cut(self) -> None:
        """Go away at once, without waiting."""
        self._gone.set()
        self._task.cancel()

    async def _call(self, app: AsgiApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._sent.put_nowait(None)

    async def _receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": self._request, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._sent.put_nowait(message)

    def _task_error(self) -> BaseException | None:
        if self._task.done() and not self._task.cancelled():
            return self._task.exception()
        return None
