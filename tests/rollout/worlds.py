"""Servers, entries and what asking about them gave, for tests of decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from steadfaas.config import Declared, DeclaredDeployment
from steadfaas.rollout.decide import decide
from steadfaas.rollout.judged import Judged, Trouble
from steadfaas.rollout.plan import Plan
from steadfaas.rollout.policy import Platforms
from steadfaas.rollout.world import NAME, Known, Server, World, known

Json = dict[str, Any]

NOW = 1_790_000_000_000
HOUR = 3_600_000
OURS = Server("http://127.0.0.1:9070", "1.7.12+steadfaas.0.1.0", ours=True)
STOCK = Server("http://127.0.0.1:9070", "1.7.12", ours=False)


def service(
    name: str = "Greeter",
    *,
    at: str = "dp_1",
    revision: int = 1,
    handlers: str = "greet",
    **more: Any,
) -> Json:
    """A service as a server shows it."""
    return {
        "name": name,
        "ty": "Service",
        "handlers": [{"name": each, "public": True} for each in handlers.split()],
        "deployment_id": at,
        "revision": revision,
        "public": True,
        "abort_timeout": "10m",
        "inactivity_timeout": "0s",
        "retry_policy": {"max_attempts": 70, "on_max_attempts": "Pause"},
        **more,
    }


def deployment(
    id: str = "dp_1",
    *,
    of: str | None = "greeter",
    serves: str = "Greeter",
    revision: int = 1,
    age: int = 0,
    unfinished: int = 0,
    **more: Any,
) -> Known:
    """A registered deployment; `age` in ms."""
    created = datetime.fromtimestamp((NOW - age) / 1000, UTC).isoformat(timespec="milliseconds")
    view = {
        "id": id,
        "uri": f"http://{id}/",
        "protocol_type": "RequestResponse",
        "created_at": created.replace("+00:00", "000000Z"),
        "metadata": {NAME: of} if of else {},
        "services": [{"name": each, "revision": revision} for each in serves.split()],
        "drain": {"unfinished": unfinished, "counts": {"sleeping": unfinished}},
        "adapter": "aws-lambda",
        **more,
    }
    return known(view)


def world(*deployments: Known, active: Json | None = None, server: Server = OURS) -> World:
    """What is registered; `active` are the newest revisions of services, by name."""
    return World(server, {each.id: each for each in deployments}, active or {})


def entry(name: str = "greeter", **more: Any) -> DeclaredDeployment:
    """An entry of a file."""
    return DeclaredDeployment(name=name, **{"target": f"lambda:{name}", **more})


def judged(
    declared: DeclaredDeployment | None = None,
    *services: Json,
    id: str | None = None,
    trouble: Trouble | None = None,
    **more: Any,
) -> Judged:
    """What asking about an entry gave: a new version unless it has an `id`."""
    found = {"uri": f"http://{id or 'new'}/", "services": services or (service(),), **more}
    if trouble is not None:
        found = {"trouble": trouble}
    return Judged(declared or entry(), deployment_id=id, **found)


def planned(here: World, *found: Judged, keeps: bool = False, **services: Json) -> Plan:
    """The plan for these entries and settings of services."""
    declared = Declared.model_validate(
        {"deployments": [each.entry for each in found], "services": services}
    )
    platforms = Platforms(lambda _: keeps, lambda view, uri: uri.startswith(str(view["uri"])))
    return decide(declared, here, found, now=NOW, platforms=platforms)
