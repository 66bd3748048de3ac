"""`sys_invocation` and the two tables it joins: everything that is known of invocations.

What is unfinished and what is completed are read apart. There may be a million completed ones; they
are in an index of their own, which nothing that counts or lists them leaves. And most columns say
something of unfinished ones only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

import pyarrow as pa

from steadfaas.machine.status import Kind, Status
from steadfaas.query import failures
from steadfaas.query.clauses import Clause
from steadfaas.query.columns import Codes, Column, Ids, Targets, column
from steadfaas.query.conditions import (
    Compare,
    Condition,
    Like,
    OneOf,
    Some,
    columns_of,
    fixed,
)
from steadfaas.query.groups import INDEXED, condense
from steadfaas.query.idtext import format_ids
from steadfaas.query.schemas import SCHEMAS
from steadfaas.query.tables import BY_NUMBER, Access, Branch, Table
from steadfaas.store.invocations import SPAN
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode

S = Status
_SERVICE_TYPES: Final = {
    int(Kind.SERVICE): "service",
    int(Kind.OBJECT_EXCLUSIVE): "virtual_object",
    int(Kind.OBJECT_SHARED): "virtual_object",
    int(Kind.WORKFLOW_RUN): "workflow",
    int(Kind.WORKFLOW_SHARED): "workflow",
}
#: `sys_invocation.status`
_STATUS: Final = {
    int(S.SCHEDULED): "scheduled",
    int(S.PENDING): "pending",
    int(S.READY): "ready",
    int(S.RUNNING): "running",
    int(S.BACKING_OFF): "backing-off",
    int(S.SUSPENDED): "suspended",
    int(S.PAUSED): "paused",
    int(S.COMPLETED): "completed",
}
#: `sys_invocation_status.status`
_STAGE: Final = {
    **_STATUS,
    int(S.PENDING): "inboxed",
    int(S.READY): "invoked",
    int(S.RUNNING): "invoked",
    int(S.BACKING_OFF): "invoked",
}

# --- what several tables have ------------------------------------------------------------------


def _partitions(values: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
    return pa.array([v and int.from_bytes(v[:8], "little") for v in values], type)


def partition(sql: str) -> Column:
    """The number of which an invocation's id begins with the bytes."""
    return Column((sql,), _partitions, matcher=None)


def invocation_id(sql: str) -> Column:
    """An invocation's id."""
    return Column((sql,), format_ids, Ids())


def words(sql: str, table: Mapping[int, str], only: Status | None = None) -> Column:
    """A stored number that is shown as a word."""

    def convert(values: Sequence[int], type: pa.DataType) -> pa.Array:
        return pa.array([table[value] for value in values], type)

    return Column((sql,), convert, Codes(table, only))


# --- columns -----------------------------------------------------------------------------------

_TARGET: Final = "i.service || '/' || ifnull(i.key || '/', '') || i.handler"
_CALLER: Final = "i.invoked_by_target"
_ASKED_BY: Final = (
    "CASE WHEN i.restarted_from IS NOT NULL THEN 'restart_as_new'"
    " WHEN i.invoked_by IS NOT NULL THEN 'service' ELSE 'ingress' END"
)
_FIRST_START: Final = (
    f"CASE i.attempt WHEN 0 THEN NULL WHEN 1 THEN i.started_at"
    f" ELSE (SELECT a.started_at FROM attempt AS a WHERE a.pos = i.seq * {SPAN} + 1) END"
)
FIRST_NOTIFICATION: Final = 0x8000
_JOURNAL: Final = f"j.pos >= i.seq * {SPAN} AND j.pos < (i.seq + 1) * {SPAN}"
_COMMANDS: Final = (
    f"(SELECT nullif(count(*), 0) FROM journal AS j WHERE {_JOURNAL}"
    f" AND j.type < {FIRST_NOTIFICATION})"
)
# A result is stored once, with the record: then the journal is one shorter than it says.
_OUTPUT_APART: Final = (
    f"(NOT EXISTS (SELECT 1 FROM journal AS j WHERE j.pos = i.seq * {SPAN} + i.entries - 1))"
)

