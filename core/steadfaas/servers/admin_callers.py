"""The admin API's route about who calls the handlers of a service. Ours."""

from __future__ import annotations

import asyncio

from aiohttp import web

from steadfaas.servers.admin import CONTEXT, AdminRoute, json_response
from steadfaas.servers.shapes import Json
from steadfaas.store import callers


def caller_routes() -> list[AdminRoute]:
    """The routes."""
    return [AdminRoute("GET", "/services/{service}/callers", _get)]


async def _get(request: web.Request) -> web.Response:
    # Also of a service that nobody serves any more: what called it is asked for just then.
    service = request.match_info["service"]
    found = callers.Calls()
    for page in callers.pages(request.app[CONTEXT].reader, service):
        found.by_deployment.update(page.by_deployment)
        found.not_begun.update(page.not_begun)
        await asyncio.sleep(0)  # a million invocations are no reason to stall requests
    names = sorted({name for name, _ in found.by_deployment} | set(found.not_begun))
    return json_response(
        {"service": service, "handlers": [_handler(name, found) for name in names]}
    )


def _handler(name: str, found: callers.Calls) -> Json:
    return {
        "name": name,
        "not_begun": found.not_begun[name],
        "callers": [
            {"deployment_id": deployment, "invocations": number}
            for (handler, deployment), number in sorted(found.by_deployment.items())
            if handler == name
        ],
    }
