"""The endpoint that clients call: Invoke is executed here, all else is the control plane's."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple, Unpack
from urllib.parse import unquote

from aiohttp import web

from steadfaas.testing.local_lambda.api_errors import ApiError, Reply
from steadfaas.testing.local_lambda.control_plane import Call, ControlPlane
from steadfaas.testing.local_lambda.fleet import Fleet
from steadfaas.testing.local_lambda.invoke import REQUEST_LIMIT, Invoker, too_large
from steadfaas.testing.local_lambda.names import Reference

_INVOKE: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations/?")
_PACKAGE: Final = re.compile(r"/packages/([^/]+)/([^/]+)")

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")
_log: Final = logging.getLogger(__name__)


class Front:
    """Answers requests. It goes on with what it has begun when a client goes away, as AWS does."""

    def __init__(self, control: ControlPlane, fleet: Fleet, invoker: Invoker) -> None:
        self._control = control
        self._fleet = fleet
        self._invoker = invoker
        # One thread: moto is not made for several.
        self._control_thread = ThreadPoolExecutor(1, "local-lambda-control")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The handler of an aiohttp server."""
        try:
            reply = await self._answer(request)
        except ApiError as error:
            reply = error.reply()
        except Exception as error:
            _log.exception("%s %s", request.method, request.path)
            reply = ApiError(500, "ServiceException", f"{type(error).__name__}: {error}").reply()
        headers = {"x-amzn-RequestId": str(uuid.uuid4()), **reply.headers}
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    async def on_control_thread(
        self, work: Callable[[Unpack[_Arguments]], _T], *arguments: *_Arguments
    ) -> _T:
        """Call a function that uses moto."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._control_thread, work, *arguments)

    def close(self) -> None:
        """End the control plane's thread. Calls that wait for it are given up."""
        self._control_thread.shutdown(cancel_futures=True)

    async def _answer(self, request: web.BaseRequest) -> Reply:
        path = request.rel_url.raw_path
        invoke = _INVOKE.fullmatch(path)
        if invoke is not None and request.method == "POST":
            body = await _payload(request)
            qualifier = request.query.get("Qualifier")
            return await self._invoker.invoke(invoke[1], qualifier, request.headers, body)
        package = _PACKAGE.fullmatch(path)
        if package is not None:
            reference = Reference(unquote(package[1]), unquote(package[2]))
            return Reply(200, self._control.function(reference).code_bytes)
        body = await request.content.read()
        call = Call(request.method, path, request.rel_url.raw_query_string, request.headers, body)
        reply = await self.on_control_thread(self._control.answer, call)
        if call.method != "GET":
            await self._fleet.refresh()
        return reply


async def _payload(request: web.BaseRequest) -> bytes:
    """The event of a request. Raises ApiError, after reading, for one that nobody may send."""
    body = bytearray()
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size <= REQUEST_LIMIT:
            body += chunk
    if size > REQUEST_LIMIT:
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        raise too_large(size, kind, REQUEST_LIMIT)
    return bytes(body)
