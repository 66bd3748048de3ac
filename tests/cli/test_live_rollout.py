"""`plan`, `apply`, `gc` and `status` on a running engine, with versions on Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import admin, app, platforms
from steadfaas.cli.apply import carried_out
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout.connect import connect
from steadfaas.cli.rollout.options import declared
from steadfaas.cli.rollout.server import Managed
from steadfaas.deployments.options import MAX_DURATION, MIN_RETRY_INTERVAL
from steadfaas.errors import DiscoveryError
from steadfaas.rollout import settings
from steadfaas_adapters.aws_lambda import AwsLambda
from tests.adapters.aws_lambda.functions import FUNCTION, Functions, functions
from tests.runtime.in_process import World, run, world
from tests.runtime.story import Story

Json = dict[str, Any]

FILE = """
[[deployments]]
name = "greeter"
target = "lambda:greeter@live"
{more}
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """An engine, a function whose alias `live` can be moved, and a file about it."""

    world: World
    api: Functions
    file: Path

    def write(self, more: str = "", text: str = FILE) -> None:
        """What the file says from now on."""
        self.file.write_text(text.format(more=more))

    def release(self, version: str, handler: str = "") -> None:
        """Publish a version, and let the alias lead to it."""
        self.api.publish(version, *Story(version).services)
        self.point_to(version)

    def point_to(self, version: str) -> None:
        self.api.aliases = [{"Name": "live", "FunctionVersion": version}]

    async def run(self, *words: str, code: int = 0, **env: str) -> Result:
        """Run a command, which must end with `code`."""
        line = ["--admin-url", self.world.admin, *words]
        done = await asyncio.to_thread(CliRunner().invoke, app, line, env=env)
        assert done.exit_code == code, f"{done.exit_code}: {done.output}"
        return done

    async def with_file(self, command: str, *words: str, code: int = 0, **env: str) -> Result:
        """Run a command about the file."""
        return await self.run(command, "--config", str(self.file), *words, code=code, **env)

    async def json(self, command: str, *words: str, code: int = 0) -> Any:
        """What a command about the file says, as JSON."""
        return json.loads((await self.with_file(command, *words, "--json", code=code)).stdout)

    async def at_once(self, number: int) -> None:
        """So many applies at the same time."""
        admin.use(self.world.admin)
        wanted = declared(self.file, None)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(number) as pool:
            applies = [
                loop.run_in_executor(pool, lambda: carried_out(wanted, connect()))
                for _ in range(number)
            ]
            assert set(await asyncio.gather(*applies)) == {ExitCode.DONE}

    async def registered(self) -> list[Json]:
        """All deployments, oldest first."""
        return list(
            json.loads((await self.run("deployments", "list", "--json")).stdout)["deployments"]
        )

    async def written(self) -> int:
        """How many changes of deployments were ever stored."""
        return len(await self.audit())

    async def audit(self) -> list[Json]:
        """What was done to deployments, newest first."""
        answer = await asyncio.to_thread(admin.call, "GET", "/audit")
        return list(answer["entries"])


@contextlib.asynccontextmanager
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with functions() as api, world(tmp_path / "data") as here:
        made = Desk(here, api, tmp_path / "steadfaas.toml")
        made.write()
        made.release("1")
        yield made


# --- plan and apply ----------------------------------------------------------------------------


