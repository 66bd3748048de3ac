"""What the routes of the admin API are made with: what a route is, what it works with, its answer.

Intended differences from the stock server: malformed requests get a JSON answer too, where it gives
plain text that its own CLI cannot show.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web

from steadfaas import __version__
from steadfaas.clock import Time
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.outlook import Outlooks
from steadfaas.deployments.register import Registry
from steadfaas.errors import RequestError
from steadfaas.servers.deployment_list import DeploymentList
from steadfaas.store.port import Reader

API_LEVEL: Final = "1.7.12"
MIN_ADMIN_API: Final = 2
MAX_ADMIN_API: Final = 4
MAX_BODY: Final = 1024 * 1024
ACTOR_HEADER: Final = "x-steadfaas-actor"

_MAX_ACTOR: Final = 200
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
            raise too_large(limit)
    return bytes(body)


async def optional_json_body(request: web.Request) -> bytes:
    """As `json_body`, for a request that may come without one: then an empty object."""
    if not request.can_read_body:
        return b"{}"
    return await json_body(request)


def too_large(limit: int) -> RequestError:
    """The refusal of a body that is larger than `limit` bytes."""
    return RequestError(f"The request body is larger than {limit} bytes.", status=413)
