"""What Lambda's failures do to an invocation: the whole engine, an API that answers by script."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import restate

from steadfaas_adapters.aws_lambda import data_plane, failures
from tests.adapters.aws_lambda.functions import Functions, functions
from tests.adapters.aws_lambda.scripted import Answer, failed, ran, refused
from tests.runtime.in_process import World, run, world
from tests.runtime.story import Story


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_plane, "_FIRST_WAIT", 0.0)


@contextlib.asynccontextmanager
async def on_lambda(tmp_path: Path, **fields: Any) -> AsyncIterator[tuple[World, Functions]]:
    """An engine, and a function whose first version is registered."""
    async with functions() as api, world(tmp_path, **fields) as here:
        await register(here, api.publish("1", *Story("one").services))
        yield here, api


async def register(here: World, arn: str, **fields: Any) -> str:
    """Register a version; its deployment's id."""
    reply = await here.post_json(f"{here.admin}/deployments", {"arn": arn, **fields})
    assert reply.status in (200, 201), reply.body
    return str(reply.json()["id"])


async def resume(here: World, id: str, deployment: str) -> None:
    """Resume an invocation on another deployment."""
    reply = await here.operate(id, f"resume?deployment={deployment}")
    assert reply.status == 200, reply.body


def test_a_version_serves_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, api):
            assert await here.call("/Story/which") == "one"
            await register(here, api.publish("2", *Story("two").services))
            assert await here.call("/Story/which") == "two"
            assert api.invoked == ["1", "2"]

    run(test())


@pytest.mark.parametrize(
    "passing",
    [
        refused("ServiceException", 500),
        refused("EFSIOException", 410),
        refused("KMSDisabledException", 502),
        failed({"errorType": "Runtime.ExitError", "errorMessage": "exit status 1"}),
        failed({"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 3 s"}),
        ran(b"", version="2"),
        Answer(200, b'"no answer of an SDK"', {"X-Amz-Executed-Version": "1"}),
        Answer(502, b"<html>gateway</html>"),
    ],
    ids=["retry", "410", "denied", "crash", "timeout", "other-version", "no-sdk", "gateway"],
)
def test_what_may_pass_is_tried_again_on_the_same_version(tmp_path: Path, passing: Answer) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, api):
            api.failing = [passing, passing]
            assert await here.call("/Story/which") == "one"
            assert api.invoked == ["1"] * 3

    run(test())


def test_denied_goes_on_when_it_is_repaired(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path, retry_max_attempts=3) as (here, api):
            api.failing = [refused("AccessDeniedException", 403) for _ in range(3)]
            id = await here.send("/Story/which")
            view = await here.until(id, "paused")
            assert view["last_failure"]["restate_code"] == "SF0004"
            assert "Somebody has to correct this on AWS" in view["last_failure"]["message"]
            assert (await here.operate(id, "resume")).status == 200
            assert await here.result(id) == "one"

    run(test())


@pytest.mark.parametrize("retry_after", ["0.02", None])
def test_a_throttle_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retry_after: str | None
) -> None:
    monkeypatch.setattr(failures, "_BREATHER", 20)

    async def test() -> None:
        async with on_lambda(tmp_path, retry_max_attempts=2, retry_on_max_attempts="kill") as (
            here,
            api,
        ):
            # Each attempt tries five times by itself.
            api.failing = [refused("TooManyRequestsException", 429, retry_after=retry_after)] * 20
            assert await here.call("/Story/which") == "one"
            assert len(api.invoked) == 21

    run(test())


@pytest.mark.parametrize("give_up", ["pause", "kill"])
def test_gone_pauses_and_goes_on_elsewhere(tmp_path: Path, give_up: str) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path, retry_on_max_attempts=give_up) as (here, api):
            del api.versions["1"]
            id = await here.send("/Story/which")
            view = await here.until(id, "paused")
            assert view["last_failure"]["restate_code"] == "SF0003"
            assert "This version will not come back" in view["last_failure"]["message"]
            assert [each["outcome"] for each in view["attempts"]] == ["SF0003"]
            await resume(here, id, await register(here, api.publish("2", *Story("two").services)))
            assert await here.result(id) == "two"

    run(test())


@pytest.mark.parametrize(("give_up", "ends"), [("pause", "paused"), ("kill", "completed")])
def test_what_is_too_large_is_given_up_at_once(tmp_path: Path, give_up: str, ends: str) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path, retry_on_max_attempts=give_up) as (here, api):
            api.failing = [refused("RequestTooLargeException", 413)]
            id = await here.send("/Story/which")
            await here.until(id, ends)
            assert api.invoked == ["1"]
            if ends == "paused":
                assert (await here.operate(id, "resume")).status == 200
                assert await here.result(id) == "one"
            else:
                reply = await here.get(f"/restate/invocation/{id}/attach")
                assert reply.status == 413

    run(test())


def test_a_journal_beyond_six_megabytes_is_not_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, api):
            taking = restate.Service("Taking")

            @taking.handler()
            async def take(ctx: restate.Context, text: str) -> int:
                return len(text)

            await register(here, api.publish("2", taking))
            assert await here.call("/Taking/take", "x" * 4_000_000) == 4_000_000
            api.invoked.clear()
            id = await here.send("/Taking/take", "x" * 5_000_000)
            view = await here.until(id, "paused")
            assert view["last_failure"]["restate_code"] == "RT0019"
            assert "6 MB" in view["last_failure"]["message"]
            assert api.invoked == []

    run(test())


def test_a_check_asks_the_version(tmp_path: Path) -> None:
    async def test() -> None:
        one = Story("one")
        async with functions() as api, world(tmp_path) as here:
            where = [await register(here, api.publish("1", *one.services))]
            id = await here.send("/Story/tell")
            await here.until(id, "suspended")
            for version, first_step in (("2", "first"), ("3", "other")):
                services = Story(version, first_step=first_step).services
                where.append(await register(here, api.publish(version, *services)))
            where.append(await register(here, api.publish("4", *one.services)))
            del api.versions["4"]
            found = []
            for each in where:
                check = f"{here.admin}/invocations/{id}/check?deployment={each}"
                reply = await here.ask("POST", check)
                found.append((reply.status, reply.json().get("verdict")))
            assert found == [
                (200, "compatible"),
                (200, "compatible"),
                (200, "diverges"),
                (200, "diverges"),  # it is gone: nothing ran there, and nothing will
            ]
            reason = reply.json()["reason"]
            assert reason.startswith("there is no code to go on with it: Lambda refused to run")
            assert "handler was called" not in reason
            await here.post(f"/restate/awakeables/{one.awakeables.get_nowait()}/resolve", "go")
            assert await here.result(id) == ["one", "go", "one", "one"]

    run(test())
