"""Each of Vercel's own answers and its verdict; the app's answers are left alone."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.spi import Endpoint
from steadfaas.testing import FakeVercel
from steadfaas.testing.vercel import FakeDeployment
from steadfaas_adapters.vercel import ADAPTER

URI = "https://shop-3kd9x0a2q-acme.vercel.app/restate"


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked, except where a test has a Vercel of its own."""
    for name in ("STEADFAAS_VERCEL_TOKEN", "STEADFAAS_VERCEL_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def diagnose(status: int, text: str = "", **headers: str) -> AttemptFailure | None:
    # As the transport gives them: by any case of their names.
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return asyncio.run(ADAPTER.diagnose(Endpoint(URI), status, given, text))


TABLE = [
    ("DEPLOYMENT_NOT_FOUND", 404, Verdict.GONE, "SF0003"),
    ("DEPLOYMENT_DELETED", 410, Verdict.GONE, "SF0003"),
    ("DEPLOYMENT_DISABLED", 402, Verdict.DENIED, "SF0004"),
    ("DEPLOYMENT_BLOCKED", 403, Verdict.DENIED, "SF0004"),
    ("DEPLOYMENT_PAUSED", 503, Verdict.DENIED, "SF0004"),
    ("MIDDLEWARE_RUNTIME_DEPRECATED", 503, Verdict.DENIED, "SF0004"),
    ("FUNCTION_THROTTLED", 503, Verdict.THROTTLED, "RT0023"),
    ("FUNCTION_INVOCATION_TIMEOUT", 504, Verdict.RETRY, "RT0001"),
    ("FUNCTION_INVOCATION_FAILED", 500, Verdict.RETRY, "RT0010"),
    ("NO_RESPONSE_FROM_FUNCTION", 502, Verdict.RETRY, "RT0010"),
    ("INTERNAL_FUNCTION_NOT_READY", 500, Verdict.RETRY, "RT0010"),
    ("DEPLOYMENT_NOT_READY_REDIRECTING", 303, Verdict.RETRY, "RT0010"),
    ("FUNCTION_PAYLOAD_TOO_LARGE", 413, Verdict.TOO_LARGE, "RT0019"),
    ("FUNCTION_RESPONSE_PAYLOAD_TOO_LARGE", 500, Verdict.TOO_LARGE, "RT0019"),
    ("NOT_FOUND", 404, Verdict.BUG, "SF0005"),
    ("INFINITE_LOOP_DETECTED", 508, Verdict.BUG, "SF0005"),
]


@pytest.mark.parametrize(("code", "status", "verdict", "ours"), TABLE)
def test_the_code_decides(code: str, status: int, verdict: Verdict, ours: str) -> None:
    said = f"Something went wrong.\n\n{code}\n\nfra1::abc12-1700000000000-0123456789ab\n"
    labelled = f"Error\nCode: `{code}`\nID: `fra1::abc12-1700000000000-0123456789ab`\n"
    for failure in (
        diagnose(status, X_Vercel_Error=code, X_Vercel_Id="fra1::abc"),
        diagnose(status, "unread", x_vercel_error=code),
        diagnose(status, said),
        diagnose(status, labelled),
    ):
        assert failure is not None
        assert (failure.verdict, failure.code) == (verdict, ours)
        assert f"Vercel answered for {URI} with {code} (status {status}" in failure.message


def test_gone_says_the_way_out() -> None:
    for code, words in (
        ("DEPLOYMENT_DELETED", "it can be restored on Vercel"),
        ("DEPLOYMENT_NOT_FOUND", "will not come back"),
    ):
        failure = diagnose(404, x_vercel_error=code)
        assert failure is not None
        assert words in failure.message
        assert "'steadfaas check INVOCATION --deployment ID'" in failure.message
        assert "'steadfaas invocations resume INVOCATION --deployment ID'" in failure.message


@pytest.mark.parametrize(
    ("written", "delay"), [("3", 3000), (None, 2000), ("soon", 2000), ("0", 2000), ("-1", 2000)]
)
def test_a_throttle_has_a_delay_of_vercels(written: str | None, delay: int) -> None:
    more = {} if written is None else {"retry_after": written}
    failure = diagnose(503, x_vercel_error="FUNCTION_THROTTLED", **more)
    assert failure is not None
    assert (failure.retry_after, failure.http_code) == (delay, 503)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"server": "Vercel", "content_type": "text/html"}),
        (403, {}),
        (302, {"location": "https://vercel.com/sso-api?url=https%3A%2F%2Fx&nonce=1"}),
        (307, {"location": "https://vercel.com/login?next=x"}),
    ],
)
def test_a_login_is_protection(status: int, headers: dict[str, str]) -> None:
    failure = diagnose(status, "<!doctype html>", **headers)
    assert failure is not None
    assert (failure.verdict, failure.code) == (Verdict.DENIED, "SF0004")
    assert "--protection env:NAME" in failure.message


