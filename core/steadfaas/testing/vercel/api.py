"""The fake Vercel's API: tokens, throttles, pages, and what is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from steadfaas.testing.pace import Pace
from steadfaas.testing.vercel import shapes

if TYPE_CHECKING:
    from aiohttp import web

    from steadfaas.testing.vercel.model import FakeDeployment, FakeProject, Team

_DEFAULT_LIMIT: Final = 20
_LATEST: Final = 2**53
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request of the API and its answer; `route` has names for its variable parts."""

    method: str
    route: str
    query: Mapping[str, str]
    status: int
    body: Any


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = {"error": {"code": code, "message": message}}


class Api:
    """Answers for one team. `page_size` is the most that a page holds."""

    def __init__(self, team: Team, token: str, page_size: int, pace: Pace) -> None:
        self._team = team
        self._pace = pace
        self._token = token
        self._page_size = page_size
        self._throttles = 0
        self._retry_after = ""
        self.answered: list[Answered] = []

    def throttle(self, times: int, retry_after: str) -> None:
        """Answer the next requests with 429."""
        self._throttles, self._retry_after = times, retry_after

    def app(self) -> web.Application:
        """What a server serves."""
        from aiohttp import web

        app = web.Application(middlewares=[self._pace.middleware()])
        for method, route, answer in (
            ("GET", "/v13/deployments/{id}", self._get_deployment),
            ("DELETE", "/v13/deployments/{id}", self._delete_deployment),
            ("GET", "/v6/deployments", self._list_deployments),
            ("GET", "/v2/deployments/{id}/aliases", self._list_aliases_of),
            ("POST", "/v2/deployments/{id}/aliases", self._assign_alias),
            ("DELETE", "/v2/aliases/{id}", self._delete_alias),
            ("GET", "/v4/aliases", self._list_aliases),
            ("GET", "/v9/projects/{id}", self._get_project),
            ("GET", "/v1/projects/{id}/rolling-release", self._get_rolling_release),
        ):
            app.router.add_route(method, route, self._serving(route, answer))
        return app

    def _serving(
        self, route: str, answer: Callable[[web.Request], Awaitable[shapes.Json]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Let in who may ask, and note what was answered."""
        from aiohttp import web

        async def serve(request: web.Request) -> web.StreamResponse:
            headers: dict[str, str] = {}
            try:
                self._admit(request)
                status, body = 200, await answer(request)
            except Refusal as refusal:
                status, body, headers = refusal.status, refusal.body, refusal.headers
            query = dict(request.query)
            self.answered.append(Answered(request.method, route, query, status, body))
            return web.json_response(body, status=status, headers=headers)

        return serve

    def _admit(self, request: web.Request) -> None:
        if self._throttles:
            self._throttles -= 1
            after = {"Retry-After": self._retry_after}
            raise Refusal(429, "rate_limited", "Too many requests", **after)
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise Refusal(403, "forbidden", "Not authorized")
        id, slug = request.query.get("teamId"), request.query.get("slug")
        if id is None and slug is None:  # everything here belongs to the team
            raise Refusal(404, "not_found", "Not found")
        if id not in (None, self._team.id) or slug not in (None, self._team.slug):
            raise Refusal(403, "forbidden", "Not authorized")

    # --- answers -------------------------------------------------------------------------------

    async def _get_deployment(self, request: web.Request) -> shapes.Json:
        return shapes.deployment(*self._deployment(request))

    async def _list_deployments(self, request: web.Request) -> shapes.Json:
        project = self._project(request.query.get("projectId", ""))
        rows = [
            (each.created, each)
            for each in project.deployments.values()
            if _wanted(each, request.query)
        ]
        page, pagination = self._page(rows, request.query)
        return {
            "deployments": [shapes.row(project, each) for each in page],
            "pagination": pagination,
        }

    async def _delete_deployment(self, request: web.Request) -> shapes.Json:
        project, found = self._deployment(request)
        if "url" in request.query:  # it beats the id, on the real one too
            project, found = self._found(request.query["url"])
        project.delete(found)
        return {"uid": found.id, "state": "DELETED"}

    async def _list_aliases_of(self, request: web.Request) -> shapes.Json:
        project, found = self._deployment(request)
        return {"aliases": [shapes.alias(host, found) for host in project.aliases_of(found)]}

    async def _assign_alias(self, request: web.Request) -> shapes.Json:
        project, found = self._deployment(request)
        host = str((await request.json())["alias"])
        project.alias(host, found)
        return shapes.alias(host, found)

    async def _delete_alias(self, request: web.Request) -> shapes.Json:
        for project in self._team.projects.values():
            if project.aliases.pop(request.match_info["id"], None) is not None:
                return {"status": "SUCCESS"}
        raise Refusal(404, "not_found", "The alias was not found")

    async def _list_aliases(self, request: web.Request) -> shapes.Json:
        project = self._project(request.query.get("projectId", ""))
        known = project.deployments
        rows = [(known[id].created, (host, known[id])) for host, id in project.aliases.items()]
        page, pagination = self._page(rows, request.query)
        return {
            "aliases": [shapes.listed_alias(host, found) for host, found in page],
            "pagination": pagination,
        }

    async def _get_project(self, request: web.Request) -> shapes.Json:
        return shapes.project(self._project(request.match_info["id"]))

    async def _get_rolling_release(self, request: web.Request) -> shapes.Json:
        return shapes.rolling_release(self._project(request.match_info["id"]))

    # --- looking up ----------------------------------------------------------------------------

    def _project(self, id_or_name: str) -> FakeProject:
        found = self._team.project(id_or_name)
        if found is None:
            raise Refusal(404, "not_found", "Project not found")
        return found

    def _deployment(self, request: web.Request) -> tuple[FakeProject, FakeDeployment]:
        return self._found(request.match_info["id"])

    def _found(self, id_or_host: str) -> tuple[FakeProject, FakeDeployment]:
        found = self._team.find(id_or_host)
        if found is None:
            raise Refusal(404, "not_found", "The deployment was not found")
        return found

    def _page(
        self, rows: list[tuple[int, _T]], query: Mapping[str, str]
    ) -> tuple[list[_T], shapes.Json]:
        """The newest rows of those that the query's times allow, and where it goes on.

        Rows of one moment stay together: the next page is asked for by time.
        """
        since, until = int(query.get("since", 0)), int(query.get("until", _LATEST))
        size = min(int(query.get("limit", _DEFAULT_LIMIT)), self._page_size)
        allowed = [row for row in rows if since < row[0] < until]
        ordered = sorted(allowed, key=lambda row: row[0], reverse=True)
        while size < len(ordered) and ordered[size - 1][0] == ordered[size][0]:
            size += 1
        times = [created for created, _ in ordered[:size]]
        pagination = {
            "count": len(times),
            "next": times[-1] if len(ordered) > size else None,
            "prev": times[0] if times else None,
        }
        return [each for _, each in ordered[:size]], pagination


def _wanted(each: FakeDeployment, query: Mapping[str, str]) -> bool:
    states = query.get("state", "").split(",")
    return (
        query.get("branch") in (None, each.branch)
        and query.get("sha") in (None, each.commit)
        and query.get("target") in (None, each.target)
        and (states == [""] or each.state in states)
    )
