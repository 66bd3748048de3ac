"""Calls to versions: what is sent, and what each answer of Lambda becomes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.spi import Access, Endpoint, Reply, Request
from steadfaas_adapters.aws_lambda import data_plane, failures
from steadfaas_adapters.aws_lambda.data_plane import LambdaDataPlane
from tests.adapters.aws_lambda.scripted import (
    ARN,
    KEY,
    Answer,
    LambdaApi,
    aws_settings,
    clear_aws,
    failed,
    lambda_api,
    ran,
    refused,
)
from tests.deployments.world import run

REQUEST = Request("POST", "/invoke/S/h", {"content-type": "x"}, b"journal")
PINNED = Endpoint(ARN)
NAMES = {name: verdict for verdict, names in failures.VERDICTS.items() for name in names}

Test = Callable[[LambdaApi, LambdaDataPlane], Awaitable[None]]


def played(*answers: Answer) -> Callable[[Test], None]:
    """Run a test against an API with this script."""

    def decorate(test: Test) -> None:
        async def whole() -> None:
            async with lambda_api(*answers) as api:
                plane = LambdaDataPlane()
                try:
                    await test(api, plane)
                finally:
                    await plane.close()

        run(whole())

    return decorate


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_plane, "_FIRST_WAIT", 0.0)


async def refusal(plane: LambdaDataPlane, endpoint: Endpoint = PINNED) -> AttemptFailure:
    with pytest.raises(AttemptFailure) as raised:
        await plane.call(endpoint, REQUEST)
    return raised.value


def test_a_call_is_signed_and_goes_to_the_version() -> None:
    @played(ran(b"frames", headers={"Content-Type": "y"}))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        for _ in range(2):
            reply = await plane.call(PINNED, REQUEST)
            assert reply == Reply(200, {"content-type": "y"}, b"frames")
        call = api.calls[1]
        assert call.function == "arn:aws:lambda:eu-central-1:123456789012:function:greeter"
        assert (call.qualifier, call.key, call.token) == ("7", KEY, None)
        assert call.event["path"] == "/invoke/S/h"
        assert base64.b64decode(call.event["body"]) == b"journal"


def test_the_unpublished_code_is_called_by_its_name() -> None:
    @played(ran(version="$LATEST"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        await plane.call(Endpoint(f"{ARN.removesuffix(':7')}:$LATEST"), REQUEST)
        assert api.calls[0].qualifier == "$LATEST"


def test_what_the_sdk_refuses_is_an_answer() -> None:
    @played(ran(b"no such handler", status=404))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        reply = await plane.call(PINNED, REQUEST)
        assert (reply.status, reply.body) == (404, b"no such handler")


@pytest.mark.parametrize("version", ["8", "$LATEST", ""])
def test_an_answer_of_another_version_is_no_result(version: str) -> None:
    @played(ran(b"frames", version=version))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        failure = await refusal(plane)
        assert (failure.code, failure.verdict) == ("SF0005", Verdict.BUG)


def test_a_failed_function() -> None:
    @played(failed({"errorType": "ImportError", "errorMessage": "no module"}))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        failure = await refusal(plane)
        assert (failure.code, failure.verdict) == ("RT0007", Verdict.RETRY)
        assert "ImportError" in failure.message
        assert len(api.calls) == 1


def test_every_exception_gets_its_verdict() -> None:
    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        for name, verdict in NAMES.items():
            api.script, api.calls = [refused(name, 418)], []
            failure = await refusal(plane)
            assert failure.verdict is verdict, name
            assert name in failure.message
            assert len(api.calls) == (5 if name in failures.BRIEF else 1), name


def test_throttles_are_waited_for_within_the_attempt() -> None:
    @played(
        refused("TooManyRequestsException", 429),
        refused("ResourceNotReadyException", 502),
        ran(b"frames"),
    )
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        assert (await plane.call(PINNED, REQUEST)).body == b"frames"
        assert {call.qualifier for call in api.calls} == {"7"}
        assert len(api.calls) == 3


def test_a_long_throttle_is_left_to_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    @played(refused("TooManyRequestsException", 429, retry_after="60"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            failure = await refusal(plane)
        assert (failure.code, failure.retry_after) == ("RT0023", 60_000)
        assert waited == []
        assert len(api.calls) == 1


def test_what_is_not_brief_after_a_throttle_ends_it() -> None:
    @played(refused("TooManyRequestsException", 429), refused("ResourceNotFoundException", 404))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        assert (await refusal(plane)).verdict is Verdict.GONE
        assert len(api.calls) == 2


def test_a_broken_connection() -> None:
    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        api.resets = 1
        failure = await refusal(plane)
        assert (failure.code, failure.verdict) == ("RT0010", Verdict.RETRY)
        assert (await plane.call(PINNED, REQUEST)).status == 200


def test_nobody_listens() -> None:
    async def test() -> None:
        with aws_settings("http://127.0.0.1:1"):
            plane = LambdaDataPlane()
            failure = await refusal(plane)
            await plane.close()
        assert failure.code == "RT0010"
        assert "http://127.0.0.1:1 cannot be reached" in failure.message

    run(test())


def test_without_credentials() -> None:
    async def test() -> None:
        with pytest.MonkeyPatch.context() as patch:
            clear_aws(patch)
            plane = LambdaDataPlane()
            failure = await refusal(plane)
            await plane.close()
        assert (failure.code, failure.verdict) == ("SF0004", Verdict.DENIED)
        assert "AWS_ACCESS_KEY_ID" in failure.message

    run(test())


def test_a_role_is_taken_on_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    role = "arn:aws:iam::123456789012:role/caller"
    asked: list[str] = []

    from botocore.credentials import AssumeRoleCredentialFetcher

    def fetch(self: AssumeRoleCredentialFetcher) -> dict[str, str]:
        asked.append(self._role_arn)
        expiry = "2099-01-01T00:00:00Z"
        return {"access_key": "ASIA", "secret_key": "s", "token": "t", "expiry_time": expiry}

    monkeypatch.setattr(AssumeRoleCredentialFetcher, "fetch_credentials", fetch)

    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        api.secrets["ASIA"] = "s"
        endpoint = Endpoint(ARN, Access(role))
        await asyncio.gather(*(plane.call(endpoint, REQUEST) for _ in range(10)))
        await plane.call(PINNED, REQUEST)
        assert asked == [role]
        assert [call.key for call in api.calls] == ["ASIA"] * 10 + [KEY]
        assert api.calls[0].token == "t"


def test_a_role_that_may_not_be_taken_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.credentials import AssumeRoleCredentialFetcher
    from botocore.exceptions import ClientError

    def fetch(self: AssumeRoleCredentialFetcher) -> dict[str, str]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "AssumeRole")

    monkeypatch.setattr(AssumeRoleCredentialFetcher, "fetch_credentials", fetch)

    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        role = Access("arn:aws:iam::123456789012:role/caller")
        failure = await refusal(plane, Endpoint(ARN, role))
        assert (failure.code, failure.verdict) == ("SF0004", Verdict.DENIED)
        assert "not you" in failure.message
        assert not api.calls


def test_large_bodies_are_compressed_where_the_sdk_knows_how() -> None:
    from restate import aws_lambda

    request = Request("POST", "/invoke/S/h", {}, b"steadfast " * 1_000_000)

    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        with pytest.raises(AttemptFailure, match="6 MB"):
            await plane.call(PINNED, request)
        assert not api.calls
        await plane.call(Endpoint(ARN, compression="zstd"), request)
        assert api.calls[0].event["headers"]["content-encoding"] == "zstd"
        body = base64.b64decode(api.calls[0].event["body"])
        assert aws_lambda.zstd_decompress(body) == request.body
