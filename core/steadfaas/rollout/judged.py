"""What asking about one entry of a file gave: where its target leads, and what is served there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steadfaas.rollout.world import Json

if TYPE_CHECKING:
    from steadfaas.config import DeclaredDeployment


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something cannot be done. `later`: the same may work in a while."""

    message: str
    later: bool = False
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """An entry as the server sees it.

    `deployment_id` is the registered deployment that its target leads to, or None; `services` are
    the views of what is served there, `broken` the promises to callers that it would break, `notes`
    what else the server says. `headers` and `secret_headers` are those that it shall have, with
    lower-case names. `mutable`: its code may change there. With `trouble`, nothing is known.
    """

    entry: DeclaredDeployment
    uri: str = ""
    deployment_id: str | None = None
    services: tuple[Json, ...] = ()
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    mutable: bool = False
    trouble: Trouble | None = None

    @property
    def served(self) -> dict[str, Json]:
        """The views of its services, by name."""
        return {str(view["name"]): view for view in self.services}