_BOTH: Final[dict[str, Column]] = {
    "partition_key": partition("i.id"),
    "id": invocation_id("i.id"),
    "target": Column((_TARGET,), matcher=Targets()),
    "target_service_name": column("i.service", ordered=True),
    "target_service_key": column("i.key"),
    "target_handler_name": column("i.handler", ordered=True),
    "target_service_ty": words("i.kind", _SERVICE_TYPES),
    "idempotency_key": column("i.idempotency_key"),
    "invoked_by": column(_ASKED_BY),
    "invoked_by_service_name": column(f"substr({_CALLER}, 1, instr({_CALLER}, '/') - 1)"),
    "invoked_by_id": invocation_id("i.invoked_by"),
    "invoked_by_target": column(_CALLER),
    "restarted_from": invocation_id("i.restarted_from"),
    "pinned_deployment_id": column("i.deployment"),
    "pinned_service_protocol_version": column("i.version"),
    "created_at": column("i.created_at", ordered=True),
    "created_using_restate_version": column("'1.7.12'"),  # the level of Restate's API
    "modified_at": column("i.modified_at", ordered=True),
    "running_at": column(_FIRST_START),
    "completion_retention": Column(("i.completion_retention",), matcher=None),
    "journal_retention": Column(("i.journal_retention",), matcher=None),
}


