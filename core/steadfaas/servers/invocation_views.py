"""Invocations as the admin API shows them: ours, beyond Restate's API."""

from __future__ import annotations

import json
from typing import Final

from steadfaas import ids
from steadfaas.deployments.catalog import Catalog
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.invocation import target_text
from steadfaas.machine.status import Status
from steadfaas.query import journal_json
from steadfaas.servers.mismatch import MISMATCH, mismatch_view
from steadfaas.servers.shapes import Json, given
from steadfaas.servers.times import timestamp, timestamp_if
from steadfaas.store import invocations
from steadfaas.store.find import Found
from steadfaas.store.port import Reader
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode

_EVENTS_SHOWN: Final = 50


def invocation_view(reader: Reader, catalog: Catalog, id: bytes) -> Json:
    """What happened to an invocation. Raises NotFound."""
    found = _find(reader, id)
    attempts = invocations.attempts(reader, found)
    failure = _failure(found)
    optional = {
        "deployment_id": found.deployment,
        "protocol_version": found.version,
        "idempotency_key": found.idempotency_key,
        "invoked_by": _id(found.invoked_by),
        "invoked_by_target": found.invoked_by_target,
        "restarted_from": _id(found.restarted_from),
        "pausing": bool(found.pausing) or None,
        **waiting_view(found),
        "last_failure": None if failure is None else _failure_view(failure),
        "result": _result(found.output),
        "events": [_event(event) for event in _latest_events(reader, found.seq)] or None,
        **_times(found),
    }
    if failure is not None and failure.code == MISMATCH:
        journal = invocations.timed_journal(reader, found)
        copied_at = None if found.restarted_from is None else found.created_at
        optional["mismatch"] = mismatch_view(
            failure, journal, attempts, catalog, copied_at=copied_at
        )
    return {
        "id": ids.format_invocation(id),
        "target": target_text(found.service, found.key, found.handler),
        "status": Status(found.status).word,
        "created_at": timestamp(found.created_at),
        "modified_at": timestamp(found.modified_at),
        "attempts": _attempts(found, attempts),
        **given(**optional),
    }


def brief_view(found: Found) -> Json:
    """An invocation in a list."""
    failure = None
    if found.failure is not None:
        failed = FailureRecord.from_json(found.failure)
        failure = {
            "restate_code": failed.code, "code": failed.http_code, "message": failed.message
        }  # fmt: skip
    retrying = found.status == Status.BACKING_OFF
    return {
        "id": ids.format_invocation(found.id),
        "target": target_text(found.service, found.key, found.handler),
        "status": Status(found.status).word,
        "created_at": timestamp(found.created_at),
        "modified_at": timestamp(found.modified_at),
        "retry_count": found.retry_count,
        **given(
            deployment_id=found.deployment,
            **waiting_view(found),
            next_retry_at=timestamp_if(found.due_at) if retrying else None,
            last_failure=failure if found.status != Status.COMPLETED else None,
        ),
    }


def waiting_view(found: invocations.Description | Found) -> Json:
    """The version that a scheduled one waits for, and until when."""
    if found.wants is None or found.status != Status.SCHEDULED:
        return {}
    return {
        "waits_for_version": found.wants,
        "waits_until": timestamp_if(found.wants_until),
    }


def journal_view(reader: Reader, id: bytes) -> Json:
    """The journal of an invocation, in order. Raises NotFound."""
    journal = invocations.timed_journal(reader, _find(reader, id))
    entries = [
        {
            "index": entry.number,
            "type": journal_json.entry_type(entry.type),
            **given(
                name=journal_json.facts(entry.type, entry.payload).name or None,
                appended_at=timestamp_if(entry.at),
            ),
            "entry_json": journal_json.entry_json(entry.type, entry.payload),
        }
        for entry in journal
    ]
    return {"entries": entries}


def _find(reader: Reader, id: bytes) -> invocations.Description:
    found = invocations.describe(reader, id)
    if found is None:
        raise invocations.unknown(id)
    return found


def _latest_events(reader: Reader, seq: int) -> list[invocations.Event]:
    return invocations.events(reader, seq)[-_EVENTS_SHOWN:]


def _times(found: invocations.Description) -> Json:
    match found.status:
        case Status.BACKING_OFF:
            return {"next_retry_at": timestamp_if(found.due_at)}
        case Status.SCHEDULED:
            # One that waits for its version may start whenever that lands.
            starts = found.wants is None or found.due_at != found.wants_until
            return {"scheduled_at": timestamp_if(found.due_at) if starts else None}
        case Status.SUSPENDED:
            return {"wakes_up_at": timestamp_if(found.due_at)}
        case Status.COMPLETED:
            return {"completed_at": timestamp_if(found.completed_at)}
        case _:
            return {}


def _attempts(found: invocations.Description, ended: list[invocations.Attempt]) -> list[Json]:
    attempts: list[Json] = [
        {
            "attempt": attempt.number,
            "deployment_id": attempt.deployment,
            "started_at": timestamp(attempt.started_at),
            "ended_at": timestamp(attempt.ended_at),
            "outcome": attempt.outcome,
        }
        for attempt in ended
    ]
    if found.status == Status.RUNNING:
        attempts.append(
            {
                "attempt": found.attempt,
                "deployment_id": found.deployment,
                "started_at": timestamp(found.started_at),
                "outcome": "running",
            }
        )
    return attempts


def _failure(found: invocations.Description) -> FailureRecord | None:
    if found.failure is None or found.status == Status.COMPLETED:
        return None
    return FailureRecord.from_json(found.failure)


def _failure_view(failure: FailureRecord) -> Json:
    return given(
        restate_code=failure.code,
        code=failure.http_code,
        message=failure.message,
        at=timestamp(failure.at),
        attempt=failure.attempt,
        deployment_id=failure.deployment,
        command_index=failure.command_index,
        command_name=failure.command_name,
        command_type=failure.command_type,
        recorded_command=failure.recorded,
        issued_command=failure.issued,
    )


def _event(event: invocations.Event) -> Json:
    return {
        "type": event.type,
        "at": timestamp(event.at),
        "after_journal_entry_index": event.after_entry,
        **json.loads(event.body),
    }


def _result(output: bytes | None) -> Json | None:
    if output is None:
        return None
    result = decode(m.OutputCommand, output)
    if result.failure is None:
        return {"outcome": "success"}
    return {
        "outcome": "failure",
        "code": result.failure.code,
        "message": result.failure.message,
    }


def _id(raw: bytes | None) -> str | None:
    return None if raw is None else ids.format_invocation(raw)
