"""A Restate server, by what its admin API has.

What that lacks is done in another way where there is one: what needs a deployment is counted in
SQL, targets and secrets are looked up from here, and an older version takes new requests again by
being registered again with force, for it is the same code. What has no way at all is said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from steadfaas.cli import admin, drain, platforms
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.register import address
from steadfaas.cli.rollout import stock_sql
from steadfaas.cli.rollout.server import Managed, lower, unless_gone
from steadfaas.rollout.interface import difference
from steadfaas.rollout.judged import Judged
from steadfaas.rollout.plan import Callers
from steadfaas.rollout.world import Json, Known, known

if TYPE_CHECKING:
    from steadfaas.config import DeclaredDeployment
    from steadfaas.spi import EndpointReference

# What a registration gives, and the view of a deployment has under the same name.
_REGISTERED: Final = ("additional_headers", "metadata", "assume_role_arn", "auth")
_CODES: Final = re.compile(r"(\[[A-Z]+\d+\] )+")
# The nodes of a cluster learn in milliseconds who takes new requests; seconds were seen.
_SETTLED_SECONDS: Final = 60.0
# What AWS's client adds to a failure is a page of its insides.
_LONGEST_SENTENCE: Final = 300

_UNREACHABLE: Final = "META0003"


class Stock(Managed):
    """A Restate server."""

    # --- looking -------------------------------------------------------------------------------

    def _deployments(self) -> list[Known]:
        listed = admin.call("GET", "/deployments")["deployments"]
        services = admin.call("GET", "/services")["services"]
        owners = {view["name"]: view["deployment_id"] for view in services}
        needs = stock_sql.needs()
        return [_known(view, needs.get(view["id"], {}), owners) for view in listed]

    def deployment(self, id: str) -> Known | None:
        """One deployment as it is now; None if it is gone."""
        try:
            view = admin.call("GET", admin.path("deployments", id))
        except CommandError as error:
            if error.status == 404:
                return None
            raise
        owners = {each["name"]: self._owner(each["name"]) for each in view["services"]}
        return _known(view, stock_sql.needs().get(id, {}), owners)

    def blockers(self, known: Known) -> list[str]:
        """The first of the invocations that a deployment waits for."""
        return stock_sql.blockers(known.id)

    def callers(self, service: str, handlers: Sequence[str]) -> list[Callers]:
        """Unfinished work that called these handlers, or is to begin with them."""
        return [found for handler in handlers for found in stock_sql.callers(service, handler)]

    # --- asking about an entry -----------------------------------------------------------------

    def _judge(self, entry: DeclaredDeployment, notes: Mapping[str, str]) -> Judged:
        found = self._resolved(entry, notes)
        body = self._body(entry, notes, found)
        answer = self._register({**body, "breaking": True, "dry_run": True})
        judged = Judged(
            entry,
            uri=found.uri,
            deployment_id=None if answer.status == 201 else str(answer.body["id"]),
            services=tuple(answer.body["services"]),
            headers=lower(body.get("additional_headers") or {}),
            mutable=_is_mutable(found),
        )
        id = judged.deployment_id
        if id is None or not (judged.mutable or self._is_behind(id, judged.served)):
            return judged
        # It is shown as it was stored. What another registration makes of it is asked with force.
        again = self._register({**body, "force": True, "dry_run": True})
        after = replace(judged, services=tuple(again.body["services"]))
        return judged if judged.mutable and not _differs(judged, after) else after

    def body(self, entry: DeclaredDeployment, notes: Mapping[str, str]) -> Json:
        """The registration of an entry, with its target and its secrets looked up from here."""
        return self._body(entry, notes, self._resolved(entry, notes))

    def _resolved(self, entry: DeclaredDeployment, notes: Mapping[str, str]) -> EndpointReference:
        return platforms.resolve(
            entry.target,
            platforms.access(entry.assume_role_arn),
            platforms.promise(super().body(entry, notes)),
            adapter=entry.adapter,
        )

    def _body(
        self, entry: DeclaredDeployment, notes: Mapping[str, str], found: EndpointReference
    ) -> Json:
        secrets = [each.reference for each in entry.protection]
        protection = platforms.protection(found.uri, secrets) if secrets else {}
        looked_up = platforms.looked_up({**entry.secret_headers, **protection})
        headers = {**entry.plain_headers, **looked_up}
        return {
            **address(found.uri),
            **({"assume_role_arn": entry.assume_role_arn} if entry.assume_role_arn else {}),
            **({"additional_headers": headers} if headers else {}),
            "metadata": dict(notes),
            "breaking": entry.breaking,
        }

    def _is_behind(self, id: str, services: Iterable[str]) -> bool:
        """Whether another deployment takes the new requests of one of these services."""
        return any(self._owner(name) != id for name in services)

    def _owner(self, service: str) -> str | None:
        try:
            return str(admin.call("GET", admin.path("services", service))["deployment_id"])
        except CommandError as error:
            if error.status == 404:
                return None
            raise

    def _register(self, body: Json) -> admin.Answer:
        try:
            return super()._register(body)
        except CommandError as error:
            error.message = _sentence(error.message)
            if error.code != _UNREACHABLE or not body.get("use_http_11"):
                raise
            first = error
        # This server speaks HTTP/2 as well, and so do endpoints that were made for it.
        try:
            return super()._register({**body, "use_http_11": False})
        except CommandError:
            raise first from None

    # --- changing ------------------------------------------------------------------------------

    def register(self, entry: DeclaredDeployment, notes: Mapping[str, str], uri: str) -> str:
        """Register the version that an entry's target has led to; the deployment's id."""
        pinned = entry.model_copy(update={"target": uri})
        found = self._resolved(pinned, notes)
        body = self._body(pinned, notes, found)
        force = {"force": True} if _is_mutable(found) else {}  # or it would stay as it is known
        return str(self._register({**body, **force}).body["id"])

    def promote(self, id: str) -> None:
        """Let a deployment take new requests: the same code is registered again."""
        view = admin.call("GET", admin.path("deployments", id))
        if not self._is_behind(id, [each["name"] for each in view["services"]]):
            return  # somebody else was faster
        where = address(str(view.get("arn") or view.get("uri")))
        if "uri" in where:
            where["use_http_11"] = view.get("http_version") != "HTTP/2.0"
        kept = {name: view[name] for name in _REGISTERED if view.get(name)}
        self._register({**where, **kept, "force": True})

    # --- retiring ------------------------------------------------------------------------------

    def begin_retirement(self, id: str, evidence: Json) -> None:
        """Look once more: this server knows no retirement, and removes what it is told to."""
        found = self.deployment(id)
        if found is None:
            return
        if found.view["drain"]["state"] != "drained":
            raise _stays(f"it is {drain.one_line(found.view['drain'])}")
        if self._has_several_nodes() and not self._is_settled(found):
            raise _stays(
                "its new requests went elsewhere less than a minute ago, and not every node of the"
                " server may know that yet"
            )

    def _has_several_nodes(self) -> bool:
        # Where the nodes agree by other means than their own, it does not tell how many there are.
        health = admin.call("GET", "/cluster-health").get("metadata_cluster_health") or {}
        return len(health.get("members", ())) != 1

    def _is_settled(self, found: Known) -> bool:
        """Whether those that took over the new requests of a deployment did so long ago."""
        owners = {self._owner(name) for name in found.revisions} - {None}
        views = [admin.call("GET", admin.path("deployments", str(each))) for each in owners]
        latest = max((known(view, 0).created_at for view in views), default=0)
        now = time.time() * 1000 - self.server.ahead
        return now - latest >= _SETTLED_SECONDS * 1000

    def removing_artifact(self, id: str) -> None:
        """This server keeps no record of it."""

    def artifact_removed(self, id: str, evidence: Json) -> None:
        """This server keeps no record of it."""

    def call_off_retirement(self, id: str, *, kept: bool = False) -> None:
        """There is nothing to take back."""

    def remove(self, id: str) -> None:
        """Remove the record; this server does it with force only."""
        path = admin.path("deployments", id)
        unless_gone(lambda: admin.call("DELETE", path, query={"force": True}))


def _stays(why: str) -> CommandError:
    # As our engine refuses it.
    return CommandError(why, ExitCode.REFUSED, status=409)


def _known(view: Json, needs: Mapping[str, int], owners: Mapping[str, str | None]) -> Known:
    """A deployment with as much of a drain state as this server tells."""
    names = sorted(each["name"] for each in view["services"])
    active = [name for name in names if owners.get(name) == view["id"]]
    unfinished = sum(needs.values())
    state = "active" if active else "draining" if unfinished else "drained"
    told = {
        "state": state,
        "unfinished": unfinished,
        "counts": dict(needs),
        "active_services": active,
    }
    return known({**view, "drain": told})


def _is_mutable(found: EndpointReference) -> bool:
    from steadfaas.spi import Evidence

    return found.evidence is Evidence.MUTABLE


def _differs(before: Judged, after: Judged) -> bool:
    old, new = before.served, after.served
    return any(not difference(old.get(name), new[name]).is_empty for name in new)


def _sentence(message: str) -> str:
    """What a server says of a failed registration, without its codes, in one line."""
    line = " ".join(_CODES.sub("", message, count=1).split())
    return line if len(line) <= _LONGEST_SENTENCE else f"{line[:_LONGEST_SENTENCE]}…"
