"""The discovery manifest: what an endpoint says it serves, read and checked.

`parse_manifest` is for what an endpoint answered: shape, ranges and rules are all checked, and a
sentence says what to do about a fault. `service_from_json` is for what we stored ourselves: it
checks the shape only, so that rules which became stricter since cannot keep the engine from
starting.

One reader serves the manifest versions 1 to 4: each is a superset of the one before, and keys that
nobody knows are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeVar

from steadfaas.errors import DiscoveryError
from steadfaas.wire.jsonshape import (
    BadShape,
    child,
    children,
    decode,
    encode,
    flag,
    number,
    show,
    text,
    texts,
    whole,
)
from steadfaas.wire.manifest_rules import check_mode_is_given, check_protocol, check_services
from steadfaas.wire.services import (
    HandlerKind,
    HandlerManifest,
    InputRule,
    Manifest,
    OnExhausted,
    Options,
    OutputRule,
    ProtocolMode,
    RetryOptions,
    ServiceManifest,
    ServiceType,
)

__all__ = [
    "HandlerKind",
    "HandlerManifest",
    "InputRule",
    "Manifest",
    "OnExhausted",
    "Options",
    "OutputRule",
    "ProtocolMode",
    "RetryOptions",
    "ServiceManifest",
    "ServiceType",
    "parse_manifest",
    "service_from_json",
    "service_to_json",
]


def parse_manifest(version: int, body: bytes) -> Manifest:
    """What an endpoint answered to discovery in this manifest version, checked completely.

    Raises DiscoveryError: META0013 or META0012 for a protocol this engine cannot speak, META0005
    for a reserved name, without a code for every other broken rule.
    """
    try:
        document = decode(body)
        check_mode_is_given(document)
        manifest = _manifest(document, version)
    except BadShape as error:
        raise DiscoveryError(
            f"the endpoint's manifest (version {version}) cannot be used: {error}."
            " Check that the address leads to an endpoint served by a current SDK"
        ) from error
    check_protocol(manifest)
    check_services(manifest)
    return manifest


# --- reading: shape and ranges -----------------------------------------------------------------

_E = TypeVar("_E", bound=Enum)


def _manifest(document: dict[str, Any], version: int) -> Manifest:
    where = "the manifest"
    mode = _choice(document, "protocolMode", where, {mode.value: mode for mode in ProtocolMode})
    services = children(document, "services", where)
    return Manifest(
        protocol_mode=_given(mode, "protocolMode", where),
        min_version=_version(document, "minProtocolVersion", where),
        max_version=_version(document, "maxProtocolVersion", where),
        services=tuple(_service(service, at) for at, service in enumerate(services)),
        version=version,
        lambda_compression=text(document, "lambdaCompression", where),
    )


def _version(document: dict[str, Any], key: str, where: str) -> int:
    return _given(whole(document, key, where), key, where)


def _service(document: dict[str, Any], position: int) -> ServiceManifest:
    where = f"service {position + 1}"
    name = _given(text(document, "name", where), "name", where)
    where = f"service {show(name)}"
    kind = _given(_choice(document, "ty", where, ServiceType.__members__), "ty", where)
    handlers = children(document, "handlers", where)
    return ServiceManifest(
        name=name,
        type=kind,
        handlers=tuple(_handler(item, at, kind, where) for at, item in enumerate(handlers)),
        options=_options(document, where),
    )


_KINDS: Final = {kind.name: kind for kind in HandlerKind if kind is not HandlerKind.SERVICE}
_DEFAULT_KIND: Final = {
    ServiceType.SERVICE: HandlerKind.SERVICE,
    ServiceType.VIRTUAL_OBJECT: HandlerKind.EXCLUSIVE,
    ServiceType.WORKFLOW: HandlerKind.WORKFLOW,
}


def _handler(
    document: dict[str, Any], position: int, service: ServiceType, of: str
) -> HandlerManifest:
    where = f"handler {position + 1} of {of}"
    name = _given(text(document, "name", where), "name", where)
    where = f"handler {show(name)} of {of}"
    takes, gives = child(document, "input", where), child(document, "output", where)
    return HandlerManifest(
        name=name,
        kind=_choice(document, "ty", where, _KINDS) or _DEFAULT_KIND[service],
        input=None if takes is None else _input(takes, f"the input of {where}"),
        output=None if gives is None else _output(gives, f"the output of {where}"),
        workflow_completion_retention=whole(document, "workflowCompletionRetention", where),
        options=_options(document, where),
    )


def _input(document: dict[str, Any], where: str) -> InputRule:
    return InputRule(
        required=flag(document, "required", where) or False,
        content_type=text(document, "contentType", where),
        json_schema=_schema(document, where),
    )


def _output(document: dict[str, Any], where: str) -> OutputRule:
    return OutputRule(
        content_type=text(document, "contentType", where),
        set_content_type_if_empty=flag(document, "setContentTypeIfEmpty", where) or False,
        json_schema=_schema(document, where),
    )


def _schema(document: dict[str, Any], where: str) -> str | None:
    schema = document.get("jsonSchema")
    if schema is None:
        return None
    if not isinstance(schema, dict | bool):
        raise BadShape(f"'jsonSchema' of {where} must be an object or a boolean")
    return encode(schema)


def _options(document: dict[str, Any], where: str) -> Options:
    return Options(
        documentation=text(document, "documentation", where),
        metadata=texts(document, "metadata", where),
        inactivity_timeout=whole(document, "inactivityTimeout", where),
        abort_timeout=whole(document, "abortTimeout", where),
        journal_retention=whole(document, "journalRetention", where),
        idempotency_retention=whole(document, "idempotencyRetention", where),
        enable_lazy_state=flag(document, "enableLazyState", where),
        ingress_private=flag(document, "ingressPrivate", where),
        retry=_retry(document, where),
    )


def _retry(document: dict[str, Any], where: str) -> RetryOptions:
    outcomes = {outcome.value: outcome for outcome in OnExhausted}
    return RetryOptions(
        initial_interval=whole(document, "retryPolicyInitialInterval", where),
        max_interval=whole(document, "retryPolicyMaxInterval", where),
        max_attempts=whole(document, "retryPolicyMaxAttempts", where),
        factor=number(document, "retryPolicyExponentiationFactor", where),
        on_max_attempts=_choice(document, "retryPolicyOnMaxAttempts", where, outcomes),
    )


def _choice(document: dict[str, Any], key: str, where: str, choices: Mapping[str, _E]) -> _E | None:
    word = text(document, key, where)
    if word is None:
        return None
    try:
        return choices[word]
    except KeyError:
        known = ", ".join(choices)
        raise BadShape(f"'{key}' of {where} is {show(word)}, not one of {known}") from None


_V = TypeVar("_V")


def _given(value: _V | None, key: str, where: str) -> _V:
    if value is None:
        raise BadShape(f"'{key}' of {where} is missing")
    return value


# --- writing -----------------------------------------------------------------------------------


def service_to_json(service: ServiceManifest) -> str:
    """The service in the manifest's own form, for the store."""
    return encode(_service_document(service))


