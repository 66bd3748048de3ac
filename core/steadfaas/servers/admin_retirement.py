"""The admin API's routes about retiring deployments. All of it is ours.

A client takes a deployment out of use in steps, and may be interrupted after each: it has the
engine send nothing there any more (`begin`), tells that it is `removing` the version from its
platform, does so, tells that too (`artifact-removed`), and removes the deployment.
"""

from __future__ import annotations

from aiohttp import web

from steadfaas.servers.admin import CONTEXT, AdminRoute, actor, json_body, json_response
from steadfaas.servers.admin_deployments import deployment_id, detail


def retirement_routes() -> list[AdminRoute]:
    """The routes."""
    path = "/deployments/{deployment}/retirement"
    return [AdminRoute("POST", path, _step), AdminRoute("DELETE", path, _call_off)]


async def _step(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import RetireDeployment, parse_body

    id = deployment_id(request)
    body = parse_body(RetireDeployment, await json_body(request))
    retirements = request.app[CONTEXT].registry.retirements
    steps = {
        "begin": retirements.begin,
        "removing": retirements.removing,
        "artifact-removed": retirements.artifact_removed,
    }
    deployment = await steps[body.step](
        id, body.evidence, dry_run=body.dry_run, actor=actor(request)
    )
    return json_response(detail(request, deployment))


async def _call_off(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import CallOffQuery, parse_query

    retirements = request.app[CONTEXT].registry.retirements
    kept = parse_query(CallOffQuery, request).kept
    deployment = await retirements.call_off(deployment_id(request), kept=kept, actor=actor(request))
    return json_response(detail(request, deployment))
