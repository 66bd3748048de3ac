"""Everything an invocation can ask of the outside.

The driver carries effects out in the order in which they are returned, within one transaction; what
leaves the process (exchanges, replies, wake-ups) leaves after its commit. Store, then send, then
wake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Append:
    """Store a journal entry at `index`: exactly the protobuf bytes of the frame."""

    index: int
    type: int
    payload: bytes


@dataclass(slots=True)
class Perform:
    """Do what a command asks for. `command` is the decoded message of wire.messages."""

    type: int
    command: Any


@dataclass(slots=True)
class Open:
    """Start the next attempt as soon as there is a free slot."""


@dataclass(slots=True)
class Park:
    """Nothing to do until a notification, a timer or an operator: forget it, the store remembers.

    `due_at`, if given, is when a timer must look at the invocation again (ms since the epoch).
    """

    due_at: int | None = None


@dataclass(slots=True)
class Finish:
    """The invocation has its result: the payload of an Output command."""

    output: bytes


Effect = Append | Perform | Open | Park | Finish
