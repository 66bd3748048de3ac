"""Deno Deploy's control plane, as far as it is asked here (api.deno.com/v2/docs).

Lists come as bare arrays; where there is more, the `Link` header has the cursor of the next page.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from steadfaas_adapters._control_plane import Api, ApiRefusal, ApiSession, secret
from steadfaas_adapters.deno_deploy.settings import TOKEN_VARIABLE, settings

PRODUCTION: Final = "production"
_REVISION_KEY: Final = "deno.revision.id"
# The largest page that the API gives.
_PAGE: Final = "100"
_NEXT: Final = re.compile(r'<([^>]*)>[^,<]*;\s*rel="?next"?')

Status = Literal["skipped", "queued", "building", "succeeded", "failed"]


class _Answer(BaseModel):
    """The migration guide writes names in snake_case; the vendor's client (`deno-sandbox`) takes
    camelCase as well, and so do we."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, to_camel(name))
        )
    )


class Revision(_Answer):
    """One version of an app."""

    id: str
    status: Status
    created_at: str
    failure_reason: str | None
    deleted_at: str | None
    retention: str | None = None


class TimelineApp(_Answer):
    """The app of a timeline."""

    id: str
    slug: str


class Domain(_Answer):
    """A host that leads to a timeline."""

    domain: str


class Timeline(_Answer):
    """A line of revisions, one of which is active: its domains lead to that one.

    `slug` is the kind of line, `partition` says which of that kind. That is documented nowhere; the
    tests of the vendor's client (github.com/denoland/sandbox-py) know `production`, `git-branch`
    with the branch's name, and `preview` with a revision's id under `deno.revision.id`.
    """

    slug: str
    partition: dict[str, str]
    app: TimelineApp
    domains: list[Domain]

    @property
    def name(self) -> str:
        """Kind and which of that kind, as in `git-branch:main`."""
        return ":".join((self.slug, *self.partition.values()))

    @property
    def moves(self) -> bool:
        """Whether it could lead to another revision later."""
        return _REVISION_KEY not in self.partition

    @property
    def is_production(self) -> bool:
        """Whether it is what the app's users see."""
        return self.slug == PRODUCTION and self.moves

    def is_of_branch(self, branch: str) -> bool:
        """Whether it is the line of this branch, by its name in git."""
        return self.slug != PRODUCTION and self.moves and branch in self.partition.values()

    def leads(self, host: str) -> bool:
        """Whether this host is one of its domains."""
        return any(each.domain.lower() == host for each in self.domains)


class App(_Answer):
    """An app."""

    id: str
    slug: str


class Deno:
    """Asks the API, within one `async with`. All methods raise ApiRefusal, DiscoveryError."""

    def __init__(self, session: ApiSession) -> None:
        self._session = session

    async def revision(self, id: str) -> Revision | None:
        """The revision; None if there is none that this token may see."""
        try:
            return await self._session.read(Revision, f"/revisions/{quote(id, safe='')}")
        except ApiRefusal as refusal:
            if refusal.http_status == 404:
                return None
            raise

    async def timelines(self, revision: str) -> list[Timeline]:
        """The timelines in which a revision is active: its own one, and those that could move."""
        path = f"/revisions/{quote(revision, safe='')}/timelines"
        return [self._session.checked(Timeline, each) async for each in self._pages(path, {})]

    async def revisions(self, app: str, status: Status | None = None) -> AsyncIterator[Revision]:
        """The revisions of an app that were not deleted, newest first."""
        query = {"limit": _PAGE, **({} if status is None else {"status": status})}
        async for each in self._pages(f"/apps/{quote(app, safe='')}/revisions", query):
            found = self._session.checked(Revision, each)
            if found.deleted_at is None:
                yield found

    async def app(self, app: str) -> App | None:
        """An app by its id or slug; None if there is none that this token may see."""
        try:
            return await self._session.read(App, f"/apps/{quote(app, safe='')}")
        except ApiRefusal as refusal:
            if refusal.http_status == 404:
                return None
            raise

    async def delete(self, revision: str) -> None:
        """Delete a revision, for good."""
        await self._session.ask("DELETE", f"/revisions/{quote(revision, safe='')}")

    async def _pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Any]:
        cursor: str | None = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            answer = await self._session.ask("GET", path, {**query, **more})
            for each in answer.body if isinstance(answer.body, list) else [answer.body]:
                yield each
            seen, cursor = cursor, _next_cursor(answer.headers)
            if cursor is None or cursor == seen:
                return


@asynccontextmanager
async def deno() -> AsyncIterator[Deno]:
    """The control plane, as the settings say. Raises DiscoveryError without a token."""
    async with _api().session() as session:
        yield Deno(session)


def has_token() -> bool:
    """Whether the control plane can be asked. Raises DiscoveryError."""
    return secret(TOKEN_VARIABLE) is not None


def _api() -> Api:
    token = secret(TOKEN_VARIABLE)
    return Api("Deno Deploy", settings().api, token, TOKEN_VARIABLE, _error_of)


def _error_of(body: Any) -> tuple[str, str]:
    found = body if isinstance(body, dict) else {}
    return str(found.get("code") or ""), str(found.get("message") or "")


def _next_cursor(headers: Mapping[str, str]) -> str | None:
    """The cursor alone is taken from the link, never its host: the token goes nowhere else."""
    found = _NEXT.search(headers.get("link", ""))
    if found is None:
        return None
    return next(iter(parse_qs(urlsplit(found[1]).query).get("cursor", [])), None)
