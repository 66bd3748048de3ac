"""What is read of the answers of Vercel's API: only the fields used here.

A deployment answers by `GET /v13/deployments/{idOrUrl}` and as a row of `GET /v6/deployments`; the
two name the same things differently (OpenAPI document of Vercel's REST API, openapi.vercel.sh).
"""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Environment(_Model):
    """A custom environment."""

    slug: str | None = None


class GitSource(_Model):
    """Where the code came from."""

    ref: str | None = None
    sha: str | None = None


class Deployment(_Model):
    """One deployment. Times are in ms since the epoch."""

    id: str = Field(validation_alias=AliasChoices("id", "uid"))
    url: str
    project: str = Field(validation_alias="name")
    project_id: str | None = Field(None, validation_alias="projectId")
    created: int = Field(validation_alias=AliasChoices("createdAt", "created"))
    state: str = Field("", validation_alias=AliasChoices("readyState", "state"))
    substate: str | None = Field(None, validation_alias="readySubstate")
    target: str | None = None
    environment: Environment | None = Field(None, validation_alias="customEnvironment")
    meta: dict[str, Any] = Field(default_factory=dict)
    git: GitSource | None = Field(None, validation_alias="gitSource")
    error: str | None = Field(None, validation_alias="errorMessage")
    deleted: int | None = Field(None, validation_alias=AliasChoices("deletedAt", "deleted"))
    deleted_by_retention: bool | None = Field(None, validation_alias="softDeletedByRetention")
    expiration: int | None = None  # only in rows: when the retention policy removes it

    @property
    def ready(self) -> bool:
        """Whether it can be called."""
        return self.state == "READY" and not self.removed

    @property
    def removed(self) -> bool:
        """Whether it was deleted; for some days it can still be restored."""
        return bool(self.deleted or self.deleted_by_retention or self.state == "DELETED")

    @property
    def commit(self) -> str | None:
        """The SHA of its commit."""
        return self._told("CommitSha") or (self.git.sha if self.git else None)

    @property
    def ref(self) -> str | None:
        """The branch of its commit."""
        return self._told("CommitRef") or (self.git.ref if self.git else None)

    @property
    def repository(self) -> str | None:
        """`owner/name`, where Vercel says so."""
        owner = self._told("CommitOrg") or self._told("Org") or self._told("ProjectNamespace")
        name = self._told("CommitRepo") or self._told("Repo") or self._told("ProjectName")
        return f"{owner}/{name}" if owner and name else name

    def _told(self, what: str) -> str | None:
        """What the Git provider's integration noted. The object is free-form."""
        for provider in ("github", "gitlab", "bitbucket"):
            value = self.meta.get(f"{provider}{what}")
            if isinstance(value, str) and value:
                return value
        return None


class Pagination(_Model):
    """`next` is a time: what to send as `until` for the next page; None on the last one."""

    next: int | None


class Deployments(_Model):
    """A page of deployments."""

    deployments: list[Deployment]
    pagination: Pagination


class Target(_Model):
    """What serves one environment of a project."""

    id: str


class Project(_Model):
    """A project, and what serves its environments now."""

    id: str
    name: str
    targets: dict[str, Target | None] = Field(default_factory=dict)


class Live(_Model):
    """One of the two deployments of a rolling release."""

    id: str
    url: str


class RollingRelease(_Model):
    """A rolling release."""

    state: str
    current: Live | None = Field(None, validation_alias="currentDeployment")
    canary: Live | None = Field(None, validation_alias="canaryDeployment")


class RollingReleases(_Model):
    """The rolling release of a project, if there is one."""

    release: RollingRelease | None = Field(validation_alias="rollingRelease")


class Alias(_Model):
    """A host that leads to a deployment."""

    alias: str
    deployment_id: str | None = Field(None, validation_alias="deploymentId")


class Aliases(_Model):
    """The aliases of one deployment."""

    aliases: list[Alias]


class AliasPage(_Model):
    """A page of a project's aliases."""

    aliases: list[Alias]
    pagination: Pagination


class Removed(_Model):
    """What was deleted."""

    uid: str
    state: str
