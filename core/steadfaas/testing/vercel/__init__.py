"""A Vercel on this machine: the part of its API that steadfaas uses, and hosts that lead to yours.

    with FakeVercel() as vercel:
        shop = vercel.project("shop")
        first = shop.deploy("http://127.0.0.1:9080", branch="main", commit="3f2c91e…")
        shop.promote(first)

Its deployments answer at their real URLs, for an engine that got `env()`. The versions themselves
are the test's own servers.
"""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from steadfaas.testing.gateway import Answer, Called, Gateway
from steadfaas.testing.loop_thread import LoopThread
from steadfaas.testing.pace import Pace
from steadfaas.testing.vercel.api import Answered, Api
from steadfaas.testing.vercel.model import SUFFIX, FakeDeployment, FakeProject, Team

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Answered", "FakeDeployment", "FakeProject", "FakeVercel"]

BYPASS_HEADER: Final = "x-vercel-protection-bypass"
_LOOPBACK: Final = "127.0.0.1"


class FakeVercel:
    """Use it as a context manager, or call `start` and `stop`. It runs in a thread of its own.

    `token` is the one that its API takes, `page_size` the most that a page of it holds, `latency`
    the seconds that each of its answers takes; `pace` tells how busy the API was.
    """

    def __init__(
        self, *, token: str = "", team: str = "acme", page_size: int = 100, latency: float = 0.0
    ) -> None:
        self.token = token or f"vercel-token-{secrets.token_hex(8)}"
        self.team = Team(team)
        self.called: list[Called] = []  # requests to deployments
        self.pace = Pace(latency)
        self._api = Api(self.team, self.token, page_size, self.pace)
        self._gateway = Gateway([f"*{SUFFIX}"], self.route)
        self._loop: LoopThread | None = None
        self._runner: web.AppRunner | None = None
        self._address = ""

    def start(self) -> None:
        """Serve the API and the hosts on free ports of 127.0.0.1."""
        self._loop = LoopThread("steadfaas-vercel")
        self._loop.call(self._start())

    def stop(self) -> None:
        """Serve nothing any more."""
        if self._loop is not None:
            self._loop.call(self._stop())
            self._loop.stop()
            self._loop = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def answered(self) -> list[Answered]:
        """What the API was asked, with its answers, in order."""
        return self._api.answered

    def env(self) -> dict[str, str]:
        """The variables of whoever is to use it: adapter (API, token, team), engine (hosts)."""
        return {
            "STEADFAAS_VERCEL_API": self._address,
            "STEADFAAS_VERCEL_TOKEN": self.token,
            "STEADFAAS_VERCEL_TEAM": self.team.slug,
            **self._gateway.env(),
        }

    def project(self, name: str) -> FakeProject:
        """The project of this name; a new one if there is none."""
        return self.team.project(name) or self.team.add_project(name)

    def throttle(self, times: int, *, retry_after: str = "0.001") -> None:
        """Answer the next requests of the API with 429. `retry_after` is in seconds."""
        self._api.throttle(times, retry_after)

    def route(self, called: Called) -> str | Answer:
        """Where a request to a host goes on to, or what Vercel says to it."""
        self.called.append(called)
        found = self.team.find(called.host)
        if found is None:
            return _refusal(404, "DEPLOYMENT_NOT_FOUND")
        project, deployment = found
        if deployment.expired is not None:
            return _refusal(410, "DEPLOYMENT_DELETED")
        if project.bypass not in (None, called.headers.get(BYPASS_HEADER)):
            page = "<!doctype html><title>Authentication Required</title>"
            return Answer(401, page, {"content-type": "text/html", "server": "Vercel"})
        if deployment.state != "READY":
            return _refusal(303, "DEPLOYMENT_NOT_READY_REDIRECTING")
        return deployment.origin or _refusal(404, "NOT_FOUND")

    async def _start(self) -> None:
        from aiohttp import web

        self._runner = web.AppRunner(self._api.app(), shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOOPBACK, 0).start()
        self._address = f"http://{_LOOPBACK}:{self._runner.addresses[0][1]}"
        await self._gateway.start()

    async def _stop(self) -> None:
        await self._gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()


def _refusal(status: int, code: str) -> Answer:
    request = f"fra1::{secrets.token_hex(6)}"
    headers = {
        **{"x-vercel-error": code, "x-vercel-id": request, "server": "Vercel"},
        "content-type": "text/plain; charset=utf-8",
    }
    return Answer(status, f"{code}\n\n{request}\n", headers)
