"""The admin API's frame: what a route is, what it works with, what every answer goes through.

Every route is served at `/x`, `/v2/x`, `/v3/x` and `/v4/x`; `api_version` tells which was asked.

Intended differences from the stock server: malformed requests get a JSON answer too, where it gives
plain text that its own CLI cannot show.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web

from steadfaas import __version__
from steadfaas.clock import Time
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.outlook import Outlooks
from steadfaas.deployments.register import Registry
from steadfaas.errors import RequestError, SteadfaasError
from steadfaas.servers.deployment_list import DeploymentList
from steadfaas.servers.problems import admin_problem
from steadfaas.store.port import Reader

API_LEVEL: Final = "1.7.12"
MIN_ADMIN_API: Final = 2
MAX_ADMIN_API: Final = 4
MAX_BODY: Final = 1024 * 1024
ACTOR_HEADER: Final = "x-steadfaas-actor"

_MAX_ACTOR: Final = 200
_COMPRESS_ABOVE: Final = 1024
_IN_THREAD_ABOVE: Final = 100_000  # a millisecond's work; nobody's request waits for more of it
encode: Final = json.JSONEncoder(separators=(",", ":")).encode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """A route below every version prefix; `path` begins with a slash.

    What it takes and gives is told in `admin_operations`, by method and path.
    """

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class AdminContext:
    """What the handlers of the admin API work with. `engine` is for routes that need one.

    `version` is what `/version` tells. The CLI reads it as a semantic version and chooses the form
    of its queries by it; so it names the level of Restate's API, and us as the build.
    """

    catalog: Catalog
    registry: Registry
    clock: Time
    reader: Reader
    cluster_name: str = "localcluster"
    ingress_endpoint: str | None = None
    version: str = f"{API_LEVEL}+steadfaas.{__version__}"
    features: Mapping[str, bool] = field(default_factory=dict)
    engine: Any = None
    adapters: Adapters = field(default_factory=Adapters)


CONTEXT: Final = web.AppKey("admin", AdminContext)
OUTLOOKS: Final = web.AppKey("outlooks", Outlooks)
DEPLOYMENTS: Final = web.AppKey("deployments", DeploymentList)
ROUTES: Final = web.AppKey("routes", tuple[AdminRoute, ...])


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
    # Imported here, because they are written in terms of this module.
    from steadfaas.servers.admin_audit import audit_routes
    from steadfaas.servers.admin_callers import caller_routes
    from steadfaas.servers.admin_deployments import deployment_routes
    from steadfaas.servers.admin_retirement import retirement_routes
    from steadfaas.servers.admin_server import server_routes
    from steadfaas.servers.admin_services import service_routes
    from steadfaas.servers.admin_state import state_routes
    from steadfaas.servers.admin_unoffered import unoffered_routes

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


# --- what handlers use -------------------------------------------------------------------------


def api_version(request: web.Request) -> int:
    """The admin API version a request is made in; without a prefix, the newest."""
    prefix = request.match_info.get("api")
    return int(prefix[1:]) if prefix else MAX_ADMIN_API


def actor(request: web.Request) -> str:
    """Who asks, as it is recorded: what the request says of itself, or its program and address.

    Printable, at most 200 characters. Nobody checks it: it tells colleagues apart, not enemies.
    """
    said = request.headers.get(ACTOR_HEADER, "").strip()
    if not said:
        program = request.headers.get(hdrs.USER_AGENT, "").strip() or "somebody"
        said = f"{program[: _MAX_ACTOR - 60]} from {request.remote or 'an unknown address'}"
    return "".join(each if each.isprintable() else "?" for each in said[:_MAX_ACTOR])


def json_response(
    body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer."""
    return encoded_response(encode(body).encode(), status=status, headers=headers)


def encoded_response(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer that is JSON already. Without a charset: the CLI compares the whole value."""
    return web.Response(
        status=status,
        body=body,
        headers={**(headers or {}), hdrs.CONTENT_TYPE: "application/json"},
    )


async def json_body(request: web.Request, *, limit: int = MAX_BODY) -> bytes:
    """The bytes of a body that says it is JSON. Raises RequestError (415, or 413 above `limit`)."""
    if request.content_type != "application/json":
        raise RequestError("Expected request with `Content-Type: application/json`", status=415)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


async def optional_json_body(request: web.Request) -> bytes:
    """As `json_body`, for a request that may come without one: then an empty object."""
    if not request.can_read_body:
        return b"{}"
    return await json_body(request)


def _too_large(limit: int) -> RequestError:
    return RequestError(f"The request body is larger than {limit} bytes.", status=413)


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
        return admin_problem(_too_large(MAX_BODY))
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
