"""What was done to a deployment: the changes that may move work, as its record keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from steadfaas.deployments.catalog import Change, Deployment, ServiceRevision
from steadfaas.deployments.headers import Headers

KEPT: Final = 20

FORCED: Final = "registered again by force"
OVERWRITTEN: Final = "services overwritten"
MOVED: Final = "address changed"
HEADERS: Final = "headers changed"
SECRETS: Final = "secret headers changed"
ACCESS: Final = "role changed"
PROMOTED: Final = "promoted"

_LONGEST_ACTOR: Final = 200
_LONGEST_DETAIL: Final = 1000


def noted(deployment: Deployment, at: int, by: str, *changes: tuple[str, str]) -> Deployment:
    """The deployment with these changes (what, detail) added; the latest `KEPT` stay."""
    actor = _plain(by, _LONGEST_ACTOR)
    new = [Change(at, actor, what, _plain(detail, _LONGEST_DETAIL)) for what, detail in changes]
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


def header_names(before: Headers, after: Headers) -> str:
    """Which headers were set anew and which are gone; never a value, which may be a secret."""
    old, new = dict(before), dict(after)
    parts = {
        "set": [name for name, value in new.items() if old.get(name) != value],
        "removed": [name for name in old if name not in new],
    }
    return "; ".join(
        f"{what}: {', '.join(sorted(names))}" for what, names in parts.items() if names
    )


def _plain(text: str, limit: int) -> str:
    """Somebody else's text, cut, and without what a terminal would obey."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else "?" for char in shown)
