"""Errors to HTTP answers: status, body, headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from steadfaas import ids
from steadfaas.errors import (
    AttemptFailure,
    BadRequest,
    Conflict,
    DiscoveryError,
    NotFound,
    Overloaded,
    RequestError,
    SteadfaasError,
    StoreError,
)
from steadfaas.servers.http1 import Reply
from steadfaas.servers.problems import INVOCATION, admin_problem, ingress_problem


def body(response: web.Response | Reply) -> Any:
    assert response.headers["content-type"] == "application/json"
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


@pytest.mark.parametrize(
    ("error", "status", "message", "code"),
    [
        (BadRequest("no"), 400, "no", None),
        (NotFound("no"), 404, "no", None),
        (Conflict("no"), 409, "no", None),
        (RequestError("no", status=425, code="X1"), 425, "[X1] no", "X1"),
        (DiscoveryError("no", code="META0003"), 500, "[META0003] no", "META0003"),
        (DiscoveryError("no", status=400), 400, "no", None),
        (StoreError("the disk is full"), 503, "the disk is full", None),
        (SteadfaasError("odd"), 500, "odd", None),
        (SteadfaasError(), 500, "SteadfaasError", None),
    ],
)
def test_admin_shape(error: SteadfaasError, status: int, message: str, code: str | None) -> None:
    answer = admin_problem(error)
    assert answer.status == status
    assert body(answer) == {"message": message, "restate_code": code}


def test_overload_says_when_to_come_back() -> None:
    error = Overloaded("too many", retry_after=7)
    for answer in (admin_problem(error), ingress_problem(error)):
        assert answer.status == 429
        assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (NotFound("no such"), "gone"),
        (DiscoveryError("no answer", code="META0003", retryable=True), "retry"),
        (DiscoveryError("no manifest", code="META0013"), "denied"),
    ],
)
def test_the_admin_api_tells_what_an_error_means(error: SteadfaasError, verdict: str) -> None:
    assert admin_problem(error).headers["x-steadfaas-verdict"] == verdict


def test_ingress_shape() -> None:
    answer = ingress_problem(NotFound("no such"))
    assert answer.status == 404
    assert body(answer) == {"code": 404, "message": "no such", "source": "ingress"}
    assert answer.headers["x-restate-error-source"] == "ingress"
    assert "x-restate-id" not in answer.headers


def test_an_attempts_failure_shows_the_number_meant_for_callers() -> None:
    answer = ingress_problem(AttemptFailure("RT0007", "boom", http_code=503))
    assert answer.status == 503
    assert body(answer)["message"] == "boom"


@pytest.mark.parametrize(
    ("code", "status"),
    [(400, 400), (409, 409), (470, 470), (599, 599)]
    # No failure's number, or no status at all: it stays in the body.
    + [(each, 500) for each in (0, 42, 100, 199, 200, 204, 304, 399, 600, 999, 1000, 2**32)],
)
def test_a_handler_may_end_with_any_number(code: int, status: int) -> None:
    id = bytes(range(24))
    error = RequestError("failed", status=code)
    answer = ingress_problem(error, source=INVOCATION, invocation_id=id)
    assert answer.status == status
    assert body(answer) == {"code": code, "message": "failed", "source": "invocation"}
    assert answer.headers["x-restate-error-source"] == "invocation"
    assert answer.headers["x-restate-id"] == ids.format_invocation(id)