def test_a_plan_changes_nothing_and_apply_does_what_it_says(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            shown = await here.with_file("plan")
            assert "register   greeter  lambda:greeter@live → " + f"{FUNCTION}:1" in shown.stdout
            assert "Plan: 1 to register." in shown.stdout
            assert await here.registered() == []
            done = await here.with_file("apply")
            assert f"registered  greeter  {FUNCTION}:1" in done.stdout
            [known] = await here.registered()
            assert known["metadata"] == {"steadfaas.name": "greeter"}

    run(test())


def test_the_second_apply_writes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            here.write('metadata = { team = "web" }\n[services.Story]\npublic = false')
            service = Story("1").services[0].name
            here.write(f'metadata = {{ team = "web" }}\n[services.{service}]\npublic = false')
            await here.with_file("apply")
            before = await here.written()
            done = await here.with_file("apply")
            assert done.stdout == "Unchanged: 1 deployment.\n"
            assert await here.written() == before
            again = await here.json("apply")
            assert again["done"] == []
            assert set(again["summary"]) == {"unchanged"}

    run(test())


@pytest.mark.parametrize(
    ("entry", "service"),
    [
        (
            'headers = { X-Team = " web ", host = "a.b" }\nmetadata = { "ä" = " ö " }',
            'abort_timeout = "150000d"\njournal_retention = "150000d"\n'
            'idempotency_retention = "0s"',
        ),
        (
            'headers = { x-empty = "", X-Home = { env = "HOME" } }',
            'retry = { initial_interval = "1ms", max_interval = "1ms", max_attempts = "unlimited",'
            ' on_max_attempts = "kill" }',
        ),
        (
            "keep = 3",
            'retry = { initial_interval = "150000d", max_interval = "150000d",'
            " max_attempts = 99999999999, exponentiation_factor = 1e300 }",
        ),
        ("", 'inactivity_timeout = "5m"\nretry = { exponentiation_factor = 1.1 }'),
    ],
)
def test_whatever_is_declared_the_second_apply_is_content(
    tmp_path: Path, entry: str, service: str
) -> None:
    """Also where the engine keeps another value than was written."""

    async def test() -> None:
        async with desk(tmp_path) as here:
            name = Story("1").services[0].name
            text = FILE.replace("{more}", "")
            here.file.write_text(f"{text}{entry}\n[services.{name}]\n{service}\n")
            await here.with_file("apply")
            before = await here.written()
            assert (await here.with_file("apply")).stdout == "Unchanged: 1 deployment.\n"
            assert await here.written() == before

    run(test())


def test_code_that_may_change_keeps_what_was_declared_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with functions() as api, world(tmp_path / "data", dev=True) as running:
            here = Desk(running, api, tmp_path / "steadfaas.toml")
            api.publish("$LATEST", *Story("1").services)
            name = Story("1").services[0].name
            text = FILE.replace("{more}", "dev = true").replace("@live", ":$LATEST")
            here.file.write_text(f'{text}[services.{name}]\nabort_timeout = "5m"\n')
            await here.with_file("apply")
            assert (await here.with_file("apply")).stdout == "Unchanged: 1 deployment.\n"

    run(test())


def test_limits_are_those_of_the_engine() -> None:
    assert settings.LONGEST == MAX_DURATION
    assert settings.SHORTEST_INTERVAL == MIN_RETRY_INTERVAL


def test_twenty_at_once_end_like_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            service = Story("1").services[0].name
            here.write(f'[services.{service}]\nabort_timeout = "5m"')
            await here.at_once(20)
            here.release("2")
            await here.at_once(20)
            known = await here.registered()
            assert [each["arn"] for each in known] == [f"{FUNCTION}:1", f"{FUNCTION}:2"]
            assert {one["revision"] for one in known[1]["services"]} == {2}
            assert (await here.with_file("apply")).stdout == "Unchanged: 1 deployment.\n"

    run(test(), seconds=60)


def test_rolling_back_is_applying_the_old_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            await here.with_file("apply")
            here.release("2")
            await here.with_file("apply")
            first, second = await here.registered()
            here.point_to("1")
            here.api.events.clear()
            discovered = len(here.api.keys)
            shown = await here.with_file("plan")
            assert f"promote    greeter  lambda:greeter@live → {FUNCTION}:1" in shown.stdout
            await here.with_file("apply")
            first, second = await here.registered()
            assert first["drain"]["state"] == "active"
            assert second["drain"]["state"] == "drained"
            assert [each["what"] for each in (await changes(here, first))] == ["promoted"]
            assert here.api.discovered == ["1", "1", "2", "2"], "none for the way back"
            assert discovered

    run(test())


async def changes(here: Desk, deployment: Json) -> list[Json]:
    """What was done to a deployment."""
    done = await here.run("deployments", "describe", deployment["id"], "--json")
    return list(json.loads(done.stdout).get("changes", []))


def test_a_saved_plan_is_applied_unless_the_world_has_moved(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            saved = tmp_path / "plan.json"
            await here.with_file("plan", "--out", str(saved))
            assert saved.stat().st_mode & 0o077 == 0, "values of variables are in it"
            here.release("2")
            done = await here.run("apply", "--plan", str(saved), code=1)
            assert (
                "The world has moved since the plan was made, so nothing was done:" in done.stderr
            )
            assert f"uri was {FUNCTION}:1, is {FUNCTION}:2" in done.stderr
            assert await here.registered() == []
            here.point_to("1")
            here.file.unlink()
            await here.run("apply", "--plan", str(saved))
            assert [each["arn"] for each in await here.registered()] == [f"{FUNCTION}:1"]
            done = await here.run("apply", "--plan", str(saved), code=1)
            assert "action was register, is unchanged" in done.stderr
            twice = await here.with_file("apply", "--plan", str(saved), code=2)
            assert "leave --config out" in twice.stderr
            for written, why in _edited(json.loads(saved.read_text())):
                wrong = tmp_path / "wrong.json"
                wrong.write_text(written)
                done = await here.run("apply", "--plan", str(wrong), code=2)
                assert f"is no saved plan: {why}. Make one" in done.stderr

    run(test())


def _edited(plan: Json) -> Iterator[tuple[str, str]]:
    """What somebody may make of a saved plan, and what is said of it."""
    yield "", "it is not JSON"
    yield "[]", "it has no 'format'"
    yield json.dumps({**plan, "format": "old"}), "its format is 'old', not 'steadfaas-plan/1'"
    for part in ("declared", "promised", "plan"):
        yield json.dumps({**plan, part: []}), "a part of it is missing, or was changed"
    promised = {**plan["promised"], "retire": []}
    yield json.dumps({**plan, "promised": promised}), "a part of it is missing, or was changed"
    declared = {**plan["declared"], "services": 3}
    yield json.dumps({**plan, "declared": declared}), "what is declared in it was changed"


def test_a_saved_plan_leads_to_the_server_that_it_was_made_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("STEADFAAS_ADMIN_URL", "RESTATE_ADMIN_URL"):
        monkeypatch.delenv(variable, raising=False)

    async def test() -> None:
        async with desk(tmp_path) as here:
            saved = tmp_path / "plan.json"
            await here.with_file("plan", "--out", str(saved))
            line = ["apply", "--plan", str(saved)]
            done = await asyncio.to_thread(CliRunner().invoke, app, line)
            assert done.exit_code == 0, done.output
            assert len(await here.registered()) == 1

    run(test())


def test_commands_about_a_file_speak_to_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("STEADFAAS_ADMIN_URL", "RESTATE_ADMIN_URL"):
        monkeypatch.delenv(variable, raising=False)

    async def test() -> None:
        async with desk(tmp_path) as here:
            named = f'[engine]\nadmin = "${{WHERE}}"\n{FILE.format(more="")}'
            here.file.write_text(named)
            for command in ("plan", "apply", "status", "audit"):
                line = [command, "--config", str(here.file)]
                env = {"WHERE": here.world.admin}
                done = await asyncio.to_thread(CliRunner().invoke, app, line, env=env)
                assert done.exit_code == 0, done.output
                missing = [command, "--config", str(tmp_path / "none.toml")]
                done = await asyncio.to_thread(CliRunner().invoke, app, missing)
                assert (done.exit_code, "does not exist" in done.stderr) == (1, True)

    run(test())


def test_other_commands_speak_to_the_engine_of_the_file_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("STEADFAAS_ADMIN_URL", "RESTATE_ADMIN_URL", "STEADFAAS_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)

    async def test() -> None:
        async with desk(tmp_path) as here:
            here.file.write_text(f'[engine]\nadmin = "{here.world.admin}"\n')
            done = await asyncio.to_thread(CliRunner().invoke, app, ["deployments", "list"])
            assert (done.exit_code, "No deployments" in done.output) == (0, True)
            here.file.write_text("[engine\n")
            done = await asyncio.to_thread(CliRunner().invoke, app, ["deployments", "list"])
            assert done.exit_code == 1
            assert "--admin-url does too" in done.stderr

    run(test())


def test_what_is_no_admin_api_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            for command in ("plan", "status"):
                line = ["--admin-url", here.world.ingress, command, "--config", str(here.file)]
                done = await asyncio.to_thread(CliRunner().invoke, app, line)
                assert done.exit_code == 1
                assert f"What answers at {here.world.ingress} is no admin API." in done.stderr
            line = ["--admin-url", "http://ada:hunter2@127.0.0.1:1", "status"]
            done = await asyncio.to_thread(CliRunner().invoke, app, line)
            assert (done.exit_code, "hunter2" in done.output) == (2, False)

    run(test())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[deployments]]\nname = "greeter"\ntarget = 5\n', "line 3, deployments[1].target"),
        ('[[deployments]]\nname = "a"\ntarget = "lambda:a"\nkep = 1\n', "Did you mean 'keep'?"),
        ('[[deployments]]\nname = "a"\ntarget = "lambda:${{NOWHERE}}"\n', "NOWHERE"),
        (
            '[[deployments]]\nname = "a"\ntarget = "lambda:${{ROUND}}"\n',
            "ROUND -> ABOUT -> ROUND",
        ),
        (FILE.format(more="") + FILE.format(more=""), "the name 'greeter' is taken"),
        (
            FILE.format(more="") + '[[deployments]]\nname = "b"\ntarget = "lambda:none@x"\n',
            "lambda:none@x",
        ),
        (FILE.format(more="[services.Nobody]\npublic = false"), "nobody serves 'Nobody'"),
        (
            FILE.format(more='headers = {{ x-key = {{ env = "NO_SUCH_SECRET" }} }}'),
            "NO_SUCH_SECRET",
        ),
    ],
)
def test_a_wrong_file_changes_nothing(tmp_path: Path, text: str, says: str) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            here.write(text=text)
            env = {"ROUND": "${ABOUT}", "ABOUT": "${ROUND}"}
            for command in ("plan", "apply"):
                done = await here.with_file(command, code=1, **env)
                assert says in done.output
                assert "Traceback" not in done.output
            assert await here.registered() == []

    run(test())


