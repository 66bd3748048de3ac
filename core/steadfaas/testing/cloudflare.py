"""A Cloudflare without an account: the part of its API that knows versions of Workers, and what
answers at their URLs.

The API is a server on 127.0.0.1 with the routes, envelopes, pages and errors of the real one, as
far as the adapter uses them (developers.cloudflare.com/api). Versions are served by whatever the
test runs (workerd, for example), behind a gateway that stands for the hosts of `workers.dev`.
Some things stand in no document: the numbers of most errors, what deleting a deployed version
answers, and the text of a workers.dev address at which nothing is. There it answers what users
report, or what is likely.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid5

from aiohttp import web

from steadfaas.testing.gateway import Answer, Called, Gateway
from steadfaas.testing.loop_thread import LoopThread
from steadfaas.testing.pace import Pace

ACCOUNT: Final = "0123456789abcdef0123456789abcdef"
TOKEN: Final = "cf-token-of-the-fake"
_LOOPBACK: Final = "127.0.0.1"
_SEED: Final = UUID("6f1d4a52-6a0e-4d38-9d0e-5d2a54b0a1c7")
_BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
# What is at a workers.dev address that leads to nothing, as programs see it.
_NOTHING: Final = Answer(404, "error code: 1042", {"server": "cloudflare"})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeVersion:
    """A version. `serves` is the base address of the local server that runs it."""

    id: str
    number: int
    created_on: datetime
    serves: str
    tag: str | None = None
    message: str | None = None
    routable: bool = True  # Workers with Durable Objects have no Version URLs


@dataclass
class FakeWorker:
    """A Worker. `deployed` are percentages by version; `aliases` lead to versions."""

    name: str
    id: str
    versions: dict[str, FakeVersion] = field(default_factory=dict)
    deployed: dict[str, float] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    previews_enabled: bool = True
    names_dark_urls: bool = False  # whether `urls` are listed while they are switched off
    uploads: int = 0


class FakeCloudflare:
    """One account with Workers. Use it as a context manager; it runs in a thread of its own.

    `requests` are those that came, as `GET /path?query`. `page_size` is the most that a page holds,
    whatever is asked for. Each answer of the API takes `latency` seconds; `pace` tells how busy it
    was.
    """

    def __init__(
        self,
        *,
        account: str = ACCOUNT,
        subdomain: str = "acme",
        token: str = TOKEN,
        page_size: int = 100,
        latency: float = 0.0,
    ) -> None:
        self.pace = Pace(latency)
        self.accounts = {account: "The account of the test"}
        self.account = account
        self.domain = f"{subdomain}.workers.dev"
        self.token = token
        self.page_size = page_size
        self.workers: dict[str, FakeWorker] = {}
        self.requests: list[str] = []
        self.access: tuple[str, str] | None = None
        self._throttled: list[str] = []
        self._lock = threading.RLock()
        self._port = 0
        self._gateway = Gateway([f"*.{self.domain}"], self.route)

    # --- what a test does ----------------------------------------------------------------------

    def env(self) -> dict[str, str]:
        """Environment variables for a process that is to use it: API, token, and the way to its
        hosts."""
        return {
            **self._gateway.env(),
            "STEADFAAS_CLOUDFLARE_API": f"http://{_LOOPBACK}:{self._port}/client/v4",
            "STEADFAAS_CLOUDFLARE_TOKEN": self.token,
        }

    def upload(
        self,
        worker: str,
        serves: str = "",
        *,
        tag: str | None = None,
        message: str | None = None,
        version_id: str | None = None,
        routable: bool = True,
    ) -> FakeVersion:
        """Upload a version, without deploying it; the Worker is made by its first one."""
        with self._lock:
            owner = self._worker_of(worker)
            owner.uploads += 1
            number = owner.uploads
            made = FakeVersion(
                version_id or str(uuid5(_SEED, f"{worker}/{number}")),
                number,
                _BEGINNING + timedelta(minutes=number),
                serves,
                tag,
                message,
                routable,
            )
            owner.versions[made.id] = made
            return made

    def deploy(self, worker: str, **shares: float) -> None:
        """What gets the traffic: `deploy("shop", **{version.id: 100})`."""
        with self._lock:
            self.workers[worker].deployed = dict(shares)

    def alias(self, worker: str, name: str, version: FakeVersion) -> str:
        """Let an aliased URL lead to a version; gives its host."""
        with self._lock:
            self.workers[worker].aliases[name] = version.id
            return f"{name}-{worker}.{self.domain}"

    def delete(self, worker: str, version: FakeVersion) -> None:
        """Delete a version, whoever needs it."""
        with self._lock:
            del self.workers[worker].versions[version.id]

    def switch(self, worker: str, *, previews_enabled: bool) -> None:
        """Switch all Version URLs of a Worker on or off."""
        with self._lock:
            self.workers[worker].previews_enabled = previews_enabled

    def throttle(self, times: int, retry_after: str = "0.01") -> None:
        """Answer the next requests with 429."""
        with self._lock:
            self._throttled += [retry_after] * times

    def host(self, worker: str, version: FakeVersion) -> str:
        """The host of a version's URL."""
        return f"{version.id[:8]}-{worker}.{self.domain}"

    def url(self, worker: str, version: FakeVersion) -> str:
        """A version's URL."""
        return f"https://{self.host(worker, version)}"

    def route(self, called: Called) -> str | Answer:
        """What is at a host: the local server of a version, or Cloudflare's own answer."""
        with self._lock:
            found = self._at(called.host)
            if found is None:
                return _NOTHING
            if self.access is not None and self.access != (
                called.headers.get("cf-access-client-id"),
                called.headers.get("cf-access-client-secret"),
            ):
                login = f"https://acme.cloudflareaccess.com/cdn-cgi/access/login/{called.host}"
                return Answer(302, "", {"location": login, "server": "cloudflare"})
            return found.serves

    # --- life ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread = LoopThread("steadfaas-fake-cloudflare")
        self._thread.call(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.call(self._stop())
        self._thread.stop()

    async def _start(self) -> None:
        app = web.Application(middlewares=[self.pace.middleware(), self._checked])
        account = "/client/v4/accounts/{account}/workers"
        app.router.add_get("/client/v4/accounts", self._accounts)
        app.router.add_get(f"{account}/workers/{{worker}}", self._worker)
        app.router.add_get(f"{account}/workers/{{worker}}/versions", self._versions)
        app.router.add_get(f"{account}/workers/{{worker}}/versions/{{version}}", self._version)
        app.router.add_delete(f"{account}/workers/{{worker}}/versions/{{version}}", self._delete)
        app.router.add_get(f"{account}/scripts/{{worker}}/deployments", self._deployments)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOOPBACK, 0).start()
        self._port = self._runner.addresses[0][1]
        await self._gateway.start()

    async def _stop(self) -> None:
        await self._gateway.close()
        await self._runner.cleanup()

    # --- routes --------------------------------------------------------------------------------

    @web.middleware
    async def _checked(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        with self._lock:
            self.requests.append(f"{request.method} {request.path_qs}")
            if self._throttled:
                wait = self._throttled.pop(0)
                return _error(429, 971, "Please wait and consider throttling your requests", wait)
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return _error(403, 10000, "Authentication error")
            try:
                return await handler(request)
            except web.HTTPNotFound:
                return _error(404, 7003, "Could not route to this address")
            except _Missing as missing:
                return _error(404, missing.code, missing.message)

    async def _accounts(self, request: web.Request) -> web.Response:
        named = [{"id": each, "name": name} for each, name in self.accounts.items()]
        return self._page(request, named)

    async def _worker(self, request: web.Request) -> web.Response:
        return _good(self._worker_json(self._known(request)))

    async def _versions(self, request: web.Request) -> web.Response:
        worker = self._known(request)
        newest_first = sorted(worker.versions.values(), key=lambda each: -each.number)
        return self._page(request, [self._version_json(worker, each) for each in newest_first])

    async def _version(self, request: web.Request) -> web.Response:
        worker = self._known(request)
        return _good(self._version_json(worker, self._known_version(worker, request)))

    async def _delete(self, request: web.Request) -> web.Response:
        worker = self._known(request)
        version = self._known_version(worker, request)
        if version.id in worker.deployed:
            return _error(409, 10208, "Version is part of the active deployment")
        del worker.versions[version.id]
        return _good(None)

    async def _deployments(self, request: web.Request) -> web.Response:
        worker = self._known(request)
        deployment = {
            "id": str(uuid5(_SEED, repr(worker.deployed))),
            "created_on": _time(_BEGINNING),
            "source": "wrangler",
            "strategy": "percentage",
            "versions": [
                {"version_id": version, "percentage": share}
                for version, share in worker.deployed.items()
            ],
        }
        return _good({"deployments": [deployment] if worker.deployed else []})

    # --- how -----------------------------------------------------------------------------------

    def _worker_of(self, name: str) -> FakeWorker:
        if name not in self.workers:
            self.workers[name] = FakeWorker(name, uuid5(_SEED, name).hex)
        return self.workers[name]

    def _known(self, request: web.Request) -> FakeWorker:
        """By name or id, as the API takes both."""
        asked = request.match_info["worker"]
        if request.match_info["account"] in self.accounts:
            for worker in self.workers.values():
                if asked in (worker.name, worker.id):
                    return worker
        raise _Missing(10007, "This Worker does not exist on your account.")

    def _known_version(self, worker: FakeWorker, request: web.Request) -> FakeVersion:
        found = worker.versions.get(request.match_info["version"])
        if found is None:
            raise _Missing(10222, "This version does not exist.")
        return found

    def _at(self, host: str) -> FakeVersion | None:
        label = host.removesuffix(f".{self.domain}")
        for worker in self.workers.values():
            if label == worker.name and worker.deployed:
                return worker.versions.get(max(worker.deployed, key=lambda v: worker.deployed[v]))
            start = label.removesuffix(f"-{worker.name}")
            if start == label or not worker.previews_enabled:
                continue
            if start in worker.aliases:
                return worker.versions.get(worker.aliases[start])
            for version in worker.versions.values():
                if version.routable and version.id.startswith(start):
                    return version
        return None

    def _worker_json(self, worker: FakeWorker) -> dict[str, Any]:
        return {
            "id": worker.id,
            "name": worker.name,
            "created_on": _time(_BEGINNING),
            "updated_on": _time(_BEGINNING + timedelta(minutes=worker.uploads)),
            "logpush": False,
            "observability": {"enabled": False},
            "references": {},
            "subdomain": {
                "enabled": True,
                "previews_enabled": worker.previews_enabled,
                "preview_url_suffix": f"-{worker.name}.{self.domain}",
            },
            "tags": [],
            "tail_consumers": [],
        }

    def _version_json(self, worker: FakeWorker, version: FakeVersion) -> dict[str, Any]:
        urls = [self.url(worker.name, version)] if version.routable else []
        named = {"workers/tag": version.tag, "workers/message": version.message}
        return {
            "id": version.id,
            "number": version.number,
            "created_on": _time(version.created_on),
            "urls": urls if worker.previews_enabled or worker.names_dark_urls else [],
            "annotations": {
                "workers/triggered_by": "version_upload",
                **{name: text for name, text in named.items() if text is not None},
            },
            "source": "wrangler",
        }

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        page = int(request.query.get("page", "1"))
        size = min(int(request.query.get("per_page", "10")), self.page_size)
        shown = items[(page - 1) * size : page * size]
        info = {
            "page": page,
            "per_page": size,
            "count": len(shown),
            "total_count": len(items),
            "total_pages": -(-len(items) // size),
        }
        return _good(shown, info)


class _Missing(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _good(result: Any, info: dict[str, int] | None = None) -> web.Response:
    body = {"success": True, "errors": [], "messages": [], "result": result}
    return web.json_response(body if info is None else {**body, "result_info": info})


def _error(status: int, code: int, message: str, retry_after: str | None = None) -> web.Response:
    errors = [{"code": code, "message": message}]
    body = {"success": False, "errors": errors, "messages": [], "result": None}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return web.json_response(body, status=status, headers=headers)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