def _waits_for_completions(values: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
    return pa.array([v and _waits(v).waiting_completions for v in values], type)


def _waits_for_signals(values: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
    return pa.array([v and _waits(v).waiting_signals for v in values], type)


@lru_cache(maxsize=256)
def _waits(stored: bytes) -> m.Suspension:
    return decode(m.Suspension, stored)


def _in(*states: Status) -> str:
    return f"i.status IN ({', '.join(str(int(state)) for state in states)})"


# What is known of the attempts of one that is between the first and the last of them. Of a paused
# one nothing is told here; its events, and the admin API, tell it.
_TRIED: Final = _in(S.READY, S.RUNNING, S.BACKING_OFF)
_FAILURE: Final = f"(CASE WHEN {_TRIED} THEN i.failure END)"
# The next attempt, open or not, counts only while it is open.
_ATTEMPTS: Final = (
    f"CASE WHEN {_TRIED} THEN"
    f" nullif(max(i.failures, i.retry_count) + (i.status = {int(S.RUNNING)}), 0) END"
)
_LAST_TRIED: Final = (
    f"CASE WHEN {_TRIED} AND i.attempt > 0 THEN"
    f" CASE WHEN i.status = {int(S.RUNNING)} THEN i.deployment"
    " ELSE ifnull(json_extract(i.failure, '$.deployment'), i.deployment) END END"
)

_ATTEMPT: Final[dict[str, Column]] = {
    "in_flight": column(f"i.status = {int(S.RUNNING)}"),
    "retry_count": column(_ATTEMPTS),
    "last_start_at": column(f"CASE WHEN {_TRIED} AND i.attempt > 0 THEN i.started_at END"),
    "next_retry_at": column(f"CASE WHEN {_in(S.BACKING_OFF)} THEN i.due_at END"),
    "last_attempt_deployment_id": column(_LAST_TRIED),
    "last_attempt_server": column(
        "(SELECT json_extract(d.record, '$.sdk_version') FROM deployment AS d"
        f" WHERE d.id = {_LAST_TRIED})"
    ),
    "last_failure": Column((_FAILURE,), failures.attempt_texts, matcher=None),
    "last_failure_error_code": Column(
        (_FAILURE,), failures.attempt_field("code"), said_of=f"json_extract({_FAILURE}, '$.code')"
    ),
    "last_failure_related_command_index": Column(
        (_FAILURE,), failures.attempt_field("command_index"), matcher=None
    ),
    "last_failure_related_command_name": Column(
        (_FAILURE,), failures.attempt_field("command_name"), matcher=None
    ),
    "last_failure_related_command_type": Column(
        (_FAILURE,), failures.attempt_field("command_type"), matcher=None
    ),
}

_OPEN: Final[dict[str, Column]] = {
    **_BOTH,
    "journal_size": column(f"CASE WHEN i.status >= {int(S.READY)} THEN i.entries END"),
    "journal_commands_size": column(f"CASE WHEN i.status >= {int(S.READY)} THEN {_COMMANDS} END"),
    "inboxed_at": column(f"CASE WHEN {_in(S.PENDING)} THEN i.created_at END"),
    "scheduled_at": column(f"CASE WHEN {_in(S.SCHEDULED)} THEN i.created_at END"),
    # One that waits for a version may start at any time.
    "scheduled_start_at": column(
        f"CASE WHEN {_in(S.SCHEDULED)} AND i.wants IS NULL THEN i.due_at END"
    ),
    "suspended_waiting_for_completions": Column(
        ("i.awaits",), _waits_for_completions, matcher=None
    ),
    "suspended_waiting_for_signals": Column(("i.awaits",), _waits_for_signals, matcher=None),
}

_PLAINLY_DONE: Final = "substr(i.output, 1, 1) <> x'72'"
_DONE: Final[dict[str, Column]] = {
    **_BOTH,
    "journal_size": column(
        "CASE WHEN EXISTS (SELECT 1 FROM journal AS e WHERE e.pos = i.seq << 20) THEN i.entries END"
    ),
    "journal_commands_size": column(f"{_COMMANDS} + {_OUTPUT_APART}"),
    "completed_at": column("i.completed_at"),
    # The first byte tells, unless a field comes before the result.
    "completion_result": column(
        "CASE substr(i.output, 1, 1) WHEN x'72' THEN 'success' WHEN x'7A' THEN 'failure'"
        " ELSE result(i.output) END"
    ),
    "completion_failure": Column(
        (f"CASE WHEN {_PLAINLY_DONE} THEN i.output END",), failures.result_texts, matcher=None
    ),
}

# --- ways to the rows --------------------------------------------------------------------------

_COMPLETED: Final = Access("INDEXED BY invocation_completed")
_FAILED: Final = Access("INDEXED BY invocation_failed", Clause(_PLAINLY_DONE))


def _open_access(conditions: Sequence[Condition], looks: Collection[str]) -> Access:
    if fixed(tuple(conditions), "id") is not None:
        return Access()
    return Access("INDEXED BY invocation_unfinished")


def _done_access(conditions: Sequence[Condition], looks: Collection[str]) -> Access:
    known = tuple(conditions)
    if fixed(known, "id") is not None:
        return Access()
    if fixed(known, "completion_result") == ("failure",):
        return _FAILED
    asked = {name for condition in known for name in columns_of(condition)} or set(looks)
    if (asked and asked <= INDEXED.keys()) or any(map(_names_target, known)):
        return _COMPLETED
    return BY_NUMBER


def _names_target(condition: Condition) -> bool:
    match condition:
        case Some(parts):
            return all(map(_names_target, parts))
        case Compare(name, "=", _) | OneOf(name, _, False) | Like(name, _, False):
            return name in ("target", "target_service_name")
    return False


# --- the tables --------------------------------------------------------------------------------


def _open(columns: Mapping[str, Column], where: str = "1") -> Branch:
    return Branch(
        "invocation AS i", columns, f"i.status < {int(S.COMPLETED)} AND {where}", _open_access
    )


def _done(columns: Mapping[str, Column]) -> Branch:
    return Branch(
        "invocation AS i",
        columns,
        f"i.status = {int(S.COMPLETED)}",
        _done_access,
        newest_first="i.seq DESC",
        condense=condense,
    )


def _both(status: Mapping[int, str], extra: Mapping[str, Column]) -> tuple[Branch, ...]:
    completed = {int(S.COMPLETED): status[int(S.COMPLETED)]}
    return (
        _open({**_OPEN, **extra, "status": words("i.status", status)}),
        _done({**_DONE, "status": words(str(int(S.COMPLETED)), completed, S.COMPLETED)}),
    )


TABLES: Final = (
    Table("sys_invocation", SCHEMAS["sys_invocation"], _both(_STATUS, _ATTEMPT)),
    Table("sys_invocation_status", SCHEMAS["sys_invocation_status"], _both(_STAGE, {})),
    Table(
        "sys_invocation_state",
        SCHEMAS["sys_invocation_state"],
        (_open({**_BOTH, **_ATTEMPT}, _TRIED),),
    ),
)
