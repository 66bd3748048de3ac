"""The admin API put together: all its routes, and what every answer goes through.

Every route is served at `/x`, `/v2/x`, `/v3/x` and `/v4/x`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from aiohttp import hdrs, web

from steadfaas.deployments.outlook import Outlooks
from steadfaas.errors import SteadfaasError
from steadfaas.servers.admin import (
    CONTEXT,
    DEPLOYMENTS,
    MAX_ADMIN_API,
    MAX_BODY,
    MIN_ADMIN_API,
    OUTLOOKS,
    ROUTES,
    AdminContext,
    AdminRoute,
    Handler,
    too_large,
)
from steadfaas.servers.admin_audit import audit_routes
from steadfaas.servers.admin_callers import caller_routes
from steadfaas.servers.admin_deployments import deployment_routes
from steadfaas.servers.admin_retirement import retirement_routes
from steadfaas.servers.admin_server import server_routes
from steadfaas.servers.admin_services import service_routes
from steadfaas.servers.admin_state import state_routes
from steadfaas.servers.admin_unoffered import unoffered_routes
from steadfaas.servers.deployment_list import DeploymentList
from steadfaas.servers.problems import admin_problem

_COMPRESS_ABOVE: Final = 1024
_IN_THREAD_ABOVE: Final = 100_000  # a millisecond's work; nobody's request waits for more of it


def build_admin(context: AdminContext, more: Iterable[AdminRoute] = ()) -> web.Application:
    """The admin application; `more` are routes beside those of deployments, services and state."""
    app = web.Application(middlewares=[_compress, _answer_errors], client_max_size=MAX_BODY)
    app[CONTEXT] = context
    outlooks = app[OUTLOOKS] = Outlooks(context.adapters, context.reader)
    app[DEPLOYMENTS] = DeploymentList(context.catalog, context.reader, context.clock, outlooks)
    app.cleanup_ctx.append(_list_prepared)
    app[ROUTES] = routes = (*admin_routes(), *more)
    app.on_response_prepare.append(_say_nothing_of_nothing)
    app.router.add_route("*", "/v1/{tail:.*}", _unsupported_version)
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
        app.router.add_route(route.method, f"/{{api:v[2-4]}}{route.path}", route.handler)
    return app


async def _list_prepared(app: web.Application) -> AsyncIterator[None]:
    app[DEPLOYMENTS].prepare()
    yield
    await app[DEPLOYMENTS].close()


def admin_routes() -> list[AdminRoute]:
    """The routes that need no engine, and those of state."""
    return [
        *server_routes(),
        *deployment_routes(),
        *retirement_routes(),
        *audit_routes(),
        *service_routes(),
        *caller_routes(),
        *state_routes(),
        *unoffered_routes(),
    ]


# --- what every answer goes through ------------------------------------------------------------


@web.middleware
async def _compress(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Large answers in gzip, for those who ask for it."""
    response = await handler(request)
    if hdrs.ACCEPT_ENCODING not in request.headers or not isinstance(response, web.Response):
        return response
    body = response.body
    if isinstance(body, bytes) and len(body) > _COMPRESS_ABOVE and _takes_gzip(request):
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING.lower()
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        if len(body) > _IN_THREAD_ABOVE:
            response.body = await asyncio.to_thread(_gzip, body)
        else:
            response.body = _gzip(body)
    return response


def _gzip(body: bytes) -> bytes:
    # The lowest level: the next ones take twice the time for a sixth of the size.
    return zlib.compress(body, 1, wbits=31)


def _takes_gzip(request: web.Request) -> bool:
    asked = request.headers.getall(hdrs.ACCEPT_ENCODING)
    for coding in ",".join(asked).lower().split(","):
        name, _, quality = coding.replace(" ", "").partition(";")
        if name == "gzip":
            return quality.rstrip("0.") != "q="
    return False


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SteadfaasError as error:
        return admin_problem(error)
    except web.HTTPRequestEntityTooLarge:
        return admin_problem(too_large(MAX_BODY))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as refused:
        allow = refused.headers.get(hdrs.ALLOW)
        return web.Response(status=refused.status, headers={hdrs.ALLOW: allow} if allow else None)


async def _say_nothing_of_nothing(_: web.Request, response: web.StreamResponse) -> None:
    if isinstance(response, web.Response) and not response.body:
        response.headers.pop(hdrs.CONTENT_TYPE, None)


async def _unsupported_version(_: web.Request) -> web.Response:
    return web.Response(
        status=400,
        text="Unsupported Admin API version V1. This server supports versions between"
        f" V{MIN_ADMIN_API} and V{MAX_ADMIN_API}.",
    )
