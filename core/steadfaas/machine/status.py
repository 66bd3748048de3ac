"""The states of an invocation, and the moves between them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from steadfaas.wire.manifest import HandlerKind, ServiceType


class Status(IntEnum):
    """Where an invocation is in its life. Stored; below 100 means unfinished."""

    SCHEDULED = 0  # accepted for a later time
    PENDING = 1  # in line for its key
    READY = 2  # may start or go on, waits for a free slot
    RUNNING = 3  # an exchange is open
    BACKING_OFF = 4  # the last attempt failed; a timer starts the next
    SUSPENDED = 5  # waits for notifications
    PAUSED = 6  # attempts ran out, or an operator asked; an operator decides
    COMPLETED = 100  # has its result

    @property
    def word(self) -> str:
        """As the APIs spell it: `backing-off`."""
        return self.name.lower().replace("_", "-")


_S = Status
# From each state, the states that an event may lead to. An attempt starts from READY and nowhere
# else: whatever ends a wait makes the invocation ready first.
MOVES: Final[dict[Status, frozenset[Status]]] = {
    _S.SCHEDULED: frozenset({_S.PENDING, _S.READY, _S.COMPLETED}),
    _S.PENDING: frozenset({_S.READY, _S.COMPLETED}),
    _S.READY: frozenset({_S.READY, _S.RUNNING, _S.PAUSED, _S.COMPLETED}),
    _S.RUNNING: frozenset({_S.READY, _S.BACKING_OFF, _S.SUSPENDED, _S.PAUSED, _S.COMPLETED}),
    _S.BACKING_OFF: frozenset({_S.READY, _S.PAUSED, _S.COMPLETED}),
    _S.SUSPENDED: frozenset({_S.READY, _S.PAUSED, _S.COMPLETED}),
    _S.PAUSED: frozenset({_S.READY, _S.COMPLETED}),
    _S.COMPLETED: frozenset(),
}


class Kind(IntEnum):
    """What a handler is: decides about keys, state and promises. Stored."""

    SERVICE = 0
    OBJECT_EXCLUSIVE = 1
    OBJECT_SHARED = 2
    WORKFLOW_RUN = 3
    WORKFLOW_SHARED = 4


_KINDS: Final = {
    (ServiceType.SERVICE, HandlerKind.SERVICE): Kind.SERVICE,
    (ServiceType.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE): Kind.OBJECT_EXCLUSIVE,
    (ServiceType.VIRTUAL_OBJECT, HandlerKind.SHARED): Kind.OBJECT_SHARED,
    (ServiceType.WORKFLOW, HandlerKind.WORKFLOW): Kind.WORKFLOW_RUN,
    (ServiceType.WORKFLOW, HandlerKind.SHARED): Kind.WORKFLOW_SHARED,
}

READS_STATE: Final = frozenset(Kind) - {Kind.SERVICE}
WRITES_STATE: Final = frozenset({Kind.OBJECT_EXCLUSIVE, Kind.WORKFLOW_RUN})
HAS_PROMISES: Final = frozenset({Kind.WORKFLOW_RUN, Kind.WORKFLOW_SHARED})


def kind_of(service: ServiceType, handler: HandlerKind) -> Kind:
    """The kind of a handler in a service. Raises KeyError for a pair no manifest may contain."""
    return _KINDS[service, handler]
