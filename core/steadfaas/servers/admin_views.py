"""Deployments, services and handlers as the admin API shows them. What has no value is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from steadfaas import ids
from steadfaas.deployments.catalog import (
    Change,
    Deployment,
    Handler,
    HandlerOptions,
    Retirement,
    ServiceRevision,
)
from steadfaas.deployments.drain import Drain
from steadfaas.deployments.outlook import Outlook
from steadfaas.deployments.requests import Registered
from steadfaas.durations import format_duration
from steadfaas.machine.retry import RetryPolicy
from steadfaas.servers.shapes import Json, given
from steadfaas.servers.times import timestamp, timestamp_if
from steadfaas.wire.manifest import (
    HandlerKind,
    InputRule,
    Options,
    OutputRule,
    ProtocolMode,
    RetryOptions,
    ServiceType,
)

SERVICE_TYPES: Final = {
    ServiceType.SERVICE: "Service",
    ServiceType.VIRTUAL_OBJECT: "VirtualObject",
    ServiceType.WORKFLOW: "Workflow",
}
_HANDLER_KINDS: Final = {
    HandlerKind.EXCLUSIVE: "Exclusive",
    HandlerKind.SHARED: "Shared",
    HandlerKind.WORKFLOW: "Workflow",
}
_PROTOCOL_TYPES: Final = {
    ProtocolMode.REQUEST_RESPONSE: "RequestResponse",
    ProtocolMode.BIDI_STREAM: "BidiStream",
}


# --- deployments -------------------------------------------------------------------------------


def registration_view(registered: Registered, outlook: Outlook | None) -> Json:
    """The answer to a registration, also to a dry run."""
    deployment = registered.deployment
    told = information(registered.broken, code="META0006")
    if outlook is not None:
        warning = (
            f"its platform may remove it from {timestamp(outlook.expires_at)} on: {outlook.why}"
        )
        told = {"info": [*told.get("info", []), {"message": warning}]}
    return given(
        id=deployment.id,
        services=_services(deployment),
        min_protocol_version=deployment.min_version,
        max_protocol_version=deployment.max_version,
        sdk_version=deployment.sdk_version,
        uri=deployment.uri if deployment.over_http else None,
        arn=None if deployment.over_http else deployment.uri,
        evidence=deployment.evidence.value,
        facts=dict(deployment.facts) or None,
        **told,
    )


def deployment_view(deployment: Deployment) -> Json:
    """A deployment in a list: its services by name and revision only."""
    services = [{"name": known.name, "revision": known.revision} for known in _by_name(deployment)]
    return {**_deployment(deployment), "services": services}


def deployment_detail(deployment: Deployment, drain: Drain, outlook: Outlook | None) -> Json:
    """A deployment with the services as it serves them, newest or not, and all that is ours."""
    view = {**_deployment(deployment), "services": _services(deployment)}
    if deployment.facts:
        view["facts"] = dict(deployment.facts)
    if deployment.changes:
        view["changes"] = [_change(change) for change in deployment.changes]
    if outlook is not None:
        view["expires"] = outlook_view(outlook)
    return {**view, "drain": drain_view(drain)}


def outlook_view(outlook: Outlook) -> Json:
    """When a platform may remove a version. Ours."""
    return given(
        at=timestamp(outlook.expires_at),
        why=outlook.why,
        needed_until=timestamp_if(outlook.needed_until),
        at_risk=outlook.at_risk,
    )


def drain_view(drain: Drain) -> Json:
    """What still needs a deployment. Ours."""
    oldest, shown = drain.oldest, [ids.format_invocation(each) for each in drain.blockers]
    return given(
        state=drain.state.value,
        active_services=list(drain.active_services),
        unfinished=drain.unfinished,
        counts=dict(drain.counts),
        oldest=oldest
        and {
            "invocation_id": ids.format_invocation(oldest.id),
            "target": oldest.target,
            "created_at": timestamp(oldest.created_at),
        },
        next_wake_up=timestamp_if(drain.next_wake_up),
        earliest_drained_at=timestamp_if(drain.earliest_drained_at),
        blockers=shown,
        blockers_shown=len(shown) if len(shown) < drain.unfinished else None,
    )


def information(sentences: Iterable[str], *, code: str | None = None) -> Json:
    """What an answer says besides: a field `info`, or none."""
    said = [given(code=code, message=sentence) for sentence in sentences]
    return {"info": said} if said else {}


def _change(change: Change) -> Json:
    return given(
        at=timestamp(change.at), by=change.by, what=change.what, detail=change.detail or None
    )


def _deployment(deployment: Deployment) -> Json:
    return given(
        id=deployment.id,
        **_address(deployment),
        additional_headers=dict(deployment.headers) or None,
        secret_headers=dict(deployment.secret_headers) or None,
        metadata=dict(deployment.metadata) or None,
        created_at=timestamp(deployment.created_at),
        min_protocol_version=deployment.min_version,
        max_protocol_version=deployment.max_version,
        sdk_version=deployment.sdk_version,
        adapter=deployment.adapter,
        evidence=deployment.evidence.value,
        retiring=deployment.retiring and _retiring(deployment.retiring),
    )


def _retiring(retirement: Retirement) -> Json:
    return given(
        since=timestamp(retirement.at),
        by=retirement.by,
        removing_until=timestamp_if(retirement.removing_until),
        artifact_removed_at=timestamp_if(retirement.artifact_removed_at),
    )


def _address(deployment: Deployment) -> Json:
    if deployment.over_http:
        return {
            "uri": deployment.uri,
            "protocol_type": _PROTOCOL_TYPES[deployment.protocol_mode],
            "http_version": deployment.http_version,
        }
    return {
        "arn": deployment.uri,
        "assume_role_arn": deployment.access.assume_role_arn,
        "compression": deployment.compression and deployment.compression.capitalize(),
    }


def _services(deployment: Deployment) -> list[Json]:
    return [service_view(known, deployment) for known in _by_name(deployment)]


def _by_name(deployment: Deployment) -> Iterable[ServiceRevision]:
    return (deployment.services[name] for name in sorted(deployment.services))


# --- services ----------------------------------------------------------------------------------


def service_view(service: ServiceRevision, deployment: Deployment) -> Json:
    """A service as this deployment serves it."""
    options = service.options
    return given(
        name=service.name,
        ty=SERVICE_TYPES[service.type],
        handlers=handlers_view(service),
        deployment_id=service.deployment_id,
        revision=service.revision,
        public=service.public,
        documentation=service.manifest.options.documentation,
        metadata=dict(service.manifest.options.metadata) or None,
        idempotency_retention=format_duration(options.idempotency_retention),
        workflow_completion_retention=_workflow_retention(service),
        journal_retention=format_duration(options.journal_retention),
        inactivity_timeout=_inactivity(options, deployment),
        abort_timeout=format_duration(options.abort_timeout),
        enable_lazy_state=options.lazy_state,
        retry_policy=_policy(options.retry),
    )


def _workflow_retention(service: ServiceRevision) -> str | None:
    if service.type is not ServiceType.WORKFLOW:
        return None
    for handler in service.handlers.values():
        if handler.kind is HandlerKind.WORKFLOW:
            return format_duration(handler.options.workflow_retention)
    return format_duration(service.options.workflow_retention)


def _inactivity(options: HandlerOptions, deployment: Deployment) -> str:
    # In request/response mode a handler suspends as soon as it waits: nothing is ever inactive.
    if deployment.protocol_mode is ProtocolMode.REQUEST_RESPONSE:
        return format_duration(0)
    return format_duration(options.inactivity_timeout)


def _policy(retry: RetryPolicy) -> Json:
    return {
        "initial_interval": format_duration(retry.initial_interval),
        "exponentiation_factor": retry.factor,
        "max_attempts": retry.max_attempts,
        "max_interval": format_duration(retry.max_interval),
        "on_max_attempts": retry.on_max_attempts.value,
    }


# --- handlers ----------------------------------------------------------------------------------


def handlers_view(service: ServiceRevision) -> list[Json]:
    """The handlers of a service, by name."""
    return [handler_view(service.handlers[name]) for name in sorted(service.handlers)]


def handler_view(handler: Handler) -> Json:
    """A handler with what it sets itself; what it leaves to its service is left out."""
    said, resolved = handler.manifest.options, handler.options
    takes, gives = handler.manifest.input, handler.manifest.output
    return given(
        name=handler.name,
        ty=_HANDLER_KINDS.get(handler.kind),
        public=handler.public,
        documentation=said.documentation,
        metadata=dict(said.metadata) or None,
        input_description=describe_input(takes),
        output_description=describe_output(gives),
        input_json_schema=_schema(takes),
        output_json_schema=_schema(gives),
        **_overrides(said, resolved),
        retry_policy=_policy_overrides(said.retry, resolved.retry),
    )


def describe_input(rule: InputRule | None) -> str:
    """What a handler takes, for people."""
    if rule is None:
        return "*/*"
    return _json_kind(rule) or rule.content_type or "none"


def describe_output(rule: OutputRule | None) -> str:
    """What a handler gives, for people."""
    if rule is None:
        return "application/json"
    described = _json_kind(rule) or rule.content_type
    if described is None:
        return "none"
    return f"optional {described}" if rule.set_content_type_if_empty else described


def _json_kind(rule: InputRule | OutputRule) -> str | None:
    schema = _schema(rule)
    if not isinstance(schema, dict):
        return None
    title, kind = schema.get("title"), schema.get("type")
    if isinstance(title, str):
        return f"JSON '{title}'"
    return f"JSON {kind}" if isinstance(kind, str) else None


def _schema(rule: InputRule | OutputRule | None) -> Any:
    return None if rule is None or rule.json_schema is None else json.loads(rule.json_schema)


def _overrides(said: Options, resolved: HandlerOptions) -> Json:
    durations = [
        ("idempotency_retention", said.idempotency_retention, resolved.idempotency_retention),
        ("journal_retention", said.journal_retention, resolved.journal_retention),
        ("inactivity_timeout", said.inactivity_timeout, resolved.inactivity_timeout),
        ("abort_timeout", said.abort_timeout, resolved.abort_timeout),
    ]
    # Shown as resolved, because absurd values are cut.
    own = {name: format_duration(used) for name, own, used in durations if own is not None}
    return {**own, "enable_lazy_state": said.enable_lazy_state}


def _policy_overrides(said: RetryOptions, resolved: RetryPolicy) -> Json:
    own: Json = {}
    if said.initial_interval is not None:
        own["initial_interval"] = format_duration(resolved.initial_interval)
    if said.factor is not None:
        own["exponentiation_factor"] = resolved.factor
    if said.max_interval is not None:
        own["max_interval"] = format_duration(resolved.max_interval)
    if said.on_max_attempts is not None:
        own["on_max_attempts"] = resolved.on_max_attempts.value
    # Unlike all else this one is there when nothing was said: the stock server shows it so.
    return {**own, "max_attempts": None if said.max_attempts is None else resolved.max_attempts}
