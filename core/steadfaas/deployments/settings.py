"""Settings of a service that operators change: kept with the active revision, in its manifest.

They hold from the next attempt on, also for what is pinned to that revision, and are lost at the
next registration, as on the stock server. What a handler sets itself keeps precedence, with one
exception: how long a workflow's result is kept is set nowhere else than at its handler, so there it
is replaced. A handler that is private by itself stays private in a service made public.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from steadfaas.deployments.catalog import HandlerOptions, ServiceRevision, build_revision
from steadfaas.deployments.options import MAX_DURATION
from steadfaas.durations import format_duration
from steadfaas.errors import BadRequest
from steadfaas.wire.manifest import (
    HandlerKind,
    Options,
    RetryOptions,
    ServiceManifest,
    ServiceType,
)

# More attempts than anybody has, and few enough for every column.
_MAX_ATTEMPTS: Final = 2**31 - 1

_TYPES: Final = {
    ServiceType.SERVICE: "Service",
    ServiceType.VIRTUAL_OBJECT: "VirtualObject",
    ServiceType.WORKFLOW: "Workflow",
}


@dataclass(frozen=True, slots=True)
class ServiceChanges:
    """Settings to change; None leaves one as it is. Times are in ms and cut to a hundred years."""

    public: bool | None = None
    idempotency_retention: int | None = None
    workflow_completion_retention: int | None = None
    journal_retention: int | None = None
    inactivity_timeout: int | None = None
    abort_timeout: int | None = None
    retry: RetryOptions | None = None


def changed(
    revision: ServiceRevision, changes: ServiceChanges, defaults: HandlerOptions
) -> ServiceRevision:
    """The same revision with other settings; itself if they are what they were.

    Raises BadRequest for values that make no sense, and for a workflow's retention elsewhere.
    """
    manifest = _manifest(revision.manifest, changes)
    if manifest == revision.manifest:
        return revision
    return build_revision(
        manifest,
        revision=revision.revision,
        deployment_id=revision.deployment_id,
        defaults=defaults,
    )


def told(changes: ServiceChanges) -> str:
    """What was asked for, for the record: `public false, abort_timeout 1m, retry_policy`."""
    asked = {field.name: getattr(changes, field.name) for field in fields(changes)}
    return ", ".join(_told(name, value) for name, value in asked.items() if value is not None)


def _told(name: str, value: bool | int | RetryOptions) -> str:
    if isinstance(value, RetryOptions):
        return "retry_policy"
    return f"{name} {str(value).lower() if isinstance(value, bool) else format_duration(value)}"


def _manifest(service: ServiceManifest, changes: ServiceChanges) -> ServiceManifest:
    retention = _time("workflow_completion_retention", changes.workflow_completion_retention)
    if retention is not None:
        service = _with_workflow_retention(service, retention)
    return replace(service, options=_options(service.options, changes))


def _with_workflow_retention(service: ServiceManifest, retention: int) -> ServiceManifest:
    if service.type is not ServiceType.WORKFLOW:
        raise BadRequest(
            f"modifying retention time for service type {_TYPES[service.type]} is unsupported"
        )
    handlers = (
        replace(handler, workflow_completion_retention=retention)
        if handler.kind is HandlerKind.WORKFLOW
        else handler
        for handler in service.handlers
    )
    return replace(service, handlers=tuple(handlers))


def _options(options: Options, changes: ServiceChanges) -> Options:
    given: dict[str, Any] = {
        "ingress_private": None if changes.public is None else not changes.public,
        "idempotency_retention": _time("idempotency_retention", changes.idempotency_retention),
        "journal_retention": _time("journal_retention", changes.journal_retention),
        "inactivity_timeout": _time("inactivity_timeout", changes.inactivity_timeout),
        "abort_timeout": _time("abort_timeout", changes.abort_timeout),
        "retry": None if changes.retry is None else _retry(options.retry, changes.retry),
    }
    return replace(options, **{name: value for name, value in given.items() if value is not None})


def _retry(retry: RetryOptions, changes: RetryOptions) -> RetryOptions:
    factor, attempts = changes.factor, changes.max_attempts
    if factor is not None and not (math.isfinite(factor) and factor >= 1):
        raise _bad("retry_policy.exponentiation_factor", "a number from 1 up")
    if attempts is not None and attempts < 1:
        raise _bad("retry_policy.max_attempts", "a whole number from 1 up")
    given: dict[str, Any] = {
        "initial_interval": _time("retry_policy.initial_interval", changes.initial_interval),
        "max_interval": _time("retry_policy.max_interval", changes.max_interval),
        "max_attempts": None if attempts is None else min(attempts, _MAX_ATTEMPTS),
        "factor": None if factor is None else min(factor, float(MAX_DURATION)),
        "on_max_attempts": changes.on_max_attempts,
    }
    return replace(retry, **{name: value for name, value in given.items() if value is not None})


def _time(name: str, value: int | None) -> int | None:
    # Cut before it is stored: a stored number that no column can hold would not be read again.
    if value is not None and value < 0:
        raise _bad(name, "a duration that is not negative")
    return None if value is None else min(value, MAX_DURATION)


def _bad(name: str, expected: str) -> BadRequest:
    return BadRequest(f"The request field '{name}' is invalid. Reason: expected {expected}.")