def test_what_is_late_holds_up_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            late = FILE.format(more="") + '[[deployments]]\nname = "late"\ntarget = "lambda:late"\n'
            here.write(text=late)
            here.api.throttled.add("late")
            monkeypatch.setattr("steadfaas_adapters.aws_lambda.clients._ATTEMPTS", 1)
            shown = await here.with_file("plan", code=75)
            assert "Plan: 1 to register, 1 not yet." in shown.stdout
            done = await here.with_file("apply", code=75)
            assert "registered  greeter" in done.stdout
            assert "1 of 2 steps is missing" in done.stderr
            assert len(await here.registered()) == 1

    run(test())


def test_an_engine_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    file = tmp_path / "steadfaas.toml"
    file.write_text('[engine]\nadmin = "http://127.0.0.1:1"\n' + FILE.format(more=""))
    for command in ("plan", "apply", "gc", "status"):
        done = CliRunner().invoke(app, [command, "--config", str(file)])
        assert done.exit_code == 75, done.output
        assert "No answer from the admin API at http://127.0.0.1:1" in done.stderr


# --- gc ----------------------------------------------------------------------------------------


async def three_versions(here: Desk, policy: str) -> None:
    """Three versions were deployed, one after the other; nothing needs the first two. Only then
    the file gets a policy."""
    for version in ("1", "2", "3"):
        here.release(version)
        await here.with_file("apply")
    here.write(policy)


