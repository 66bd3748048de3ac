"""What happened to an invocation beside its journal: stored as events, for operators to read.

The bodies are JSON objects whose `ty` repeats the event's type. `TransientError` and `Paused` have
the fields of Restate's `sys_journal_events`; `PinMoved` is ours.
"""

from __future__ import annotations

import json
from typing import Any, Final

from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import Invocation
from steadfaas.runtime.work import Work
from steadfaas.store import invocations


def attempt_failed(work: Work, inv: Invocation, before: FailureRecord | None) -> None:
    """An attempt failed; `before` is the failure of the one before it. The same failure, again and
    again, is one event."""
    failure = inv.failure
    assert failure is not None
    if before is None or _gist(before) != _gist(failure):
        _add(work, inv, "TransientError", _error(failure))


def paused(work: Work, inv: Invocation) -> None:
    """It waits for an operator from now on."""
    _add(work, inv, "Paused", {"last_failure": _error(inv.failure)} if inv.failure else {})


def pin_moved(work: Work, inv: Invocation, came_from: str, actor: str) -> None:
    """An operator let it go on with another deployment."""
    _add(work, inv, "PinMoved", {"from": came_from, "to": inv.deployment, "by": actor})


# Of a text that an endpoint chose: the record of the latest failure has more of it.
_LONGEST_TEXT: Final = 2000


def _gist(failure: FailureRecord) -> tuple[object, ...]:
    return (
        failure.code, failure.http_code, failure.message, failure.command_index,
        failure.deployment,
    )  # fmt: skip


def _error(failure: FailureRecord) -> dict[str, Any]:
    fields = {
        "error_code": failure.http_code,
        "error_message": failure.message[:_LONGEST_TEXT],
        "error_stacktrace": failure.stacktrace[:_LONGEST_TEXT] or None,
        "restate_doc_error_code": failure.code,
        "related_command_index": failure.command_index,
        "related_command_name": failure.command_name,
        "related_command_type": failure.command_type,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _add(work: Work, inv: Invocation, type: str, fields: dict[str, Any]) -> None:
    body = json.dumps({"ty": type, **fields}, separators=(",", ":"))
    invocations.add_event(work.tx, inv, work.now, type, body)
