"""The JSON in which Vercel's API tells of things, as far as it is read (openapi.vercel.sh)."""

from __future__ import annotations

import time
from typing import Any

from steadfaas.testing.vercel.model import FakeDeployment, FakeProject

Json = dict[str, Any]


def deployment(project: FakeProject, found: FakeDeployment) -> Json:
    """A deployment as it is got."""
    return {
        **{"id": found.id, "type": "LAMBDAS", "version": 2, "status": found.state},
        **{"createdAt": found.created, "public": False, "regions": ["fra1"]},
        **{"aliasAssigned": found.state == "READY", "alias": project.aliases_of(found)},
        **({"deletedAt": found.expired} if found.expired else {}),
        **({"softDeletedByRetention": True} if found.expired else {}),
        **({"gitSource": _git(found)} if found.commit else {}),
        **_common(project, found),
    }


def project(found: FakeProject) -> Json:
    """A project, with what serves production."""
    live = found.deployments.get(found.production or "")
    return {
        **{"id": found.id, "name": found.name, "accountId": found.team.id},
        "targets": {} if live is None else {"production": live_shape(found, live)},
    }


def rolling_release(found: FakeProject) -> Json:
    """The rolling release that is under way, if one is."""
    if found.canary is None:
        return {"rollingRelease": None}
    current, canary = (found.deployments.get(id or "") for id in (found.production, found.canary))
    return {
        "rollingRelease": {
            "state": "ACTIVE",
            "currentDeployment": None if current is None else live_shape(found, current),
            "canaryDeployment": None if canary is None else live_shape(found, canary),
        }
    }


def alias(host: str, found: FakeDeployment) -> Json:
    """An alias of a deployment."""
    made = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(found.created / 1000))
    return {"uid": f"ali_{host.partition('.')[0]}", "alias": host, "created": made}


def listed_alias(host: str, found: FakeDeployment) -> Json:
    """An alias as a row of a project's aliases."""
    return {**alias(host, found), "deploymentId": found.id, "projectId": found.project}


def _common(project: FakeProject, found: FakeDeployment) -> Json:
    """What a deployment and its row have in common."""
    substate = (
        {"readySubstate": "ROLLING"}
        if project.canary is not None and found.id in (project.canary, project.production)
        else {"readySubstate": "PROMOTED"}
        if found.id == project.production
        else {}
    )
    return {
        **{"name": project.name, "projectId": project.id, "url": found.host},
        **{"readyState": found.state, "target": found.target, "meta": _meta(project, found)},
        **({"errorMessage": found.error, "errorCode": "BUILD_FAILED"} if found.error else {}),
        **(substate if found.state == "READY" else {}),
    }


def row(project: FakeProject, found: FakeDeployment) -> Json:
    """A deployment as a row of a list."""
    return {
        **{"uid": found.id, "type": "LAMBDAS", "created": found.created, "state": found.state},
        **{"creator": {"uid": "usr_1"}, "inspectorUrl": None, "createdAt": found.created},
        **({"expiration": found.expiration} if found.expiration else {}),
        **({"deleted": found.expired, "softDeletedByRetention": True} if found.expired else {}),
        **_common(project, found),
    }


def live_shape(project: FakeProject, found: FakeDeployment) -> Json:
    """A deployment as what serves an environment."""
    return {
        **{"id": found.id, "name": project.name, "url": found.host},
        **{"createdAt": found.created, "readyState": found.state, "target": found.target},
    }


def _meta(project: FakeProject, found: FakeDeployment) -> dict[str, str]:
    if not found.commit:
        return {}
    return {
        "githubCommitSha": found.commit,
        "githubCommitRef": found.branch,
        "githubCommitOrg": "acme",
        "githubCommitRepo": project.name,
    }


def _git(found: FakeDeployment) -> Json:
    return {"type": "github", "repoId": 1, "ref": found.branch or None, "sha": found.commit}
