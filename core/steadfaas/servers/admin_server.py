"""The admin API's routes about the server itself: what clients ask before anything else."""

from __future__ import annotations

import asyncio

from aiohttp import web

from steadfaas import __version__
from steadfaas.servers.admin import (
    CONTEXT,
    MAX_ADMIN_API,
    MIN_ADMIN_API,
    ROUTES,
    AdminRoute,
    encoded_response,
    json_response,
)


def server_routes() -> list[AdminRoute]:
    """The routes."""
    return [
        AdminRoute("GET", "/", _welcome),
        AdminRoute("GET", "/version", _version),
        AdminRoute("GET", "/health", _health),
        AdminRoute("GET", "/cluster-health", _cluster_health),
        AdminRoute("GET", "/openapi", _openapi),
    ]


async def _welcome(request: web.Request) -> web.Response:
    links = {name: f"/{name}" for name in ("openapi", "version", "deployments", "services")}
    return json_response({"product": "steadfaas", "version": __version__, "links": links})


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


async def _openapi(request: web.Request) -> web.Response:
    routes = tuple((route.method, route.path) for route in request.app[ROUTES])
    # Beside the loop: the first time, it takes a quarter of a second.
    return encoded_response(
        await asyncio.to_thread(_document, routes, request.app[CONTEXT].version)
    )


def _document(routes: tuple[tuple[str, str], ...], version: str) -> bytes:
    # Loaded by those who ask: the document is made of pydantic models.
    from steadfaas.servers.openapi import admin_openapi

    return admin_openapi(routes, version)
