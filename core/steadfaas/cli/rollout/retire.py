"""Retiring one old version: route away, prove that it is drained, remove it, and then its record.

The engine judges that it is drained and lets nothing come to it any more, in one transaction; only
then is the platform asked. What is broken off is taken up where it was by doing it again: a
platform does not mind to be asked twice for the same, and the record goes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steadfaas.cli import platforms
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout.server import Managed
from steadfaas.rollout.plan import RetireStep
from steadfaas.rollout.world import Known

if TYPE_CHECKING:
    from steadfaas.spi import Access, EndpointReference, Versioned

# Well below the time for which nobody can take the version back.
_REMOVAL_SECONDS: Final = 45.0


def retire(step: RetireStep, server: Managed) -> str:
    """Retire a version that may go. Returns "", or why it stays after all: somebody needs it, here
    or on its platform. Raises CommandError if it could not be done."""
    found = server.deployment(step.deployment_id)
    if found is None:
        return ""  # somebody else was faster
    adapter, reference, access = platforms.on_platform(found.view)
    try:
        server.begin_retirement(found.id, step.evidence)
        if not (found.retiring or {}).get("artifact_removed_at"):
            _remove_artifact(adapter, reference, access, found, server)
            _tell_removed(found, reference, server)
        server.remove(found.id)
    except CommandError as error:
        if error.status == 409:
            return error.message
        if error.status == 404 and server.deployment(found.id) is None:
            return ""  # somebody else was faster
        raise
    return ""


def _remove_artifact(
    adapter: Versioned, reference: EndpointReference, access: Access, found: Known, server: Managed
) -> None:
    # Nobody takes it back from here on, so that nothing comes to what is about to go.
    server.removing_artifact(found.id)
    try:
        platforms.run(adapter.retire(reference, access), seconds=_REMOVAL_SECONDS)
    except CommandError as error:
        # What may work later goes on from here; what is refused must not stay half way.
        if error.exit_code is not ExitCode.TRY_LATER:
            server.call_off_retirement(found.id, kept=True)
        raise


def _tell_removed(found: Known, reference: EndpointReference, server: Managed) -> None:
    try:
        server.artifact_removed(found.id, {"uri": found.uri, "facts": dict(reference.facts)})
    except CommandError as error:
        if error.status != 409:
            raise
        raise CommandError(
            f"{found.id} was taken back while its platform deleted {found.uri}: its record stays,"
            " but nothing can run there any more. Let its services go to another version, and"
            " resume there what is pinned to it.",
            ExitCode.REFUSED,
        ) from error
