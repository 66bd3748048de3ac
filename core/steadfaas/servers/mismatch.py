"""A journal mismatch (RT0016), as an operator needs to see it: both command streams side by side.

The journal has one stream, written by one deployment; the code that met it issued another. They are
the same up to the mismatch: the SDK compares command by command, and stops at the first difference.
"""

from __future__ import annotations

from typing import Final

from steadfaas.deployments.catalog import Catalog
from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import describe_entry
from steadfaas.servers.shapes import Json
from steadfaas.store.invocations import Attempt, TimedEntry
from steadfaas.wire.messages import MessageType

MISMATCH: Final = "RT0016"
_INPUT: Final = int(MessageType.INPUT)
# So many commands are shown before the mismatch, and behind it.
_BEFORE: Final = 20
_BEHIND: Final = 5


def mismatch_view(
    failure: FailureRecord,
    journal: list[TimedEntry],
    attempts: list[Attempt],
    catalog: Catalog,
    *,
    copied_at: int | None = None,
) -> Json | None:
    """Both streams around the mismatch; None if the failure is none, or the journal is gone.

    `copied_at` is when an invocation began that repeats another one, with entries of its journal.
    """
    index = failure.command_index
    commands = [entry for entry in journal if entry.type == _INPUT or entry.type in COMMANDS]
    if failure.code != MISMATCH or index is None or not commands:
        return None
    first = max(index - _BEFORE, 0)
    rows = [
        _row(number, commands, failure)
        for number in range(first, min(index + _BEHIND + 1, max(len(commands), index + 1)))
    ]
    return {
        "index": index,
        "recorded_by": _deployment(catalog, _recorded_by(commands, index, attempts, copied_at)),
        "issued_by": _deployment(catalog, failure.deployment),
        "skipped": first,
        "commands": rows,
    }


def _row(number: int, commands: list[TimedEntry], failure: FailureRecord) -> Json:
    row: Json = {"index": number}
    if number < len(commands):
        row["recorded"] = describe_entry(commands[number].type, commands[number].payload)
    if failure.command_index is not None and number < failure.command_index:
        row["issued"] = row.get("recorded")
    elif number == failure.command_index:
        row["issued"] = failure.issued or "another command"
    return row


def _recorded_by(
    commands: list[TimedEntry], index: int, attempts: list[Attempt], copied_at: int | None
) -> str | None:
    """The deployment whose attempt wrote the command, as far as times tell."""
    at = commands[min(index, len(commands) - 1)].at
    if at is not None and at == copied_at:
        return None
    writers = [
        attempt.deployment
        for attempt in attempts
        if at is not None and attempt.started_at <= at <= attempt.ended_at
    ]
    # Of two attempts that touch in one millisecond, the first wrote: the other met what is there.
    return writers[0] if writers else None


def _deployment(catalog: Catalog, id: str | None) -> Json:
    if id is None:
        return {}
    known = catalog.deployment(id)
    view: Json = {"id": id}
    if known is None:
        view["removed"] = True
    elif known.metadata:
        view["metadata"] = dict(known.metadata)
    return view
