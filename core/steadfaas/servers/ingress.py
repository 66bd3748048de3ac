"""The ingress: where requests for handlers arrive, and where their results are asked for.

Paths are taken apart by hand: a key may hold anything, percent-encoded, and the first part is a
service's name or `restate`. Bodies pass through untouched, in both directions.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, unquote

from steadfaas import ids
from steadfaas.deployments.catalog import Handler, ServiceRevision, preferred
from steadfaas.durations import parse_duration
from steadfaas.errors import BadRequest, NotFound, RequestError, SteadfaasError
from steadfaas.machine.status import Kind, Status, kind_of
from steadfaas.runtime import versions
from steadfaas.runtime.engine import Engine
from steadfaas.runtime.work import Accepted, Request, Wanted
from steadfaas.servers import http1
from steadfaas.servers.asked_version import VERSION, checked_version, checked_wait
from steadfaas.servers.problems import ID_HEADER, INVOCATION, ingress_problem
from steadfaas.servers.times import timestamp
from steadfaas.store.invocations import Outline
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.hot import input_payload
from steadfaas.wire.manifest import ServiceType

_NOT_PASSED_ON: Final = frozenset({"idempotency-key", "host", "connection", "transfer-encoding"})
_NOT_COMPLETED: Final = 470

Answer = Awaitable[http1.Reply]
# What a path names: the revision and its handler, the key, whether it is a send, and whether the
# version that was asked for has not landed; then it is the newest revision instead.
_Target = tuple[ServiceRevision, Handler, str | None, bool, bool]


class Ingress:
    """Answers every request to the ingress address."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own: dict[str, Callable[[http1.Request, list[str]], Answer]] = {
            "health": self._health,
            "invocation": self._invocation,
            "attach": self._attach_by_id,
            "output": self._output_by_id,
            "workflow": self._workflow,
            "awakeables": self._awakeables,
            "lookup": self._lookup,
            "call": self._call_route,
            "send": self._send_route,
        }

    async def handle(self, request: http1.Request) -> http1.Reply:
        """The answer to one request. Never raises for what a client sent."""
        try:
            if request.method == "OPTIONS":
                return _preflight(request)
            response = await self._route(request)
        except SteadfaasError as error:
            response = ingress_problem(error)
        origin = request.header("origin")
        if origin is not None:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-allow-credentials"] = "true"
            response.headers["vary"] = "origin"
        return response

    async def _route(self, request: http1.Request) -> http1.Reply:
        path = request.target.partition("?")[0]
        parts = path.strip("/").split("/")  # between two others, an empty part is a key
        if len(parts) < 2:
            raise BadRequest(f"bad path: {path}")
        if parts[0] != "restate":
            return await self._invoke(request, parts, send=None)
        own = self._own.get(parts[1])
        if own is None:
            raise NotFound("not found")
        return await own(request, parts[2:])

    # --- calls and sends -----------------------------------------------------------------------

    def _call_route(self, request: http1.Request, parts: list[str]) -> Answer:
        return self._invoke(request, parts, send=False)

    def _send_route(self, request: http1.Request, parts: list[str]) -> Answer:
        return self._invoke(request, parts, send=True)

    async def _invoke(
        self, request: http1.Request, parts: list[str], *, send: bool | None
    ) -> http1.Reply:
        if len(parts) < 2:
            raise BadRequest("bad path, name a service and a handler")
        if request.method not in ("POST", "GET"):
            raise RequestError("only POST and GET call a handler", status=405)
        version = request.header(VERSION)
        until = 0
        if version is None:
            target = self._target(parts, send)
        else:
            version = checked_version(version)
            until = self._engine.clock.now()
            until += checked_wait(request, self._engine.tuning.version_wait)
            target = await self._awaited_target(request, parts, send, version, until)
        revision, handler, key, send, awaited = target
        kind = kind_of(revision.type, handler.kind)
        idempotency_key = _idempotency_key(request, kind)
        delay = _delay(request, send=send)
        body = request.body
        fault = handler.check_input(request.header("content-type"), bool(body))
        if fault is not None and not awaited:
            raise BadRequest(fault)
        now = self._engine.clock.now()
        wanted = Request(
            service=revision.name,
            handler=handler.name,
            key=key,
            kind=kind,
            options=handler.options,
            input=input_payload(_passed_on(request), body),
            idempotency_key=idempotency_key,
            not_before=0 if delay is None else now + delay,
            wanted=None if version is None else Wanted(version, until + (delay or 0)),
        )
        if send:
            accepted = await self._engine.accept(wanted)
            return _accepted(accepted, None if delay is None else now + delay)
        return await self._call(wanted, handler)

    async def _awaited_target(
        self, request: http1.Request, parts: list[str], send: bool | None, version: str, until: int
    ) -> _Target:
        """What a path names in a version. A handler that nobody serves yet is waited for."""
        with contextlib.suppress(NotFound):
            return self._target(parts, send, version)
        held, started = self._engine.held, self._engine.clock.now()
        with held.place(len(request.body)):
            while await held.changed(until):
                with contextlib.suppress(NotFound):
                    return self._target(parts, send, version)
        raise versions.refusal(versions.never_landed(version, until - started))

    def _target(self, parts: list[str], send: bool | None, version: str | None = None) -> _Target:
        """What a path names: [service, handler] or [service, key, handler], then maybe `send`.

        Raises NotFound if nobody serves it.
        """
        catalog = self._engine.catalog
        service = unquote(parts[0])
        revision = None if version is None else next(catalog.carriers(service, version), None)
        awaited = version is not None and revision is None
        revision = revision or catalog.latest(service)
        if revision is None:
            catalog.handler(service, "")  # raises NotFound with the sentence
            raise AssertionError("unreachable")
        length = 2 if revision.type is ServiceType.SERVICE else 3
        if send is None:
            send = len(parts) == length + 1 and parts[-1] == "send"
            parts = parts[:length] if send else parts
        if len(parts) != length:
            raise BadRequest(
                "bad path, expected either /:service-name/:handler or"
                " /:object-name/:object-key/:handler"
            )
        if version is None or awaited:
            revision, handler = catalog.handler(service, unquote(parts[-1]))
        else:
            revision, handler = self._carrier(service, unquote(parts[-1]), version)
        if not handler.public and not awaited:
            raise BadRequest("the invoked service is not public")
        return revision, handler, None if length == 2 else _decoded(parts[1]), send, awaited

    def _carrier(self, service: str, name: str, version: str) -> tuple[ServiceRevision, Handler]:
        """The handler as the version serves it. Raises RequestError if it does not."""
        revision = preferred(self._engine.catalog.carriers(service, version), name)
        assert revision is not None, "it has landed"
        handler = revision.handlers.get(name)
        if handler is None:
            raise versions.refusal(versions.not_served(version, revision, name))
        return revision, handler

    async def _call(self, wanted: Request, handler: Handler) -> http1.Reply:
        accepted, output = await self._engine.call(wanted)
        if wanted.wanted is not None:
            carriers = self._engine.catalog.carriers(wanted.service, wanted.wanted.version)
            landed = preferred(carriers, wanted.handler)
            handler = landed.handlers.get(wanted.handler, handler) if landed else handler
        if accepted.existing is not None and wanted.kind is Kind.WORKFLOW_RUN:
            error = RequestError("the workflow method was already invoked", status=409)
            return ingress_problem(error, source=INVOCATION, invocation_id=accepted.id)
        return _result(output, accepted.id, handler, accepted.existing)

    # --- results -------------------------------------------------------------------------------

    async def _invocation(self, request: http1.Request, parts: list[str]) -> http1.Reply:
        _only_get(request)
        if len(parts) < 2:
            raise BadRequest(
                "bad path: name an invocation, by id or by service, handler and idempotency key,"
                " and end with /attach or /output"
            )
        action, target = parts[-1], parts[:-1]
        if len(target) == 1:
            return await self._result_of(_invocation_id(target[0]), action)
        if len(target) not in (3, 4):
            raise NotFound("not found")
        names = [_decoded(part) for part in target]
        service, idempotency_key = names[0], names[-1]
        key = names[1] if len(names) == 4 else None
        self._engine.catalog.handler(service, names[-2])
        id = ids.idempotent_invocation(service, key, names[-2], idempotency_key)
        return await self._result_of(id, action)

    def _attach_by_id(self, request: http1.Request, parts: list[str]) -> Answer:
        _only_get(request)
        return self._result_of(_invocation_id("/".join(parts)), "attach")

    def _output_by_id(self, request: http1.Request, parts: list[str]) -> Answer:
        _only_get(request)
        return self._result_of(_invocation_id("/".join(parts)), "output")

    async def _workflow(self, request: http1.Request, parts: list[str]) -> http1.Reply:
        _only_get(request)
        if len(parts) != 3:
            raise NotFound("not found")
        name, key, action = (_decoded(part) for part in parts)
        revision = self._engine.catalog.latest(name)
        if revision is None:
            self._engine.catalog.handler(name, "")
        return await self._result_of(ids.workflow_invocation(name, key), action)

    async def _result_of(self, id: bytes, action: str) -> http1.Reply:
        if action == "attach":
            output = await self._engine.attach(id)
            if output is None:
                return ingress_problem(NotFound("not found"), source=INVOCATION, invocation_id=id)
            return self._stored_result(id, output)
        if action != "output":
            raise NotFound("not found")
        found = self._engine.outline(id)
        if found is None:
            raise NotFound("invocation not found")
        if found.status != Status.COMPLETED or found.output is None:
            raise RequestError(
                "the invocation exists but has not completed yet", status=_NOT_COMPLETED
            )
        return self._stored_result(id, found.output)

    def _stored_result(self, id: bytes, output: bytes) -> http1.Reply:
        target = self._engine.target_of(id)
        handler = None
        existing = None
        if target is not None:
            revision = self._engine.catalog.latest(target.service)
            handler = revision.handlers.get(target.handler) if revision is not None else None
            if target.idempotency_key is not None or target.is_workflow_run:
                existing = self._engine.outline(id)
        return _result(output, id, handler, existing)

    async def _lookup(self, request: http1.Request, parts: list[str]) -> http1.Reply:
        try:
            target = json.loads(request.body)
            if target["target"] == "workflow":
                id = ids.workflow_invocation(
                    str(target["workflowName"]), str(target["workflowKey"])
                )
            else:
                key = target.get("serviceKey")
                id = ids.idempotent_invocation(
                    str(target["service"]),
                    None if key is None else str(key),
                    str(target["handler"]),
                    str(target["idempotencyKey"]),
                )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadRequest(
                "bad lookup: send a JSON object with target 'workflow' (workflowName, workflowKey)"
                " or 'idempotentInvocation' (service, serviceKey, handler, idempotencyKey)"
            ) from None
        return _json({"invocationId": ids.format_invocation(id)})

    # --- awakeables, health --------------------------------------------------------------------

    async def _awakeables(self, request: http1.Request, parts: list[str]) -> http1.Reply:
        if request.method != "POST":
            raise RequestError("awakeables are completed with POST", status=405)
        if len(parts) == 1:
            raise BadRequest("bad path: end it with /resolve or /reject")
        if len(parts) != 2 or parts[1] not in ("resolve", "reject"):
            raise NotFound("not found")
        try:
            id, index = ids.parse_awakeable(unquote(parts[0]))
        except ids.InvalidId as error:
            raise BadRequest(f"bad awakeable id '{parts[0]}': {error}") from None
        if index < ids.FIRST_AWAKEABLE_SIGNAL:
            raise BadRequest(f"bad awakeable id '{parts[0]}': signal {index} is reserved")
        body = request.body
        if parts[1] == "resolve":
            await self._engine.resolve_awakeable(id, index, value=body, reason=None)
        else:
            reason = body.decode("utf-8", "replace")
            await self._engine.resolve_awakeable(id, index, value=None, reason=reason)
        return http1.Reply(status=202)

    async def _health(self, request: http1.Request, parts: list[str]) -> http1.Reply:
        if request.method not in ("GET", "HEAD"):
            raise RequestError("health is asked for with GET", status=405)
        return _json({"services": [known.name for known in self._engine.catalog.services()]})


