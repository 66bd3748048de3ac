"""The admin API's routes about services: the revisions that take new requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from steadfaas.deployments.catalog import Catalog, Deployment, ServiceRevision
from steadfaas.deployments.settings import ServiceChanges
from steadfaas.errors import NotFound
from steadfaas.servers.admin import (
    CONTEXT,
    AdminRoute,
    actor,
    encode,
    encoded_response,
    json_body,
    json_response,
)
from steadfaas.servers.admin_views import handler_view, handlers_view, service_view
from steadfaas.wire.manifest import OnExhausted, RetryOptions

if TYPE_CHECKING:
    from steadfaas.servers.admin_bodies import ModifyService, RetryPolicyChange


def service_routes() -> list[AdminRoute]:
    """The routes."""
    one = "/services/{service}"
    return [
        AdminRoute("GET", "/services", _list),
        AdminRoute("GET", one, _get),
        AdminRoute("PATCH", one, _modify),
        AdminRoute("GET", f"{one}/handlers", _list_handlers),
        AdminRoute("GET", f"{one}/handlers/{{handler}}", _get_handler),
        AdminRoute("GET", f"{one}/openapi", _openapi),
    ]


def known_service(request: web.Request) -> ServiceRevision:
    """The active revision of the service that the path names. Raises NotFound."""
    name = request.match_info["service"]
    service = request.app[CONTEXT].catalog.latest(name)
    if service is None:
        raise NotFound(f"The requested service '{name}' does not exist")
    return service


async def _list(request: web.Request) -> web.Response:
    catalog = request.app[CONTEXT].catalog
    services = [(each, _owner(catalog, each)) for each in catalog.services()]
    parts = []
    for service, owner in services:
        parts.append(encode(service_view(service, owner)))
        await asyncio.sleep(0)  # hundreds with their schemas are no reason to stall requests
    return encoded_response(f'{{"services":[{",".join(parts)}]}}'.encode())


async def _get(request: web.Request) -> web.Response:
    return _shown(request, known_service(request))


def _shown(request: web.Request, service: ServiceRevision) -> web.Response:
    return json_response(service_view(service, _owner(request.app[CONTEXT].catalog, service)))


def _owner(catalog: Catalog, service: ServiceRevision) -> Deployment:
    deployment = catalog.deployment(service.deployment_id)
    assert deployment is not None, "an active revision belongs to a deployment of the same table"
    return deployment


async def _modify(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import ModifyService, parse_body

    service = known_service(request)
    changes = _changes(parse_body(ModifyService, await json_body(request)))
    changed = await request.app[CONTEXT].registry.configure(
        service.name, changes, actor=actor(request)
    )
    return _shown(request, changed)


def _changes(body: ModifyService) -> ServiceChanges:
    return ServiceChanges(
        public=body.public,
        idempotency_retention=body.idempotency_retention,
        workflow_completion_retention=body.workflow_completion_retention,
        journal_retention=body.journal_retention,
        inactivity_timeout=body.inactivity_timeout,
        abort_timeout=body.abort_timeout,
        retry=None if body.retry_policy is None else _retry(body.retry_policy),
    )


def _retry(body: RetryPolicyChange) -> RetryOptions:
    outcome = body.on_max_attempts
    return RetryOptions(
        initial_interval=body.initial_interval,
        max_interval=body.max_interval,
        max_attempts=body.max_attempts,
        factor=body.exponentiation_factor,
        on_max_attempts=None if outcome is None else OnExhausted[outcome.upper()],
    )


async def _list_handlers(request: web.Request) -> web.Response:
    return json_response({"handlers": handlers_view(known_service(request))})


async def _get_handler(request: web.Request) -> web.Response:
    service = known_service(request)
    name = request.match_info["handler"]
    handler = service.handlers.get(name)
    if handler is None:
        raise NotFound(f"The requested handler '{name}' on service '{service.name}' does not exist")
    return json_response(handler_view(handler))


async def _openapi(request: web.Request) -> web.Response:
    from steadfaas.servers.ingress_openapi import ingress_openapi

    service = known_service(request)
    return json_response(ingress_openapi(service, request.app[CONTEXT].ingress_endpoint))
