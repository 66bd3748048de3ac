"""Deno Deploy on this machine: its control plane, and an edge that leads its hosts to processes.

A *revision* is one version of an *app*; a *timeline* is a line of revisions, one of which is active
and answers on the timeline's domains. Each revision that was built has a timeline of its own, and
may be active in production and in branches besides (docs.deno.com/deploy/reference/timelines).

What the API answers has the fields and types of the vendor's (api.deno.com/v2/docs), as far as the
adapter asks for them. Slugs and partitions of timelines are those that the tests of the vendor's
client know (github.com/denoland/sandbox-py); some codes of errors, and the key under which a
partition has a branch's name, are our guess. The processes behind revisions are whatever a test
starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self

from aiohttp import web

from steadfaas.testing.gateway import Answer, Called, Gateway
from steadfaas.testing.loop_thread import LoopThread
from steadfaas.testing.pace import Pace

Status = Literal["skipped", "queued", "building", "succeeded", "failed"]

PRODUCTION: Final = "production"
_DOMAIN: Final = "deno.net"
_NOWHERE: Final = "http://127.0.0.1:1"
_TOKEN: Final = "ddo_a-token-that-only-the-fake-knows"
_EPOCH: Final = datetime(2026, 11, 1, tzinfo=UTC)
_DEFAULT_PAGE: Final = 30
_LARGEST_PAGE: Final = 100
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class Revision:
    """A version of an app, and the process behind it."""

    id: str
    app: App
    status: Status
    created_at: str
    upstream: str | None
    failure_reason: str | None = None
    retention: Literal["auto", "indefinite"] = "auto"
    deleted_at: str | None = None
    disabled: bool = False

    @property
    def host(self) -> str:
        """The host that leads to it alone."""
        return f"{self.app.slug}-{self.id}.{self.app.org}.{_DOMAIN}"

    @property
    def url(self) -> str:
        """The address that is registered."""
        return f"https://{self.host}/"


@dataclass
class App:
    """An app. `active` maps timelines that move (`production`, a branch's name) to a revision."""

    slug: str
    org: str
    id: str
    revisions: list[Revision] = field(default_factory=list)
    active: dict[str, Revision] = field(default_factory=dict)
    custom_domains: list[str] = field(default_factory=list)

    def host(self, timeline: str) -> str:
        """The host of a timeline that moves."""
        name = self.slug if timeline == PRODUCTION else f"{self.slug}--{_slug(timeline)}"
        return f"{name}.{self.org}.{_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the API, and what it answered. `route` has `{app}` and `{revision}` in it."""

    method: str
    route: str
    path: str
    status: int
    body: Any


class FakeDeno:
    """Deno Deploy for one organisation. Use it as a context manager, or call `close`.

    `largest_page` limits pages beyond what the API does, so that few revisions make many pages.
    Each answer of the API takes `latency` seconds; `pace` tells how busy it was. Methods may be
    called from any thread.
    """

    def __init__(
        self,
        org: str = "acme",
        *,
        token: str = _TOKEN,
        largest_page: int = _LARGEST_PAGE,
        latency: float = 0.0,
    ) -> None:
        self.org = org
        self.pace = Pace(latency)
        self.asked: list[Asked] = []
        self._token = token
        self._largest_page = largest_page
        self._apps: list[App] = []
        self._throttled = 0
        self._retry_after = "1"
        self._made = 0
        self._gateway = Gateway([f"*.{org}.{_DOMAIN}"], self.route, _boot_failure)
        self._loop = LoopThread("fake-deno")
        self._runner: web.AppRunner | None = None
        try:
            self._loop.call(self._start())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._loop.call(self._stop())
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def env(self) -> dict[str, str]:
        """Environment variables for a process that is to use it: API, token, and the way to its
        hosts."""
        assert self._runner is not None
        port = self._runner.addresses[0][1]
        return {
            **self._gateway.env(),
            "STEADFAAS_DENO_API": f"http://127.0.0.1:{port}/v2",
            "STEADFAAS_DENO_TOKEN": self._token,
        }

    # --- what happens on the platform ----------------------------------------------------------

    def app(self, slug: str) -> App:
        """The app of this name, made if there is none."""
        for known in self._apps:
            if known.slug == slug:
                return known
        made = App(slug, self.org, _id(f"app/{slug}"))
        self._apps.append(made)
        return made

    def deploy(
        self,
        app: str,
        upstream: str | None = None,
        *,
        to: Iterable[str] = (PRODUCTION,),
        status: Status = "succeeded",
        failure_reason: str | None = None,
        id: str | None = None,
    ) -> Revision:
        """Make a revision, and let it be active in these timelines if it was built.

        `upstream` is the `http://` origin of its process; without one it cannot start.
        """
        owner = self.app(app)
        self._made += 1
        made = Revision(
            id or _id(f"{app}/{self._made}"),
            owner,
            status,
            (_EPOCH + timedelta(minutes=self._made)).isoformat().replace("+00:00", "Z"),
            upstream,
            failure_reason,
        )
        owner.revisions.append(made)
        if status == "succeeded":
            for timeline in to:
                self.activate(made, timeline)
        return made

    def activate(self, revision: Revision, timeline: str = PRODUCTION) -> None:
        """Let a timeline lead to a revision: a deploy there, or a rollback."""
        revision.app.active[timeline] = revision

    def delete(self, revision: Revision) -> None:
        """Delete it, as somebody would on the app's page."""
        revision.deleted_at = "2026-11-29T00:00:00Z"
        active = revision.app.active
        for timeline in [name for name, found in active.items() if found is revision]:
            del active[timeline]

    def disable(self, revision: Revision, *, disabled: bool = True) -> None:
        """Do what happens to a revision that nobody calls for long, or undo it."""
        revision.disabled = disabled

    def rename(self, app: str, slug: str) -> None:
        """Rename an app: all its addresses end."""
        self.app(app).slug = slug

    def throttle(self, times: int, *, retry_after: str = "0.01") -> None:
        """Answer so many requests to the API with 429."""
        self._throttled, self._retry_after = times, retry_after

    def route(self, called: Called) -> str | Answer:
        """The process of the revision that is active at a host now."""
        for app in self._apps:
            for each in app.revisions:
                served = each.status == "succeeded" and each.deleted_at is None
                if served and not each.disabled and called.host in _hosts(each):
                    return each.upstream or _NOWHERE
        return _not_found(called)

    # --- the servers ---------------------------------------------------------------------------

    async def _start(self) -> None:
        app = web.Application(middlewares=[self.pace.middleware(), self._guarded])
        app.add_routes(
            [
                web.get("/v2/apps/{app}", self._get_app),
                web.get("/v2/apps/{app}/revisions", self._list_revisions),
                web.get("/v2/revisions/{revision}", self._get_revision),
                web.delete("/v2/revisions/{revision}", self._delete_revision),
                web.get("/v2/revisions/{revision}/timelines", self._list_timelines),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await self._gateway.start()

    async def _stop(self) -> None:
        await self._gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Token and rate first; and a note of every answer."""
        try:
            answer = self._refused(request) or await handler(request)
        except _Missing as missing:
            answer = _error(404, "NOT_FOUND", str(missing))
        except web.HTTPNotFound:
            answer = _error(404, "NOT_FOUND", "there is no such route")
        assert isinstance(answer, web.Response)
        answer.headers["x-deno-trace-id"] = "0123456789abcdef"
        resource = request.match_info.route.resource
        route = "" if resource is None else resource.canonical.removeprefix("/v2")
        text = answer.text
        body = json.loads(text) if text else None
        self.asked.append(Asked(request.method, route, request.path, answer.status, body))
        return answer

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return _error(401, "UNAUTHORIZED", "The token is not valid.")
        if self._throttled > 0:
            self._throttled -= 1
            refusal = _error(429, "RATE_LIMITED", "Too many requests.")
            refusal.headers["retry-after"] = self._retry_after
            return refusal
        return None

    # --- the API -------------------------------------------------------------------------------

    async def _get_app(self, request: web.Request) -> web.Response:
        app = self._wanted_app(request)
        moments = {"created_at": _EPOCH.isoformat(), "updated_at": _EPOCH.isoformat()}
        return web.json_response({"id": app.id, "slug": app.slug, **moments})

    async def _list_revisions(self, request: web.Request) -> web.Response:
        status = request.query.get("status")
        newest_first = reversed(self._wanted_app(request).revisions)
        found = [each for each in newest_first if status in (None, each.status)]
        return self._page(request, [_revision(each) for each in found])

    async def _get_revision(self, request: web.Request) -> web.Response:
        return web.json_response(_revision(self._wanted_revision(request)))

    async def _delete_revision(self, request: web.Request) -> web.Response:
        found = self._wanted_revision(request)
        if found in found.app.active.values() or found.status in ("queued", "building"):
            return _error(409, "REVISION_IN_USE", "The revision is active or being built.")
        self.delete(found)
        return web.Response(status=204)

    async def _list_timelines(self, request: web.Request) -> web.Response:
        return self._page(request, list(_timelines(self._wanted_revision(request))))

    def _wanted_app(self, request: web.Request) -> App:
        wanted = request.match_info["app"]
        for app in self._apps:
            if wanted in (app.id, app.slug):
                return app
        raise _Missing("The requested app was not found.")

    def _wanted_revision(self, request: web.Request) -> Revision:
        wanted = request.match_info["revision"]
        for app in self._apps:
            for revision in app.revisions:
                if revision.id == wanted:
                    return revision
        raise _Missing("The requested revision was not found.")

    def _page(self, request: web.Request, found: list[Any]) -> web.Response:
        limit = int(request.query.get("limit", _DEFAULT_PAGE))
        if not 1 <= limit <= _LARGEST_PAGE:
            return _error(400, "BAD_REQUEST", "limit must be between 1 and 100")
        size = min(limit, self._largest_page)
        start = int(request.query.get("cursor", "c0").removeprefix("c"))
        answer = web.json_response(found[start : start + size])
        if start + size < len(found):
            following = request.url.update_query(cursor=f"c{start + size}")
            answer.headers["link"] = f'<{following}>; rel="next"'
        return answer


class _Missing(Exception):
    """The API knows no such thing."""


def _not_found(called: Called) -> Answer:
    """Seen for Deno Deploy Classic; what the new platform answers is not known."""
    return Answer(
        404, "The requested deployment could not be found.\n\ncode: DEPLOYMENT_NOT_FOUND\n"
    )


def _boot_failure(called: Called) -> Answer:
    """The process died before it listened."""
    return Answer(502, "The deployment failed.\n\ncode: BOOT_FAILURE\n")


# --- what things look like in JSON -------------------------------------------------------------


def _revision(found: Revision) -> dict[str, Any]:
    done = found.status in ("succeeded", "failed")
    return {
        "id": found.id,
        "status": found.status,
        "failure_reason": found.failure_reason,
        "created_at": found.created_at,
        "cancellation_requested_at": None,
        "build_finished_at": found.created_at if done else None,
        "deleted_at": found.deleted_at,
        "retention": found.retention,
    }


def _timelines(found: Revision) -> Iterable[dict[str, Any]]:
    """Where a revision is active: in its own timeline, and in those that lead to it now."""
    if found.status != "succeeded" or found.deleted_at is not None:
        return
    app = found.app
    for name, active in sorted(app.active.items()):
        if active is found:
            production = name == PRODUCTION
            yield _timeline(
                app,
                PRODUCTION if production else "git-branch",
                {} if production else {"git.branch": name},
                "production" if production else "development",
                [app.host(name), *(app.custom_domains if production else ())],
            )
    own = {"deno.revision.id": found.id}
    yield _timeline(app, "preview", own, "development", [found.host])


def _timeline(
    app: App, slug: str, partition: dict[str, str], context: str, domains: list[str]
) -> dict[str, Any]:
    return {
        "slug": slug,
        "partition": partition,
        "app": {"id": app.id, "slug": app.slug},
        "context": {"slug": context},
        "domains": [{"domain": each} for each in domains],
    }


def _hosts(found: Revision) -> set[str]:
    return {each["domain"] for line in _timelines(found) for each in line["domains"]}


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)


def _slug(branch: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in branch.lower())


def _id(seed: str) -> str:
    """Twelve letters and digits, always the same for a seed."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    digits = []
    for _ in range(12):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(digits)
