"""What the admin API answers, for its OpenAPI document. Nothing is checked by these models at run
time: answers are plain dictionaries, and tests compare them with what is published here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from steadfaas.servers.admin_bodies import InvocationStatus
from steadfaas.servers.request_models import Absent

ServiceTypeName = Literal["Service", "VirtualObject", "Workflow"]


class Answer(BaseModel):
    """A JSON object. Later versions may add fields."""

    model_config = ConfigDict(use_attribute_docstrings=True, defer_build=True)


class Error(Answer):
    """Why a request was refused, and what to do next."""

    message: str
    restate_code: str | None
    """A stable code, explained in the documentation of error codes."""


class Info(Answer):
    """A remark beside a result."""

    code: str | Absent = None
    message: str


# --- the server --------------------------------------------------------------------------------


class Welcome(Answer):
    """Who answers here."""

    product: str
    version: str
    links: dict[str, str]


class Version(Answer):
    """What this server speaks."""

    version: str
    min_admin_api_version: int
    max_admin_api_version: int
    ingress_endpoint: str | None
    features: dict[str, bool]


class MetadataHealth(Answer):
    """Which nodes there are."""

    members: list[int]


class ClusterHealth(Answer):
    """The cluster, which is this server alone."""

    cluster_name: str
    metadata_cluster_health: MetadataHealth


# --- services ----------------------------------------------------------------------------------


class HandlerRetryPolicy(Answer):
    """What a handler sets of its retry policy itself; the rest is its service's."""

    initial_interval: str | Absent = None
    exponentiation_factor: float | Absent = None
    max_attempts: int | None
    max_interval: str | Absent = None
    on_max_attempts: Literal["Pause", "Kill"] | Absent = None


class RetryPolicy(Answer):
    """How failed attempts are repeated."""

    initial_interval: str
    exponentiation_factor: float
    max_attempts: int | None
    """Counts the first attempt too; null: without end."""
    max_interval: str
    on_max_attempts: Literal["Pause", "Kill"]


class Handler(Answer):
    """A handler with what it sets itself."""

    name: str
    ty: Literal["Exclusive", "Shared", "Workflow"] | Absent = None
    """Left out for handlers of plain services."""
    public: bool
    documentation: str | Absent = None
    metadata: dict[str, str] | Absent = None
    input_description: str
    output_description: str
    input_json_schema: Any = None
    output_json_schema: Any = None
    idempotency_retention: str | Absent = None
    journal_retention: str | Absent = None
    inactivity_timeout: str | Absent = None
    abort_timeout: str | Absent = None
    enable_lazy_state: bool | Absent = None
    retry_policy: HandlerRetryPolicy


class Handlers(Answer):
    """All handlers of a service."""

    handlers: list[Handler]


class Service(Answer):
    """A service as one deployment serves it."""

    name: str
    ty: ServiceTypeName
    handlers: list[Handler]
    deployment_id: str
    revision: int
    public: bool
    documentation: str | Absent = None
    metadata: dict[str, str] | Absent = None
    idempotency_retention: str
    workflow_completion_retention: str | Absent = None
    """Of workflows only."""
    journal_retention: str
    inactivity_timeout: str
    abort_timeout: str
    enable_lazy_state: bool
    retry_policy: RetryPolicy


class Services(Answer):
    """The revisions that take new requests."""

    services: list[Service]


# --- deployments -------------------------------------------------------------------------------


class DrainCounts(Answer):
    """Unfinished invocations, each counted once."""

    running: int
    """Under way, or ready to go on."""
    retrying: int
    suspended: int
    """Waiting for something other than time."""
    sleeping: int
    """Waiting for a sleep to end."""
    paused: int
    queued: int
    """Not started yet."""
    scheduled: int
    """Accepted for a later time."""


class OldestInvocation(Answer):
    """The oldest of them."""

    invocation_id: str
    target: str
    created_at: str


class Drain(Answer):
    """What still needs a deployment."""

    state: Literal["active", "draining", "drained"]
    active_services: list[str]
    """It takes the new requests of these."""
    unfinished: int
    counts: DrainCounts
    oldest: OldestInvocation | Absent = None
    next_wake_up: str | Absent = None
    """When the first of those that wait goes on by itself."""
    earliest_drained_at: str | Absent = None
    """It is not drained before."""
    blockers: list[str]
    """Their ids, oldest first."""
    blockers_shown: int | Absent = None
    """How many those are, when there are more."""


class Change(Answer):
    """What somebody did to a deployment."""

    at: str
    by: str
    what: str
    detail: str | Absent = None


class Expiry(Answer):
    """When a platform may remove a version by itself."""

    at: str
    why: str
    """By which rule."""
    needed_until: str | Absent = None
    """When the last of what is pinned to it wakes up."""
    at_risk: bool
    """It may be removed while something pinned needs it."""


class Retiring(Answer):
    """That a deployment is on its way out: nothing can come to it any more."""

    since: str
    by: str
    removing_until: str | Absent = None
    """Till then a request to its platform to remove the version may be under way."""
    artifact_removed_at: str | Absent = None
    """When its platform had the version no more, as whoever removed it told."""


