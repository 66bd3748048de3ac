"""What these tests of the engine need beyond the test kit: they look inside, and count exchanges.

A handler that a test holds at an `asyncio.Event` gives no sign of life, so nothing may settle
meanwhile: such a test waits with `until`, or for an event that the handler sets.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final

import restate

from steadfaas import ids
from steadfaas.servers.http1 import Reply
from steadfaas.store import invocations
from steadfaas.testing import Invocation, Steadfaas
from steadfaas.testing.spans import Duration, milliseconds
from tests.runtime.books import check_books

# Seconds of real time after which a test fails that waits for what never comes.
_PATIENCE: Final = 10.0


class Watched:
    """An SDK application that remembers its exchanges, and may die in the middle of them."""

    def __init__(self, *services: Any) -> None:
        self._app = restate.app(list(services))
        self._tasks: set[asyncio.Task[Any]] = set()
        self.exchanges: list[str] = []  # the path of each, in order

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        path = scope["path"]
        if "/invoke/" not in path:
            await self._app(scope, receive, send)
            return
        self.exchanges.append(path.partition("/invoke/")[2])
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)

        async def send_alive(message: Any) -> None:
            if task in self._tasks:  # the SDK ends its answer when it is stopped; the dead do not
                await send(message)

        try:
            await self._app(scope, receive, send_alive)
        finally:
            self._tasks.discard(task)

    def die(self) -> None:
        """Stop whatever runs, in the middle of it, as if its process had ended."""
        assert self._tasks, "nothing runs that could die"
        while self._tasks:
            self._tasks.pop().cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let the engine work until `condition()` holds, while a handler is held. Time stands still."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, "what was waited for never came"
        await asyncio.sleep(0)


async def post(
    kit: Steadfaas, path: str, value: Any = None, key: str | None = None, **headers: str
) -> Reply:
    """POST a JSON value (None: no body) to the ingress, with an idempotency key if one is given."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    if value is not None:
        named["content-type"] = "application/json"
    if key is not None:
        named["idempotency-key"] = key
    body = b"" if value is None else json.dumps(value).encode()
    async with asyncio.timeout(_PATIENCE):
        return await kit.request("POST", path, body, named)


async def get(kit: Steadfaas, path: str) -> Reply:
    """GET from the ingress."""
    async with asyncio.timeout(_PATIENCE):
        return await kit.request("GET", path)


def told(reply: Reply) -> tuple[int, str]:
    """Status and message of a reply that tells of a failure."""
    return reply.status, json.loads(reply.body)["message"]


def result(reply: Reply) -> Any:
    """The JSON of a reply that is a success."""
    assert reply.status == 200, f"HTTP {reply.status} {reply.body!r}"
    return json.loads(reply.body)


async def output(kit: Steadfaas, id: str) -> Reply:
    """What the ingress says to somebody who asks for a result without waiting for it."""
    return await get(kit, f"/restate/invocation/{id}/output")


def handle(kit: Steadfaas, id: str) -> Invocation:
    """The handle of an invocation that the test did not send itself."""
    return Invocation(kit._host, ids.parse_invocation(id), "its target")


def pin(invocation: Invocation) -> str | None:
    """The id of the deployment to which an invocation is bound; None: to none so far."""
    found = invocations.describe(invocation._host.running.store.reader, invocation.id)
    assert found is not None
    return found.deployment


async def crash_for(kit: Steadfaas, down: Duration) -> None:
    """Kill the engine, and start it again after that time, in which nothing fires."""
    host = kit._host
    host.running.halt()
    host.clock.move(host.clock.now() + milliseconds(down))
    await kit.crash()


async def idle(kit: Steadfaas) -> None:
    """Let everything end, and check that nothing of it is left in memory."""
    await kit.settle()
    engine = kit._host.running
    check_books(engine)
    assert engine.open_exchanges == 0
    assert len(engine.waiters) == 0
