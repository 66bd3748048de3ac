"""The Runtime API of one execution environment, over which its process takes invocations.

The process asks for the next invocation and waits for it as long as it takes (`/invocation/next`),
and answers with a response or an error. One port belongs to one environment, so that nobody else
can answer for it. Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

LOOPBACK: Final = "127.0.0.1"
RESPONSE_LIMIT: Final = 6_291_556  # bytes, as in AWS's own error message

_ROOT: Final = "/2018-06-01/runtime/"
_KEEP_OPEN_SECONDS: Final = 3600.0
_CLOSING_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """What a process is given to work on, and whether its caller wants to see what it prints."""

    request_id: str
    function_arn: str
    payload: bytes
    client_context: str | None = None
    wants_log: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an invocation: a response, or a function error in JSON.

    After a `fatal` one the environment cannot be used again.
    """

    payload: bytes
    failed: bool = False
    fatal: bool = False


def failure(kind: str, message: str, *, fatal: bool = False) -> Outcome:
    """A function error that no handler reported."""
    error = json.dumps({"errorType": kind, "errorMessage": message}).encode()
    return Outcome(error, failed=True, fatal=fatal)


class RuntimeApi:
    """Hands events to a process, and tells what it answers.

    `on_taken` is called when the process takes an event, and gives the moment at which it must
    have answered (milliseconds since 1970). `on_outcome` gets what it answers; an error before the
    first event is an outcome too.
    """

    def __init__(
        self, on_taken: Callable[[Event], int], on_outcome: Callable[[Outcome], None]
    ) -> None:
        self._on_taken = on_taken
        self._on_outcome = on_outcome
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        # Without a limit of the server's own: what is too large is an outcome, not an error.
        self._web = web.Server(
            self._handle, handler_cancellation=True, keepalive_timeout=_KEEP_OPEN_SECONDS
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; the address for AWS_LAMBDA_RUNTIME_API."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._web, LOOPBACK, 0)
        return f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    def offer(self, event: Event) -> None:
        """Give an event to the process, as soon as it asks for one."""
        self._events.put_nowait(event)

    async def close(self) -> None:
        """Stop listening. Call this when the process is gone."""
        if self._server is not None:
            self._server.close()
        self._web.pre_shutdown()
        await self._web.shutdown(_CLOSING_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path.removeprefix(_ROOT).split("/"):
            case ["invocation", "next"]:
                return self._next(await self._events.get())
            case ["invocation", _, "response"]:
                self._on_outcome(await _response(request))
            case ["invocation", _, "error"]:
                self._on_outcome(Outcome(await request.content.read(), failed=True))
            case ["init", "error"]:
                self._on_outcome(Outcome(await request.content.read(), failed=True, fatal=True))
            case _:
                return web.Response(status=404)
        return web.Response(status=202, text='{"status":"OK"}', content_type="application/json")

    def _next(self, event: Event) -> web.Response:
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self._on_taken(event)),
            "Lambda-Runtime-Invoked-Function-Arn": event.function_arn,
            "Content-Type": "application/json",
        }
        if event.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = event.client_context
        return web.Response(body=event.payload, headers=headers)


async def _response(request: web.BaseRequest) -> Outcome:
    body = await request.content.read()
    if len(body) > RESPONSE_LIMIT:
        return failure(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size"
            f" ({RESPONSE_LIMIT} bytes).",
        )
    return Outcome(body)
