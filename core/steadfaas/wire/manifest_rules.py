"""The rules a manifest must obey once its shape is right; each refusal says what to change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from steadfaas.errors import DiscoveryError
from steadfaas.wire.jsonshape import show
from steadfaas.wire.services import (
    HandlerKind,
    HandlerManifest,
    Manifest,
    ServiceManifest,
    ServiceType,
)
from steadfaas.wire.version import MAX_VERSION, MIN_VERSION, negotiate

_SERVICE_NAME: Final = re.compile(r"(?:[a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9._-]*", re.ASCII)
_HANDLER_NAME: Final = re.compile(r"(?:[a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9_]*", re.ASCII)
_TOKEN: Final = r"[a-zA-Z0-9!#$&^_.+-]+"
_PARAMETERS: Final = r"(?:[ \t]*;[\x20-\x7e\t]*)?"
_MEDIA_TYPE: Final = re.compile(rf"{_TOKEN}/{_TOKEN}{_PARAMETERS}")
_MEDIA_RANGE: Final = re.compile(rf"\s*(?:\*/\*|{_TOKEN}/(?:\*|{_TOKEN})){_PARAMETERS}\s*")

_ALLOWED_KINDS: Final = {
    ServiceType.SERVICE: frozenset({HandlerKind.SERVICE}),
    ServiceType.VIRTUAL_OBJECT: frozenset({HandlerKind.EXCLUSIVE, HandlerKind.SHARED}),
    ServiceType.WORKFLOW: frozenset({HandlerKind.WORKFLOW, HandlerKind.SHARED}),
}


def check_mode_is_given(document: Mapping[str, Any]) -> None:
    """The manifest says how its endpoint speaks. Raises DiscoveryError (META0013)."""
    # The manifest's schema makes it optional, but nothing can be done without it.
    if document.get("protocolMode") is None:
        raise DiscoveryError(
            "the endpoint's manifest does not say its 'protocolMode';"
            " update the SDK of the endpoint and register again",
            code="META0013",
        )


def check_protocol(manifest: Manifest) -> None:
    """This engine can speak with the endpoint. Raises DiscoveryError (META0013, META0012)."""
    low, high = manifest.min_version, manifest.max_version
    if not 1 <= low <= high:
        raise DiscoveryError(
            f"the endpoint announces the service protocol versions {low} to {high}, which is no"
            " range; update the SDK of the endpoint",
            code="META0013",
        )
    if negotiate(low, high) is None:
        older = high < MIN_VERSION
        raise DiscoveryError(
            f"the endpoint speaks the service protocol versions {low} to {high}, this engine speaks"
            f" {MIN_VERSION} to {MAX_VERSION};"
            f" {'update the SDK of the endpoint' if older else 'update the engine'}",
            code="META0012",
        )


def check_services(manifest: Manifest) -> None:
    """Names, kinds and settings obey the rules. Raises DiscoveryError (META0005, or no code)."""
    seen: set[str] = set()
    for service in manifest.services:
        _check_service_name(service.name)
        if service.name in seen:
            raise _rule(f"the service '{service.name}' is announced twice; rename one of the two")
        seen.add(service.name)
        _check_handlers(service)


def _check_service_name(name: str) -> None:
    if not _SERVICE_NAME.fullmatch(name):
        raise _rule(
            f"the service name {show(name)} is not allowed: it must begin with a letter (or an"
            " underscore and a letter or digit) and hold letters, digits, '.', '_' and '-' only"
        )
    if name.lower().startswith("restate") or name == "openapi":
        raise DiscoveryError(
            f"the service name '{name}' is reserved: choose one that does not begin with 'restate'"
            " and is not 'openapi'",
            code="META0005",
            status=400,
        )


def _check_handlers(service: ServiceManifest) -> None:
    seen: set[str] = set()
    for handler in service.handlers:
        if not _HANDLER_NAME.fullmatch(handler.name):
            raise _rule(
                f"the handler name {show(handler.name)} of service '{service.name}' is not allowed:"
                " it must begin with a letter (or an underscore and a letter or digit) and hold"
                " letters, digits and '_' only"
            )
        if handler.name in seen:
            raise _rule(
                f"the handler '{handler.name}' of service '{service.name}' is announced twice;"
                " rename one of the two"
            )
        seen.add(handler.name)
        _check_handler(service, handler)
    runs = [handler.name for handler in service.handlers if handler.kind is HandlerKind.WORKFLOW]
    if len(runs) > 1:
        raise _rule(
            f"the workflow '{service.name}' has more than one WORKFLOW handler"
            f" ({', '.join(runs)}); make all but one SHARED"
        )


def _check_handler(service: ServiceManifest, handler: HandlerManifest) -> None:
    which = f"the handler '{handler.name}' of service '{service.name}'"
    if handler.kind not in _ALLOWED_KINDS[service.type]:
        raise _rule(
            f"{which} is of type {handler.kind.name}, which a {service.type.name} cannot have;"
            f" {_kinds_advice(service.type)}"
        )
    is_run = handler.kind is HandlerKind.WORKFLOW
    if handler.workflow_completion_retention is not None and not is_run:
        raise _rule(
            f"{which} sets 'workflowCompletionRetention', which only a workflow's WORKFLOW handler"
            " may; set 'idempotencyRetention' or 'journalRetention' instead"
        )
    if handler.options.idempotency_retention is not None and is_run:
        raise _rule(
            f"{which} sets 'idempotencyRetention', which a WORKFLOW handler may not; set"
            " 'workflowCompletionRetention' instead"
        )
    if service.options.ingress_private and handler.options.ingress_private is False:
        raise _rule(
            f"{which} is marked public, but its service is private; make the service public and its"
            " other handlers private"
        )
    _check_content_types(which, handler)


def _kinds_advice(service: ServiceType) -> str:
    if service is ServiceType.SERVICE:
        return "leave the handler's type out"
    return "use " + " or ".join(sorted(kind.name for kind in _ALLOWED_KINDS[service]))


def _check_content_types(which: str, handler: HandlerManifest) -> None:
    takes = None if handler.input is None else handler.input.content_type
    if takes is not None and not _MEDIA_RANGE.fullmatch(takes):
        raise _rule(
            f"{which} takes the content type {show(takes)}, which is none: write 'type/subtype',"
            " 'type/*' or '*/*'"
        )
    gives = None if handler.output is None else handler.output.content_type
    if gives is not None and not _MEDIA_TYPE.fullmatch(gives):
        raise _rule(
            f"{which} gives the content type {show(gives)}, which is none: write 'type/subtype'"
        )


def _rule(sentence: str) -> DiscoveryError:
    return DiscoveryError(sentence, status=400)
