"""What passes between the engine and its ledger: requests, and units of work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steadfaas.deployments.catalog import Deployment, HandlerOptions
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind
from steadfaas.store.invocations import Outline

if TYPE_CHECKING:
    from steadfaas.store.writer import Transaction


@dataclass(slots=True)
class Work:
    """One unit of work: its transaction, its time, and what happens after its commit."""

    tx: Transaction
    now: int
    opened: list[tuple[Invocation, Deployment]] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    taken: list[str] = field(default_factory=list)  # slots
    returned: list[str] = field(default_factory=list)  # slots that found no use
    finished: list[tuple[bytes, bytes]] = field(default_factory=list)
    lined_up: list[tuple[str, int]] = field(default_factory=list)
    parked: list[Invocation] = field(default_factory=list)
    aborted: list[tuple[int, int]] = field(default_factory=list)  # (seq, attempt)
    earliest: int | None = None  # the earliest timer that was armed
    expires: int | None = None  # the earliest end of a retention
    waiting: int = 0  # change of the number that wait for their turn


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an invocation. `input` is the payload of its Input command."""

    service: str
    handler: str
    key: str | None
    kind: Kind
    options: HandlerOptions
    input: bytes
    idempotency_key: str | None = None
    invoked_by: bytes | None = None
    not_before: int = 0  # ms since the epoch


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a request: a new invocation, or one that was there (`existing`)."""

    id: bytes
    seq: int
    existing: Outline | None = None
