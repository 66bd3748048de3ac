"""Reading the audit of a world."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from steadfaas.store import audit
from tests.deployments.world import World


class Entry(NamedTuple):
    """An entry with its detail decoded."""

    at: int
    actor: str
    action: str
    subject: str
    detail: Any


def entries(here: World, subject: str | None = None) -> list[Entry]:
    """What was done, newest first."""
    found = audit.read(here.writer.connection, subject=subject, limit=10_000)
    return [Entry(*each[1:5], json.loads(each.detail)) for each in found]


def actions(here: World, subject: str | None = None) -> list[str]:
    """The words for it alone."""
    return [each.action for each in entries(here, subject)]
