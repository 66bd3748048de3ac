"""The admin API: deployments, services, and what clients ask before anything else.

Every route is served at `/x`, `/v2/x`, `/v3/x` and `/v4/x`. The prefix changes one thing: under
`/v2` a registration is forced unless it says otherwise, an endpoint that is registered and not
forced is a conflict, and a forced one answers 201.

Intended difference from the stock server: malformed requests get a JSON answer too, where it gives
plain text that its own CLI cannot show. `auth` (Google identity tokens) is refused rather than
ignored, because exchanges without it would be refused later.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from steadfaas import __version__, ids
from steadfaas.clock import Time
from steadfaas.deployments.adapters import DEFAULT
from steadfaas.deployments.catalog import Catalog, Deployment, ServiceRevision
from steadfaas.deployments.headers import additional_headers
from steadfaas.deployments.register import Outcome, Registered, Registration, Registry
from steadfaas.errors import BadRequest, Conflict, NotFound, RequestError, SteadfaasError
from steadfaas.servers.admin_views import (
    deployment_detail,
    deployment_view,
    handler_view,
    handlers_view,
    registration_view,
    service_view,
)
from steadfaas.servers.problems import admin_problem
from steadfaas.store.port import Reader

if TYPE_CHECKING:
    from steadfaas.servers.admin_bodies import RegisterDeployment

API_LEVEL: Final = "1.7.0"
MIN_ADMIN_API: Final = 2
MAX_ADMIN_API: Final = 4
MAX_BODY: Final = 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """A route below every version prefix; `path` begins with a slash."""

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class AdminContext:
    """What the handlers of the admin API work with. `engine` is for routes that others add.

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


CONTEXT: Final = web.AppKey("admin", AdminContext)


def build_admin(context: AdminContext, more: Iterable[AdminRoute] = ()) -> web.Application:
    """The admin application; `more` are routes beside those of this module."""
    app = web.Application(middlewares=[_answer_errors], client_max_size=MAX_BODY)
    app[CONTEXT] = context
    app.on_response_prepare.append(_say_nothing_of_nothing)
    app.router.add_route("*", "/v1/{tail:.*}", _unsupported_version)
    for route in (*admin_routes(), *more):
        app.router.add_route(route.method, route.path, route.handler)
        app.router.add_route(route.method, f"/{{api:v[2-4]}}{route.path}", route.handler)
    return app


def admin_routes() -> list[AdminRoute]:
    """The routes of this module."""
    return [
        AdminRoute("GET", "/version", _version),
        AdminRoute("GET", "/health", _health),
        AdminRoute("GET", "/cluster-health", _cluster_health),
        AdminRoute("POST", "/deployments", _register),
        AdminRoute("GET", "/deployments", _list_deployments),
        AdminRoute("GET", "/deployments/{deployment}", _get_deployment),
        AdminRoute("DELETE", "/deployments/{deployment}", _delete_deployment),
        AdminRoute("GET", "/services", _list_services),
        AdminRoute("GET", "/services/{service}", _get_service),
        AdminRoute("GET", "/services/{service}/handlers", _list_handlers),
        AdminRoute("GET", "/services/{service}/handlers/{handler}", _get_handler),
        AdminRoute("GET", "/kafka-clusters", _list_kafka_clusters),
        AdminRoute("GET", "/subscriptions", _list_subscriptions),
    ]


def api_version(request: web.Request) -> int:
    """The admin API version a request is made in; without a prefix, the newest."""
    prefix = request.match_info.get("api")
    return int(prefix[1:]) if prefix else MAX_ADMIN_API


