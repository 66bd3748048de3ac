"""What a registration asks for, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from steadfaas.deployments.adapters import DEFAULT
from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.headers import Headers


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody asks to register. `headers` have lower-case names."""

    target: str
    headers: Headers = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    adapter: str = DEFAULT
    breaking: bool = False
    force: bool = False
    dry_run: bool = False
    actor: str = ""


class Outcome(Enum):
    """What a registration did, or would do."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class Registered:
    """The deployment as it is now (or would be), and the promises that were broken on request."""

    deployment: Deployment
    outcome: Outcome
    broken: tuple[str, ...] = ()
