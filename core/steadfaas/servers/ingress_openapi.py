"""How to call a service through the ingress, as an OpenAPI 3.1 document.

What handlers take and give is told by their endpoint's manifest. Only public handlers are shown:
the ingress takes no requests for others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from steadfaas.deployments.catalog import Handler, ServiceRevision
from steadfaas.servers.shapes import Json, given
from steadfaas.wire.manifest import HandlerKind, InputRule, OutputRule, ServiceType

_FAILURE: Final = {
    "type": "object",
    "description": "Why there is no result.",
    "required": ["code", "message", "source"],
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "source": {
            "enum": ["ingress", "invocation"],
            "description": "`invocation`: the handler ended so; `ingress`: it was not asked.",
        },
    },
}
_ACCEPTED: Final = {
    "type": "object",
    "description": "What was accepted.",
    "required": ["invocationId", "status"],
    "properties": {
        "invocationId": {"type": "string"},
        "status": {"enum": ["Accepted", "PreviouslyAccepted"]},
        "executionTime": {"type": "string", "format": "date-time"},
    },
}
_ID_HEADER: Final = {
    "x-restate-id": {"description": "The invocation's id.", "schema": {"type": "string"}}
}
_KEY: Final = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "The key of the object or workflow, percent-encoded.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "Requests with the same key are one request: all get the first one's result.",
    "schema": {"type": "string"},
}
_VERSION: Final = {
    "name": "x-steadfaas-version",
    "in": "header",
    "required": False,
    "description": "Ask for the version whose deployment has this pair in its metadata, such as"
    " `git:3f2c91e`. The request waits for it if need be.",
    "schema": {"type": "string"},
}
_DELAY: Final = {
    "name": "delay",
    "in": "query",
    "required": False,
    "description": "Start no sooner than after this time, such as `10s` or `PT10S`.",
    "schema": {"type": "string"},
}
# The names below these are chosen freely: a `$ref` there would be a name, not a reference.
_NAMED: Final = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)
_DATA: Final = frozenset({"const", "default", "enum", "example", "examples"})


def ingress_openapi(service: ServiceRevision, ingress: str | None) -> Json:
    """The document of one service; `ingress` is the ingress' address, where it is known."""
    options = service.manifest.options
    document: Json = {
        "openapi": "3.1.0",
        "info": given(
            title=service.name,
            description=options.documentation,
            version=str(service.revision),
        ),
        "servers": None if ingress is None else [{"url": ingress.rstrip("/")}],
        "paths": {},
        "components": {"schemas": {"Failure": _FAILURE, "Accepted": _ACCEPTED}},
    }
    for name in sorted(service.handlers):
        if service.handlers[name].public:
            _add_handler(document, service, service.handlers[name])
    return given(**document)


def _add_handler(document: Json, service: ServiceRevision, handler: Handler) -> None:
    keyed = service.type is not ServiceType.SERVICE
    path = f"/{service.name}/{{key}}/{handler.name}" if keyed else f"/{service.name}/{handler.name}"
    schemas: Json = document["components"]["schemas"]
    call, send = _call(handler, schemas), _send(handler)
    shared = given(parameters=_parameters(handler, keyed), requestBody=_body(handler, schemas))
    for operation, suffix in ((call, ""), (send, "/send")):
        more = operation.pop("parameters", [])
        together = {**shared, "parameters": [*shared["parameters"], *more]}
        document["paths"][path + suffix] = {"post": {**operation, **together}}
    if handler.kind is HandlerKind.WORKFLOW:
        document["paths"] |= _result_paths(service, handler, schemas)


# --- operations --------------------------------------------------------------------------------


def _call(handler: Handler, schemas: Json) -> Json:
    return given(
        operationId=f"call_{handler.name}",
        summary=f"Call {handler.name} and wait for its result",
        description=handler.manifest.options.documentation,
        responses={"200": _result(handler, schemas), **_failures()},
    )


def _send(handler: Handler) -> Json:
    accepted = {
        "description": "It will run, whatever happens to whoever asked.",
        "headers": _ID_HEADER,
        "content": _content("application/json", _ref("Accepted")),
    }
    return given(
        operationId=f"send_{handler.name}",
        summary=f"Send to {handler.name} without waiting",
        description=handler.manifest.options.documentation,
        parameters=[_DELAY],
        responses={"202": accepted, **_failures()},
    )


def _result_paths(service: ServiceRevision, run: Handler, schemas: Json) -> Json:
    pending = {"470": _failure("It has not completed yet.")}
    paths = {}
    for name, summary, more in (
        ("attach", "Wait for the result of a workflow", {}),
        ("output", "The result of a workflow, if it is there", pending),
    ):
        operation = {
            "operationId": f"{name}_{service.name}",
            "summary": summary,
            "parameters": [_KEY],
            "responses": {"200": _result(run, schemas), **more, **_failures()},
        }
        paths[f"/restate/workflow/{service.name}/{{key}}/{name}"] = {"get": operation}
    return paths


def _parameters(handler: Handler, keyed: bool) -> list[Json]:
    # A workflow runs once for each key: that key is all the idempotency there is.
    idempotent = handler.kind is not HandlerKind.WORKFLOW
    named = [*([_KEY] if keyed else []), *([_IDEMPOTENCY_KEY] if idempotent else [])]
    return [*named, _VERSION]


def _body(handler: Handler, schemas: Json) -> Json | None:
    rule = handler.manifest.input
    if rule is None:
        return {"content": {"*/*": {}}, "required": False}
    if rule.content_type is None:
        return None
    schema = _schema(rule, f"{handler.name}Input", schemas)
    return {"content": _content(rule.content_type, schema), "required": rule.required}


def _result(handler: Handler, schemas: Json) -> Json:
    answer: Json = {"description": "The result.", "headers": _ID_HEADER}
    if handler.output_type is not None:
        schema = _schema(handler.manifest.output, f"{handler.name}Output", schemas)
        answer["content"] = _content(handler.output_type, schema)
    return answer


def _failures() -> Json:
    return {
        "4XX": _failure("The request was refused, or the handler ended so."),
        "5XX": _failure("The handler failed for good, or the engine cannot take requests."),
    }


def _failure(description: str) -> Json:
    content = _content("application/json", _ref("Failure"))
    return {"description": description, "content": content}


# --- schemas -----------------------------------------------------------------------------------


def _content(content_type: str, schema: Json | None) -> Json:
    return {content_type: {} if schema is None else {"schema": schema}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(rule: InputRule | OutputRule | None, name: str, schemas: Json) -> Json | None:
    """A reference to the rule's schema, which is added to `schemas`."""
    if rule is None or rule.json_schema is None:
        return None
    schema = json.loads(rule.json_schema)
    if isinstance(schema, dict):
        schema.pop("$id", None)  # from now on it is a part of this document
    schemas[name] = _moved(schema, f"#/components/schemas/{name}")
    return _ref(name)


def _moved(schema: Any, place: str) -> Any:
    """The schema at another place of a document: references to its own parts follow it there."""
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved: Json = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            moved[key] = place + value[1:]
        elif key in _NAMED and isinstance(value, Mapping):
            moved[key] = {name: _moved(each, place) for name, each in value.items()}
        else:
            moved[key] = value if key in _DATA else _moved(value, place)
    return moved
