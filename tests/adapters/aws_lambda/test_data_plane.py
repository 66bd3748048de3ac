"""Calls to versions: what is sent, and what each answer of Lambda becomes."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

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
from tests.runtime.in_process import eventually

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
        assert failure.code == "RT0023"
        assert failure.retry_after is not None
        assert 60_000 <= failure.retry_after <= 78_000
        assert waited == []
        assert len(api.calls) == 1


def test_not_everybody_comes_back_at_the_same_moment() -> None:
    @played(refused("TooManyRequestsException", 429, retry_after="60"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        assert len({(await refusal(plane)).retry_after for _ in range(20)}) > 5


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


# --- settings that are wrong, change, or mean something else -----------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "nope"), ("AWS_CA_BUNDLE", "/nowhere/bundle.pem")]
)
def test_settings_that_cannot_be_used(name: str, value: str) -> None:
    async def test() -> None:
        with aws_settings("http://127.0.0.1:1", **{name: value}):
            plane = LambdaDataPlane()
            failure = await refusal(plane)
            await plane.close()
        assert (failure.code, failure.verdict) == ("SF0004", Verdict.DENIED)
        assert "settings of the engine cannot be used" in failure.message

    run(test())


def test_a_password_of_netrc_does_not_replace_the_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret")
    monkeypatch.setenv("NETRC", str(netrc))

    @played(ran(b"frames"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        assert (await plane.call(PINNED, REQUEST)).body == b"frames"


def test_a_proxy_is_used_where_it_is_meant_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    @played(ran(b"frames"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        assert "127.0.0.1:1" in (await refusal(plane)).message
        assert not api.calls
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        around = LambdaDataPlane()
        assert (await around.call(PINNED, REQUEST)).body == b"frames"
        await around.close()


def test_a_version_is_opened_once_also_when_the_first_call_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    go_on = threading.Event()
    look_up = data_plane._looked_up

    def slow(uri: str, role: str | None) -> Any:
        opened.append(uri)
        assert go_on.wait(5)
        return look_up(uri, role)

    monkeypatch.setattr(data_plane, "_looked_up", slow)

    @played(ran(b"frames"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        calls = [asyncio.ensure_future(plane.call(PINNED, REQUEST)) for _ in range(5)]
        await eventually(lambda: bool(opened))
        calls[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        for call in calls[1:]:
            assert (await call).body == b"frames"
        assert calls[0].cancelled()
        assert opened == [ARN]


def test_closing_in_the_middle_of_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(uri: str, role: str | None) -> Any:
        started.set()
        go_on.wait(5)
        raise AttemptFailure("SF0004", "too late")

    monkeypatch.setattr(data_plane, "_looked_up", slow)

    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        call = asyncio.ensure_future(plane.call(PINNED, REQUEST))
        await eventually(started.is_set)
        await plane.close()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()


def test_new_keys_count_once_the_old_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_plane, "_FORGET_AFTER", 0.0)
    file = tmp_path / "credentials"
    lines = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"

    @played(refused("ExpiredTokenException", 403), ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        api.secrets |= {"OLD": "a", "NEW": "b"}
        file.write_text(lines.format("OLD", "a"))
        assert (await refusal(plane)).verdict is Verdict.DENIED
        file.write_text(lines.format("NEW", "b"))
        await plane.call(PINNED, REQUEST)
        assert [call.key for call in api.calls] == ["OLD", "NEW"]


def test_refused_keys_are_not_read_again_at_once() -> None:
    @played(refused("ExpiredTokenException", 403))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        await refusal(plane)
        pins = dict(plane._pins)
        await refusal(plane)
        assert plane._pins == pins


def test_nobody_issues_credentials_at_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.credentials import AssumeRoleCredentialFetcher
    from botocore.exceptions import EndpointConnectionError

    def fetch(self: AssumeRoleCredentialFetcher) -> dict[str, str]:
        raise EndpointConnectionError(endpoint_url="https://sts.example")

    monkeypatch.setattr(AssumeRoleCredentialFetcher, "fetch_credentials", fetch)

    @played(ran())
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        role = Access("arn:aws:iam::123456789012:role/caller")
        failure = await refusal(plane, Endpoint(ARN, role))
        assert (failure.code, failure.verdict) == ("RT0010", Verdict.RETRY)


# --- answers of any size -----------------------------------------------------------------------


def test_a_large_answer_is_read_whole() -> None:
    body = bytes(range(256)) * 16_000

    @played(ran(body))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        assert (await plane.call(PINNED, REQUEST)).body == body


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_plane, "_MOST_BYTES", 100_000)

    @played(ran(bytes(100_000)))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        failure = await refusal(plane)
        assert (failure.code, failure.verdict) == ("RT0003", Verdict.TOO_LARGE)


def test_an_error_page_is_no_end_of_the_version() -> None:
    """A wrong address of the API answers 404 as well, and says nothing about the version."""

    @played(Answer(404, b"<html>nginx</html>"))
    async def _(api: LambdaApi, plane: LambdaDataPlane) -> None:
        failure = await refusal(plane)
        assert failure.verdict is Verdict.BUG
        assert "nginx" in failure.message
