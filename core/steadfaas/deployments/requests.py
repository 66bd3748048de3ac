"""What a registration asks for, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.headers import UNADORNED, Connection
from steadfaas.spi import Promise


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody asks to register.

    Without an `adapter`, the one whose words the target is written in. `field_name` is what the
    request called the target, for the sentence that refuses it. A promise of `DEV` accepts a target
    whose code may change, where the engine allows that.
    """

    target: str
    field_name: str = "uri"
    connection: Connection = UNADORNED
    protection: tuple[str, ...] = ()  # where the secrets stand that the platform asks for
    metadata: Mapping[str, str] = field(default_factory=dict)
    adapter: str | None = None
    promise: Promise = Promise.NONE
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
