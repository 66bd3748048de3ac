"""Lambda versions over the admin API: registered, shown, moved, and kept over a restart."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.aws_lambda.functions import FUNCTION, Functions, functions
from tests.runtime.in_process import Reply, World, code, run, world
from tests.runtime.story import Story

ROLE = "arn:aws:iam::123456789012:role/caller"
ASSUMED = "ASIAASSUMED"


@pytest.fixture(autouse=True)
def _roles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every role can be assumed."""
    from botocore.credentials import AssumeRoleCredentialFetcher

    def fetch(self: AssumeRoleCredentialFetcher) -> dict[str, str]:
        expiry = "2099-01-01T00:00:00Z"
        return {"access_key": ASSUMED, "secret_key": "s", "token": "t", "expiry_time": expiry}

    monkeypatch.setattr(AssumeRoleCredentialFetcher, "fetch_credentials", fetch)


@contextlib.asynccontextmanager
async def on_lambda(tmp_path: Path, **fields: Any) -> AsyncIterator[tuple[World, Functions]]:
    """An engine, and a function with versions 1, 2 and $LATEST; nothing is registered."""
    async with functions() as api, world(tmp_path, **fields) as here:
        api.secrets[ASSUMED] = "s"
        for version in ("1", "2", "$LATEST"):
            api.publish(version, *Story(version).services)
        yield here, api


async def register(here: World, prefix: str = "", **fields: Any) -> Reply:
    return await here.post_json(f"{here.admin}{prefix}/deployments", fields)


async def change(here: World, id: str, **fields: Any) -> Reply:
    return await here.post_json(f"{here.admin}/deployments/{id}", fields, method="PATCH")


async def shown(here: World, id: str) -> Any:
    return (await here.ask("GET", f"{here.admin}/deployments/{id}")).json()


async def listed(here: World) -> Any:
    return (await here.ask("GET", f"{here.admin}/deployments")).json()["deployments"]


def test_a_version_is_registered_by_its_arn(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, _):
            first = await register(here, arn=f"{FUNCTION}:1")
            assert first.status == 201
            made = first.json()
            assert (made["arn"], made["evidence"]) == (f"{FUNCTION}:1", "grammar")
            assert made["facts"]["code_sha256"] == "sha-1"
            assert {each["name"] for each in made["services"]} == {"Story", "Book"}
            again = await register(here, arn=f"{FUNCTION}:1")
            assert (again.status, again.json()["id"]) == (200, made["id"])
            assert (await register(here, "/v2", arn=f"{FUNCTION}:1", force=False)).status == 409
            view = await shown(here, made["id"])
            assert (view["arn"], view["evidence"]) == (f"{FUNCTION}:1", "grammar")
            assert view["facts"] == made["facts"]
            assert "uri" not in view
            [entry] = await listed(here)
            assert (entry["arn"], entry["evidence"]) == (f"{FUNCTION}:1", "grammar")

    run(test())


def test_a_target_is_looked_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, _):
            made = await register(here, target="lambda:greeter:2")
            assert (made.status, made.json()["arn"]) == (201, f"{FUNCTION}:2")
            same = await register(here, arn=f"{FUNCTION}:2")
            assert (same.status, same.json()["id"]) == (200, made.json()["id"])
            gone = await register(here, target="lambda:greeter:9")
            assert gone.status == 404
            assert gone.json()["restate_code"] == "META0003"
            assert "knows no version '9'" in gone.json()["message"]
            tried = await register(here, target="lambda:greeter:1", dry_run=True)
            assert tried.json()["arn"] == f"{FUNCTION}:1"
            assert len(await listed(here)) == 1

    run(test())


def test_a_function_url_leads_to_no_version(tmp_path: Path) -> None:
    async def test() -> None:
        url = "https://abc.lambda-url.eu-central-1.on.aws/"
        async with on_lambda(tmp_path) as (here, _):
            for field in ("uri", "target"):
                reply = await register(here, **{field: url})
                assert reply.status == 400
                assert "is a function URL" in reply.json()["message"]
                assert "lambda:NAME" in reply.json()["message"]

    run(test())


def test_a_role_is_taken_on_for_calls_and_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, api):
            id = (await register(here, arn=f"{FUNCTION}:1", assume_role_arn=ROLE)).json()["id"]
            assert (await shown(here, id))["assume_role_arn"] == ROLE
            assert set(api.keys) == {ASSUMED}
            assert await here.call("/Story/which") == "1"
            assert set(api.keys) == {ASSUMED}
            other = ROLE.replace("caller", "other")
            assert (await change(here, id, assume_role_arn=other)).status == 200
            view = await shown(here, id)
            assert view["assume_role_arn"] == other
            assert view["changes"][0]["detail"] == f"{ROLE} -> {other}"
            assert (await change(here, id, assume_role_arn="me")).status == 400

    run(test())


