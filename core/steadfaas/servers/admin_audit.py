"""The admin API's route about what was done, by whom, and on what evidence. It is ours."""

from __future__ import annotations

import json

from aiohttp import web

from steadfaas.deployments.audit import ACTIONS
from steadfaas.errors import BadRequest
from steadfaas.servers.admin import CONTEXT, AdminRoute, json_response
from steadfaas.servers.shapes import Json, given
from steadfaas.servers.times import timestamp
from steadfaas.store import audit


def audit_routes() -> list[AdminRoute]:
    """The route."""
    return [AdminRoute("GET", "/audit", _list)]


async def _list(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import AuditQuery, parse_query

    query = parse_query(AuditQuery, request)
    if query.action is not None and query.action not in ACTIONS:
        raise BadRequest(
            f"The query parameter 'action' is invalid: expected one of {', '.join(ACTIONS)}."
        )
    found = audit.read(
        request.app[CONTEXT].reader,
        subject=query.subject,
        action=query.action,
        before=query.after,
        limit=query.limit + 1,
    )
    page = found[: query.limit]
    more = page[-1].seq if len(found) > len(page) else None
    return json_response(given(entries=[_entry(each) for each in page], next=more))


def _entry(entry: audit.Entry) -> Json:
    return {
        "seq": entry.seq,
        "at": timestamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": json.loads(entry.detail),
    }