@pytest.mark.parametrize(
    ("status", "text", "headers"),
    [
        (404, "404 page not found", {}),
        (404, "NOT_FOUND", {}),
        (404, "Code: DEPLOYMENT_NOT_FOUND", {}),
        (404, "we got DEPLOYMENT_NOT_FOUND\nfra1::abc", {}),
        (410, "", {}),
        (500, "TypeError: x is undefined", {"x_vercel_id": "fra1::abc"}),
        (503, "later", {}),
        (503, "", {"x_vercel_error": "SOMETHING_NEW"}),
        (401, "", {"x_vercel_error": "SOMETHING_NEW"}),
        (308, "", {"location": "/restate/"}),
        (302, "", {"location": "https://vercel.com.example.com/sso-api"}),
        (302, "", {"location": "https://example.com/login"}),
        (302, "", {"location": "https://[bad"}),
        (200, "", {"content_type": "text/html"}),
    ],
)
def test_the_apps_own_answers_are_its_own(status: int, text: str, headers: dict[str, str]) -> None:
    assert diagnose(status, text, **headers) is None


def test_what_a_header_holds_is_not_repeated_blindly() -> None:
    failure = diagnose(404, x_vercel_error="NOT_FOUND", x_vercel_id="fra1::x\u202e<b>")
    assert failure is not None
    assert "<b>" not in failure.message


# --- gone, or not ------------------------------------------------------------------------------


def gone(vercel: FakeVercel, made: FakeDeployment) -> AttemptFailure:
    facts = {"team": "acme", "deployment_id": made.id}
    endpoint = Endpoint(f"{made.url}/restate", facts=facts)
    headers = {"x-vercel-error": "DEPLOYMENT_NOT_FOUND"}
    failure = asyncio.run(ADAPTER.diagnose(endpoint, 404, headers, ""))
    assert failure is not None
    return failure


def test_gone_is_believed_unless_the_api_says_otherwise(
    vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEADFAAS_VERCEL_TOKEN", vercel.token)
    shop = vercel.project("shop")
    made = shop.deploy()
    failure = gone(vercel, made)
    assert (failure.verdict, failure.code) == (Verdict.RETRY, "RT0010")
    assert "but its API shows the deployment as ready" in failure.message
    assert "will not come back" not in failure.message
    shop.expire(made)
    assert gone(vercel, made).verdict is Verdict.GONE
    shop.delete(made)
    assert gone(vercel, made).verdict is Verdict.GONE
    monkeypatch.setenv("STEADFAAS_VERCEL_TOKEN", "revoked")
    assert gone(vercel, shop.deploy()).verdict is Verdict.GONE
    monkeypatch.setenv("STEADFAAS_VERCEL_RETENTION_PREVIEW_DAYS", "never")
    assert gone(vercel, shop.deploy()).verdict is Verdict.GONE
