"""The admin API's routes about single invocations.

`GET /invocations/{id}` is ours, beyond Restate's API: what happened to an invocation, with every
attempt and the deployment it ran on.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from steadfaas import ids
from steadfaas.errors import BadRequest, NotFound
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.status import Status
from steadfaas.runtime.engine import Engine
from steadfaas.servers.admin import AdminRoute, json_response
from steadfaas.servers.times import timestamp
from steadfaas.store import invocations
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode


def invocation_routes(engine: Engine) -> list[AdminRoute]:
    """The routes, bound to an engine."""

    async def describe(request: web.Request) -> web.StreamResponse:
        return json_response(invocation_view(engine, _invocation_id(request)))

    async def cancel(request: web.Request) -> web.StreamResponse:
        gone = await engine.cancel(_invocation_id(request))
        return web.Response(status=200 if gone else 202)

    async def kill(request: web.Request) -> web.StreamResponse:
        await engine.kill(_invocation_id(request))
        return web.Response(status=200)

    async def resume(request: web.Request) -> web.StreamResponse:
        if request.query.get("deployment", "keep") != "keep":
            raise BadRequest(
                "resuming on another deployment is not supported by this version of steadfaas;"
                " leave 'deployment' out to go on with the pinned one"
            )
        await engine.resume(_invocation_id(request))
        return web.Response(status=200)

    return [
        AdminRoute("GET", "/invocations/{invocation}", describe),
        AdminRoute("PATCH", "/invocations/{invocation}/cancel", cancel),
        AdminRoute("PATCH", "/invocations/{invocation}/kill", kill),
        AdminRoute("PATCH", "/invocations/{invocation}/resume", resume),
    ]


def _invocation_id(request: web.Request) -> bytes:
    try:
        return ids.parse_invocation(request.match_info["invocation"])
    except ids.InvalidId as error:
        raise BadRequest(f"The request field 'invocation_id' is invalid. Reason: {error}") from None


def invocation_view(engine: Engine, id: bytes) -> dict[str, Any]:
    """What happened to an invocation. Raises NotFound."""
    reader = engine.store.reader
    found = invocations.describe(reader, id)
    if found is None:
        raise NotFound(f"the invocation '{ids.format_invocation(id)}' does not exist")
    path = [found.service, found.handler]
    if found.key is not None:
        path.insert(1, found.key)
    view: dict[str, Any] = {
        "id": ids.format_invocation(id),
        "target": "/".join(path),
        "status": Status(found.status).name.lower().replace("_", "-"),
        "created_at": timestamp(found.created_at),
        "modified_at": timestamp(found.modified_at),
        "attempts": _attempts(reader, found),
    }
    optional = {
        "deployment_id": found.deployment,
        "protocol_version": found.version,
        "idempotency_key": found.idempotency_key,
        "last_failure": _failure(found),
        "result": _result(found.output),
    }
    if found.status == Status.BACKING_OFF:
        optional["next_retry_at"] = _time(found.due_at)
    elif found.status == Status.SCHEDULED:
        optional["scheduled_at"] = _time(found.due_at)
    elif found.status == Status.COMPLETED:
        optional["completed_at"] = _time(found.completed_at)
    return view | {name: value for name, value in optional.items() if value is not None}


def _attempts(reader: Any, found: invocations.Description) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = [
        {
            "attempt": attempt.number,
            "deployment_id": attempt.deployment,
            "started_at": timestamp(attempt.started_at),
            "ended_at": timestamp(attempt.ended_at),
            "outcome": attempt.outcome,
        }
        for attempt in invocations.attempts(reader, found)
    ]
    if found.status == Status.RUNNING:
        attempts.append(
            {
                "attempt": found.attempt,
                "deployment_id": found.deployment,
                "started_at": timestamp(found.started_at),
                "outcome": "running",
            }
        )
    return attempts


def _failure(found: invocations.Description) -> dict[str, Any] | None:
    if found.failure is None or found.status == Status.COMPLETED:
        return None
    failure = FailureRecord.from_json(found.failure)
    view = {
        "restate_code": failure.code,
        "code": failure.http_code,
        "message": failure.message,
        "at": timestamp(failure.at),
        "attempt": failure.attempt,
        "deployment_id": failure.deployment,
        "command_index": failure.command_index,
        "command_name": failure.command_name,
        "command_type": failure.command_type,
        "recorded_command": failure.recorded,
        "issued_command": failure.issued,
    }
    return {name: value for name, value in view.items() if value is not None}


def _result(output: bytes | None) -> dict[str, Any] | None:
    if output is None:
        return None
    result = decode(m.OutputCommand, output)
    if result.failure is None:
        return {"outcome": "success"}
    return {
        "outcome": "failure",
        "code": result.failure.code,
        "message": result.failure.message,
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else timestamp(ms)
