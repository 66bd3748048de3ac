"""The admin API's routes about invocations: one of them, a list, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from steadfaas import ids
from steadfaas.errors import BadRequest, Conflict, RequestError
from steadfaas.machine.status import Status
from steadfaas.runtime.engine import Engine
from steadfaas.runtime.operators import Refusal
from steadfaas.runtime.routing import KEEP, LATEST
from steadfaas.servers.admin import AdminRoute, actor, json_body, json_response
from steadfaas.servers.invocation_views import brief_view, invocation_view, journal_view
from steadfaas.store import find, invocations
from steadfaas.store.find import Criteria, Found, Page

if TYPE_CHECKING:
    from steadfaas.runtime.check import Findings
    from steadfaas.servers.admin_bodies import BatchFilter, ListInvocations

_REFUSALS_SHOWN = 20
# A batch names its invocations in the body: ids have some forty characters.
_MAX_BATCH_BODY = 1024 * 1024


class InvocationRoutes:
    """The routes, bound to an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._operators = engine.operators

    def routes(self) -> list[AdminRoute]:
        """All of them."""
        one = "/invocations/{invocation}"
        return [
            AdminRoute("GET", "/invocations", self._list),
            AdminRoute("POST", "/invocations/batch", self._batch),
            AdminRoute("GET", one, self._describe),
            AdminRoute("DELETE", one, self._delete),
            AdminRoute("GET", f"{one}/journal", self._journal),
            AdminRoute("POST", f"{one}/check", self._check),
            AdminRoute("PATCH", f"{one}/cancel", self._cancel),
            AdminRoute("PATCH", f"{one}/kill", self._kill),
            AdminRoute("PATCH", f"{one}/pause", self._pause),
            AdminRoute("PATCH", f"{one}/resume", self._resume),
            AdminRoute("PATCH", f"{one}/purge", self._purge),
            AdminRoute("PATCH", f"{one}/purge-journal", self._purge_journal),
            AdminRoute("PATCH", f"{one}/restart-as-new", self._restart),
        ]

    # --- looking -------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        from steadfaas.servers.admin_bodies import ListInvocations, parse_query

        query = parse_query(ListInvocations, request)
        page = Page(query.limit, query.after, query.sample, query.newest)
        found, next_page = await self._find(_criteria(query), page)
        return json_response({"invocations": [brief_view(one) for one in found], **next_page})

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        engine = self._engine
        view = invocation_view(engine.store.reader, engine.catalog, _invocation_id(request))
        return json_response(view)

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        return json_response(journal_view(self._engine.store.reader, _invocation_id(request)))

    async def _find(self, criteria: Criteria, page: Page) -> tuple[list[Found], dict[str, int]]:
        """A page of what is found; and `next`, if there is more behind it."""
        found: list[Found] = []
        one_more = replace(page, limit=page.limit + 1)
        for step in find.steps(self._engine.store.reader, criteria, one_more):
            found += step
            await asyncio.sleep(0)  # a million invocations are no reason to stall requests
        if len(found) <= page.limit:
            return found, {}
        return found[: page.limit], {"next": found[page.limit - 1].seq}

    # --- one invocation ------------------------------------------------------------------------

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        return _at_once_or_later(await self._operators.cancel(_invocation_id(request)))

    async def _kill(self, request: web.Request) -> web.StreamResponse:
        await self._operators.kill(_invocation_id(request))
        return web.Response()

    async def _pause(self, request: web.Request) -> web.StreamResponse:
        return _at_once_or_later(await self._operators.pause(_invocation_id(request)))

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        from steadfaas.servers.admin_bodies import ResumeQuery, parse_query

        query = parse_query(ResumeQuery, request)
        id, choice = _invocation_id(request), _choice(query.deployment) or KEEP
        if query.check:
            await self._operators.check_resume(id, deployment=choice)
            choice = await self._checked(id, choice)
        await self._operators.resume(id, deployment=choice, actor=actor(request))
        return web.Response()

    async def _checked(self, id: bytes, choice: str) -> str:
        """Where to go on: what was checked. Raises Conflict unless the journal fits the code there.

        What is the latest may change while it is checked; whoever has recorded nothing goes there
        unchecked.
        """
        from steadfaas.runtime.check import check

        findings = await check(self._engine, id, choice)
        if findings.verdict != "compatible":
            raise Conflict(
                f"not resumed, because the check of its journal says {findings.verdict}:"
                f" {findings.reason}"
            )
        return findings.deployment_id if choice == LATEST and findings.commands else choice

    async def _purge(self, request: web.Request) -> web.StreamResponse:
        await self._operators.purge(_invocation_id(request))
        return web.Response()

    async def _purge_journal(self, request: web.Request) -> web.StreamResponse:
        await self._operators.purge_journal(_invocation_id(request))
        return web.Response()

    async def _restart(self, request: web.Request) -> web.StreamResponse:
        from steadfaas.servers.admin_bodies import RestartQuery, parse_query

        query = parse_query(RestartQuery, request)
        new = await self._operators.restart_as_new(
            _invocation_id(request), last=query.from_, deployment=_choice(query.deployment) or ""
        )
        return json_response({"new_invocation_id": ids.format_invocation(new)})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        """The old form of cancel, kill and purge: nobody is told whether there was anything."""
        from steadfaas.servers.admin_bodies import DeleteInvocation, parse_query

        modes: dict[str, Callable[[bytes], Awaitable[object]]] = {
            "cancel": self._operators.cancel,
            "kill": self._operators.kill,
            "purge": self._operators.purge,
        }
        operate = modes[parse_query(DeleteInvocation, request).mode]
        try:
            await operate(_invocation_id(request))
        except RequestError as refused:
            if refused.status not in (404, 409):
                raise
        return web.Response(status=202)

    async def _check(self, request: web.Request) -> web.StreamResponse:
        from steadfaas.runtime.check import check
        from steadfaas.servers.admin_bodies import CheckQuery, parse_query

        query = parse_query(CheckQuery, request)
        id = _invocation_id(request)
        findings = await check(self._engine, id, _choice(query.deployment) or LATEST)
        return json_response(findings_view(id, findings))

    # --- many ----------------------------------------------------------------------------------

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        from steadfaas.servers.admin_bodies import BatchBody, parse_body

        body = parse_body(BatchBody, await json_body(request, limit=_MAX_BATCH_BODY))
        chosen = None if body.ids is None else frozenset(map(_parse_id, body.ids))
        deployment = _choice(body.deployment, "request field") or ""
        criteria = _criteria(body.filter, chosen, operation=body.operation)
        # Repetitions get higher numbers: a page that goes down never meets those of one before.
        newest = body.operation == "restart-as-new"
        page = Page(body.limit, body.after, newest=newest)
        found, next_page = await self._find(criteria, page)
        # Each page names the same ids: the first one tells of those that nobody knows.
        unknown = [] if body.after else find.unknown(self._engine.store.reader, chosen or ())
        tally = await self._operators.batch(
            body.operation,
            [] if body.dry_run else [one.id for one in sorted(found)],
            deployment=deployment,
            actor=actor(request),
        )
        refusals = [Refusal(id, invocations.unknown(id)) for id in unknown] + tally.refusals
        answer: dict[str, Any] = {
            "operation": body.operation,
            "matched": len(found),
            "done": tally.done,
            "accepted": tally.accepted,
            "refused": len(refusals),
            "refusals": [
                {"id": ids.format_invocation(one.id), "message": one.error.message}
                for one in refusals[:_REFUSALS_SHOWN]
            ],
        }
        return json_response({**answer, **next_page})


