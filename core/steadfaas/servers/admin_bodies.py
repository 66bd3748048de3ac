"""What requests to the admin API may bring: bodies and query strings.

The same models are published by `GET /openapi`. Imported on the first request that needs one.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, RootModel

from steadfaas.servers.request_models import (
    Absent,
    Body,
    Duration,
    Flag,
    Query,
    StateValue,
    parse_body,
    parse_query,
)
from steadfaas.wire.jsonshape import encode

__all__ = [
    "AuditQuery",
    "BatchBody",
    "BatchFilter",
    "BatchOperation",
    "CallOffQuery",
    "CheckQuery",
    "DeleteDeployment",
    "DeleteInvocation",
    "InvocationStatus",
    "ListInvocations",
    "ModifyService",
    "ModifyState",
    "PromoteDeployment",
    "QueryBody",
    "RegisterDeployment",
    "RestartQuery",
    "ResumeQuery",
    "RetireDeployment",
    "RetryPolicyChange",
    "RulePatterns",
    "Rules",
    "StateQuery",
    "UpdateDeployment",
    "parse_body",
    "parse_query",
]

InvocationStatus = Literal[
    "pending", "scheduled", "ready", "running", "backing-off", "suspended", "paused", "completed"
]
# What an audit entry may be given along, encoded (bytes).
MAX_EVIDENCE: Final = 16 * 1024
BatchOperation = Literal[
    "cancel", "kill", "pause", "resume", "purge", "purge-journal", "restart-as-new"
]


# --- bodies ------------------------------------------------------------------------------------


class RegisterDeployment(Body):
    """What to register. Of `uri`, `arn` and `target`, the first that is given counts."""

    example: ClassVar[str] = '{"uri": "http://localhost:9080"}'

    uri: str | None = None
    """An absolute address that always leads to the same version of the code."""
    arn: str | None = None
    """The ARN of a version of a Lambda function."""
    target: str | None = None
    """Ours: a target in the words of its platform, such as `lambda:greeter@live`; what it leads to
    now is registered."""
    assume_role_arn: str | None = None
    """Of Lambda functions: the role to take on for calling it."""
    additional_headers: dict[str, str] | None = None
    """Sent with discovery and with every invocation."""
    metadata: dict[str, str] | None = None
    """Stored and shown, nothing else."""
    use_http_11: bool = False
    """Understood for the sake of clients: endpoints are always spoken to in HTTP/1.1."""
    auth: dict[str, Any] | None = None
    """Refused: send credentials in `additional_headers`."""
    breaking: bool = False
    """Register also what takes handlers from callers or changes a service's type."""
    force: bool | None = None
    """Discover a known endpoint again and overwrite it; implies `breaking`. Under `/v2` the default
    is true, else false."""
    dry_run: bool = False
    """Discover and judge, but store nothing."""
    adapter: str | None = None
    """Ours: which adapter reads the target; by default the one whose words it is written in."""
    dev: bool = False
    """Ours: take also a target whose code may change, where the engine is for development."""
    assert_immutable: bool = False
    """Ours: whoever registers it vouches that the address never leads to other code, where the
    platform cannot be asked."""
    secret_headers: dict[str, str] | None = None
    """Ours: headers whose values are secrets, each as `env:NAME` or `file:PATH` of the engine."""
    protection: list[str] | None = None
    """Ours: secrets, as in `secret_headers`, by which the platform lets requests through."""


class UpdateDeployment(Body):
    """What to change of a deployment; what is left out stays."""

    example: ClassVar[str] = '{"uri": "http://localhost:9081"}'

    uri: str | None = None
    """The new address. Everything that is pinned here goes on there with its next attempt."""
    arn: str | None = None
    """The new version, of a deployment that is a Lambda function; its kind cannot change."""
    assume_role_arn: str | None = None
    """The role to take on for calling it, of a deployment that is a Lambda function."""
    additional_headers: dict[str, str] | None = None
    """Take the place of all that were there."""
    secret_headers: dict[str, str] | None = None
    """Ours: as at registration; take the place of all that were there."""
    protection: list[str] | None = None
    """Ours: as at registration. What it makes and `secret_headers` take together the place of all
    secret headers that were there."""
    metadata: dict[str, str] | None = None
    """Ours: takes the place of all notes."""
    use_http_11: bool | None = None
    """Understood for the sake of clients: endpoints are always spoken to in HTTP/1.1."""
    overwrite: bool = False
    """Take services and settings from a new discovery too, breaking changes included."""
    dry_run: bool = False
    """Discover and judge, but store nothing."""


class PromoteDeployment(Body):
    """How to promote a deployment."""

    dry_run: bool = False
    """Tell what would happen, but store nothing."""


