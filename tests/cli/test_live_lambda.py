"""The command line and Lambda: what it registers, shows, verifies and retires."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import app
from tests.adapters.aws_lambda.functions import FUNCTION, Functions, functions
from tests.cli.live import row
from tests.runtime.in_process import World, run, world
from tests.runtime.story import Story


@dataclass(frozen=True, slots=True)
class Desk:
    """An engine, a function with the versions 1, 2 and $LATEST, and the command line."""

    world: World
    api: Functions

    async def run(self, *words: str, code: int = 0) -> Result:
        """Run a command, which must end with `code`."""
        line = ["--admin-url", self.world.admin, *words]
        done = await asyncio.to_thread(CliRunner().invoke, app, line)
        assert done.exit_code == code, f"{done.exit_code}: {done.output}"
        return done

    async def json(self, *words: str, code: int = 0) -> Any:
        """The standard output of a command as JSON."""
        return json.loads((await self.run(*words, "--json", code=code)).stdout)

    async def register(self, target: str, *words: str) -> str:
        """Register a target; its deployment's id."""
        return str((await self.json("deployments", "register", target, *words))["id"])


@contextlib.asynccontextmanager
async def desk(tmp_path: Path, **fields: Any) -> AsyncIterator[Desk]:
    async with functions() as api, world(tmp_path, **fields) as here:
        for version in ("1", "2", "$LATEST"):
            api.publish(version, *Story(version).services)
        yield Desk(here, api)


def test_what_a_target_led_to_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            done = await here.run("deployments", "register", "lambda:greeter")
            assert f"Registered lambda:greeter ({FUNCTION}:2) as dp_" in done.stdout
            done = await here.run("deployments", "register", f"{FUNCTION}:2")
            assert f"Already registered: {FUNCTION}:2 is dp_" in done.stdout
            listed = await here.run("deployments", "list")
            [entry] = (await here.json("deployments", "list"))["deployments"]
            assert row(listed, entry["id"])[1:3] == [f"{FUNCTION}:2", "active"]
            shown = await here.run("deployments", "describe", entry["id"])
            assert "sha-2" in shown.stdout
            assert "(mutable)" not in shown.stdout

    run(test())


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (f"{FUNCTION}:live", "is an alias"),
        (FUNCTION, "names no version"),
        (f"{FUNCTION}:$LATEST", "--dev"),
        ("https://abc.lambda-url.eu-central-1.on.aws/", "is a function URL"),
        ("lambda:greeter:99", "knows no version '99'"),
    ],
)
def test_what_is_refused_says_what_to_write(tmp_path: Path, target: str, says: str) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            done = await here.run("deployments", "register", target, code=1)
            assert says in done.stderr
            assert "Traceback" not in done.output

    run(test())


def test_code_that_may_change_is_marked_wherever_it_is_shown(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path, dev=True) as here:
            id = await here.register("lambda:greeter:$LATEST", "--dev")
            listed = await here.run("deployments", "list")
            assert f"{FUNCTION}:$LATEST (mutable)" in listed.stdout
            shown = await here.run("deployments", "describe", id)
            assert "(mutable)" in shown.stdout
            assert (await here.json("deployments", "describe", id))["evidence"] == "mutable"
            assert await here.register(f"{FUNCTION}:$LATEST", "--dev") == id

    run(test())


def test_versions_with_what_the_engine_needs_of_them(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            here.api.aliases = [{"Name": "live", "FunctionVersion": "2"}]
            first = await here.register(f"{FUNCTION}:1")
            second = await here.register(f"{FUNCTION}:2")
            done = await here.run("adapters", "versions", "lambda:greeter")
            assert row(done, "1 ") == ["1", "2026-11-29", "08:00:00", first, "drained", "0"]
            assert row(done, "2 ")[1:] == ["live", "2026-11-29", "08:00:00", second, "active", "0"]
            found = (await here.json("adapters", "versions", "lambda:greeter"))["versions"]
            assert [each["version"] for each in found] == ["2", "1"]
            assert [each["drain"]["state"] for each in found] == ["active", "drained"]
            unknown = await here.run("adapters", "versions", "http://127.0.0.1:1/", code=1)
            assert "knows nothing about versions" in unknown.stderr

    run(test())


def test_verify(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            id = await here.register(f"{FUNCTION}:1")
            assert "is unchanged" in (await here.run("deployments", "verify", id)).stdout
            assert (await here.json("deployments", "verify", id))["problems"] == []
            del here.api.versions["1"]
            done = await here.run("deployments", "verify", id, code=1)
            assert "Lambda has no version 1 of greeter" in done.stderr
            assert len((await here.json("deployments", "verify", id, code=1))["problems"]) == 1

    run(test())


def test_retire(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            id = await here.register(f"{FUNCTION}:1")
            retire = ("deployments", "retire", id, "--yes")
            done = await here.run(*retire, code=1)
            assert "is not drained" in done.stderr
            await here.register(f"{FUNCTION}:2")
            here.api.aliases = [{"Name": "live", "FunctionVersion": "1"}]
            done = await here.run(*retire, code=1)
            assert "alias live" in done.stderr
            assert here.api.deleted == []
            here.api.aliases = []
            assert (await here.json(*retire))["retired"] is True
            assert here.api.deleted == ["1"]
            listed = (await here.json("deployments", "list"))["deployments"]
            assert [each["arn"] for each in listed] == [f"{FUNCTION}:2"]

    run(test())


def test_what_is_published_is_the_newest_code(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            register = ("deployments", "register")
            done = await here.run(*register, "lambda:greeter@live", "--publish", code=2)
            assert "without 'live'" in done.stderr
            done = await here.run(*register, "http://127.0.0.1:1", "--publish", code=2)
            assert "Leave --publish out" in done.stderr
            await here.run(*register, "lambda:greeter", "--publish", "--dry-run", code=2)
            await here.run(*register, "lambda:greeter", "--description", "x", code=2)

    run(test())


def test_a_platform_that_cannot_be_asked_now_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            monkeypatch.setattr("steadfaas_adapters.aws_lambda.clients._ATTEMPTS", 1)
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            done = await here.run("adapters", "versions", "lambda:greeter", code=75)
            assert "cannot be asked" in done.stderr
            done = await here.run("deployments", "register", "lambda:greeter", code=75)
            assert "cannot be asked" in done.stderr

    run(test())


def test_a_version_moves_to_another(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            id = await here.register(f"{FUNCTION}:1")
            update = ("deployments", "update", id, "--yes")
            done = await here.run(*update, "--url", f"{FUNCTION}:2")
            assert f"Changed {id}" in done.stdout
            assert (await here.json("deployments", "describe", id))["arn"] == f"{FUNCTION}:2"
            done = await here.run(*update, "--url", "http://127.0.0.1:1", code=1)
            assert "kind of a deployment cannot change" in done.stderr

    run(test())


def test_check(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            await here.register(f"{FUNCTION}:1")
            id = await here.world.send("/Story/tell")
            await here.world.until(id, "suspended")
            second = await here.register(f"{FUNCTION}:2")
            [found] = await here.json("check", id, "--deployment", second)
            assert found["verdict"] == "compatible"
            await here.run("invocations", "kill", id, "--yes")

    run(test())
