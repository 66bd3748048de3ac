"""Request bodies of the admin API. Imported on the first request that has one: pydantic is slow to
load, and no request for a handler needs it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from steadfaas.errors import BadRequest, RequestError


class Body(BaseModel):
    """A JSON object; fields that nobody knows are ignored, types are taken at their word."""

    model_config = ConfigDict(extra="ignore", strict=True)


class RegisterDeployment(Body):
    """`POST /deployments`. If both `uri` and `arn` are given, `uri` counts."""

    uri: str | None = None
    arn: str | None = None
    additional_headers: dict[str, str] | None = None
    metadata: dict[str, str] | None = None
    use_http_11: bool = False
    auth: dict[str, Any] | None = None
    breaking: bool = False
    force: bool | None = None
    dry_run: bool = False
    adapter: str | None = None  # ours: which adapter reads `uri`


_B = TypeVar("_B", bound=Body)


def parse_body(model: type[_B], raw: bytes) -> _B:
    """The body. Raises BadRequest if it is not JSON, RequestError (422) if it is another shape."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "json_invalid":
            raise BadRequest(
                f"Failed to parse the request body as JSON: {problem['msg']}"
            ) from None
        if not place:
            raise RequestError(
                'The request body must be a JSON object such as {"uri": "http://localhost:9080"}',
                status=422,
            ) from None
        raise RequestError(
            f"The request field '{place}' is invalid. Reason: {problem['msg']}.", status=422
        ) from None
