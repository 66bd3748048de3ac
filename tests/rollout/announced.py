"""What the official Python SDK announces about a handler, for a pair of types."""

from __future__ import annotations

import json
from typing import Any

import restate
from restate.discovery import compute_discovery_json
from restate.endpoint import Endpoint

Json = dict[str, Any]


def service_of(name: str = "Shop", **handlers: tuple[Any, Any]) -> restate.Service:
    """A service with a handler for each pair of what it takes and what it gives."""
    service = restate.Service(name)
    for handler, (takes, gives) in handlers.items():
        service.handler(handler)(_typed(takes, gives))
    return service


def manifest_of(*services: Any) -> Json:
    """The discovery document of these services."""
    endpoint: Any = Endpoint()  # type: ignore[no-untyped-call]
    for service in services:
        endpoint.bind(service)
    document: Json = json.loads(compute_discovery_json(endpoint, 4, "request_response"))
    return document


def schemas_of(takes: Any, gives: Any) -> tuple[Any, Any]:
    """The schemas of a handler's input and output."""
    (service,) = manifest_of(service_of(handle=(takes, gives)))["services"]
    (handler,) = service["handlers"]
    return handler["input"].get("jsonSchema"), handler["output"].get("jsonSchema")


def _typed(takes: Any, gives: Any) -> Any:
    async def handle(ctx: restate.Context, request: Any) -> Any:
        raise NotImplementedError

    handle.__annotations__ = {"ctx": restate.Context, "request": takes, "return": gives}
    return handle
