"""What the engine knows about a program's versions, by its admin API.

A stock server neither says what a deployment waits for, nor promotes. The first is asked by SQL;
instead of the second an address, which serves the same bytes, is registered again by force.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from steadfaas.cli import admin, deployment_views, drain, render
from steadfaas.cli.dev.ports import LOOPBACK
from steadfaas.cli.exits import CommandError

NAME: Final = "steadfaas.dev"
FOLDER: Final = "steadfaas.dev.folder"
VERSION: Final = "version"

_REGISTER_SECONDS: Final = 30.0
_RESUME_SECONDS: Final = 60.0
# A stock server pins an invocation with its first stored step: before that it may be in one.
_UNFINISHED: Final = """
SELECT COALESCE(pinned_deployment_id, last_attempt_deployment_id) AS id, COUNT(*) AS n
FROM sys_invocation WHERE status != 'completed'
GROUP BY COALESCE(pinned_deployment_id, last_attempt_deployment_id)
"""
# An attempt met nobody at the address.
_UNREACHABLE: Final = "RT0010"


@dataclass(frozen=True, slots=True)
class Record:
    """A version as it is registered. `active` are those of its services whose new requests it
    takes, `details` says what the unfinished invocations do."""

    id: str
    version: str
    port: int
    services: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    unfinished: int = 0
    details: str = ""

    @property
    def newest(self) -> bool:
        """Whether it takes all new requests."""
        return set(self.services) == set(self.active)

    @property
    def drained(self) -> bool:
        """Whether nothing needs it."""
        return not self.active and not self.unfinished


@dataclass(frozen=True, slots=True)
class Seen:
    """The versions of a program by version, and the loopback ports that deployments have."""

    records: dict[str, Record] = field(default_factory=dict)
    ports: frozenset[int] = frozenset()


class Records:
    """The deployments with this name, of this folder. All methods raise CommandError."""

    def __init__(self, name: str, folder: str) -> None:
        self._metadata = {NAME: name, FOLDER: folder}

    def look(self) -> Seen:
        """What is registered now."""
        listed = admin.call("GET", "/deployments")["deployments"]
        mine = [each for each in listed if self._is_mine(each)]
        facts = _Asked() if any("drain" not in each for each in mine) else None
        records = {}
        for each in mine:
            record = _record(each, facts)
            records[record.version] = record
        ports = (_port(each) for each in listed)
        return Seen(records, frozenset(port for port in ports if port))

    def register(self, version: str, port: int, *, force: bool = False) -> dict[str, Any]:
        """Let a version take new requests; the deployment. What changed callers' interfaces is no
        obstacle, and is told in `info`."""
        body = {
            **_address(port),
            "metadata": {**self._metadata, VERSION: version},
            "breaking": True,
            "force": force,
        }
        answer = admin.call("POST", "/deployments", body, timeout=_REGISTER_SECONDS)
        return dict(answer)

    def promote(self, record: Record, port: int) -> dict[str, Any]:
        """Let a version that is registered take new requests again; the deployment."""
        try:
            route = admin.path("deployments", record.id, "promote")
            return dict(admin.call("POST", route, {}))
        except admin.MissingRoute:
            return self.register(record.version, port, force=True)

    def move(self, record: Record, port: int) -> None:
        """A version is at another port from now on."""
        route = admin.path("deployments", record.id)
        admin.call("PATCH", route, _address(port), timeout=_REGISTER_SECONDS)

    def remove(self, record: Record) -> None:
        """Remove the record of a drained version; the engine refuses if it is not."""
        try:
            admin.call("DELETE", admin.path("deployments", record.id))
        except CommandError as error:
            if error.status != 501:
                raise
            # A stock server does not judge, so what it was asked a moment ago has to do.
            admin.call("DELETE", admin.path("deployments", record.id), query={"force": True})

    def wake(self, record: Record) -> None:
        """Its process is back: try again now what has waited for it, also what gave up waiting."""
        paused = {"deployment": record.id, "status": ["paused"]}
        retrying = {"deployment": record.id, "status": ["backing-off"]}
        with contextlib.suppress(admin.MissingRoute):  # a stock server tries again by itself
            listed = admin.call("GET", "/invocations", query=paused)["invocations"]
            _resume(retrying)
            if gave_up := [each["id"] for each in listed if _was_unreachable(each)]:
                _resume(paused, ids=gave_up)

    def _is_mine(self, deployment: dict[str, Any]) -> bool:
        metadata = deployment.get("metadata") or {}
        named = all(metadata.get(name) == value for name, value in self._metadata.items())
        return named and bool(metadata.get(VERSION)) and _port(deployment) != 0


class _Asked:
    """What a server without drain states says when it is asked otherwise."""

    def __init__(self) -> None:
        self.owners = deployment_views.newest_owners(admin.call("GET", "/services")["services"])
        rows = admin.call("POST", "/query", {"query": _UNFINISHED})["rows"]
        self.unfinished = {row["id"]: int(row["n"]) for row in rows if row.get("id")}


def _record(deployment: dict[str, Any], facts: _Asked | None) -> Record:
    id = str(deployment["id"])
    state = deployment.get("drain")
    if state is not None:
        active, unfinished, details = state["active_services"], state["unfinished"], _details(state)
    else:
        assert facts is not None
        active, unfinished, details = facts.owners.get(id, []), facts.unfinished.get(id, 0), ""
    return Record(
        id=id,
        version=deployment["metadata"][VERSION],
        port=_port(deployment),
        services=tuple(service["name"] for service in deployment["services"]),
        active=tuple(active),
        unfinished=int(unfinished),
        details=details,
    )


def _details(state: dict[str, Any]) -> str:
    words = [drain.counts(state)]
    if at := render.moment(state.get("next_wake_up")):
        words.append(f"next wake-up {at}")
    return ", ".join(word for word in words if word)


def _resume(wanted: Mapping[str, object], **more: object) -> None:
    body = {"operation": "resume", "filter": wanted, **more}
    admin.call("POST", "/invocations/batch", body, timeout=_RESUME_SECONDS)


def _was_unreachable(invocation: dict[str, Any]) -> bool:
    return (invocation.get("last_failure") or {}).get("restate_code") == _UNREACHABLE


def _address(port: int) -> dict[str, object]:
    return {"uri": f"http://{LOOPBACK}:{port}/", "use_http_11": True}


def _port(deployment: dict[str, Any]) -> int:
    """The loopback port of a deployment; 0 if it is elsewhere."""
    parts = urlsplit(str(deployment.get("uri") or ""))
    return (parts.port or 0) if parts.hostname in (LOOPBACK, "localhost") else 0
