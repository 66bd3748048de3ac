"""`POST /query`: a statement in SQL, answered as JSON or as an Arrow stream."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import hdrs, web

from steadfaas.errors import RequestError
from steadfaas.query.frames import Question
from steadfaas.servers.admin import AdminRoute, json_body, json_response
from steadfaas.servers.query_pool import Limits, QueryPool, StatementRefused

__all__ = ["Limits", "QueryPool", "query_routes"]

JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"

#: How often we look whether a client is still there, in seconds.
_LOOK_SECONDS: Final = 0.25
#: Of an answer that has no reader.
_CLIENT_GONE: Final = 499

_log = logging.getLogger(__name__)


def query_routes(pool: QueryPool) -> list[AdminRoute]:
    """The route over the processes of a pool."""

    async def query(request: web.Request) -> web.StreamResponse:
        from steadfaas.servers.admin_bodies import QueryBody, parse_body

        body = parse_body(QueryBody, await json_body(request))
        question = Question(body.query, _content_type(request))
        return await _while_there(request, asyncio.create_task(_answer(pool, request, question)))

    return [AdminRoute("POST", "/query", query)]


def _content_type(request: web.Request) -> str:
    """JSON for who accepts exactly that; clients that say more mean Arrow."""
    return JSON if request.headers.get(hdrs.ACCEPT) == JSON else ARROW


async def _while_there(
    request: web.Request, answer: asyncio.Task[web.StreamResponse]
) -> web.StreamResponse:
    """The answer, given up when the client hangs up: the server would let it run on."""
    try:
        while not (await asyncio.wait({answer}, timeout=_LOOK_SECONDS))[0]:
            if _is_gone(request):
                return web.Response(status=_CLIENT_GONE)
        return await answer
    finally:
        answer.cancel()


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _answer(pool: QueryPool, request: web.Request, question: Question) -> web.StreamResponse:
    # Without a charset: the CLI compares the whole value.
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: question.content_type})
    try:
        async with pool.ask(question) as pieces:
            await response.prepare(request)
            async for piece in pieces:
                await pool.in_time(response.write(piece))
    except ConnectionError:
        return response  # nobody reads it
    except RequestError as refused:
        if response.prepared:
            _cut_off(request, refused)
            return response
        if not isinstance(refused, StatementRefused):
            raise
        # The stock server has no `restate_code` here, not even an empty one.
        return json_response({"message": refused.message}, status=refused.status)
    return response


def _cut_off(request: web.Request, reason: RequestError) -> None:
    """End the connection midway, so that half an answer does not look like a whole one."""
    _log.warning("the answer to a statement was cut off: %s", reason)
    if request.transport is not None:
        request.transport.abort()