def _decoded(part: str) -> str:
    """A part of a path that names a key. Replacing bad bytes would make one key of many."""
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("the key in the path is not valid UTF-8") from None


def _idempotency_key(request: http1.Request, kind: Kind) -> str | None:
    text = request.header("idempotency-key")
    if text is None:
        return None
    if not text.isascii() or not text.isprintable() or not text:
        raise BadRequest("bad header idempotency-key: use printable ASCII characters")
    if kind is Kind.WORKFLOW_RUN:
        raise BadRequest(
            "cannot use the idempotency key with workflow handlers. A workflow runs once per key"
            " anyway: leave the header out"
        )
    return text


def _delay(request: http1.Request, *, send: bool) -> int | None:
    """The `delay` of the query, in milliseconds."""
    query = request.target.partition("?")[2]
    if not query:
        return None
    text = dict(parse_qsl(query, keep_blank_values=True)).get("delay")
    if text is None:
        return None
    if not send:
        raise BadRequest(
            "cannot use the delay query parameter with calls. The delay is supported only with"
            " sends"
        )
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadRequest(f"bad delay: {error}") from None


def _passed_on(request: http1.Request) -> list[tuple[str, str]]:
    """The headers that the handler sees, names in lower case."""
    headers = [("x-restate-ingress-path", request.target)]
    headers += [header for header in request.headers if header[0] not in _NOT_PASSED_ON]
    return headers