def json_response(
    body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer. Its content type has no charset: the CLI compares the whole value."""
    return web.Response(
        status=status,
        body=json.dumps(body, separators=(",", ":")).encode(),
        headers={**(headers or {}), hdrs.CONTENT_TYPE: "application/json"},
    )


async def json_body(request: web.Request) -> bytes:
    """The bytes of a body that says it is JSON. Raises RequestError (415)."""
    if request.content_type != "application/json":
        raise RequestError("Expected request with `Content-Type: application/json`", status=415)
    return await request.read()


# --- what every answer goes through ------------------------------------------------------------


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SteadfaasError as error:
        return admin_problem(error)
    except web.HTTPRequestEntityTooLarge:
        return admin_problem(
            RequestError(f"The request body is larger than {MAX_BODY} bytes.", status=413)
        )
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


# --- the server itself -------------------------------------------------------------------------


async def _version(request: web.Request) -> web.Response:
    context = request.app[CONTEXT]
    return json_response(
        {
            "version": context.version,
            "min_admin_api_version": MIN_ADMIN_API,
            "max_admin_api_version": MAX_ADMIN_API,
            "ingress_endpoint": context.ingress_endpoint,
            "features": dict(context.features),
        }
    )


async def _health(_: web.Request) -> web.Response:
    return web.Response()


async def _cluster_health(request: web.Request) -> web.Response:
    name = request.app[CONTEXT].cluster_name
    return json_response({"cluster_name": name, "metadata_cluster_health": {"members": [1]}})


async def _list_kafka_clusters(_: web.Request) -> web.Response:
    return json_response({"clusters": []})


async def _list_subscriptions(_: web.Request) -> web.Response:
    return json_response({"subscriptions": []})


# --- deployments -------------------------------------------------------------------------------


async def _register(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import RegisterDeployment, parse_body

    body = parse_body(RegisterDeployment, await json_body(request))
    wanted = _registration(body, force_by_default=api_version(request) == 2)
    registered = await request.app[CONTEXT].registry.register(wanted)
    status = _registration_status(registered, api_version(request))
    location = {"location": f"deployments/{registered.deployment.id}"}
    return json_response(registration_view(registered), status=status, headers=location)


def _registration(body: RegisterDeployment, *, force_by_default: bool) -> Registration:
    if body.uri is None:
        raise RequestError(_without_uri(body), status=422)
    if body.auth is not None:
        raise RequestError(
            "The request field 'auth' is invalid. Reason: this build cannot mint identity tokens;"
            " send credentials in 'additional_headers' instead.",
            status=422,
        )
    return Registration(
        target=body.uri,
        headers=additional_headers(body.additional_headers or {}),
        metadata=body.metadata or {},
        adapter=body.adapter or DEFAULT,
        breaking=body.breaking,
        force=force_by_default if body.force is None else body.force,
        dry_run=body.dry_run,
    )


def _without_uri(body: RegisterDeployment) -> str:
    if body.arn is None:
        return "The request field 'uri' is missing: give the address of the endpoint to register."
    return (
        "The request field 'arn' is invalid. Reason: Lambda targets are not supported by this build"
        " yet; register an HTTP address of the endpoint with 'uri' instead."
    )


def _registration_status(registered: Registered, version: int) -> int:
    match registered.outcome:
        case Outcome.CREATED:
            return 201
        case Outcome.OVERWRITTEN:
            return 201 if version == 2 else 200
        case Outcome.UNCHANGED:
            if version == 2:
                raise Conflict(
                    f"Conflict: deployment {registered.deployment.id} already exists; set 'force'"
                    " to overwrite it"
                )
            return 200


async def _list_deployments(request: web.Request) -> web.Response:
    known = request.app[CONTEXT].catalog.deployments()
    return json_response({"deployments": [deployment_view(each) for each in known]})


async def _get_deployment(request: web.Request) -> web.Response:
    id = _deployment_id(request)
    deployment = request.app[CONTEXT].catalog.deployment(id)
    if deployment is None:
        raise NotFound(f"The requested deployment '{id}' does not exist")
    return json_response(deployment_detail(deployment))


async def _delete_deployment(request: web.Request) -> web.Response:
    force = request.query.get("force", "false")
    if force not in ("true", "false"):
        raise BadRequest("The query parameter 'force' is invalid: expected true or false.")
    await request.app[CONTEXT].registry.remove(_deployment_id(request), force=force == "true")
    return web.Response(status=202)


def _deployment_id(request: web.Request) -> str:
    text = request.match_info["deployment"]
    try:
        ids.parse_deployment(text)
    except ids.InvalidId as error:
        raise BadRequest(
            f"Invalid URL: Cannot parse `deployment` with value `{text}`: {error}"
        ) from error
    return text


# --- services ----------------------------------------------------------------------------------


async def _list_services(request: web.Request) -> web.Response:
    catalog = request.app[CONTEXT].catalog
    services = [service_view(each, _owner(catalog, each)) for each in catalog.services()]
    return json_response({"services": services})


async def _get_service(request: web.Request) -> web.Response:
    service = _service(request)
    return json_response(service_view(service, _owner(request.app[CONTEXT].catalog, service)))


async def _list_handlers(request: web.Request) -> web.Response:
    return json_response({"handlers": handlers_view(_service(request))})


async def _get_handler(request: web.Request) -> web.Response:
    service = _service(request)
    name = request.match_info["handler"]
    handler = service.handlers.get(name)
    if handler is None:
        raise NotFound(f"The requested handler '{name}' on service '{service.name}' does not exist")
    return json_response(handler_view(handler))


def _service(request: web.Request) -> ServiceRevision:
    name = request.match_info["service"]
    service = request.app[CONTEXT].catalog.latest(name)
    if service is None:
        raise NotFound(f"The requested service '{name}' does not exist")
    return service


def _owner(catalog: Catalog, service: ServiceRevision) -> Deployment:
    deployment = catalog.deployment(service.deployment_id)
    assert deployment is not None, "an active revision belongs to a deployment of the same table"
    return deployment
