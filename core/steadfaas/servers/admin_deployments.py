"""The admin API's routes about deployments.

The version prefix changes two things: under `/v2` a registration is forced unless it says
otherwise, an endpoint that is registered and not forced is a conflict, and a forced one answers
201; and PUT works there like PATCH. Ours: what still needs each deployment (`drain`), `changes`,
and promoting an older one again.

`auth` (Google identity tokens) is refused rather than ignored, because exchanges without it would
be refused later.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiohttp import web

from steadfaas import ids
from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.drain import drain_of
from steadfaas.deployments.headers import Connection, additional_headers
from steadfaas.deployments.modify import Modification
from steadfaas.deployments.outlook import Outlook
from steadfaas.deployments.requests import Outcome, Registered, Registration
from steadfaas.deployments.secrets import secret_headers
from steadfaas.errors import BadRequest, Conflict, NotFound, RequestError
from steadfaas.servers.admin import (
    CONTEXT,
    DEPLOYMENTS,
    OUTLOOKS,
    AdminRoute,
    actor,
    api_version,
    encoded_response,
    json_body,
    json_response,
    optional_json_body,
)
from steadfaas.servers.admin_views import (
    deployment_detail,
    information,
    registration_view,
)
from steadfaas.servers.shapes import Json
from steadfaas.spi import Access, Promise

if TYPE_CHECKING:
    from steadfaas.servers.admin_bodies import RegisterDeployment, UpdateDeployment

_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
# In Restate's API an `arn` is a Lambda function's.
_ARNS_ARE_OF: Final = "aws-lambda"
_BLOCKERS_IN_DETAIL: Final = 100


def deployment_routes() -> list[AdminRoute]:
    """The routes."""
    one = "/deployments/{deployment}"
    return [
        AdminRoute("POST", "/deployments", _register),
        AdminRoute("GET", "/deployments", _list),
        AdminRoute("GET", one, _get),
        AdminRoute("PATCH", one, _update),
        AdminRoute("PUT", one, _replace),
        AdminRoute("DELETE", one, _delete),
        AdminRoute("POST", f"{one}/promote", _promote),
    ]


# --- registering -------------------------------------------------------------------------------


async def _register(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import RegisterDeployment, parse_body

    body = parse_body(RegisterDeployment, await json_body(request))
    wanted = _registration(body, actor(request), force_by_default=api_version(request) == 2)
    registered = await request.app[CONTEXT].registry.register(wanted)
    status = _registration_status(registered, api_version(request))
    location = {"location": f"deployments/{registered.deployment.id}"}
    view = registration_view(registered, _outlook(request, registered.deployment))
    return json_response(view, status=status, headers=location)


def _registration(body: RegisterDeployment, who: str, *, force_by_default: bool) -> Registration:
    given = (("uri", body.uri), ("arn", body.arn), ("target", body.target))
    named = next(((name, target) for name, target in given if target is not None), None)
    if named is None:
        raise RequestError(
            "The request field 'uri' is missing: give the address of the endpoint to register,"
            " or an 'arn', or a 'target' such as 'lambda:NAME'.",
            status=422,
        )
    field_name, target = named
    if body.auth is not None:
        raise RequestError(
            "The request field 'auth' is invalid. Reason: this build cannot mint identity tokens;"
            " send credentials in 'additional_headers' instead.",
            status=422,
        )
    return Registration(
        target=target,
        field_name=field_name,
        connection=Connection(
            headers=additional_headers(body.additional_headers or {}),
            secret_headers=secret_headers(body.secret_headers or {}),
            access=Access(_role(body.assume_role_arn)),
        ),
        protection=tuple(body.protection or ()),
        metadata=body.metadata or {},
        adapter=body.adapter or (_ARNS_ARE_OF if field_name == "arn" else None),
        promise=_promise(body),
        breaking=body.breaking,
        force=force_by_default if body.force is None else body.force,
        dry_run=body.dry_run,
        actor=who,
    )


def _promise(body: RegisterDeployment) -> Promise:
    if body.dev:
        return Promise.DEV
    return Promise.IMMUTABLE if body.assert_immutable else Promise.NONE


def _role(written: str | None) -> str | None:
    if written is not None and not _ROLE.fullmatch(written):
        raise BadRequest(
            "The request field 'assume_role_arn' is invalid. Reason: it is not the ARN of a role,"
            " such as arn:aws:iam::123456789012:role/caller."
        )
    return written


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


# --- looking -----------------------------------------------------------------------------------


async def _list(request: web.Request) -> web.Response:
    return encoded_response(await request.app[DEPLOYMENTS].body())


async def _get(request: web.Request) -> web.Response:
    id = deployment_id(request)
    deployment = request.app[CONTEXT].catalog.deployment(id)
    if deployment is None:
        raise NotFound(f"The requested deployment '{id}' does not exist")
    return json_response(detail(request, deployment))


def detail(request: web.Request, deployment: Deployment) -> Json:
    """All that there is to be shown of a deployment."""
    context = request.app[CONTEXT]
    drain = drain_of(
        context.reader,
        context.catalog,
        deployment.id,
        now=context.clock.now(),
        blockers=_BLOCKERS_IN_DETAIL,
    )
    return deployment_detail(deployment, drain, _outlook(request, deployment))


def _outlook(request: web.Request, deployment: Deployment) -> Outlook | None:
    now = request.app[CONTEXT].clock.now()
    return request.app[OUTLOOKS].of([deployment], now).get(deployment.id)


# --- changing ----------------------------------------------------------------------------------


async def _update(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import UpdateDeployment, parse_body

    id = deployment_id(request)
    body = parse_body(UpdateDeployment, await json_body(request))
    context = request.app[CONTEXT]
    known = context.catalog.deployment(id)
    if known is not None:
        _check_kind(body, known)
    modified = await context.registry.modify(_modification(id, body, actor(request)))
    view = detail(request, modified.deployment)
    return json_response({**view, **information(modified.warnings)})


def _check_kind(body: UpdateDeployment, known: Deployment) -> None:
    if known.over_http and (body.arn is not None or body.assume_role_arn is not None):
        raise BadRequest(
            "The request field 'arn' is invalid. Reason: this deployment has an HTTP address, and"
            " the kind of a deployment cannot change; register the function on its own."
        )
    if not known.over_http and body.uri is not None:
        raise BadRequest(
            "The request field 'uri' is invalid. Reason: this deployment is a Lambda function, and"
            " the kind of a deployment cannot change; register the address on its own."
        )


def _modification(id: str, body: UpdateDeployment, who: str) -> Modification:
    given, secrets = body.additional_headers, body.secret_headers
    return Modification(
        deployment_id=id,
        target=body.uri if body.uri is not None else body.arn,
        field_name="uri" if body.uri is not None else "arn",
        secret_headers=None if secrets is None else secret_headers(secrets),
        protection=None if body.protection is None else tuple(body.protection),
        metadata=body.metadata,
        access=None if body.assume_role_arn is None else Access(_role(body.assume_role_arn)),
        headers=None if given is None else additional_headers(given),
        overwrite=body.overwrite,
        dry_run=body.dry_run,
        actor=who,
    )


async def _replace(request: web.Request) -> web.Response:
    if api_version(request) != 2:
        raise RequestError("PUT deployment is deprecated, use PATCH instead", status=405)
    return await _update(request)


async def _promote(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import PromoteDeployment, parse_body

    id = deployment_id(request)
    body = parse_body(PromoteDeployment, await optional_json_body(request))
    promoted = await request.app[CONTEXT].registry.promote(
        id, dry_run=body.dry_run, actor=actor(request)
    )
    view = detail(request, promoted.deployment)
    return json_response({**view, **information(promoted.lost, code="META0006")})


async def _delete(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import DeleteDeployment, parse_query

    query = parse_query(DeleteDeployment, request)
    await request.app[CONTEXT].registry.remove(
        deployment_id(request), force=query.force, actor=actor(request)
    )
    return web.Response(status=202)


def deployment_id(request: web.Request) -> str:
    """The id in the path. Raises BadRequest."""
    text = request.match_info["deployment"]
    try:
        ids.parse_deployment(text)
    except ids.InvalidId as error:
        raise BadRequest(
            f"Invalid URL: Cannot parse `deployment` with value `{text}`: {error}"
        ) from error
    return text
