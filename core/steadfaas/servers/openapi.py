"""The OpenAPI 3.1 document of the admin API, made of its routes and of the models that check
requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from steadfaas.servers.admin_answers import Error
from steadfaas.servers.admin_operations import OPERATIONS, Operation, operation
from steadfaas.servers.shapes import Json

Mode = Literal["validation", "serialization"]

_ABOUT: Final = (
    "Operates a steadfaas engine: deployments, services, their state, invocations. Operations and"
    " fields that Restate's admin API does not have are marked with `x-steadfaas`. Each path is"
    " also served below `/v2`, `/v3` and `/v4`. A request that changes something may say who asks"
    " in the header `x-steadfaas-actor`."
)
_TAGS: Final = {
    "server": "The server itself",
    "deployment": "Immutable versions of code, and what they serve",
    "service": "Services, as the newest deployment serves them",
    "invocation": "Requests, from their acceptance to the end of their retention",
    "audit": "What was done, when, by whom, and on what evidence",
    "query": "Everything at once, in SQL",
    "kafka_cluster": "Not offered",
    "subscription": "Not offered",
    "rule": "Not offered",
    "vqueue": "Not offered",
}
_PARAMETERS: Final = {
    "deployment": "The id of a deployment, `dp_…`",
    "service": "The name of a service",
    "handler": "The name of a handler",
    "invocation_id": "The id of an invocation, `inv_…`",
    "cluster_name": "The name of a Kafka cluster",
    "subscription": "The id of a subscription",
    "vqueue_id": "The id of a virtual queue",
}
_REF: Final = "#/components/schemas/{model}"


@lru_cache(maxsize=4)
def admin_openapi(routes: tuple[tuple[str, str], ...], version: str) -> bytes:
    """The document for these routes (method and path each), encoded.

    Raises KeyError for a route that `admin_operations` does not know.
    """
    shown = [_entry(method, path) for method, path in routes]
    schemas, refs = _schemas(shown)
    paths: dict[str, Json] = {}
    for each in sorted(shown, key=OPERATIONS.index):
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, refs)
    used = {each.tag for each in shown}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "steadfaas admin API", "description": _ABOUT, "version": version},
        "tags": [{"name": n, "description": said} for n, said in _TAGS.items() if n in used],
        "paths": paths,
        "components": {"schemas": schemas},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _entry(method: str, path: str) -> Operation:
    found = operation(method, path)
    if found is None:
        raise KeyError(f"admin_operations has no entry for {method} {path}")
    return found


# --- schemas -----------------------------------------------------------------------------------


class _Schemas(GenerateJsonSchema):
    """As pydantic makes them, without what would only repeat the name or say "may be left out"."""

    def default_schema(self, schema: Any) -> Json:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made

    def get_title_from_name(self, name: str) -> str:
        return ""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schemas(shown: Iterable[Operation]) -> tuple[Json, Mapping[type[BaseModel], Json]]:
    """All schemas by name, and the reference to that of each model."""
    models: dict[type[BaseModel], Mode] = {Error: "serialization"}
    for each in shown:
        models |= {} if each.body is None else {each.body: "validation"}
        models |= {m: "serialization" for m in each.answers.values() if m is not None}
    made, whole = models_json_schema(
        list(models.items()), ref_template=_REF, schema_generator=_Schemas
    )
    refs = {model: made[model, mode] for model, mode in models.items()}
    return whole["$defs"], refs


# --- operations --------------------------------------------------------------------------------


def _operation(each: Operation, refs: Mapping[type[BaseModel], Json]) -> Json:
    answers: dict[str, Json] = {}
    for status, model in each.answers.items():
        answers[str(status)] = _answer(status, None if model is None else refs[model])
        if each.other_type is not None:
            answers[str(status)]["content"][each.other_type] = {}
    for status in sorted({*each.errors, 500}):
        answers[str(status)] = _answer(status, refs[Error])
    view: Json = {
        "operationId": each.id,
        "summary": each.summary,
        "tags": [each.tag],
        "parameters": [*_path_parameters(each.path), *_query_parameters(each)],
        "responses": answers,
    }
    if each.body is not None:
        content = {"application/json": {"schema": refs[each.body]}}
        view["requestBody"] = {"content": content, "required": each.body_needed}
    if each.deprecated:
        view["deprecated"] = True
    if each.ours:
        view["x-steadfaas"] = True
    return view


def _answer(status: int, schema: Json | None) -> Json:
    answer: Json = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}
    return answer


def _path_parameters(path: str) -> list[Json]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in names
    ]


def _query_parameters(each: Operation) -> list[Json]:
    if each.query is None:
        return []
    schema = each.query.model_json_schema(ref_template=_REF, schema_generator=_Schemas)
    parameters = []
    for name, field in schema["properties"].items():
        said = field.pop("description", None)
        parameter: Json = {"name": name, "in": "query", "required": False, "schema": field}
        parameters.append(parameter | ({"description": said} if said else {}))
    return parameters
