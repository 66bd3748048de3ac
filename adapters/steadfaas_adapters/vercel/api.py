"""The requests to Vercel's API that are made here, each with its answer as a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from steadfaas.errors import DiscoveryError
from steadfaas_adapters._control_plane import Api, ApiRefusal, ApiSession, secret
from steadfaas_adapters.vercel import settings
from steadfaas_adapters.vercel.models import (
    Alias,
    Aliases,
    AliasPage,
    Deployment,
    Deployments,
    Project,
    Removed,
    RollingRelease,
    RollingReleases,
)

if TYPE_CHECKING:
    from steadfaas_adapters.vercel.models import Pagination

    _Page = TypeVar("_Page", Deployments, AliasPage)

PAGE: Final = 100
_MISSING: Final = frozenset({404, 410})
# How a plan without some feature may answer; that the token is good, another answer has shown.
_NOT_HAD: Final = frozenset({402, 403}) | _MISSING


def has_token() -> bool:
    """Whether Vercel can be asked. Raises DiscoveryError for a token file that cannot be read."""
    return secret(settings.TOKEN) is not None


@asynccontextmanager
async def vercel(team: str) -> AsyncIterator[Vercel]:
    """The API, asked on behalf of a team (slug or id; empty: what the token stands for).

    Raises DiscoveryError without a token.
    """
    api = Api(
        platform="Vercel",
        base=settings.load().api,
        token=secret(settings.TOKEN),
        token_variable=settings.TOKEN,
        error_of=_error_of,
    )
    async with api.session() as session:
        yield Vercel(session, team)


class Vercel:
    """Asks, within one `async with`. Methods raise DiscoveryError."""

    def __init__(self, session: ApiSession, team: str) -> None:
        self._session = session
        self.team = team
        self._asking = {"teamId" if team.startswith("team_") else "slug": team} if team else {}

    async def deployment(self, id_or_host: str) -> Deployment:
        """One deployment by its id, its host, or the host of an alias of it."""
        with_team = f" of '{self.team}'" if self.team else ""
        hint = "" if self.team else f"; if it belongs to a team, set {settings.PREFIX}TEAM"
        try:
            return await self._session.read(
                Deployment, f"/v13/deployments/{_step(id_or_host)}", self._asking
            )
        except ApiRefusal as error:
            if error.http_status not in _MISSING:
                raise
            raise missing(
                f"Vercel knows no deployment '{id_or_host}'{with_team}, or does not show it to this"
                f" token{hint}"
            ) from error

    async def project(self, id_or_name: str) -> Project:
        """One project."""
        try:
            return await self._session.read(
                Project, f"/v9/projects/{_step(id_or_name)}", self._asking
            )
        except ApiRefusal as error:
            if error.http_status not in _MISSING:
                raise
            raise missing(
                f"Vercel knows no project '{id_or_name}' of '{self.team}', or does not show it to"
                " this token. Check both names"
            ) from error

    async def rolling_release(self, project_id: str) -> RollingRelease | None:
        """The rolling release that is under way; None where there is none, or they are not had."""
        path = f"/v1/projects/{_step(project_id)}/rolling-release"
        try:
            query = {**self._asking, "state": "ACTIVE"}
            found = (await self._session.read(RollingReleases, path, query)).release
        except ApiRefusal as error:
            if error.http_status not in _NOT_HAD:
                raise
            return None
        return found if found is not None and found.state == "ACTIVE" else None

    async def deployments(self, project_id: str, **wanted: str) -> AsyncIterator[list[Deployment]]:
        """The deployments of a project page by page, the newest first."""
        query = {"projectId": project_id, "limit": str(PAGE), **wanted}
        async for page in self._pages(Deployments, "/v6/deployments", query):
            yield sorted(page.deployments, key=lambda each: each.created, reverse=True)

    async def row(self, deployment: Deployment) -> Deployment | None:
        """A deployment as it is listed, which tells more of it."""
        if deployment.project_id is None:
            return None
        near = {"since": str(deployment.created - 1), "until": str(deployment.created + 1)}
        async for page in self.deployments(deployment.project_id, **near):
            for each in page:
                if each.id == deployment.id:
                    return each
        return None

    async def project_aliases(self, project_id: str) -> list[Alias]:
        """All aliases that lead to deployments of a project."""
        query = {"projectId": project_id, "limit": str(PAGE)}
        pages = self._pages(AliasPage, "/v4/aliases", query)
        return [each async for page in pages for each in page.aliases]

    async def aliases(self, deployment_id: str) -> list[str]:
        """The hosts that lead to a deployment, beside its own."""
        path = f"/v2/deployments/{_step(deployment_id)}/aliases"
        found = await self._session.read(Aliases, path, self._asking)
        return [each.alias for each in found.aliases]

    async def assign_alias(self, deployment_id: str, alias: str) -> None:
        """Let a host lead to a deployment."""
        path = f"/v2/deployments/{_step(deployment_id)}/aliases"
        await self._session.ask("POST", path, self._asking, {"alias": alias})

    async def remove_alias(self, alias: str) -> None:
        """Let a host lead nowhere. One that is not there is no error."""
        try:
            await self._session.ask("DELETE", f"/v2/aliases/{_step(alias)}", self._asking)
        except ApiRefusal as error:
            if error.http_status not in _MISSING:
                raise

    async def delete(self, deployment_id: str) -> None:
        """Delete a deployment. Never by `url`: that takes an alias too, and beats the id."""
        path = f"/v13/deployments/{_step(deployment_id)}"
        answer = await self._session.ask("DELETE", path, self._asking)
        removed = self._session.checked(Removed, answer.body)
        if removed.uid != deployment_id or removed.state != "DELETED":
            raise DiscoveryError(
                f"Vercel was told to delete '{deployment_id}' and says that '{removed.uid}' is"
                f" {removed.state} now: look at both",
                code="META0003",
                status=502,
            )

    async def _pages(
        self, model: type[_Page], path: str, query: Mapping[str, str]
    ) -> AsyncIterator[_Page]:
        until: int | None = None
        while True:
            at = {} if until is None else {"until": str(until)}
            page = await self._session.read(model, path, {**self._asking, **query, **at})
            yield page
            pagination: Pagination = page.pagination
            # It must go back in time, or it would never end.
            if pagination.next is None or (until is not None and pagination.next >= until):
                return
            until = pagination.next


def missing(sentence: str) -> DiscoveryError:
    """Something is not there."""
    return DiscoveryError(sentence, code="META0003", status=404)


def _step(text: str) -> str:
    return quote(text, safe="")


def _error_of(body: Any) -> tuple[str, str]:
    """Code and sentence of `{"error": {"code": …, "message": …}}`."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or ""), str(error.get("message") or "")
