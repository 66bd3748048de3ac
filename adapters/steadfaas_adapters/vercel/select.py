"""From a name to the one deployment that it means now."""

from __future__ import annotations

from typing import Final

from steadfaas.errors import BadRequest
from steadfaas_adapters.vercel.api import PAGE, Vercel, missing
from steadfaas_adapters.vercel.models import Deployment, Project
from steadfaas_adapters.vercel.target import Kind, NamedTarget

# States that end in READY, or in a failure.
UNDER_WAY: Final = frozenset({"INITIALIZING", "QUEUED", "BUILDING"})

_WHOLE_SHA: Final = 40
# How far back a commit is looked for by the beginning of its SHA, which no filter of the API takes.
_MOST_PAGES: Final = 20


async def find(api: Vercel, wanted: NamedTarget) -> Deployment:
    """The deployment, ready or not. Raises BadRequest, DiscoveryError."""
    project = await api.project(wanted.project)
    if wanted.kind is Kind.DEPLOYMENT:
        return await _by_id(api, project, wanted.value)
    if wanted.kind is Kind.PRODUCTION:
        return await _production(api, project)
    if wanted.kind is Kind.BRANCH:
        found = await _newest(api, project, branch=wanted.value)
        what = f"branch {wanted.value!a}"
    elif len(wanted.value) == _WHOLE_SHA:
        found = await _newest(api, project, sha=wanted.value)
        what = f"commit {wanted.value}"
    else:
        found = await _by_prefix(api, project, wanted.value)
        what = (
            f"commit {wanted.value}… among the newest {_MOST_PAGES * PAGE} (write the whole SHA to"
            " look further back)"
        )
    if found is None:
        raise missing(f"'{project.name}' has no deployment of {what}")
    return await api.deployment(found.id)


async def _by_id(api: Vercel, project: Project, deployment_id: str) -> Deployment:
    found = await api.deployment(deployment_id)
    if found.project_id != project.id:
        raise BadRequest(
            f"{deployment_id} is a deployment of '{found.project}', not of '{project.name}'"
        )
    return found


async def _production(api: Vercel, project: Project) -> Deployment:
    """What serves production now; after a rollback that is not the newest one."""
    rolling = await api.rolling_release(project.id)
    if rolling is not None and rolling.current is not None and rolling.canary is not None:
        raise BadRequest(
            f"a rolling release of '{project.name}' is under way, so two deployments serve"
            f" production: https://{rolling.current.url} and https://{rolling.canary.url}. Register"
            " the one that is meant by its URL"
        )
    live = project.targets.get("production")
    if live is None:
        raise missing(f"nothing serves production of '{project.name}' yet")
    return await api.deployment(live.id)


async def _newest(api: Vercel, project: Project, **wanted: str) -> Deployment | None:
    """The best of those that the API's filter (`branch`, `sha`) lets through.

    What an API that did not know the filter would let through is not taken.
    """
    seen: list[Deployment] = []
    async for page in api.deployments(project.id, **wanted):
        seen += [
            each
            for each in page
            if each.ref in (None, wanted.get("branch", each.ref))
            and each.commit in (None, wanted.get("sha", each.commit))
        ]
        # Later pages are older.
        if any(each.ready for each in seen):
            break
    return _best(seen)


async def _by_prefix(api: Vercel, project: Project, prefix: str) -> Deployment | None:
    seen: list[Deployment] = []
    pages = 0
    async for page in api.deployments(project.id):
        seen += [each for each in page if (each.commit or "").startswith(prefix)]
        pages += 1
        if pages == _MOST_PAGES:
            break
    commits = sorted({each.commit or "" for each in seen})
    if len(commits) > 1:
        raise BadRequest(
            f"'{prefix}' is the beginning of {len(commits)} commits of '{project.name}':"
            f" {' and '.join(commits[:2])}{' and others' if len(commits) > 2 else ''}. Write more"
            " of the one that is meant"
        )
    return _best(seen)


def _best(seen: list[Deployment]) -> Deployment | None:
    """The newest ready one; or else the newest that may become so; or else the newest."""

    def rank(each: Deployment) -> tuple[bool, bool, int]:
        return each.ready, each.state in UNDER_WAY and not each.removed, each.created

    return max(seen, key=rank, default=None)
