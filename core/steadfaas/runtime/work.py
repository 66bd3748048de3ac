"""What passes between the engine and its ledger: requests, and units of work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from steadfaas.deployments.catalog import Deployment, HandlerOptions
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.store.invocations import Outline

if TYPE_CHECKING:
    from steadfaas.store.writer import Transaction


_WAITING: Final = frozenset({Status.PENDING, Status.READY})


@dataclass(slots=True)
class Work:
    """One unit of work: its transaction, its time, and what happens after its commit."""

    tx: Transaction
    now: int
    opened: list[tuple[Invocation, Deployment]] = field(default_factory=list)
    # Each invocation that was looked at: whether it waited for its turn before, and itself.
    touched: dict[int, tuple[bool, Invocation]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)  # slots
    returned: list[str] = field(default_factory=list)  # slots that found no use
    finished: list[tuple[bytes, bytes]] = field(default_factory=list)
    lined_up: list[tuple[str, int]] = field(default_factory=list)
    parked: list[Invocation] = field(default_factory=list)
    aborted: list[tuple[int, int]] = field(default_factory=list)  # (seq, attempt)
    earliest: int | None = None  # the earliest timer that was armed
    expires: int | None = None  # the earliest end of a retention
    waiting: int = 0  # change of the number that wait for their turn

    def touch(self, inv: Invocation, *, new: bool = False) -> None:
        """An invocation is about to be changed; `new`: the store does not know it yet."""
        known = self.touched.get(inv.seq)
        before = known[0] if known is not None else not new and inv.status in _WAITING
        self.touched[inv.seq] = (before, inv)

    def count(self) -> None:
        """Everything was changed: see how many more, or fewer, wait for their turn now."""
        self.waiting = sum(
            (inv.status in _WAITING) - before for before, inv in self.touched.values()
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The version that a caller asks for: `key:value`, as its deployment's metadata has it, and
    until when the request waits for it (ms since the epoch)."""

    version: str
    until: int


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
    invoked_by_target: str | None = None
    not_before: int = 0  # ms since the epoch
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a request: a new invocation, or one that was there (`existing`)."""

    id: bytes
    seq: int
    existing: Outline | None = None