def test_gc_retires_what_the_policy_lets_go(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 1")
            first, second, _ = await here.registered()
            shown = await here.with_file("gc", "--dry-run", "--explain")
            assert f"would retire  greeter  {first['id']}" in shown.stdout
            assert f"stays    greeter  {second['id']}" in shown.stdout
            assert "drained, the 1st of 1 that are kept" in shown.stdout
            assert here.api.deleted == []
            done = await here.with_file("gc")
            assert "Retired 1 version; 1 stay (--explain tells why)." in done.stdout
            assert here.api.deleted == ["1"]
            told = [each for each in await here.audit() if each["subject"] == first["id"]]
            assert [each["action"] for each in told] == [
                "removed",
                "artifact removed",
                "removing artifact",
                "retirement begun",
                "registered",
            ]
            evidence = told[3]["detail"]["evidence"]
            assert (evidence["keep"], evidence["unfinished"]) == (1, 0)
            done = await here.with_file("gc")
            assert "Retired 0 versions; 1 stay" in done.stdout

    run(test())


def test_ages_are_told_by_the_clock_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of whoever runs gc may go wrong; versions of this minute stay for a day."""

    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, 'min_age = "24h"')
            wrong = SimpleNamespace(time_ns=lambda: time.time_ns() + 30 * 3_600_000_000_000)
            for module in ("gather", "connect"):
                monkeypatch.setattr(f"steadfaas.cli.rollout.{module}.time", wrong)
            found = await here.json("gc", "--dry-run")
            assert found["retire"] == []
            assert len(found["stays"]) == 2

    run(test())


def test_gc_leaves_what_something_is_pinned_to(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            await here.with_file("apply")
            held = await here.world.send("/Story/tell")
            await here.world.until(held, "suspended")
            await three_versions(here, "keep = 0")
            done = await here.with_file("gc", "--explain")
            [first, third] = await here.registered()
            assert f"stays    greeter  {first['id']}" in done.stdout
            assert "draining: 1 unfinished" in done.stdout
            assert here.api.deleted == ["2"]
            assert third["arn"] == f"{FUNCTION}:3"

    run(test())


def test_what_its_platform_still_needs_is_foreseen(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 0")
            first, second, _ = await here.registered()
            here.api.aliases.append({"Name": "old", "FunctionVersion": "1"})
            planned = await here.json("plan")
            assert [each["deployment_id"] for each in planned["retire"]] == [second["id"]]
            explained = await here.with_file("gc", "--explain", "--dry-run")
            assert f"stays    greeter  {first['id']}  {FUNCTION}:1: drained, but version 1 of" in (
                explained.stdout
            )
            assert "the alias old points to; point it elsewhere" in explained.stdout

            await here.with_file("apply")
            before = await here.written()
            assert (await here.with_file("apply")).stdout == "Unchanged: 1 deployment.\n"
            assert await here.written() == before
            assert here.api.deleted == ["2"]

            here.point_to("3")
            await here.with_file("gc")
            assert here.api.deleted == ["2", "1"]

    run(test())


def test_where_the_platform_cannot_be_asked_beforehand_the_plan_says_retire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> str | None:
        raise DiscoveryError("lambda:ListAliases is denied", code="META0003", status=403)

    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 0")
            monkeypatch.setattr(AwsLambda, "needed_by", refused)
            assert len((await here.json("plan"))["retire"]) == 2
            await here.with_file("gc")
            assert sorted(here.api.deleted) == ["1", "2"]

    run(test())


def test_what_its_platform_needs_since_the_plan_stays_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Managed.begin_retirement

    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 0")
            [first, *_] = await here.registered()

            def begin_and_point(server: Managed, id: str, evidence: Json) -> None:
                begin(server, id, evidence)
                if id == first["id"]:
                    here.api.aliases.append({"Name": "old", "FunctionVersion": "1"})

            monkeypatch.setattr(Managed, "begin_retirement", begin_and_point)
            done = await here.with_file("gc")
            assert "the alias old points to; point it elsewhere" in done.stdout
            [first, _] = await here.registered()
            assert "retiring" not in first
            assert here.api.deleted == ["2"]

    run(test())


async def begun(here: Desk, *steps: str) -> Json:
    """The first of three versions, whose retirement was broken off after these steps."""
    await three_versions(here, "keep = 0")
    first = (await here.registered())[0]
    for step in steps:
        path = admin.path("deployments", first["id"], "retirement")
        await asyncio.to_thread(admin.call, "POST", path, {"step": step})
    return first


def test_applying_takes_back_what_is_being_retired(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            first = await begun(here, "begin")
            here.point_to("1")
            shown = await here.with_file("plan")
            assert f"promote    greeter  lambda:greeter@live → {FUNCTION}:1" in shown.stdout
            assert "its retirement is called off" in shown.stdout
            await here.with_file("apply")
            back = (await here.registered())[0]
            assert (back["id"], back["drain"]["state"]) == (first["id"], "active")
            assert "retiring" not in back
            await here.with_file("gc")
            assert set(here.api.versions) == {"1"}
            assert (await here.with_file("apply")).stdout == "Unchanged: 1 deployment.\n"

    run(test())


def test_what_the_platform_has_removed_is_not_taken_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            first = await begun(here, "begin", "artifact-removed")
            here.point_to("1")
            refused = await here.with_file("apply", code=1)
            assert f"its version is being retired ({first['id']})" in refused.output
            here.point_to("3")
            await here.with_file("gc")
            assert [each["arn"] for each in await here.registered()] == [f"{FUNCTION}:3"]
            assert here.api.deleted == ["2"], "of the first one it was told that it was gone"

    run(test())


def test_an_apply_takes_nothing_back_that_is_being_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or new requests would go where nothing is left."""
    other, codes = tmp_path / "rollback.toml", list[ExitCode]()
    ask_platform = platforms.run

    def apply_first(question: Any, **limits: Any) -> Any:
        if not codes and question.__name__ == "retire":
            codes.append(carried_out(declared(other, None), connect()))
        return ask_platform(question, **limits)

    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 1")
            other.write_text(FILE.format(more="").replace("lambda:greeter@live", f"{FUNCTION}:1"))
            monkeypatch.setattr(platforms, "run", apply_first)
            await here.with_file("gc")
            assert codes == [ExitCode.TRY_LATER]
            assert here.api.deleted == ["1"]
            registered = await here.registered()
            assert [each["drain"]["state"] for each in registered] == ["drained", "active"]

    run(test())


def test_a_platform_that_does_not_answer_is_not_waited_for() -> None:
    with pytest.raises(CommandError, match="did not answer in time") as late:
        platforms.run(asyncio.Event().wait(), seconds=0)
    assert late.value.exit_code is ExitCode.TRY_LATER


def test_what_is_taken_back_before_its_platform_is_asked_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Managed.begin_retirement

    def begin_and_call_off(server: Managed, id: str, evidence: Json) -> None:
        begin(server, id, evidence)
        server.call_off_retirement(id)  # as somebody may, at just this moment

    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 1")
            monkeypatch.setattr(Managed, "begin_retirement", begin_and_call_off)
            done = await here.with_file("gc")
            assert "is not being retired" in done.stdout
            assert here.api.deleted == []
            assert len(await here.registered()) == 3

    run(test())


def test_nothing_is_taken_back_while_its_platform_may_be_deleting_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            first = await begun(here, "begin", "removing")
            here.point_to("1")
            late = await here.with_file("apply", code=75)
            assert "may be deleting it at this moment" in late.stderr
            assert "retiring" in (await here.registered())[0]
            # A gc that was killed there has no request under way when the time is over.
            monkeypatch.setattr("steadfaas.deployments.retire._REMOVING_MS", 0)
            path = admin.path("deployments", first["id"], "retirement")
            await asyncio.to_thread(admin.call, "POST", path, {"step": "removing"})
            await here.with_file("apply")
            assert (await here.registered())[0]["drain"]["state"] == "active"

    run(test())


def test_a_version_that_was_deleted_although_it_was_taken_back_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its platform was asked, and answered only after the time for it was over."""
    remove = Managed.removing_artifact

    def remove_and_call_off(server: Managed, id: str) -> None:
        remove(server, id)
        server.call_off_retirement(id, kept=True)

    async def test() -> None:
        async with desk(tmp_path) as here:
            await three_versions(here, "keep = 1")
            monkeypatch.setattr(Managed, "removing_artifact", remove_and_call_off)
            failed = await here.with_file("gc", code=1)
            assert f"was taken back while its platform deleted {FUNCTION}:1" in failed.stderr
            assert len(await here.registered()) == 3

    run(test())


class Killed(BaseException):
    """The process is gone, as far as a test can tell."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(10))
def test_killed_at_any_step_gc_and_apply_end_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    """Killed before or after the change number `step`, and run again."""
    real, made = admin.ask, 0

    def ask(method: str, path: str, *words: Any, **named: Any) -> Any:
        nonlocal made
        dry = isinstance(words[0] if words else None, dict) and words[0].get("dry_run")
        if method == "GET" or dry:
            return real(method, path, *words, **named)
        made += 1
        if made == step + 1 and not after:
            raise Killed
        answer = real(method, path, *words, **named)
        if made == step + 1:
            raise Killed
        return answer

    async def test() -> None:
        async with desk(tmp_path) as here:
            service = Story("1").services[0].name
            policy = f'keep = 0\n[services.{service}]\nabort_timeout = "5m"'
            await three_versions(here, policy)
            here.release("4")
            monkeypatch.setattr(admin, "ask", ask)
            for command in ("apply", "gc"):
                with contextlib.suppress(Killed):
                    await here.with_file(command)
            monkeypatch.setattr(admin, "ask", real)
            for command in ("apply", "gc"):
                await here.with_file(command)
            assert [each["arn"] for each in await here.registered()] == [f"{FUNCTION}:4"]
            assert sorted(here.api.deleted) == ["1", "2", "3"]
            shown = json.loads((await here.run("services", "describe", service, "--json")).stdout)
            assert shown["abort_timeout"] == "5m"

    run(test(), seconds=60)


# --- status ------------------------------------------------------------------------------------


def test_status_is_one_screen(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            empty = await here.run("status")
            assert "No services" in empty.stdout
            await three_versions(here, "keep = 1")
            shown = await here.run("status")
            assert "2 drained" in shown.stdout
            found = json.loads((await here.run("status", "--json")).stdout)
            service = found["services"][0]
            assert service["uri"] == f"{FUNCTION}:3"
            assert len(service["older"]) == 2
            assert [each["state"] for each in found["drained"]] == ["drained", "drained"]

    run(test())
