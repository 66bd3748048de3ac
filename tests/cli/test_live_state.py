"""`steadfaas state` against a running engine: what is read, changed, and noticed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from tests.cli.live import Live, live, row
from tests.runtime.in_process import run


def editor(folder: Path, script: str) -> str:
    """An editor that runs a line of Python over the parsed document `d`."""
    program = folder / "editor.py"
    program.write_text(
        "import json, sys\n"
        "d = json.load(open(sys.argv[1]))\n"
        f"{script}\n"
        "json.dump(d, open(sys.argv[1], 'w'))\n"
    )
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}"


async def state(here: Live, key: str = "a") -> Any:
    return (await here.json("state", "get", "Till", key))["state"]


def test_state_is_shown_by_key(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            assert "No key of Till" in (await here.run("state", "get", "Till")).stdout
            await here.world.call("/Till/a/add", 5)
            assert row(await here.run("state", "get", "Till"), "a") == ["a", "2"]
            shown = await here.run("state", "get", "Till", "a")
            assert row(shown, "total") == ["total", "5", "utf8"]
            none = await here.run("state", "get", "Till", "b")
            assert none.stdout == "Till/b has no state.\n"
            missing = await here.run("state", "get", "Nope", "a", code=1)
            assert "services list" in missing.stderr
            await here.run("state", "get", "Desk", "a", code=1)

    run(test())


def test_single_values_are_changed_and_handlers_see_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            await here.world.call("/Till/a/add", 5)
            words = ("state", "patch", "Till", "a", "--set", "total=7", "--unset", "last")
            assert "--yes" in (await here.run(*words, code=2)).stderr
            assert (await here.run(*words, "--yes")).stdout == "Changed Till/a: 1 value\n"
            assert await here.world.call("/Till/a/read") == 7
            assert "stays as it is" in (await here.run(*words, "--yes")).stdout
            await here.run("state", "patch", "Till", "a", "--set-text", "note=hi there", "--yes")
            assert await state(here) == {"total": {"utf8": "7"}, "note": {"utf8": "hi there"}}
            wrong = await here.run("state", "patch", "Till", "a", "--set", "note=hi", code=2)
            assert "--set-text" in wrong.stderr
            await here.run("state", "patch", "Till", "a", code=2)
            assert (await here.run("state", "clear", "Till", "a", "--yes")).stdout == (
                "Changed Till/a: 0 values\n"
            )
            assert await here.world.call("/Till/a/read") is None

    run(test())


def test_an_edit_keeps_the_bytes_of_what_nobody_touched(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            spaced = '{"b" :  1.0}'
            await here.run("state", "patch", "Till", "a", "--set-text", f"last={spaced}", "--yes")
            change = editor(tmp_path, "d['total'] = 8; d['raw'] = {'$base64': '/wA='}")
            await here.run("state", "edit", "Till", "a", EDITOR=change, VISUAL="")
            assert await state(here) == {
                "last": {"utf8": spaced},
                "total": {"utf8": "8"},
                "raw": {"base64": "/wA="},
            }
            shown = await here.run("state", "get", "Till", "a")
            assert row(shown, "raw") == ["raw", "/wA=", "base64"]

    run(test())


def test_an_edit_that_fails_changes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            await here.world.call("/Till/a/add", 5)
            before = await state(here)
            edit = ("state", "edit", "Till", "a")
            for script, sentence in (
                ("d = [1]", "not a JSON object"),
                ("d['x'] = {'$base64': '?'}", "'x' cannot be read"),
                ("sys.exit(3)", "ended with 3"),
            ):
                done = await here.run(*edit, code=1, EDITOR=editor(tmp_path, script), VISUAL="")
                assert sentence in done.stderr
            done = await here.run(*edit, code=1, EDITOR="no-such-editor", VISUAL="")
            assert "Set EDITOR" in done.stderr
            assert await state(here) == before

    run(test())


def test_a_change_by_somebody_else_is_noticed(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            await here.world.call("/Till/a/add", 5)
            # While the editor is open, somebody else changes the state.
            meanwhile = (
                "import urllib.request as r\n"
                f"q = r.Request('{here.world.ingress}/Till/a/add', b'1',"
                " {'content-type': 'application/json'})\n"
                "r.build_opener(r.ProxyHandler({})).open(q).read()\n"
                "d['total'] = 100"
            )
            edit = ("state", "edit", "Till", "a")
            change = {"EDITOR": editor(tmp_path, meanwhile), "VISUAL": ""}
            done = await here.run(*edit, code=1, **change)
            assert "Somebody else changed Till/a" in done.stderr
            assert (await state(here))["total"] == {"utf8": "6"}
            await here.run(*edit, "--force", code=0, **change)
            assert (await state(here))["total"] == {"utf8": "100"}

    run(test())


def test_a_change_that_has_to_wait_ends_with_75(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            hold = await here.suspended("/Till/a/hold")
            done = await here.run(
                *("state", "patch", "Till", "a", "--set", "total=1", "--yes", "--wait", "0s"),
                code=75,
            )
            assert "waits for handlers" in done.stderr
            await here.run("invocations", "kill", hold, "--yes")
            assert await here.world.call("/Till/a/read") == 1

    run(test())
