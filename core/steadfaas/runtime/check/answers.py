"""What an endpoint answered to a barred journal, as far as a check needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from steadfaas.errors import AttemptFailure
from steadfaas.machine.failure import JOURNAL_MISMATCH, cut, describe_command, type_name
from steadfaas.runtime.check.recording import Recording
from steadfaas.transport.http import CLOSING
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode
from steadfaas.wire.frame import Frame
from steadfaas.wire.messages import MessageType as T

_RUN: Final = int(T.RUN)
_SUSPENSION: Final = int(T.SUSPENSION)
_ERROR: Final = int(T.ERROR)


@dataclass(frozen=True, slots=True)
class Issued:
    """The code issued a command that is not the one of that number in the journal."""

    index: int
    command: str
    is_output: bool
    difference: str  # what the SDK says of it, for people; may be empty


@dataclass(frozen=True, slots=True)
class Waits:
    """The code waits for what is not in the journal; where, it does not say."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The handler ended, and could not say with what."""


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer to go by: the handler failed (`code` is of its error), or the exchange."""

    why: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Escaped:
    """The endpoint did what no replay does: it sent a command, or the result of a step."""

    what: str


Answer = Issued | Waits | Ended | Failed | Escaped


class Listener:
    """Takes the frames of an answer, and keeps what matters of them."""

    def __init__(self) -> None:
        self._closing: Frame | None = None
        self._escaped: int | None = None

    def take(self, frames: list[Frame]) -> None:
        """More of the answer."""
        for frame in frames:
            if self._closing is not None:
                return
            if frame.type in CLOSING:
                self._closing = frame
            elif self._escaped is None:
                self._escaped = frame.type

    def answer(self, failure: AttemptFailure | None, recording: Recording, barrier: int) -> Answer:
        """What was heard, now that the exchange is over; `barrier` is what the journal had."""
        if self._escaped is not None:
            return Escaped(type_name(self._escaped))
        closing = self._closing
        if closing is None and failure is not None:
            return Failed(f"[{failure.code}] {failure.message}")
        if closing is None:
            return Failed("the answer ended without saying how (no closing frame)")
        if closing.type == _SUSPENSION:
            return Waits()
        if closing.type != _ERROR:
            return Ended()
        try:
            return _reported(decode(m.Error, closing.payload), recording, barrier)
        except MalformedMessage as error:
            return Failed(f"its error cannot be read: {error.message}")


def _reported(error: m.Error, recording: Recording, barrier: int) -> Answer:
    if error.code != JOURNAL_MISMATCH:
        return Failed(cut(error.message) or f"error {error.code}, without a message", error.code)
    index, issued = error.related_command_index, error.related_command_type
    if index is None:
        return Waits()
    if not 0 < index <= barrier or issued is None:
        return Failed(f"it says that command {index} is another one than recorded, as none can be")
    name = error.related_command_name or ""
    command = describe_command(issued, name)
    if index < barrier and issued == _RUN and command == recording.describe(index):
        # Steps that agree do not differ: it names the step whose result it waits for.
        return Waits()
    return Issued(index, command, issued == T.OUTPUT, _difference(error.message))


def _difference(message: str) -> str:
    """What differs between two commands of one type, if the SDK tells, on one line."""
    _, _, rest = message.partition("- Difference:")
    lines = rest.partition("Related command")[0].splitlines()
    return cut("; ".join(line.strip() for line in lines if line.strip()))
