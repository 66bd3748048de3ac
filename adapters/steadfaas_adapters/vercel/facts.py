"""What is kept of a deployment, as texts: shown with it, and compared when it is verified."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from steadfaas_adapters.vercel.models import Deployment

_LONGEST: Final = 500


def facts_of(
    found: Deployment,
    row: Deployment | None = None,
    *,
    team: str = "",
    proven_at: int | None = None,
) -> dict[str, str]:
    """What Vercel says of a deployment; `row` is how it is listed, `proven_at` in ms."""
    listed = row or found
    facts = {
        "deployment_id": found.id,
        "project_id": found.project_id,
        "project": found.project,
        "team": team,
        "target": _target(found),
        "state": found.state,
        "commit": found.commit or listed.commit,
        "ref": found.ref or listed.ref,
        "repository": found.repository or listed.repository,
        "created_at": _written(found.created),
        "expires_at": _written(listed.expiration),
        "proven_at": _written(proven_at),
    }
    return {name: value[:_LONGEST] for name, value in facts.items() if value}


def state_of(found: Deployment) -> str:
    """How it stands, in words."""
    if found.removed:
        by = " by the project's retention policy" if found.deleted_by_retention else ""
        return f"deleted{by}"
    said = f": {found.error.rstrip('.')}" if found.error else ""
    return f"{found.state or 'in no known state'}{said}"


def written_time(text: str) -> int:
    """A time among the facts, in ms since the epoch."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _target(found: Deployment) -> str:
    if found.environment is not None and found.environment.slug:
        return found.environment.slug
    return found.target or "preview"


def _written(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
