"""What the admin API answers about invocations, for its OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from steadfaas.servers.admin_answers import Answer
from steadfaas.servers.admin_bodies import BatchOperation, InvocationStatus
from steadfaas.servers.request_models import Absent


class LastFailure(Answer):
    """Why the latest attempt failed."""

    restate_code: str | Absent = None
    code: int
    message: str


class InvocationBrief(Answer):
    """An invocation in a list."""

    id: str
    target: str
    status: InvocationStatus
    created_at: str
    modified_at: str
    deployment_id: str | Absent = None
    """The pin."""
    waits_for_version: str | Absent = None
    waits_until: str | Absent = None
    retry_count: int
    next_retry_at: str | Absent = None
    last_failure: LastFailure | Absent = None


class Invocations(Answer):
    """A page of invocations."""

    invocations: list[InvocationBrief]
    next: int | Absent = None
    """Pass it as `after` for the next page; left out on the last."""


class Attempt(Answer):
    """One try, and the deployment it ran on."""

    attempt: int
    deployment_id: str | None
    started_at: str
    ended_at: str | Absent = None
    outcome: str
    """`completed`, `suspended`, `running`, or an error code."""


class InvocationFailure(LastFailure):
    """Why the latest attempt failed, and where."""

    at: str
    attempt: int
    deployment_id: str | Absent = None
    command_index: int | Absent = None
    command_name: str | Absent = None
    command_type: str | Absent = None
    recorded_command: str | Absent = None
    """What the journal has there, after a journal mismatch."""
    issued_command: str | Absent = None
    """What the code did instead."""


class InvocationResult(Answer):
    """How it ended."""

    outcome: Literal["success", "failure"]
    code: int | Absent = None
    message: str | Absent = None


class InvocationEvent(Answer):
    """What happened beside the journal; more fields by its type."""

    model_config = ConfigDict(extra="allow")

    type: str
    """`TransientError`, `Paused` or `PinMoved`."""
    at: str
    after_journal_entry_index: int


class ComparedCommand(Answer):
    """One place of both command streams."""

    index: int
    recorded: str | Absent = None
    issued: str | Absent = None


class MismatchDeployment(Answer):
    """Whose commands these are; empty when that is not known."""

    id: str | Absent = None
    removed: bool | Absent = None
    metadata: dict[str, str] | Absent = None


class Mismatch(Answer):
    """A journal mismatch: the commands that were recorded, and those that the code issued."""

    index: int
    recorded_by: MismatchDeployment
    issued_by: MismatchDeployment
    skipped: int
    """So many commands before those that are shown are the same."""
    commands: list[ComparedCommand]


class Invocation(Answer):
    """What happened to an invocation."""

    id: str
    target: str
    status: InvocationStatus
    created_at: str
    modified_at: str
    attempts: list[Attempt]
    deployment_id: str | Absent = None
    protocol_version: int | Absent = None
    idempotency_key: str | Absent = None
    invoked_by: str | Absent = None
    """The invocation that called it."""
    invoked_by_target: str | Absent = None
    restarted_from: str | Absent = None
    """The completed invocation that it repeats."""
    pausing: bool | Absent = None
    """It will be paused as soon as its open attempt has ended."""
    waits_for_version: str | Absent = None
    """What its caller named the version by, such as `git:3f2c91e`: no deployment carries it yet."""
    waits_until: str | Absent = None
    last_failure: InvocationFailure | Absent = None
    result: InvocationResult | Absent = None
    events: list[InvocationEvent] | Absent = None
    mismatch: Mismatch | Absent = None
    next_retry_at: str | Absent = None
    scheduled_at: str | Absent = None
    wakes_up_at: str | Absent = None
    completed_at: str | Absent = None


class JournalEntry(Answer):
    """An entry of a journal."""

    index: int
    type: str
    """Such as `Command: Run` or `Notification: Sleep`."""
    name: str | Absent = None
    appended_at: str | Absent = None
    entry_json: str
    """What it holds, as a text of JSON."""


class Journal(Answer):
    """The journal, in order."""

    entries: list[JournalEntry]


class CheckAnswer(Answer):
    """Whether the code of a deployment would go on with a journal."""

    invocation_id: str
    target: str
    deployment_id: str
    verdict: Literal["compatible", "diverges", "cannot-tell"]
    index: int | Absent = None
    """Which command differs."""
    recorded: str | Absent = None
    issued: str | Absent = None
    reason: str
    commands: int


class RestartAsNewAnswer(Answer):
    """The invocation that repeats the old one."""

    new_invocation_id: str


class Refusal(Answer):
    """An invocation that an operation does not fit."""

    id: str
    message: str


class BatchAnswer(Answer):
    """What became of a page of invocations."""

    operation: BatchOperation
    matched: int
    done: int
    """Happened at once."""
    accepted: int
    """Takes effect later."""
    refused: int
    refusals: list[Refusal]
    next: int | Absent = None
    """Pass it as `after` for the next page; left out on the last."""


class QueryRows(Answer):
    """The rows of a query; columns that are null are left out."""

    rows: list[dict[str, Any]]