def findings_view(id: bytes, findings: Findings) -> dict[str, Any]:
    """What a check found."""
    view = {
        "invocation_id": ids.format_invocation(id),
        "target": findings.target,
        "deployment_id": findings.deployment_id,
        "verdict": findings.verdict,
        "index": findings.index,
        "recorded": findings.recorded,
        "issued": findings.issued,
        "reason": findings.reason,
        "commands": findings.commands,
    }
    return {name: value for name, value in view.items() if value is not None}


# What an operation is for, if the filter names no status: the same as the official CLI asks for.
_COMPLETED = frozenset({Status.COMPLETED})
_BEGUN = find.UNFINISHED - {Status.SCHEDULED, Status.PENDING}
_MEANT = {
    "cancel": find.UNFINISHED,
    "kill": find.UNFINISHED,
    "pause": _BEGUN - {Status.PAUSED},
    "resume": _BEGUN,
    "purge": _COMPLETED,
    "purge-journal": _COMPLETED,
    "restart-as-new": _COMPLETED,
}


def _criteria(
    asked: ListInvocations | BatchFilter,
    chosen: frozenset[bytes] | None = None,
    *,
    operation: str | None = None,
) -> Criteria:
    statuses = frozenset(Status[name.upper().replace("-", "_")] for name in asked.status or ())
    if not statuses and operation is not None:
        # Those that are named are all tried, so that each refusal is told.
        statuses = frozenset(Status) if chosen is not None else _MEANT[operation]
    return Criteria(
        target=asked.target,
        service=asked.service,
        handler=asked.handler,
        key=asked.key,
        statuses=statuses or find.UNFINISHED,
        deployment=asked.deployment,
        ids=chosen,
    )


def _invocation_id(request: web.Request) -> bytes:
    return _parse_id(request.match_info["invocation"])


def _parse_id(text: str) -> bytes:
    try:
        return ids.parse_invocation(text)
    except ids.InvalidId as error:
        raise BadRequest(f"The request field 'invocation_id' is invalid. Reason: {error}") from None


def _choice(text: str | None, place: str = "query parameter") -> str | None:
    """A deployment as a request names it: `keep`, `latest` (capitalised too) or an id."""
    if text is None or text.lower() in (KEEP, LATEST):
        return None if text is None else text.lower()
    try:
        ids.parse_deployment(text)
    except ids.InvalidId as error:
        raise BadRequest(f"The {place} 'deployment' is invalid. Reason: {error}") from None
    return text


def _at_once_or_later(done: bool) -> web.Response:
    return web.Response(status=200 if done else 202)
