"""Every operation of the admin API: what it is called, what it takes, what it answers.

One entry for each route, found by method and path. `GET /openapi` is made of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from steadfaas.servers import admin_answers as a
from steadfaas.servers import admin_bodies as b
from steadfaas.servers import invocation_answers as i
from steadfaas.servers.request_models import Query

Answers = Mapping[int, type[BaseModel] | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `answers` are those of success, by status; None stands for an empty body.

    `ours` is what Restate's API does not have. `errors` are the statuses of refusals beside those
    that every operation may answer.
    """

    path: str  # below the version prefix, with the names of its parameters
    method: str
    id: str
    tag: str
    summary: str
    answers: Answers = field(default_factory=lambda: {200: None})
    errors: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    body_needed: bool = True
    query: type[Query] | None = None
    other_type: str | None = None  # in which a success may come as well as in JSON
    ours: bool = False
    deprecated: bool = False


def operation(method: str, path: str) -> Operation | None:
    """The entry of a route; names of path parameters do not count."""
    return _BY_ROUTE.get((method, _plain(path)))


def _plain(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


_Op = Operation


def _server() -> Iterator[Operation]:
    yield _Op("/", "GET", "welcome", "server", "Who answers here", {200: a.Welcome}, ours=True)
    yield _Op("/version", "GET", "version", "server", "Versions spoken here", {200: a.Version})
    yield _Op("/health", "GET", "health", "server", "Whether the server is there")
    yield _Op(
        *("/cluster-health", "GET", "cluster_health", "server", "The state of the cluster"),
        {200: a.ClusterHealth},
        deprecated=True,
    )
    yield _Op(
        *("/openapi", "GET", "get_openapi", "server", "This document"),
        {200: a.OpenApiDocument},
    )
    yield _Op(
        *("/query", "POST", "query", "query", "Ask in SQL"),
        {200: i.QueryRows},
        errors=(400, 413, 415, 422, 429, 500, 501, 503),
        body=b.QueryBody,
        other_type="application/vnd.apache.arrow.stream",
    )


def _deployments() -> Iterator[Operation]:
    tag, one = "deployment", "/deployments/{deployment}"
    yield _Op(
        *("/deployments", "POST", "create_deployment", tag, "Register a deployment"),
        {200: a.Registration, 201: a.Registration},
        errors=(400, 409, 413, 415, 422, 503),
        body=b.RegisterDeployment,
    )
    yield _Op(
        *("/deployments", "GET", "list_deployments", tag, "List deployments, oldest first"),
        {200: a.Deployments},
    )
    yield _Op(
        *(one, "GET", "get_deployment", tag, "Describe a deployment"),
        {200: a.Deployment},
        errors=(400, 404),
    )
    for method, id, deprecated in (
        ("PATCH", "update_deployment", False),
        ("PUT", "replace_deployment", True),
    ):
        yield _Op(
            *(one, method, id, tag, "Change the address, headers or notes of a deployment"),
            {200: a.Deployment},
            errors=(400, 404, 405, 409, 413, 415, 422, 503),
            body=b.UpdateDeployment,
            deprecated=deprecated,
        )
    yield _Op(
        *(one, "DELETE", "delete_deployment", tag, "Remove a deployment"),
        {202: None},
        errors=(400, 404, 409, 503),
        query=b.DeleteDeployment,
    )
    yield _Op(
        *(f"{one}/promote", "POST", "promote_deployment", tag),
        "Let a deployment take new requests again",
        {200: a.Deployment},
        errors=(400, 404, 409, 413, 415, 422, 503),
        body=b.PromoteDeployment,
        body_needed=False,
        ours=True,
    )


def _retirement() -> Iterator[Operation]:
    tag, path = "deployment", "/deployments/{deployment}/retirement"
    yield _Op(
        *(path, "POST", "retire_deployment", tag, "Take a deployment out of use, step by step"),
        {200: a.Deployment},
        errors=(400, 404, 409, 413, 415, 422, 503),
        body=b.RetireDeployment,
        ours=True,
    )
    yield _Op(
        *(path, "DELETE", "call_off_retirement", tag, "Keep a deployment after all"),
        {200: a.Deployment},
        query=b.CallOffQuery,
        errors=(400, 404, 409, 503),
        ours=True,
    )
    yield _Op(
        *("/audit", "GET", "list_audit", "audit", "What was done to deployments, by whom"),
        {200: a.Audit},
        errors=(400,),
        query=b.AuditQuery,
        ours=True,
    )


def _services() -> Iterator[Operation]:
    tag, one = "service", "/services/{service}"
    yield _Op(
        *("/services", "GET", "list_services", tag, "List services, by name"), {200: a.Services}
    )
    yield _Op(
        *(one, "GET", "get_service", tag, "Describe a service"), {200: a.Service}, errors=(404,)
    )
    yield _Op(
        *(one, "PATCH", "modify_service", tag, "Change the settings of a service"),
        {200: a.Service},
        errors=(400, 404, 413, 415, 422, 503),
        body=b.ModifyService,
    )
    yield _Op(
        *(f"{one}/handlers", "GET", "list_service_handlers", tag, "List handlers, by name"),
        {200: a.Handlers},
        errors=(404,),
    )
    yield _Op(
        *(f"{one}/handlers/{{handler}}", "GET", "get_service_handler", tag, "Describe a handler"),
        {200: a.Handler},
        errors=(404,),
    )
    yield _Op(
        *(f"{one}/openapi", "GET", "get_service_openapi", tag),
        "How to call a service through the ingress",
        {200: a.OpenApiDocument},
        errors=(404,),
    )
    yield _Op(
        *(f"{one}/state", "POST", "modify_service_state", tag, "Replace the state of a key"),
        {202: None},
        errors=(400, 404, 413, 415, 422, 503),
        body=b.ModifyState,
    )
    yield _Op(
        *(f"{one}/state", "GET", "get_service_state", tag),
        "The state of a key, or the keys that have state",
        {200: a.AnyState},
        errors=(400, 404, 413),
        query=b.StateQuery,
        ours=True,
    )
    yield _Op(
        *(f"{one}/status", "GET", "get_service_status", tag, "What is unfinished of a service"),
        {200: a.ServiceStatus},
        errors=(404,),
        ours=True,
    )
    yield _Op(
        *(f"{one}/callers", "GET", "get_service_callers", tag, "Who still calls a service"),
        {200: a.ServiceCallers},
        ours=True,
    )


def _invocations() -> Iterator[Operation]:
    tag, one = "invocation", "/invocations/{invocation_id}"
    refused = (400, 404, 409, 503)
    yield _Op(
        *("/invocations", "GET", "list_invocations", tag, "List invocations"),
        {200: i.Invocations},
        errors=(400,),
        query=b.ListInvocations,
        ours=True,
    )
    yield _Op(
        *(one, "GET", "describe_invocation", tag, "What happened to an invocation"),
        {200: i.Invocation},
        errors=(400, 404),
        ours=True,
    )
    yield _Op(
        *(f"{one}/journal", "GET", "get_journal", tag, "The journal of an invocation"),
        {200: i.Journal},
        errors=(400, 404),
        ours=True,
    )
    for name, id, summary, answers in (
        ("cancel", "cancel_invocation", "Ask an invocation to stop", {200: None, 202: None}),
        ("kill", "kill_invocation", "End an invocation at once", {200: None}),
        ("pause", "pause_invocation", "Let an invocation rest", {200: None, 202: None}),
        ("purge", "purge_invocation", "Forget a completed invocation", {200: None}),
        ("purge-journal", "purge_journal", "Forget the journal of a completed one", {200: None}),
    ):
        yield _Op(f"{one}/{name}", "PATCH", id, tag, summary, answers, errors=refused)
    yield _Op(
        *(f"{one}/resume", "PATCH", "resume_invocation", tag, "Try a paused or waiting one now"),
        errors=(*refused, 425),
        query=b.ResumeQuery,
    )
    yield _Op(
        *(f"{one}/restart-as-new", "PATCH", "restart_as_new_invocation", tag),
        "Repeat a completed invocation as a new one",
        {200: i.RestartAsNewAnswer},
        errors=(*refused, 410, 422, 425),
        query=b.RestartQuery,
    )
    yield _Op(
        *(one, "DELETE", "delete_invocation", tag, "End an invocation, fire and forget"),
        {202: None},
        errors=(400, 503),
        query=b.DeleteInvocation,
        deprecated=True,
    )
    yield _Op(
        *(f"{one}/check", "POST", "check_invocation", tag),
        "Whether the code of a deployment would go on with this journal",
        {200: i.CheckAnswer},
        errors=(*refused, 425),
        query=b.CheckQuery,
        ours=True,
    )
    yield _Op(
        *("/invocations/batch", "POST", "batch_invocations", tag),
        "One operation on many invocations",
        {200: i.BatchAnswer},
        errors=(400, 413, 415, 422, 503),
        body=b.BatchBody,
        ours=True,
    )


def _unoffered() -> Iterator[Operation]:
    kafka, cluster = "kafka_cluster", "/kafka-clusters/{cluster_name}"
    feed, one = "subscription", "/subscriptions/{subscription}"
    yield _Op(
        *("/kafka-clusters", "GET", "list_kafka_clusters", kafka, "None: not offered"),
        {200: a.KafkaClusters},
    )
    yield _refused("/kafka-clusters", "POST", "create_kafka_cluster", kafka, 400)
    yield _refused(cluster, "GET", "get_kafka_cluster", kafka, 404)
    yield _refused(cluster, "PATCH", "update_kafka_cluster", kafka, 404)
    yield _refused(cluster, "DELETE", "delete_kafka_cluster", kafka, 404)
    yield _Op(
        *("/subscriptions", "GET", "list_subscriptions", feed, "None: not offered"),
        {200: a.Subscriptions},
    )
    yield _refused("/subscriptions", "POST", "create_subscription", feed, 400)
    yield _refused(one, "GET", "get_subscription", feed, 404)
    yield _refused(one, "DELETE", "delete_subscription", feed, 404)
    yield _Op(
        *("/limits/rules", "PUT", "upsert_rules", "rule", "Takes an empty list: not offered"),
        {200: a.NoRules},
        errors=(400, 413, 415, 422),
        body=b.Rules,
    )
    yield _Op(
        *("/limits/rules/bulk-delete", "POST", "bulk_delete_rules", "rule"),
        "Removes nothing: not offered",
        {200: a.RemovedPatterns},
        errors=(400, 413, 415, 422),
        body=b.RulePatterns,
    )
    yield _refused("/vqueues/{vqueue_id}/pause", "POST", "pause_vqueue", "vqueue", 404)
    yield _refused("/vqueues/{vqueue_id}/resume", "POST", "resume_vqueue", "vqueue", 404)


def _refused(path: str, method: str, id: str, tag: str, status: int) -> Operation:
    return Operation(path, method, id, tag, "Always refused: not offered", {}, errors=(status,))


OPERATIONS: Final = (
    *_server(),
    *_deployments(),
    *_retirement(),
    *_services(),
    *_invocations(),
    *_unoffered(),
)
_BY_ROUTE: Final = {(each.method, _plain(each.path)): each for each in OPERATIONS}