def _invocation_id(text: str) -> bytes:
    try:
        return ids.parse_invocation(unquote(text))
    except ids.InvalidId as error:
        raise BadRequest(f"bad invocation id '{text[:80]}': {error}") from None


def _accepted(accepted: Accepted, execution_time: int | None) -> http1.Reply:
    id = ids.format_invocation(accepted.id)
    answer = {"invocationId": id}
    if accepted.existing is not None:
        answer["status"] = "PreviouslyAccepted"
    else:
        if execution_time is not None:
            answer["executionTime"] = timestamp(execution_time)
        answer["status"] = "Accepted"
    return _json(answer, status=202, headers={ID_HEADER: id})


def _result(
    output: bytes, id: bytes, handler: Handler | None, existing: Outline | None
) -> http1.Reply:
    result = decode(m.OutputCommand, output)
    if result.failure is not None:
        error = RequestError(result.failure.message, status=result.failure.code)
        response = ingress_problem(error, source=INVOCATION, invocation_id=id)
        response.headers.update(_expiry(existing))
        return response
    headers = {ID_HEADER: ids.format_invocation(id)}
    if existing is not None:
        headers.update(_expiry(existing))
    content = b"" if result.value is None else result.value.content
    content_type = _content_type(handler, empty=not content)
    if content_type is not None:
        headers["content-type"] = content_type
    return http1.Reply(body=content, headers=headers)


