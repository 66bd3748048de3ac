"""`steadfaas deployments` against a running engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steadfaas.cli import audit
from tests.cli.live import live, row
from tests.runtime.in_process import run

AS_JSON = {"content-type": "application/json"}


def test_a_deployment_that_is_needed_says_what_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            nap = await here.suspended("/Desk/nap")
            newest = await here.register_new()
            listed = await here.run("deployments", "list")
            # id, address, state, unfinished, two dates, services
            assert row(listed, here.first)[2:4] == ["draining", "1"]
            assert row(listed, newest)[2:4] == ["active", "0"]
            shown = (await here.run("deployments", "describe", here.first)).stdout
            assert "of these            1 sleeping" in shown
            assert f"waits for\n  {nap}\n" in shown

            refused = await here.run("deployments", "remove", here.first, "--yes", code=1)
            assert "not drained" in refused.stderr
            assert f"steadfaas deployments wait {here.first}" in refused.stderr

            late = await here.run(
                *("deployments", "wait", here.first, "--drained"),
                *("--timeout", "20ms", "--every", "5ms"),
                code=75,
            )
            assert "drained not before" in late.stderr

            await here.run("invocations", "kill", nap, "--yes")
            await here.run("deployments", "wait", here.first, "--drained", "--timeout", "10s")
            await here.run("deployments", "remove", here.first, "--yes")
            listed = await here.run("deployments", "list")
            assert here.first not in listed.stdout

    run(test())


def test_force_removes_what_is_needed(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            await here.suspended("/Desk/nap")
            answer = await here.json("deployments", "remove", here.first, "--force", "--yes")
            assert answer == {"id": here.first, "removed": True}
            await here.run("invocations", "kill", "Desk", "--yes")

    run(test())


def test_an_address_and_headers_are_changed_and_it_is_known_by_whom(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            update = ("deployments", "update", here.first)
            would = await here.run(*update, "--url", here.new.uri, "--dry-run")
            assert f"Would change {here.first}" in would.stdout
            asked = await here.run(*update, "--url", here.new.uri, code=2)
            assert "--yes" in asked.stderr
            assert here.old.uri in (await here.run("deployments", "list")).stdout

            await here.run(*update, "--url", here.new.uri, "--header", "x-a=secret", "--yes")
            shown = (await here.run("deployments", "describe", here.first)).stdout
            assert here.new.uri in shown
            assert "address changed" in shown
            assert "secret" not in shown
            assert await here.world.call("/Desk/greet", "Bob") == "Hello Bob from v2"

            await here.run(*update, "--clear-headers", "--yes")
            answer = await here.json("deployments", "describe", here.first)
            assert "additional_headers" not in answer
            assert "@" in answer["changes"][0]["by"]

    run(test())


def test_promote_tells_what_callers_lose(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            newest = await here.register_new()
            would = await here.run("deployments", "promote", here.first, "--dry-run")
            assert "'extra'" in would.stdout
            assert row(await here.run("deployments", "list"), newest)[2] == "active"
            await here.run("deployments", "promote", here.first, "--yes")
            assert row(await here.run("deployments", "list"), here.first)[2] == "active"
            assert await here.world.call("/Desk/greet", "Bob") == "Hello Bob from v1"

    run(test())


def test_what_is_registered_already_is_said_to_be(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            again = await here.run("deployments", "register", here.old.uri)
            assert again.stdout.startswith(f"Already registered: {here.old.uri} is {here.first}\n")
            forced = await here.run("deployments", "register", here.old.uri, "--force")
            assert forced.stdout.startswith(f"Registered {here.old.uri} as {here.first}\n")
            gone = await here.run("deployments", "wait", "dp_10000000000000000000000", code=1)
            assert "removed meanwhile" in gone.stderr

    run(test())


def test_notes_are_changed_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            update = ("deployments", "update", here.first)
            notes = ("--metadata", "team=web", "--metadata", "commit=3f2c")
            would = await here.run(*update, *notes, "--dry-run")
            assert f"Would change {here.first}" in would.stdout
            changed = await here.json(*update, *notes, "--yes")
            assert changed["metadata"] == {"team": "web", "commit": "3f2c"}
            both = await here.run(*update, *notes, "--clear-metadata", code=2)
            assert "--clear-metadata, not both" in both.stderr
            nothing = await here.run(*update, code=2)
            assert "--metadata" in nothing.stderr
            assert "metadata" not in await here.json(*update, "--clear-metadata", "--yes")
            shown = (await here.run("deployments", "describe", here.first)).stdout
            assert "removed: commit, team" in shown

    run(test())


def test_the_audit_tells_who_did_what(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            newest = await here.register_new()
            path = f"/deployments/{here.first}/retirement"
            step = {"step": "begin", "evidence": {"policy": "keep 3"}}
            begun = await here.world.ask(
                "POST", here.world.admin + path, data=json.dumps(step), headers=AS_JSON
            )
            assert begun.status == 200
            listed = await here.run("deployments", "list")
            assert "drained (being retired)" in listed.stdout
            described = (await here.run("deployments", "describe", here.first)).stdout
            assert "being retired" in described
            await here.run("deployments", "remove", here.first, "--yes")

            shown = (await here.run("audit")).stdout.splitlines()
            assert shown[0].split() == ["AT", "BY", "WHAT", "DEPLOYMENT", "DETAIL"]
            assert len(shown) == 5
            assert "removed" in shown[1]
            assert f"{here.first}  {here.old.uri}; " in shown[1]
            assert "0 unfinished" in shown[1]
            assert (await here.run("audit", "--deployment", newest)).stdout.count("\n") == 2
            for more in ((), ("--limit", "1"), ("--action", "retirement begun")):
                found = await here.json("audit", "--deployment", here.first, *more)
                assert len(found["entries"]) == (1 if more else 3)
                assert ("next" in found) == ("--limit" in more)
            assert found["entries"][0]["detail"]["evidence"] == step["evidence"]
            lost = await here.run("audit", "--action", "lost", code=1)
            assert "expected one of registered" in lost.stderr
            none = await here.run("audit", "--deployment", "dp_10000000000000000000000")
            assert none.stdout == "No entries.\n"

    run(test())


def test_a_long_audit_is_read_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            monkeypatch.setattr(audit, "_PAGE", 2)
            for number in range(6):
                await here.run(
                    "deployments", "update", here.first, "--metadata", f"n={number}", "--yes"
                )
            for limit, length in ((3, 3), (4, 4), (100, 7)):
                found = await here.json("audit", "--limit", str(limit))
                assert [each["seq"] for each in found["entries"]] == list(range(7, 7 - length, -1))

    run(test())
