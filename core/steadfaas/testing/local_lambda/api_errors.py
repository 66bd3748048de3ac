"""Errors as the Lambda API answers them: a status, a name in a header, a sentence in JSON.

botocore makes the exception class of the header `x-amzn-ErrorType`, and takes the other members of
the body as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to a client."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """A call is refused with HTTP `status` and the error's `name`."""

    def __init__(
        self,
        status: int,
        name: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.headers = dict(headers or {})
        self.members = members

    def reply(self) -> Reply:
        """The error as a client receives it."""
        kind = "User" if self.status < 500 else "Service"
        body = {"Type": kind, "message": self.message, **self.members}
        headers = {
            "Content-Type": "application/json",
            "x-amzn-ErrorType": self.name,
            **self.headers,
        }
        return Reply(self.status, json.dumps(body).encode(), headers)


def not_found(arn: str) -> ApiError:
    """The function, version or alias does not exist."""
    return ApiError(404, "ResourceNotFoundException", f"Function not found: {arn}")


def unreadable(error: Exception) -> ApiError:
    """A body is no JSON."""
    return ApiError(
        400, "InvalidRequestContentException", f"Could not parse request body into json: {error}"
    )


def invalid_parameter(message: str) -> ApiError:
    """A value cannot be accepted."""
    return ApiError(400, "InvalidParameterValueException", message)