def service_from_json(stored: str) -> ServiceManifest:
    """The service that `service_to_json` wrote. Raises ValueError if it did not."""
    return _service(decode(stored), 0)


def _service_document(service: ServiceManifest) -> dict[str, Any]:
    document = {
        "name": service.name,
        "ty": service.type.name,
        **_options_document(service.options),
    }
    return {**_set_only(document), "handlers": [_handler_document(h) for h in service.handlers]}


def _handler_document(handler: HandlerManifest) -> dict[str, Any]:
    takes, gives = handler.input, handler.output
    document = {
        "name": handler.name,
        "ty": None if handler.kind is HandlerKind.SERVICE else handler.kind.name,
        "workflowCompletionRetention": handler.workflow_completion_retention,
        "input": takes
        and {"required": takes.required, **_content(takes.content_type, takes.json_schema)},
        "output": gives
        and {
            "setContentTypeIfEmpty": gives.set_content_type_if_empty,
            **_content(gives.content_type, gives.json_schema),
        },
        **_options_document(handler.options),
    }
    return _set_only(document)


def _content(content_type: str | None, json_schema: str | None) -> dict[str, Any]:
    # A schema may be the boolean false, so it is looked at as a text.
    schema = None if json_schema is None else decode(f'{{"of":{json_schema}}}')["of"]
    return _set_only({"contentType": content_type, "jsonSchema": schema})


def _options_document(options: Options) -> dict[str, Any]:
    retry = options.retry
    return {
        "documentation": options.documentation,
        "metadata": dict(options.metadata) or None,
        "inactivityTimeout": options.inactivity_timeout,
        "abortTimeout": options.abort_timeout,
        "journalRetention": options.journal_retention,
        "idempotencyRetention": options.idempotency_retention,
        "enableLazyState": options.enable_lazy_state,
        "ingressPrivate": options.ingress_private,
        "retryPolicyInitialInterval": retry.initial_interval,
        "retryPolicyMaxInterval": retry.max_interval,
        "retryPolicyMaxAttempts": retry.max_attempts,
        "retryPolicyExponentiationFactor": retry.factor,
        "retryPolicyOnMaxAttempts": retry.on_max_attempts and retry.on_max_attempts.value,
    }


def _set_only(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}
