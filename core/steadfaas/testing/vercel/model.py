"""What the fake Vercel knows: a team, its projects, their deployments and aliases."""

from __future__ import annotations

import itertools
import secrets
import string
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

SUFFIX: Final = ".vercel.app"
_ALPHABET: Final = string.ascii_lowercase + string.digits
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class FakeDeployment:
    """One deployment. Times are in ms since the epoch; `origin` is what answers at its URL."""

    id: str
    host: str
    project: str
    created: int
    origin: str = ""
    state: str = "READY"
    target: str | None = None
    branch: str = ""
    commit: str = ""
    error: str = ""
    expiration: int | None = None
    expired: int | None = None  # when the retention policy removed it

    @property
    def url(self) -> str:
        """Its own URL."""
        return f"https://{self.host}"


@dataclass
class FakeProject:
    """A project; made by `FakeVercel.project`."""

    team: Team
    id: str
    name: str
    production: str | None = None  # the id of what serves production
    canary: str | None = None  # the id of what a rolling release leads to
    bypass: str | None = None  # the secret that lets requests through; None: not protected
    deployments: dict[str, FakeDeployment] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)  # host → id

    def deploy(
        self,
        origin: str = "",
        *,
        branch: str = "",
        commit: str = "",
        target: str | None = None,
        state: str = "READY",
        error: str = "",
        expiration: int | None = None,
    ) -> FakeDeployment:
        """Make a deployment, newer than all before it. `origin` is the server behind it.

        The branch's own URL leads to it. Like Vercel's production branch, `target="production"`
        does not promote it: that is `promote`.
        """
        mark = "".join(secrets.choice(_ALPHABET) for _ in range(9))
        made = FakeDeployment(
            id=f"dpl_{secrets.token_hex(14)}",
            host=f"{self.name}-{mark}-{self.team.slug}{SUFFIX}",
            project=self.id,
            created=self.team.next_time(),
            origin=origin.rstrip("/"),
            state=state,
            target=target,
            branch=branch,
            commit=commit,
            error=error,
            expiration=expiration,
        )
        self.deployments[made.id] = made
        if branch and state == "READY":
            place = branch.replace("/", "-")
            self.alias(f"{self.name}-git-{place}-{self.team.slug}{SUFFIX}", made)
        return made

    def update(self, deployment: FakeDeployment, **changes: Any) -> FakeDeployment:
        """Change a deployment: its state, say, when its build ends."""
        changed = replace(self.deployments[deployment.id], **changes)
        self.deployments[deployment.id] = changed
        return changed

    def promote(self, deployment: FakeDeployment) -> None:
        """Let it serve production. A rolling release ends with that."""
        self.production, self.canary = deployment.id, None
        self.alias(f"{self.name}{SUFFIX}", deployment)

    def roll(self, canary: FakeDeployment) -> None:
        """Begin a rolling release from what serves production."""
        self.canary = canary.id

    def alias(self, host: str, deployment: FakeDeployment) -> None:
        """Let a host lead to a deployment."""
        self.aliases[host] = deployment.id

    def aliases_of(self, deployment: FakeDeployment) -> list[str]:
        """The hosts that lead to a deployment, beside its own."""
        return [host for host, id in self.aliases.items() if id == deployment.id]

    def delete(self, deployment: FakeDeployment) -> None:
        """Delete it, as somebody on Vercel's pages would: whatever leads to it."""
        del self.deployments[deployment.id]
        self.aliases = {host: id for host, id in self.aliases.items() if id != deployment.id}

    def expire(self, deployment: FakeDeployment) -> None:
        """Let the retention policy remove it; it could be restored."""
        self.update(deployment, expired=self.team.next_time())


class Team:
    """The team that owns everything here."""

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.id = f"team_{secrets.token_hex(12)}"
        self.projects: dict[str, FakeProject] = {}
        self._clock = itertools.count(time.time_ns() // 1_000_000 - _DAY_MS, 1000)

    def next_time(self) -> int:
        """A time in ms, later than all before."""
        return next(self._clock)

    def project(self, id_or_name: str) -> FakeProject | None:
        """The project of this id or name."""
        for project in self.projects.values():
            if id_or_name in (project.id, project.name):
                return project
        return None

    def add_project(self, name: str) -> FakeProject:
        """A new project."""
        made = FakeProject(self, f"prj_{secrets.token_hex(14)}", name)
        self.projects[made.id] = made
        return made

    def find(self, id_or_host: str) -> tuple[FakeProject, FakeDeployment] | None:
        """The deployment with this id or host, or behind this alias, with its project."""
        for project in self.projects.values():
            for each in project.deployments.values():
                if id_or_host in (each.id, each.host) or (
                    project.aliases.get(id_or_host) == each.id
                ):
                    return project, each
        return None