def _expiry(existing: Outline | None) -> dict[str, str]:
    """When the result of a repeatable request goes."""
    if existing is None or existing.expires_at is None:
        return {}
    expires = datetime.fromtimestamp(existing.expires_at / 1000, UTC)
    return {"idempotency-expires": expires.isoformat(timespec="milliseconds")}


def _only_get(request: http1.Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise RequestError("method not allowed", status=405)


def _content_type(handler: Handler | None, *, empty: bool) -> str | None:
    rule = None if handler is None else handler.manifest.output
    if rule is None or (empty and not rule.set_content_type_if_empty):
        return None
    return rule.content_type


def _json(
    answer: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> http1.Reply:
    body = json.dumps(answer, separators=(",", ":")).encode()
    return http1.Reply(
        body=body, status=status, headers={"content-type": "application/json", **(headers or {})}
    )


def _preflight(request: http1.Request) -> http1.Reply:
    headers = {"vary": "origin, access-control-request-method, access-control-request-headers"}
    mirrored = {
        "origin": "access-control-allow-origin",
        "access-control-request-method": "access-control-allow-methods",
        "access-control-request-headers": "access-control-allow-headers",
    }
    for asked, allowed in mirrored.items():
        value = request.header(asked)
        if value is not None:
            headers[allowed] = value
    headers["access-control-allow-credentials"] = "true"
    return http1.Reply(headers=headers)
