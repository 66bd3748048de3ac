"""How requests to the admin API are checked: values, the two kinds of models, and reading them.

Imported on the first request that needs it: pydantic is slow to load, and no request for a handler
needs it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar, get_origin

from aiohttp import web
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    RootModel,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import SkipJsonSchema

from steadfaas.durations import parse_duration
from steadfaas.errors import BadRequest, RequestError

# --- values ------------------------------------------------------------------------------------


def _duration(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("a duration is a text with a unit, such as '10s' or 'PT10S'")
    return parse_duration(value)


def _flag(value: object) -> object:
    # As Restate reads it: `1` and `yes` are neither.
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("expected true or false")
        return value == "true"
    return value


def _bytes(value: object) -> object:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        try:
            return bytes(value)
        except (TypeError, ValueError):
            pass
    raise ValueError("a value is a list of bytes (numbers from 0 to 255) or a text")


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "examples": ["1d", "3m 5s", "500ms", "PT10S"]}),
]
"""Milliseconds, written as people or ISO 8601 write them; a number without a unit is refused."""

Absent = SkipJsonSchema[None]
"""A value that may be left out, but is never null."""

Flag = Annotated[bool, BeforeValidator(_flag)]

StateValue = Annotated[
    bytes,
    BeforeValidator(_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
                {"type": "string"},
            ]
        }
    ),
]


# --- models ------------------------------------------------------------------------------------


class Body(BaseModel):
    """A JSON object; fields that nobody knows are ignored, types are taken at their word."""

    model_config = ConfigDict(
        extra="ignore", strict=True, use_attribute_docstrings=True, defer_build=True
    )
    example: ClassVar[str] = "{}"


class Query(BaseModel):
    """A query string; parameters that nobody knows are ignored."""

    model_config = ConfigDict(
        extra="ignore", populate_by_name=True, use_attribute_docstrings=True, defer_build=True
    )


# --- reading them ------------------------------------------------------------------------------

_M = TypeVar("_M", bound=BaseModel)
_Q = TypeVar("_Q", bound=Query)


def parse_body(model: type[_M], raw: bytes) -> _M:
    """The body. Raises BadRequest if it is not JSON, RequestError (422) if it is another shape."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        problem, place = _first(error)
    if problem["type"] == "json_invalid":
        raise BadRequest(f"Failed to parse the request body as JSON: {problem['msg']}")
    if not place:
        kind = "array" if issubclass(model, RootModel) else "object"
        example = getattr(model, "example", "{}")
        raise RequestError(f"The request body must be a JSON {kind} such as {example}", status=422)
    raise RequestError(
        f"The request field '{place}' is invalid. Reason: {_reason(problem)}.", status=422
    )


def parse_query(model: type[_Q], request: web.Request) -> _Q:
    """The query string. Raises BadRequest."""
    given: dict[str, Any] = {}
    for field, info in model.model_fields.items():
        name = info.alias or field
        values = request.query.getall(name, [])
        if get_origin(info.annotation) is list:
            given[name] = [each.strip() for text in values for each in text.split(",") if each]
        elif len(values) > 1:
            raise BadRequest(f"The query parameter '{name}' is invalid: it is given twice.")
        elif values:
            given[name] = values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem, place = _first(error)
    name = place.partition(".")[0]
    raise BadRequest(f"The query parameter '{name}' is invalid: {_reason(problem)}.")


def _first(error: ValidationError) -> tuple[dict[str, Any], str]:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return dict(problem), ".".join(str(step) for step in problem["loc"])


def _reason(problem: dict[str, Any]) -> str:
    # What our own checks say needs no announcement.
    return str(problem["msg"]).removeprefix("Value error, ")
