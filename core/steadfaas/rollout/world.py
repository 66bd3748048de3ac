"""What a server has registered, as its admin API tells it: ours, or a Restate server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

Json = dict[str, Any]

# The note on a deployment that says which entry of a file it is a version of.
NAME: Final = "steadfaas.name"


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers. `ours`: a steadfaas engine, which can do more than Restate's API asks for;
    `ahead`: by how many ms the clock here is ahead of the server's, which dates deployments."""

    url: str
    version: str
    ours: bool
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A registered deployment. `created_at` is in ms since the epoch.

    `unfinished` is how many invocations still need it, `view` what the server says in full.
    """

    id: str
    uri: str
    created_at: int
    unfinished: int
    view: Json

    @property
    def metadata(self) -> dict[str, str]:
        """Its notes."""
        return dict(self.view.get("metadata") or {})

    @property
    def name(self) -> str | None:
        """The entry of a file that it is a version of."""
        return self.metadata.get(NAME)

    @property
    def revisions(self) -> dict[str, int]:
        """The services that it serves, and which revision of each it is."""
        return {each["name"]: each["revision"] for each in self.view.get("services", [])}

    @property
    def retiring(self) -> Json | None:
        """Since when it is being retired, and by whom."""
        found: Json | None = self.view.get("retiring")
        return found

    @property
    def waits_on_request(self) -> bool:
        """Whether its handlers are called in request/response mode, where nothing is inactive."""
        return "arn" in self.view or self.view.get("protocol_type") == "RequestResponse"


@dataclass(frozen=True, slots=True)
class World:
    """All deployments by id, and the newest revision of every service by name, as views."""

    server: Server
    deployments: Mapping[str, Known] = field(default_factory=dict)
    services: Mapping[str, Json] = field(default_factory=dict)
    _owners: dict[str, list[str]] = field(init=False, default_factory=dict)
    _at_hosts: dict[str, list[Known]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in sorted(self.services):
            self._owners.setdefault(self.services[name]["deployment_id"], []).append(name)
        for known in self.deployments.values():
            self._at_hosts.setdefault(_host(known.uri), []).append(known)

    def active_services(self, deployment_id: str) -> list[str]:
        """The services whose new requests go to this deployment."""
        return self._owners.get(deployment_id, [])

    def at_host_of(self, known: Known) -> list[Known]:
        """The other deployments at the host of one; if it has none, at its address."""
        return [each for each in self._at_hosts[_host(known.uri)] if each.id != known.id]

    def versions_of(self, name: str) -> list[Known]:
        """The deployments of an entry of a file, newest first."""
        found = [known for known in self.deployments.values() if known.name == name]
        return sorted(found, key=lambda known: (known.created_at, known.id), reverse=True)


def _host(uri: str) -> str:
    scheme, mark, rest = uri.partition("://")
    return rest.partition("/")[0].lower().rstrip(".") if mark else scheme


def known(view: Json, unfinished: int | None = None) -> Known:
    """A deployment of a list; `unfinished` where the list does not tell it."""
    if unfinished is None:
        unfinished = int(view["drain"]["unfinished"])
    return Known(
        id=str(view["id"]),
        uri=str(view.get("arn") or view.get("uri")),
        created_at=millis(str(view["created_at"])),
        unfinished=unfinished,
        view=view,
    )


def millis(moment: str) -> int:
    """A time as servers write it, in ms since the epoch."""
    # Restate writes nanoseconds, of which Python reads six digits.
    whole, _, fraction = moment.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(seconds) * 1000 + int((fraction + "000")[:3])
