"""`steadfaas check` against a running engine: real code is run against real journals."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cli.live import live, row
from tests.runtime.in_process import run


def test_what_diverges_is_shown_and_ends_with_1(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            swaps = [await here.suspended("/Desk/swap") for _ in range(3)]
            nap = await here.suspended("/Desk/nap")
            newest = await here.register_new()
            done = await here.run("check", "--service", "Desk", "--sample", "2", code=1)
            assert row(done, swaps[0])[1:7] == [
                *("Desk/swap", "diverges", "1", "Run", "charge", "Sleep")
            ]
            assert row(done, nap)[1:4] == ["Desk/nap", "compatible", "-"]
            assert swaps[2] not in done.stdout, "a sample of two"
            assert "Desk/swap: 2 diverges\n" in done.stdout
            assert done.stdout.endswith(f"Code outside of `run` steps was executed on {newest}.\n")
            alone = await here.run("check", nap, "--deployment", newest)
            assert "Desk/nap: 1 compatible" in alone.stdout
            await here.run("invocations", "kill", "Desk", "--yes")

    run(test())


def test_what_cannot_be_told_ends_with_75(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.world.send("/Desk/broken")
            await here.world.until(id, "backing-off")
            [finding] = await here.json("check", id, code=75)
            assert finding["verdict"] == "cannot-tell"
            unknown = "inv_1hicKraSQcU10FFFCwCZo1v1viG0OD66Zz"
            findings = await here.json("check", id, unknown, code=1)
            assert [one["verdict"] for one in findings] == ["cannot-tell", "refused"]
            await here.run("invocations", "kill", id, "--yes")

    run(test())


def test_nothing_to_check_is_no_failure(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            assert "Nothing to check" in (await here.run("check", "Desk")).stdout
            assert await here.json("check", "Desk") == []
            await here.run("check", code=2)

    run(test())


def test_a_limit_is_named(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            await asyncio.gather(*(here.suspended("/Desk/nap") for _ in range(12)))
            done = await here.run("check", "Desk/nap", "--limit", "10")
            assert "Only 10 are checked" in done.stderr
            assert "Desk/nap: 10 compatible" in done.stdout
            await here.run("invocations", "kill", "Desk", "--yes")

    run(test())
