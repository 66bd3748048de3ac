"""Cloudflare's API, as far as versions of Workers go.

The routes are those under `workers/workers`, the newer of two families: only they name the URLs
that lead to a version (developers.cloudflare.com/api, "Workers Beta"). What is deployed is asked of
the older family, which alone knows it. Each answer is an envelope around its `result`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field

from steadfaas_adapters._control_plane import Api, ApiRefusal, ApiSession, secret
from steadfaas_adapters.cloudflare.settings import TOKEN, settings

# Asked for at a time. The API may give fewer.
_PAGE: Final = 100
# A guard against an API that gives the same page again and again.
_MOST_PAGES: Final = 200

_NO_ROUTE: Final = frozenset({"", "7000", "7003"})

_M = TypeVar("_M", bound=BaseModel)


class PageInfo(BaseModel):
    """Where a page stands among the others."""

    total_count: int | None = None
    total_pages: int | None = None


class Envelope(BaseModel):
    """Around every answer."""

    result: Any = None
    result_info: PageInfo | None = None


class Account(BaseModel):
    """An account that the token sees."""

    id: str
    name: str = ""


class Annotations(BaseModel):
    """What the upload said about a version."""

    tag: str | None = Field(default=None, alias="workers/tag")
    message: str | None = Field(default=None, alias="workers/message")


class WorkerVersion(BaseModel):
    """A version: what was uploaded once, and never changes."""

    id: str
    number: int
    created_on: datetime
    urls: list[str] = Field(default_factory=list)
    annotations: Annotations | None = None

    @property
    def tag(self) -> str | None:
        """What the upload called it."""
        return (self.annotations.tag if self.annotations else None) or None

    @property
    def message(self) -> str | None:
        """What the upload said about it."""
        return (self.annotations.message if self.annotations else None) or None


class Subdomain(BaseModel):
    """The switches of a Worker on workers.dev."""

    previews_enabled: bool = False


class Worker(BaseModel):
    """A Worker."""

    id: str
    name: str
    subdomain: Subdomain = Field(default_factory=Subdomain)


class Share(BaseModel):
    """How much of the traffic a version gets."""

    version_id: str
    percentage: float


class Deployment(BaseModel):
    """Versions that are deployed together."""

    versions: list[Share]


class Deployments(BaseModel):
    """All deployments of a Worker, the one in force first."""

    deployments: list[Deployment]


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """Questions to the API. All raise ApiRefusal, or DiscoveryError where there is no answer."""

    session: ApiSession

    async def accounts(self) -> list[Account]:
        """What the token sees."""
        return await self._all(Account, "/accounts")

    async def worker(self, account: str, worker: str) -> Worker:
        """A Worker by its name."""
        return await self._one(Worker, _worker(account, worker))

    async def versions(self, account: str, worker: str) -> list[WorkerVersion]:
        """All versions of a Worker, the highest number first."""
        found = await self._all(WorkerVersion, f"{_worker(account, worker)}/versions")
        return sorted(found, key=lambda version: version.number, reverse=True)

    async def version(self, account: str, worker: str, version: str) -> WorkerVersion:
        """One version by its id."""
        path = f"{_worker(account, worker)}/versions/{quote(version, safe='')}"
        return await self._one(WorkerVersion, path)

    async def delete(self, account: str, worker: str, version: str) -> None:
        """Delete a version."""
        path = f"{_worker(account, worker)}/versions/{quote(version, safe='')}"
        await self.session.ask("DELETE", path)

    async def deployed(self, account: str, worker: str) -> dict[str, float]:
        """The versions that are deployed now, and the percentage of traffic that each gets."""
        path = f"/accounts/{account}/workers/scripts/{quote(worker, safe='')}/deployments"
        found = (await self._one(Deployments, path)).deployments
        return {share.version_id: share.percentage for share in found[0].versions} if found else {}

    async def _one(self, model: type[_M], path: str) -> _M:
        envelope = await self.session.read(Envelope, path)
        return self.session.checked(model, envelope.result)

    async def _all(self, model: type[_M], path: str) -> list[_M]:
        found: list[_M] = []
        for page in range(1, _MOST_PAGES + 1):
            query = {"page": str(page), "per_page": str(_PAGE)}
            envelope = await self.session.read(Envelope, path, query)
            items = envelope.result if isinstance(envelope.result, list) else []
            found += [self.session.checked(model, item) for item in items]
            if not items or _is_last(page, len(found), envelope.result_info):
                break
        return found


@asynccontextmanager
async def cloudflare() -> AsyncIterator[Cloudflare]:
    """The API, for a few questions. Raises DiscoveryError without a token."""
    api = Api("Cloudflare's API", settings().api, secret(TOKEN), TOKEN, _error_of)
    async with api.session() as session:
        yield Cloudflare(session)


def has_token() -> bool:
    """Whether the API can be asked. Raises DiscoveryError for a token file that is not there."""
    return secret(TOKEN) is not None


def missing(error: ApiRefusal) -> bool:
    """Whether an error answer says that what was asked for does not exist.

    A wrong base address gives a 404 too: without Cloudflare's number, or with that of a route which
    does not exist. Nothing may be taken for gone by mistake.
    """
    return error.http_status == 404 and error.api_code not in _NO_ROUTE


def _is_last(page: int, seen: int, info: PageInfo | None) -> bool:
    """Without a word about it, only an empty page says so."""
    if info is None:
        return False
    if info.total_pages is not None:
        return page >= info.total_pages
    return info.total_count is not None and seen >= info.total_count


def _worker(account: str, worker: str) -> str:
    return f"/accounts/{account}/workers/workers/{quote(worker, safe='')}"


def _error_of(body: Any) -> tuple[str, str]:
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("code", "")), str(first.get("message", ""))
