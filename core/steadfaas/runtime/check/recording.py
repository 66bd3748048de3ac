"""What an invocation has recorded, and the journals that a check makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.invocation import Entry, describe_entry
from steadfaas.wire.messages import MessageType as T

_INPUT: Final = int(T.INPUT)
_OUTPUT: Final = int(T.OUTPUT)
# What no code can issue: a handler gets its input once, before its code begins.
_BARRIER: Final[Entry] = (_INPUT, b"")


@dataclass(frozen=True, slots=True)
class Recording:
    """A journal as a check sees it: the result apart, the commands picked out (the input is 0).

    `completed`: the result stands, and no replay will compare it with another one.
    """

    entries: tuple[Entry, ...]
    commands: tuple[Entry, ...]
    output: Entry | None
    completed: bool = False

    @classmethod
    def of(cls, journal: list[Entry], *, completed: bool) -> Recording:
        """The recording of a journal that begins with its input, or is not kept and empty."""
        ended = bool(journal) and journal[-1][0] == _OUTPUT
        entries = tuple(journal[:-1] if ended else journal)
        commands = tuple(entry for entry in entries if is_command(entry))
        return cls(entries, commands, journal[-1] if ended else None, completed)

    @property
    def end(self) -> int:
        """The number that the next command gets; the result, if there is one."""
        return len(self.commands)

    def describe(self, index: int) -> str:
        """The recorded command of that number, as people read it."""
        if index < self.end:
            return describe_entry(*self.commands[index])
        return "nothing" if self.output is None else "Output"


def is_command(entry: Entry) -> bool:
    """Whether an entry counts as a command: then SDKs number it."""
    return entry[0] == _INPUT or entry[0] in COMMANDS


def barred(recording: Recording, index: int) -> list[Entry]:
    """The journal with a barrier as command number `index`, and no commands behind it.

    All notifications stay, in their order: up to the barrier the code sees what it will see.
    An `index` behind the result has that in the journal, too.
    """
    journal: list[Entry] = []
    number = 0
    for entry in recording.entries:
        if not is_command(entry):
            journal.append(entry)
            continue
        if number < index:
            journal.append(entry)
        number += 1
    if index > number and recording.output is not None:
        journal.append(recording.output)
    return [*journal, _BARRIER]
