"""That a deployment is on its way out: nothing can come to it any more.

Its version is removed from the platform while its record still stands, so whoever relied on the
record meanwhile would rely on nothing. The steps are in `retire`.
"""

from __future__ import annotations

from dataclasses import dataclass

from steadfaas.errors import Conflict


@dataclass(frozen=True, slots=True)
class Retirement:
    """Since when a deployment is being retired, and who began it. Times are in ms since the epoch.

    `removing_until`: till then whoever asked the platform to remove the version may still have a
    request under way there. `artifact_removed_at` is when the platform's own version was gone.
    """

    at: int
    by: str
    artifact_removed_at: int | None = None
    removing_until: int | None = None


def being_retired(deployment_id: str) -> Conflict:
    """The refusal of what would bring something to a retiring deployment."""
    return Conflict(
        f"the deployment '{deployment_id}' is being retired: nothing can come to it any more. Use"
        " another deployment, or call that off first, while its platform still has the version"
        f" (DELETE /deployments/{deployment_id}/retirement)."
    )
