"""The JSON around requests and answers, compared with what the official SDK takes and gives."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.spi import Request
from steadfaas_adapters.aws_lambda import envelope
from tests.wire.samples import DATA

CASES: list[dict[str, Any]] = json.loads((DATA / "16-lambda-envelope.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["event"]["path"] for case in CASES])
def test_events_and_answers_of_the_sdk(case: dict[str, Any]) -> None:
    event, response = case["event"], case["response"]
    body = base64.b64decode(event["body"])
    request = Request(event["httpMethod"], event["path"], event["headers"], body)
    assert json.loads(envelope.wrap(request, None)) == event
    reply = envelope.unwrap(json.dumps(response).encode())
    assert reply.status == response["statusCode"]
    assert reply.headers == response["headers"]
    assert reply.body == base64.b64decode(response["body"])


def test_whatever_is_in_a_header_stays_there() -> None:
    name = 'a"b\\c\u2028'
    event = json.loads(envelope.wrap(Request("POST", "/invoke/S/h", {"x": name}, b"\0\xff"), None))
    assert event["headers"] == {"x": name}
    assert base64.b64decode(event["body"]) == b"\0\xff"
    assert list(event) == ["path", "httpMethod", "headers", "isBase64Encoded", "body"]


def answer(**fields: Any) -> bytes:
    return json.dumps({"statusCode": 200, "headers": {}, "body": "", **fields}).encode()


def test_answers_that_are_not_quite_like_the_sdk_s() -> None:
    assert envelope.unwrap(answer(headers=None)).headers == {}
    assert envelope.unwrap(answer(body="plain")).body == b"plain"
    assert envelope.unwrap(answer(body=None)).body == b""
    reply = envelope.unwrap(answer(headers={"Content-Type": "x", "X-N": 5}, more=[1]))
    assert reply.headers == {"content-type": "x", "x-n": "5"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b'"Hello"',
        b"[]",
        b"{}",
        b'{"statusCode": "200"}',
        b'{"statusCode": 200, "headers": 5}',
        b'{"statusCode": 200, "body": 5}',
        b'{"statusCode": 200, "isBase64Encoded": true, "body": "%%"}',
        b'{"statusCode": 200, "isBase64Encoded": true, "body": 7}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_of_an_sdk(payload: bytes) -> None:
    with pytest.raises(AttemptFailure, match="no answer of a Restate SDK") as failed:
        envelope.unwrap(payload)
    assert (failed.value.code, failed.value.verdict) == ("RT0012", Verdict.BUG)


def test_too_large_a_request_is_told_before_it_is_sent() -> None:
    # Base64 makes four bytes of three.
    fits = Request("POST", "/invoke/S/h", {}, bytes(4_718_000))
    assert len(envelope.wrap(fits, None)) <= envelope.LIMIT
    with pytest.raises(AttemptFailure, match=r"Lambda takes 6291456 \(6 MB\)") as failed:
        envelope.wrap(Request("POST", "/invoke/S/h", {}, bytes(4_719_000)), None)
    assert (failed.value.code, failed.value.verdict) == ("RT0019", Verdict.TOO_LARGE)


def test_compressed_requests_carry_more() -> None:
    body = b"steadfast " * 1_000_000
    request = Request("POST", "/invoke/S/h", {"a": "b"}, body)
    event = json.loads(envelope.wrap(request, envelope.ZSTD))
    assert event["headers"] == {"a": "b", "accept-encoding": "zstd", "content-encoding": "zstd"}
    from restate import aws_lambda  # what the other side does with it

    assert aws_lambda.zstd_decompress(base64.b64decode(event["body"])) == body
    assert request.headers == {"a": "b"}


def test_small_requests_are_left_as_they_are() -> None:
    event = json.loads(envelope.wrap(Request("GET", "/discover", {}, b"x"), envelope.ZSTD))
    assert event["headers"] == {"accept-encoding": "zstd"}
    assert base64.b64decode(event["body"]) == b"x"


def packed(content: bytes) -> bytes:
    body = base64.b64encode(content).decode()
    return answer(headers={"content-encoding": "zstd"}, body=body, isBase64Encoded=True)


def test_compressed_answers_are_unpacked() -> None:
    from restate import aws_lambda

    reply = envelope.unwrap(packed(aws_lambda.zstd_compress(b"plain" * 100)))
    assert reply.body == b"plain" * 100
    assert "content-encoding" not in reply.headers


def test_bad_and_endless_compressed_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from restate import aws_lambda

    whole = aws_lambda.zstd_compress(bytes(range(256)) * 100)
    for content, words in ((b"no zstd", "not valid zstd"), (whole[:-5], "cut off")):
        with pytest.raises(AttemptFailure, match=words) as failed:
            envelope.unwrap(packed(content))
        assert failed.value.verdict is Verdict.BUG
    monkeypatch.setattr(envelope, "_MOST_UNPACKED", 1000)
    with pytest.raises(AttemptFailure, match="unpacks to more than 1000 bytes") as failed:
        envelope.unwrap(packed(whole))
    assert failed.value.verdict is Verdict.TOO_LARGE


def test_an_answer_packed_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "compresses", lambda: False)
    with pytest.raises(AttemptFailure, match="not asked for") as failed:
        envelope.unwrap(packed(b"x"))
    assert (failed.value.code, failed.value.verdict) == ("RT0012", Verdict.BUG)