def _evidence(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(encode(value))
    except ValueError as error:
        raise ValueError("it holds numbers that JSON does not have") from error
    if size > MAX_EVIDENCE:
        raise ValueError(f"it is larger than {MAX_EVIDENCE} bytes")
    return value


class RetireDeployment(Body):
    """A step of a deployment's retirement that is done, or is to be done."""

    example: ClassVar[str] = '{"step": "begin"}'

    step: Literal["begin", "removing", "artifact-removed"]
    """`begin`: let nothing come to the deployment any more. `removing`: its platform is about to be
    asked to remove the version, and for two minutes nobody may call the retirement off.
    `artifact-removed`: its platform has the version no more. Each may be asked for again."""
    evidence: Annotated[dict[str, Any], AfterValidator(_evidence)] = Field(default_factory=dict)
    """What is known of it, for the audit: any object of at most 16 KiB."""
    dry_run: bool = False
    """Judge, but store nothing."""


class RetryPolicyChange(Body):
    """The parts of a retry policy to change."""

    initial_interval: Duration | None = None
    exponentiation_factor: float | None = Field(None, ge=1, allow_inf_nan=False)
    max_attempts: int | None = Field(None, ge=1)
    """Counts the first attempt too."""
    max_interval: Duration | None = None
    on_max_attempts: Literal["Pause", "Kill"] | None = None


class ModifyService(Body):
    """What to change of a service; what is null or left out stays."""

    example: ClassVar[str] = '{"public": false}'

    public: bool | None = None
    """Whether the ingress takes requests for it."""
    idempotency_retention: Duration | None = None
    workflow_completion_retention: Duration | None = None
    journal_retention: Duration | None = None
    inactivity_timeout: Duration | None = None
    abort_timeout: Duration | None = None
    retry_policy: RetryPolicyChange | None = None
    """Ours."""


class ModifyState(Body):
    """The whole new state of a key."""

    example: ClassVar[str] = '{"object_key": "alice", "new_state": {"count": "1"}}'

    object_key: str
    new_state: dict[str, StateValue]
    """Names and values, each a list of bytes or a text; what is left out is gone."""
    version: str | None = None
    """If given, nothing changes unless the state still has this version; the answer is the same."""
    scope: str | None = None
    """Refused: scopes belong to virtual queues."""


class BatchFilter(Body):
    """Which invocations; all conditions must hold."""

    target: str | None = None
    """An id, `Service`, `Service/handler`, `Object/key` or `Object/key/handler`."""
    service: str | None = None
    handler: str | None = None
    key: str | None = None
    status: list[InvocationStatus] | None = None
    deployment: str | None = None
    """The pin."""


class BatchBody(Body):
    """One operation on many invocations, a page at a time."""

    example: ClassVar[str] = '{"operation": "cancel", "filter": {"service": "Greeter"}}'

    operation: BatchOperation
    filter: BatchFilter = Field(default_factory=BatchFilter)
    ids: list[str] | None = Field(None, max_length=10_000)
    """Exactly these, as far as the filter lets them pass; those that nobody knows are refused."""
    deployment: str | None = None
    """`latest`, `keep` or an id: where resumed invocations go on. Restarted ones begin with their
    input alone and go to `latest`: anything else is refused."""
    limit: int = Field(1000, ge=1, le=10_000)
    """At most so many invocations in this request."""
    after: int | None = Field(None, ge=0)
    """Go on behind the page that ended with this `next`."""
    dry_run: bool = False
    """Count, but change nothing."""


class QueryBody(Body):
    """A question in SQL."""

    example: ClassVar[str] = '{"query": "SELECT id FROM sys_invocation"}'

    query: str


class Rules(RootModel[list[dict[str, Any]]]):
    """Limit rules. Any rule is refused: limits are settings of the engine."""

    example: ClassVar[str] = "[]"


class RulePattern(Body):
    """A rule to delete."""

    pattern: str


class RulePatterns(RootModel[list[RulePattern]]):
    """Rules to delete."""

    example: ClassVar[str] = '[{"pattern": "*"}]'


# --- query strings -----------------------------------------------------------------------------


class DeleteDeployment(Query):
    """How to remove a deployment."""

    force: Flag = False
    """Also one that is needed: every attempt of what is pinned to it then fails."""


class AuditQuery(Query):
    """Which entries to show, newest first; all conditions must hold."""

    subject: str | Absent = None
    """A deployment's id; it may be gone."""
    action: str | Absent = None
    limit: int = Field(100, ge=1, le=1000)
    after: int | Absent = Field(None, ge=0, le=2**63 - 1)
    """Go on behind the page that ended with this `next`."""


class CallOffQuery(Query):
    """How a retirement is called off."""

    kept: Flag = False
    """The platform has refused to remove the version: nothing is under way there any more."""


class StateQuery(Query):
    """Which state to show."""

    key: str | Absent = None
    """The state of this key; without it, the keys that have state."""
    limit: int = Field(100, ge=1, le=10_000)
    """At most so many keys."""


class ListInvocations(Query):
    """Which invocations to list; all conditions must hold."""

    target: str | Absent = None
    """An id, `Service`, `Service/handler`, `Object/key` or `Object/key/handler`."""
    service: str | Absent = None
    handler: str | Absent = None
    key: str | Absent = None
    status: list[InvocationStatus] = Field(default_factory=list)
    """May be repeated, or separated by commas; without it, all but completed ones."""
    deployment: str | Absent = None
    """The pin."""
    limit: int = Field(100, ge=1, le=1000)
    after: int | Absent = Field(None, ge=0)
    """Go on behind the page that ended with this `next`."""
    sample: int | Absent = Field(None, ge=1, le=1000)
    """At most so many of each handler."""
    newest: Flag = False
    """Newest first."""


class ResumeQuery(Query):
    """Where to go on."""

    deployment: str | Absent = None
    """`keep` (the default), `latest` or an id."""
    check: Flag = False
    """Ours: refuse unless the journal fits the code there."""


class RestartQuery(Query):
    """What to keep of the old invocation."""

    from_: int = Field(0, alias="from", ge=0, le=2**32 - 1)
    """Copy the journal up to this entry; 0 keeps only the input."""
    deployment: str | Absent = None
    """`latest`, `keep` or an id."""


class CheckQuery(Query):
    """Which code to compare with."""

    deployment: str = "latest"
    """`latest` or an id."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class DeleteInvocation(Query):
    """How to end it."""

    mode: Annotated[Literal["cancel", "kill", "purge"], BeforeValidator(_lower)] = "cancel"
