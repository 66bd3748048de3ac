"""The server that a file is about, over its admin API: ours here, a Restate server in `stock`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from steadfaas.cli import admin, platforms
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.register import REGISTRATION_SECONDS, address
from steadfaas.rollout.judged import Judged, Trouble
from steadfaas.rollout.plan import Callers
from steadfaas.rollout.world import Json, Known, Server, World, known

if TYPE_CHECKING:
    from steadfaas.config import DeclaredDeployment

_QUERY_SECONDS: Final = 60.0
_BREAKS: Final = "META0006"
_MUTABLE: Final = "mutable"


class Managed:
    """A server that a file is applied to: a steadfaas engine."""

    def __init__(self, server: Server, *, patient: bool) -> None:
        self.server = server
        self._patient = patient

    # --- looking -------------------------------------------------------------------------------

    def world(self) -> World:
        """Everything that is registered now."""
        with ThreadPoolExecutor(2) as pool:
            services = pool.submit(admin.call, "GET", "/services")
            deployments = self._deployments()
            return World(
                self.server,
                {each.id: each for each in deployments},
                {view["name"]: view for view in services.result()["services"]},
            )

    def _deployments(self) -> list[Known]:
        return [known(view) for view in admin.call("GET", "/deployments")["deployments"]]

    def deployment(self, id: str) -> Known | None:
        """One deployment as it is now; None if it is gone."""
        try:
            return known(admin.call("GET", admin.path("deployments", id)))
        except CommandError as error:
            if error.status == 404:
                return None
            raise

    def blockers(self, known: Known) -> list[str]:
        """The first of the invocations that a deployment waits for."""
        return list((known.view.get("drain") or {}).get("blockers") or [])

    def callers(self, service: str, handlers: Sequence[str]) -> list[Callers]:
        """Unfinished work that called these handlers, or is to begin with them."""
        answer = admin.call(
            "GET", admin.path("services", service, "callers"), timeout=_QUERY_SECONDS
        )
        found = []
        for handler in answer["handlers"]:
            name = str(handler["name"])
            if name in handlers:
                for each in handler["callers"]:
                    id, number = str(each["deployment_id"]), int(each["invocations"])
                    found.append(Callers(service, name, id, number))
                if handler["not_begun"]:
                    found.append(Callers(service, name, None, int(handler["not_begun"])))
        return found

    # --- asking about an entry -----------------------------------------------------------------

    def judge(self, entry: DeclaredDeployment, notes: Mapping[str, str]) -> Judged:
        """What registering an entry would do. Asks platforms and endpoints, and changes nothing."""
        try:
            return self._judge(entry, notes)
        except admin.Unreachable:
            raise  # no matter of one entry
        except CommandError as error:
            later = error.exit_code is ExitCode.TRY_LATER
            later = later or (self._patient and error.passing)
            trouble = Trouble(error.message.rstrip("."), later=later, code=error.code)
            return Judged(entry, trouble=trouble)

    def _judge(self, entry: DeclaredDeployment, notes: Mapping[str, str]) -> Judged:
        body = self.body(entry, notes)
        # What it breaks is judged here, from the same answer that tells what it serves.
        answer = self._register({**body, "breaking": True, "dry_run": True})
        told = answer.body.get("info") or []
        return Judged(
            entry,
            uri=str(answer.body.get("arn") or answer.body.get("uri")),
            deployment_id=None if answer.status == 201 else str(answer.body["id"]),
            services=tuple(answer.body["services"]),
            broken=tuple(each["message"] for each in told if each.get("code") == _BREAKS),
            notes=tuple(each["message"] for each in told if each.get("code") != _BREAKS),
            mutable=answer.body.get("evidence") == _MUTABLE,
            headers=lower(entry.plain_headers),
            secret_headers=self._secrets(entry, answer.body),
        )

    def body(self, entry: DeclaredDeployment, notes: Mapping[str, str]) -> Json:
        """The registration of an entry."""
        given: dict[str, Any] = {
            "assume_role_arn": entry.assume_role_arn,
            "adapter": entry.adapter,
            "dev": entry.dev or None,
            "assert_immutable": entry.assert_immutable or None,
            "additional_headers": entry.plain_headers or None,
            "secret_headers": entry.secret_headers or None,
            "protection": [each.reference for each in entry.protection] or None,
        }
        return {
            **address(entry.target),
            **{name: value for name, value in given.items() if value is not None},
            "metadata": dict(notes),
            "breaking": entry.breaking,
        }

    def _secrets(self, entry: DeclaredDeployment, answer: Json) -> dict[str, str]:
        """The secret headers that it shall have; its adapter knows how a platform takes one."""
        if not entry.protection:
            return lower(entry.secret_headers)
        uri = str(answer.get("arn") or answer.get("uri"))
        secrets = [each.reference for each in entry.protection]
        return lower({**entry.secret_headers, **platforms.protection(uri, secrets)})

    def _register(self, body: Json) -> admin.Answer:
        return admin.ask("POST", "/deployments", body, timeout=REGISTRATION_SECONDS)

    # --- changing ------------------------------------------------------------------------------

    def register(self, entry: DeclaredDeployment, notes: Mapping[str, str], uri: str) -> str:
        """Register the version that an entry's target has led to; the deployment's id."""
        # The name may lead elsewhere by now. What was shown is what is done.
        pinned = entry.model_copy(update={"target": uri})
        return str(self._register(self.body(pinned, notes)).body["id"])

    def promote(self, id: str) -> None:
        """Let a deployment take the new requests of its services."""
        admin.call("POST", admin.path("deployments", id, "promote"), {})

    def update(self, id: str, changes: Json) -> None:
        """Change the record of a deployment."""
        admin.call("PATCH", admin.path("deployments", id), changes, timeout=REGISTRATION_SECONDS)

    def configure(self, service: str, changes: Json) -> None:
        """Change settings of a service."""
        admin.call("PATCH", admin.path("services", service), changes)

    # --- retiring ------------------------------------------------------------------------------

    def begin_retirement(self, id: str, evidence: Json) -> None:
        """Let nothing come to a drained deployment any more. Raises CommandError if needed."""
        self._retirement(id, "begin", evidence)

    def removing_artifact(self, id: str) -> None:
        """Tell that its platform is asked now. Raises CommandError (409) if it was taken back."""
        self._retirement(id, "removing", {})

    def artifact_removed(self, id: str, evidence: Json) -> None:
        """Record that its platform has removed the version."""
        self._retirement(id, "artifact-removed", evidence)

    def _retirement(self, id: str, step: str, evidence: Json) -> None:
        body = {"step": step, "evidence": evidence}
        admin.call("POST", admin.path("deployments", id, "retirement"), body)

    def call_off_retirement(self, id: str, *, kept: bool = False) -> None:
        """Take that back: it stays. `kept`: because its platform has refused to remove it."""
        admin.call("DELETE", admin.path("deployments", id, "retirement"), query={"kept": kept})

    def remove(self, id: str) -> None:
        """Remove the record of a deployment that nothing needs. One that is gone is fine."""
        unless_gone(lambda: admin.call("DELETE", admin.path("deployments", id)))


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def unless_gone(change: Callable[[], object]) -> None:
    """Change what may be gone already: then all is well."""
    try:
        change()
    except CommandError as error:
        if error.status != 404:
            raise
