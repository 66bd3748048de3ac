"""What was done to a deployment that may matter to what runs there, as its record keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from steadfaas.deployments.catalog import Change, Deployment, ServiceRevision

KEPT: Final = 20

FORCED: Final = "registered again by force"
OVERWRITTEN: Final = "services overwritten"
MOVED: Final = "address changed"
HEADERS: Final = "headers changed"
SECRETS: Final = "secret headers changed"
ACCESS: Final = "role changed"
METADATA: Final = "metadata changed"
PROMOTED: Final = "promoted"
CONFIGURED: Final = "settings changed"
CHANGES: Final = (
    FORCED,
    OVERWRITTEN,
    MOVED,
    HEADERS,
    SECRETS,
    ACCESS,
    METADATA,
    PROMOTED,
    CONFIGURED,
)

_LONGEST_ACTOR: Final = 200
_LONGEST_DETAIL: Final = 1000


def noted(deployment: Deployment, at: int, by: str, *changes: tuple[str, str]) -> Deployment:
    """The deployment with these changes (what, detail) added; the latest `KEPT` stay."""
    who = actor(by)
    new = [Change(at, who, what, _plain(detail, _LONGEST_DETAIL)) for what, detail in changes]
    return replace(deployment, changes=(*deployment.changes, *new)[-KEPT:])


def renewed(before: Iterable[ServiceRevision], after: Iterable[ServiceRevision]) -> str:
    """Which revisions these are now, and which they were: `Cart 1 -> 3, Shop 2`."""
    was = {known.name: known.revision for known in before}
    return ", ".join(
        f"{known.name} {was[known.name]} -> {known.revision}"
        if known.name in was
        else f"{known.name} {known.revision}"
        for known in sorted(after, key=lambda known: known.name)
    )


def names(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Which names were set anew and which are gone; never a value, which may be a secret."""
    parts = {
        "set": [name for name, value in after.items() if before.get(name) != value],
        "removed": [name for name in before if name not in after],
    }
    return "; ".join(
        f"{what}: {', '.join(sorted(which))}" for what, which in parts.items() if which
    )


def actor(said: str) -> str:
    """Who did it, fit to be kept."""
    return _plain(said, _LONGEST_ACTOR)


def _plain(text: str, limit: int) -> str:
    """Somebody else's text, cut, and without what a terminal would obey."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else "?" for char in shown)