class ServiceRevisionName(Answer):
    """One revision of a service."""

    name: str
    revision: int


EvidenceName = Literal["grammar", "control-plane", "asserted", "mutable"]
"""How it is known that the address always leads to the same code."""


class _Deployment(Answer):
    id: str
    uri: str | Absent = None
    """Of an HTTP endpoint, with `protocol_type` and `http_version`."""
    protocol_type: Literal["RequestResponse", "BidiStream"] | Absent = None
    http_version: str | Absent = None
    arn: str | Absent = None
    """Of a Lambda function, with `assume_role_arn` and `compression`."""
    assume_role_arn: str | Absent = None
    compression: Literal["Zstd"] | Absent = None
    additional_headers: dict[str, str] | Absent = None
    secret_headers: dict[str, str] | Absent = None
    """Where each secret stands, never the secret."""
    metadata: dict[str, str] | Absent = None
    created_at: str
    min_protocol_version: int
    max_protocol_version: int
    sdk_version: str | Absent = None
    adapter: str
    """Which platform it is on."""
    evidence: EvidenceName
    expires: Expiry | Absent = None
    """Left out where the platform keeps versions until somebody removes them."""
    retiring: Retiring | Absent = None
    drain: Drain


class DeploymentSummary(_Deployment):
    """A deployment in a list."""

    services: list[ServiceRevisionName]


class Deployment(_Deployment):
    """A deployment with its services as it serves them, newest or not."""

    services: list[Service]
    facts: dict[str, str] | Absent = None
    """What its platform said about the version."""
    changes: list[Change] | Absent = None
    """The latest ones, oldest first; left out when there are none."""
    info: list[Info] | Absent = None


class Deployments(Answer):
    """All deployments, oldest first."""

    deployments: list[DeploymentSummary]


class AuditEntry(Answer):
    """Something that somebody did."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    """The id of the deployment that it was done to."""
    detail: dict[str, Any]
    """What it was based on, and what came of it."""


class Audit(Answer):
    """What was done, newest first."""

    entries: list[AuditEntry]
    next: int | Absent = None
    """There are more: `after` for the next page."""


class Registration(Answer):
    """A deployment as it was registered, or would be."""

    id: str
    services: list[Service]
    min_protocol_version: int
    max_protocol_version: int
    sdk_version: str | Absent = None
    uri: str | Absent = None
    arn: str | Absent = None
    """What the target led to."""
    evidence: EvidenceName
    facts: dict[str, str] | Absent = None
    info: list[Info] | Absent = None


# --- state and status --------------------------------------------------------------------------


class Utf8Value(Answer):
    """A value that is text."""

    utf8: str


class Base64Value(Answer):
    """A value that is not."""

    base64: str


class State(Answer):
    """The whole state of a key."""

    service: str
    key: str
    version: str
    """Changes with the state: for conditional changes."""
    state: dict[str, Utf8Value | Base64Value]


class KeyWithState(Answer):
    """A key, and how many values it has."""

    key: str
    entries: int


class StateKeys(Answer):
    """Keys that have state."""

    service: str
    keys: list[KeyWithState]
    truncated: bool
    """There are more."""


class AnyState(RootModel[State | StateKeys]):
    """With a key its state, else the keys that have state."""


class StatusInvocation(Answer):
    """One unfinished invocation."""

    invocation_id: str
    handler: str
    status: InvocationStatus
    created_at: str


class HandlerStatus(Answer):
    """The unfinished invocations of a handler."""

    name: str
    counts: dict[InvocationStatus, int]
    oldest: StatusInvocation | Absent = None


class KeyStatus(Answer):
    """A key that is held."""

    key: str
    pending: int
    """How many wait behind its holder."""
    holder: StatusInvocation | Absent = None


class ServiceStatus(Answer):
    """What is unfinished of a service."""

    service: str
    ty: ServiceTypeName
    handlers: list[HandlerStatus]
    keys: list[KeyStatus]
    """Those of virtual objects that are held, the longest lines first, at most 100."""


class Caller(Answer):
    """Unfinished invocations on one deployment that called a handler."""

    deployment_id: str
    invocations: int


class CalledHandler(Answer):
    """Who calls a handler, by their journals."""

    name: str
    not_begun: int
    """Invocations of it that go to the newest version when they start."""
    callers: list[Caller]


class ServiceCallers(Answer):
    """Who calls a service: handlers that nobody calls are left out."""

    service: str
    handlers: list[CalledHandler]


# --- what is not offered -----------------------------------------------------------------------


class KafkaClusters(Answer):
    """None."""

    clusters: list[Any] = Field(max_length=0)


class Subscriptions(Answer):
    """None."""

    subscriptions: list[Any] = Field(max_length=0)


class NoRules(RootModel[list[Any]]):
    """No limit rules."""


class RemovedPatterns(RootModel[list[str]]):
    """The patterns of the rules that were removed."""


class OpenApiDocument(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""
