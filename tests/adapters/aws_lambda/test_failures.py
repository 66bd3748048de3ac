"""Every failure that Lambda knows has its verdict, and the table knows no other."""

from __future__ import annotations

import json

import pytest
from botocore.session import get_session

from steadfaas.errors import Verdict
from steadfaas_adapters.aws_lambda import failures

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:greeter:7"
# What AWS answers before the request reaches Lambda itself (Common Errors of its API reference),
# and older names of what the model has under another one.
BEYOND_THE_MODEL = {
    *("AccessDenied", "AccessDeniedException", "ExpiredTokenException", "InternalFailure"),
    *("IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException"),
    *("MissingAuthenticationTokenException", "OptInRequired", "RequestEntityTooLargeException"),
    *("ServiceUnavailableException", "ThrottlingException", "UnrecognizedClientException"),
    "ValidationException",
}
NAMES = sorted(name for names in failures.VERDICTS.values() for name in names)


def test_the_table_is_the_api_model_s() -> None:
    model = get_session().get_service_model("lambda").operation_model("Invoke")
    published = {shape.name for shape in model.error_shapes}
    assert set(NAMES) - BEYOND_THE_MODEL == published
    assert not BEYOND_THE_MODEL & published
    assert len(NAMES) == len(set(NAMES)), "an exception has two verdicts"
    assert set(NAMES) >= failures.BRIEF


@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("ResourceNotFoundException", Verdict.GONE, "SF0003"),
        ("RuntimeVersionDeletedException", Verdict.GONE, "SF0003"),
        ("KMSDisabledException", Verdict.DENIED, "SF0004"),
        ("AccessDeniedException", Verdict.DENIED, "SF0004"),
        ("TooManyRequestsException", Verdict.THROTTLED, "RT0023"),
        ("ServiceException", Verdict.RETRY, "RT0010"),
        ("EFSIOException", Verdict.RETRY, "RT0010"),
        ("ENINotReadyException", Verdict.RETRY, "RT0010"),
        ("RequestTooLargeException", Verdict.TOO_LARGE, "RT0019"),
        ("RecursiveInvocationException", Verdict.BUG, "SF0005"),
    ],
)
def test_the_name_decides_and_not_the_status(name: str, verdict: Verdict, code: str) -> None:
    for status in (400, 403, 404, 410, 429, 500, 502):
        found = failures.refusal(status, {"x-amzn-errortype": f"{name}:http://x/"}, b"{}", ARN)
        assert (found.verdict, found.code, found.exception) == (verdict, code, name)
        assert ARN in found.message


def test_a_sentence_that_says_what_to_do() -> None:
    body = json.dumps({"Type": "User", "Message": "Function not found: x"}).encode()
    headers = {"x-amzn-errortype": "ResourceNotFoundException"}
    gone = failures.refusal(404, headers, body, ARN)
    assert "Function not found: x. This version will not come back" in gone.message
    assert "steadfaas invocations resume INVOCATION --deployment ID" in gone.message
    assert gone.retry_after is None


def test_throttles_say_why_and_for_how_long() -> None:
    body = json.dumps({"Reason": "ConcurrentInvocationLimitExceeded", "message": "Rate"}).encode()
    headers = {"x-amzn-errortype": "TooManyRequestsException", "retry-after": "3"}
    throttled = failures.refusal(429, headers, body, ARN)
    assert (throttled.retry_after, throttled.http_code) == (3000, 429)
    assert "ConcurrentInvocationLimitExceeded" in throttled.message
    assert throttled.asked == 3000


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "1e9"])
def test_a_throttle_costs_no_attempt_when_it_does_not_say_for_how_long(value: str) -> None:
    headers = {"x-amzn-errortype": "ThrottlingException", "retry-after": value}
    throttled = failures.refusal(429, headers, b"{}", ARN)
    assert throttled.asked is None
    assert throttled.retry_after == 2000


@pytest.mark.parametrize(
    ("status", "headers", "body", "verdict"),
    [
        (403, {}, b"<html>proxy says no</html>", Verdict.DENIED),
        (429, {}, b"", Verdict.THROTTLED),
        (413, {}, b"<html>", Verdict.TOO_LARGE),
        (502, {}, b"<html>bad gateway</html>", Verdict.RETRY),
        (503, {"x-amzn-errortype": "NewInTheYear2030Exception"}, b"{}", Verdict.RETRY),
        (400, {"x-amzn-errortype": "NewInTheYear2030Exception"}, b"[]", Verdict.BUG),
        (404, {}, b'{"__type": "com.amazonaws#ResourceNotFoundException"}', Verdict.GONE),
        (404, {}, b"no such page", Verdict.BUG),
    ],
)
def test_what_nobody_foresaw(
    status: int, headers: dict[str, str], body: bytes, verdict: Verdict
) -> None:
    assert failures.refusal(status, headers, body, ARN).verdict is verdict


@pytest.mark.parametrize(
    ("payload", "code", "verdict", "words"),
    [
        (
            {"errorType": "KeyError", "errorMessage": "'httpMethod'", "stackTrace": ["  a\n", "b"]},
            "RT0007",
            Verdict.RETRY,
            "the function failed (KeyError): 'httpMethod'",
        ),
        (
            {
                "errorType": "Sandbox.Timedout",
                "errorMessage": "x Task timed out after 3.00 seconds",
            },
            "RT0001",
            Verdict.RETRY,
            "timed out after 3.00",
        ),
        ({"errorMessage": "x Task timed out after 3.00 seconds"}, "RT0001", Verdict.RETRY, "timed"),
        (
            {"errorType": "Runtime.ExitError", "errorMessage": "exited"},
            "RT0007",
            Verdict.RETRY,
            "Runtime.ExitError",
        ),
        (
            {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "too big"},
            "RT0003",
            Verdict.TOO_LARGE,
            "6 MB",
        ),
        ("just a text", "RT0007", Verdict.RETRY, "(Unhandled): just a text"),
        (None, "RT0007", Verdict.RETRY, "(Unhandled)"),
    ],
)
def test_failures_of_the_function_itself(
    payload: object, code: str, verdict: Verdict, words: str
) -> None:
    found = failures.function_error("Unhandled", json.dumps(payload).encode())
    assert (found.code, found.verdict) == (code, verdict)
    assert words in found.message


def test_the_function_s_own_stack_trace_is_kept() -> None:
    payload = {"errorType": "E", "errorMessage": "m", "stackTrace": ["one\n", "two\n"]}
    found = failures.function_error("Unhandled", json.dumps(payload).encode())
    assert found.stacktrace == "one\ntwo\n"


def test_an_answer_of_another_version() -> None:
    found = failures.another_version("8", "7", ARN)
    assert (found.code, found.verdict) == ("SF0005", Verdict.BUG)
    assert "ran version 8 instead of 7" in found.message
