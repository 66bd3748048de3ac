"""The admin API's routes about what services hold now: state of keys, unfinished invocations.

Reading is ours; Restate's API offers it by SQL only.
"""

from __future__ import annotations

import asyncio
import base64
import heapq
from typing import Final

from aiohttp import web

from steadfaas import ids
from steadfaas.deployments.catalog import ServiceRevision
from steadfaas.errors import BadRequest, RequestError
from steadfaas.machine.status import Status
from steadfaas.servers.admin import CONTEXT, AdminRoute, json_body, json_response
from steadfaas.servers.admin_services import known_service
from steadfaas.servers.admin_views import SERVICE_TYPES
from steadfaas.servers.shapes import Json
from steadfaas.servers.times import timestamp
from steadfaas.store import keys, status
from steadfaas.store.port import Reader
from steadfaas.store.state import StateChange
from steadfaas.store.state_version import state_version
from steadfaas.wire.manifest import ServiceType

# A byte of a value may take four characters.
MAX_STATE_BODY: Final = 8 * 1024 * 1024
_MAX_STATE_SHOWN: Final = 32 * 1024 * 1024
_KEYS_SHOWN: Final = 100


def state_routes() -> list[AdminRoute]:
    """The routes."""
    return [
        AdminRoute("GET", "/services/{service}/state", _get_state),
        AdminRoute("POST", "/services/{service}/state", _modify_state),
        AdminRoute("GET", "/services/{service}/status", _get_status),
    ]


# --- state -------------------------------------------------------------------------------------


async def _modify_state(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import ModifyState, parse_body

    service = known_service(request)
    if service.type is ServiceType.SERVICE:
        raise BadRequest("Cannot modify state for service type Service")
    body = parse_body(ModifyState, await json_body(request, limit=MAX_STATE_BODY))
    if body.scope is not None:
        raise BadRequest(
            "The request field 'scope' is invalid. Reason: scopes are not offered; leave it out."
        )
    new_state = {name.encode(): value for name, value in body.new_state.items()}
    engine = request.app[CONTEXT].engine
    change = StateChange(new_state, body.version)
    await engine.operators.change_state(service.name, body.object_key, change)
    return web.Response(status=202)


async def _get_state(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import StateQuery, parse_query

    query = parse_query(StateQuery, request)
    service = known_service(request)
    if service.type is ServiceType.SERVICE:
        raise BadRequest("A service of type Service has no state")
    reader = request.app[CONTEXT].reader
    if query.key is None:
        return json_response(_keys_view(reader, service.name, query.limit))
    return json_response(_state_view(reader, service.name, query.key))


def _keys_view(reader: Reader, service: str, limit: int) -> Json:
    found = status.keys_with_state(reader, service, limit + 1)
    shown = [{"key": key, "entries": entries} for key, entries in found[:limit]]
    return {"service": service, "keys": shown, "truncated": len(found) > limit}


def _state_view(reader: Reader, service: str, key: str) -> Json:
    entries, complete = keys.all_state(reader, service, key, _MAX_STATE_SHOWN)
    if not complete:
        raise RequestError(
            f"The state of this key is larger than {_MAX_STATE_SHOWN} bytes; read it in parts with"
            " POST /query.",
            status=413,
        )
    return {
        "service": service,
        "key": key,
        "version": state_version(entries),
        "state": {name.decode(errors="backslashreplace"): _value(raw) for name, raw in entries},
    }


def _value(raw: bytes) -> Json:
    try:
        return {"utf8": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


# --- unfinished invocations --------------------------------------------------------------------


async def _get_status(request: web.Request) -> web.Response:
    service = known_service(request)
    reader = request.app[CONTEXT].reader
    view = {
        "service": service.name,
        "ty": SERVICE_TYPES[service.type],
        "handlers": await _handlers(reader, service),
        "keys": await _keys(reader, service.name),
    }
    return json_response(view)


async def _handlers(reader: Reader, service: ServiceRevision) -> list[Json]:
    counts: dict[str, dict[str, int]] = {name: {} for name in service.handlers}
    oldest: dict[str, int] = {}
    for groups in status.unfinished_groups(reader, service.name):
        for group in groups:
            of_handler = counts.setdefault(group.handler, {})
            name = Status(group.status).word
            of_handler[name] = of_handler.get(name, 0) + group.number
            oldest[group.handler] = min(oldest.get(group.handler, group.oldest), group.oldest)
        await asyncio.sleep(0)
    return [
        {"name": name, "counts": counts[name], **_invocation(reader, "oldest", oldest.get(name))}
        for name in sorted(counts)
    ]


async def _keys(reader: Reader, service: str) -> list[Json]:
    """The keys with most in line first."""
    busiest: list[status.Line] = []
    for page in status.lines(reader, service):
        busiest = heapq.nlargest(_KEYS_SHOWN, [*busiest, *page], key=lambda line: line.pending)
        await asyncio.sleep(0)
    return [
        {
            "key": line.key,
            "pending": line.pending,
            **_invocation(reader, "holder", line.holder),
        }
        for line in busiest
    ]


def _invocation(reader: Reader, name: str, seq: int | None) -> Json:
    found = None if seq is None else status.brief(reader, seq)
    if found is None:
        return {}
    view = {
        "invocation_id": ids.format_invocation(found.id),
        "handler": found.handler,
        "status": Status(found.status).word,
        "created_at": timestamp(found.created_at),
    }
    return {name: view}