def test_a_version_moves_to_another(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, api):
            id = (await register(here, arn=f"{FUNCTION}:1")).json()["id"]
            moved = await change(here, id, arn=f"{FUNCTION}:2")
            assert moved.status == 200
            assert moved.json()["arn"] == f"{FUNCTION}:2"
            assert moved.json()["facts"]["code_sha256"] == "sha-2"
            assert await here.call("/Story/which") == "2"
            for arn, status in (
                (f"{FUNCTION}:9", 404),
                (f"{FUNCTION}:$LATEST", 400),
                (FUNCTION, 400),
            ):
                assert (await change(here, id, arn=arn)).status == status
            assert (await shown(here, id))["arn"] == f"{FUNCTION}:2"
            assert set(api.invoked) == {"2"}

    run(test())


def test_the_kind_of_a_deployment_does_not_change(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, _), code(*Story("http").services) as endpoint:
            function = (await register(here, arn=f"{FUNCTION}:1")).json()["id"]
            http = await here.register(endpoint, force=True)
            for id, fields in (
                (function, {"uri": endpoint.uri}),
                (http, {"arn": f"{FUNCTION}:1"}),
                (http, {"assume_role_arn": ROLE}),
            ):
                reply = await change(here, id, **fields)
                assert reply.status == 400
                assert "kind of a deployment cannot change" in reply.json()["message"]
            assert (await shown(here, function))["arn"] == f"{FUNCTION}:1"
            assert (await shown(here, http))["uri"] == endpoint.uri

    run(test())


def test_it_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        async with functions() as api:
            api.secrets[ASSUMED] = "s"
            api.compression = "zstd"
            api.publish("1", *Story("1").services)
            async with world(tmp_path) as here:
                made = await register(here, arn=f"{FUNCTION}:1", assume_role_arn=ROLE)
                id = made.json()["id"]
                before = await shown(here, id)
                assert (before["compression"], before["assume_role_arn"]) == ("Zstd", ROLE)
            api.keys.clear()
            async with world(tmp_path) as here:
                assert await shown(here, id) == before
                assert await here.call("/Story/which") == "1"
                assert set(api.keys) == {ASSUMED}
                assert api.events[-1]["headers"]["accept-encoding"] == "zstd"

    run(test())


def test_sql_shows_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path) as (here, _):
            await register(here, arn=f"{FUNCTION}:1")
            reply = await here.ask(
                "POST",
                f"{here.admin}/query",
                data='{"query": "SELECT ty, endpoint FROM sys_deployment"}',
                headers={"content-type": "application/json", "accept": "application/json"},
            )
            assert reply.json()["rows"] == [{"ty": "lambda", "endpoint": f"{FUNCTION}:1"}]

    run(test())


# --- development -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "asked", "says"),
    [
        (False, True, "steadfaas up --dev"),
        (True, False, "the next deploy overwrites"),
        (False, False, "the next deploy overwrites"),
    ],
)
def test_code_that_may_change_needs_both_sides(
    tmp_path: Path, engine: bool, asked: bool, says: str
) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path, dev=engine) as (here, _):
            for fields in ({"arn": f"{FUNCTION}:$LATEST"}, {"target": "lambda:greeter:$LATEST"}):
                reply = await register(here, **fields, dev=asked)
                assert reply.status == 400
                assert says in reply.json()["message"]
            assert await listed(here) == []

    run(test())


def test_code_that_may_change_is_marked_and_looked_at_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with on_lambda(tmp_path, dev=True) as (here, api):
            first = await register(here, arn=f"{FUNCTION}:$LATEST", dev=True)
            assert (first.status, first.json()["evidence"]) == (201, "mutable")
            api.publish("$LATEST", *Story("other").services[:1])
            again = await register(here, arn=f"{FUNCTION}:$LATEST", dev=True)
            assert (again.status, again.json()["id"]) == (200, first.json()["id"])
            assert [each["name"] for each in again.json()["services"]] == ["Story"]
            assert (await shown(here, first.json()["id"]))["evidence"] == "mutable"
            assert [each["evidence"] for each in await listed(here)] == ["mutable"]
            assert await here.call("/Story/which") == "other"

    run(test())


def test_code_that_may_change_does_not_outlive_development(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        story = Story("latest")
        async with functions() as api:
            api.publish("1", *story.services)
            api.publish("$LATEST", *story.services)
            async with world(tmp_path, dev=True) as here:
                kept = (await register(here, arn=f"{FUNCTION}:1")).json()["id"]
                made = await register(here, arn=f"{FUNCTION}:$LATEST", dev=True)
                id = await here.send("/Story/tell")
                await here.until(id, "suspended")
            async with world(tmp_path, dev=True) as here:
                assert len(await listed(here)) == 2
            assert not caplog.records
            with caplog.at_level(logging.WARNING):
                async with world(tmp_path) as here:
                    assert [each["id"] for each in await listed(here)] == [kept]
                    [warning] = [r.getMessage() for r in caplog.records]
                    assert made.json()["id"] in warning
                    assert "without --dev" in warning
                    await here.post(
                        f"/restate/awakeables/{story.awakeables.get_nowait()}/resolve", "go"
                    )
                    view = await here.until(id, "backing-off", attempts=2)
                    assert view["last_failure"]["restate_code"] == "RT0011"
                    assert (await here.operate(id, "pause")).status in (200, 202)
                    await here.until(id, "paused")
                    resumed = await here.operate(id, f"resume?deployment={kept}")
                    assert resumed.status == 200
                    assert await here.result(id) == ["latest", "go", "latest", "latest"]

    run(test())
