"""Calls an ASGI app in this process, as an HTTP server would: no socket, no port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

Message = MutableMapping[str, Any]
# The official SDK, Starlette and others each type the three arguments in a way of their own.
AsgiApp = Callable[[Any, Any, Any], Awaitable[Any]]

# Turns of the event loop, and then seconds, that an app has to notice that its client went away.
_LEAVE_TURNS: Final = 10
_LEAVE_SECONDS: Final = 1.0

# True within an app that is called here, and in all that it starts.
INSIDE: Final[ContextVar[bool]] = ContextVar("steadfaas_inside_a_handler", default=False)


@dataclass(slots=True)
class Head:
    """Status and headers of an answer; names in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Exchange:
    """One request to an app. Read `head()`, then iterate over `body()`; `close()` at the end.

    The app runs in a task of its own, in a copy of `context`. Needs a running event loop.
    """

    def __init__(
        self,
        app: AsgiApp,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        context: Context,
    ) -> None:
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._request = body
        self._requested = False
        self._gone = asyncio.Event()
        scope: Message = {
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
        inside = context.copy()
        inside.run(INSIDE.set, True)
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(self._call(app, scope), context=inside)
        self.task.add_done_callback(_look_at_error)

    async def head(self) -> Head:
        """Status and headers. Raises ConnectionError if the app ended before it answered."""
        message = await self._sent.get()
        if message is None:
            raise ConnectionError(f"the app ended without an answer{self._why()}")
        headers = {
            bytes(name).decode("latin-1").lower(): bytes(value).decode("latin-1")
            for name, value in message.get("headers", ())
        }
        return Head(int(message.get("status", 0)), headers)

    async def body(self) -> AsyncIterator[bytes]:
        """The parts of the answer's body. Raises ConnectionError if the app ended within it."""
        while True:
            message = await self._sent.get()
            if message is None:
                raise ConnectionError(f"the app ended within its answer{self._why()}")
            if message.get("body"):
                yield bytes(message["body"])
            if not message.get("more_body", False):
                return

    async def close(self) -> None:
        """Go away, as a client does, and wait until the app has noticed."""
        self._gone.set()
        for _ in range(_LEAVE_TURNS):
            if self.task.done():
                return
            await asyncio.sleep(0)
        done, _ = await asyncio.wait([self.task], timeout=_LEAVE_SECONDS)
        if not done:
            self.cut()
            await asyncio.wait([self.task], timeout=_LEAVE_SECONDS)

    def cut(self) -> None:
        """Go away and stop the app, as if its process had ended."""
        self._gone.set()
        self.task.cancel()

    async def _call(self, app: AsgiApp, scope: Message) -> None:
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

    def _why(self) -> str:
        if self.task.done() and not self.task.cancelled():
            error = self.task.exception()
            return "" if error is None else f": {error!r}"
        return ""


def _look_at_error(task: asyncio.Task[None]) -> None:
    """An error that nobody looks at would be logged when the task is forgotten."""
    if not task.cancelled():
        task.exception()
