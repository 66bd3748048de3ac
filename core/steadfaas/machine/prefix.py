"""The beginning of a journal that another invocation can begin with."""

from __future__ import annotations

from typing import Any, Final

from steadfaas.errors import BadRequest
from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.invocation import Entry, issued_completions
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T

_OUTPUT: Final = int(T.OUTPUT)
_NOT_COMPLETIONS: Final = frozenset({*COMMANDS, int(T.INPUT), int(T.SIGNAL)})


def prefix(journal: list[Entry], last: int) -> list[Entry]:
    """The entries up to number `last`, and what completed their commands later.

    Raises BadRequest if there is no such entry, if it is the result, or if a command among them was
    never completed: whoever goes on from there would wait for it for ever.
    """
    types = [frame_type for frame_type, _ in journal]
    end = types.index(_OUTPUT) if _OUTPUT in types else len(types)
    if not 0 <= last < end:
        raise BadRequest(
            f"the query parameter 'from' is invalid: entry {last} cannot be restarted from;"
            f" choose one from 0 (the input) to {end - 1}"
        )
    kept = journal[: last + 1]
    waiting: set[int] = set()
    for entry in kept:
        _follow(entry, waiting)
    for entry in journal[last + 1 :]:
        if entry[0] not in _NOT_COMPLETIONS and _completion(entry) in waiting:
            _follow(entry, waiting)
            kept.append(entry)
    if waiting:
        raise BadRequest(
            f"the query parameter 'from' is invalid: up to entry {last} the journal holds a command"
            " that was never completed; choose an entry before it"
        )
    return kept


def _follow(entry: Entry, waiting: set[int]) -> None:
    """What still waits for its completion after this entry."""
    frame_type, payload = entry
    row = COMMANDS.get(frame_type)
    if row is not None:
        command: Any = decode(row.message, payload)
        waiting.update(id for id, _ in issued_completions(frame_type, command))
    elif frame_type not in _NOT_COMPLETIONS:
        waiting.discard(_completion(entry))


def _completion(entry: Entry) -> int:
    return decode(m.Completion, entry[1]).completion_id
