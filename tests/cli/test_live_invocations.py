"""`steadfaas invocations` against a running engine."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.live import live, row
from tests.runtime.in_process import run


def test_lists_by_what_people_know(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            naps = [await here.suspended("/Desk/nap") for _ in range(3)]
            hold = await here.suspended("/Till/a/hold")
            await here.world.call("/Desk/greet", "Bob")
            broken = await here.world.send("/Desk/broken")
            await here.world.until(broken, "backing-off")

            async def ids(*more: str) -> list[str]:
                answer = await here.json("invocations", "list", *more)
                return [one["id"] for one in answer["invocations"]]

            assert await ids() == [broken, hold, *reversed(naps)]
            assert await ids("Desk/nap", "--oldest-first") == naps
            assert await ids("Desk/nap", "--limit", "2") == naps[:0:-1]
            assert await ids("--service", "Till", "--key", "a") == [hold]
            assert await ids("--status", "backing-off", "--status", "paused") == [broken]
            assert await ids("--handler", "nap", "--deployment", here.first) == naps[::-1]
            assert len(await ids("--all")) == 6
            assert await ids("--deployment", "dp_10000000000000000000000") == []

            cut = await here.run("invocations", "list", "--limit", "2")
            assert "raise --limit" in cut.stderr
            shown = row(cut, broken)
            assert (shown[1:3], shown[-1]) == (["Desk/broken", "backing-off"], "stuck')")
            wrong = await here.run("invocations", "list", "--status", "asleep", code=2)
            assert "backing-off" in wrong.stderr
            await here.run("invocations", "kill", "Desk", "Till/a", "--yes")

    run(test())


def test_all_pages_of_a_list_are_one_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            await here.world.call("/Till/a/add", 1)
            sent = [await here.world.send("/Desk/nap", delay="1h") for _ in range(1005)]
            whole = await here.json("invocations", "list", "--limit", "2000")
            assert [one["id"] for one in whole["invocations"]] == sent[::-1]
            assert "next" not in whole
            [first, second] = await here.json("invocations", "kill", "--status", "scheduled", "-y")
            assert (first["done"], second["done"]) == (1000, 5)

    run(test(), seconds=60)


def test_one_invocation_in_full(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.world.send("/Desk/stubborn")
            await here.world.until(id, "paused")
            shown = (await here.run("invocations", "describe", id)).stdout
            assert "status        paused" in shown
            assert "last failure  RT0007 RuntimeError('no means no')" in shown
            assert f"Go on with: steadfaas invocations resume {id}" in shown
            assert "Paused          RT0007" in shown
            journal = (await here.run("invocations", "journal", id)).stdout.splitlines()
            assert [line.split()[:4] for line in journal[2:]] == [
                ["1", "Command:", "Run", "prepare"],
                ["2", "Notification:", "Run", journal[3].split()[3]],
            ]
            assert journal[3].endswith('#1 "prepared"')
            unknown = await here.run("invocations", "describe", id[:-5] + "AAAAA", code=None)
            assert unknown.exit_code == 1
            await here.run("invocations", "kill", id, "--yes")

    run(test())


def test_one_that_waits_for_its_version(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.world.send("/Desk/nap", x_steadfaas_version="git:3f2c91e")
            shown = (await here.run("invocations", "describe", id)).stdout
            assert "status             scheduled" in shown
            assert "waits for version  git:3f2c91e" in shown
            assert "waits until        2" in shown
            assert "starts" not in shown
            listed = row(await here.run("invocations", "list", "--status", "scheduled"), id)
            assert "waits for git:3f2c91e" in " ".join(listed)
            await here.run("invocations", "cancel", id, "--yes")
            assert "No such invocations." in (await here.run("invocations", "list")).stdout

    run(test())


def test_a_journal_of_every_kind_of_entry_can_be_read(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            run_id = await here.suspended("/Order/w/run", "shoes")
            shown = (await here.run("invocations", "journal", run_id)).stdout
            assert '"shoes"' in shown
            assert 'Desk/greet "order" #2' in shown
            assert "item" in shown
            await here.world.call("/Order/w/pay", "Bob")
            await here.world.result(run_id)
            shown = (await here.run("invocations", "journal", run_id)).stdout
            assert '"Hello order from v1\\" shoes"' in shown

    run(test())


def test_nothing_is_ended_without_a_yes(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            ids = [await here.suspended("/Desk/nap") for _ in range(7)]
            asked = await here.run("invocations", "kill", "Desk/nap", code=2)
            assert asked.stdout.splitlines()[-1] == "… and 2 more"
            assert asked.stdout.count("inv_") == 5
            assert "Kill 7 invocations?" in asked.stderr
            assert "--yes" in asked.stderr
            assert await here.status(ids[0]) == "suspended"
            one = await here.run("invocations", "kill", ids[0], code=2)
            assert f"Kill {ids[0]}?" in one.stderr
            done = await here.run("invocations", "kill", "Desk/nap", CI="true")
            assert done.stdout == "kill: 7 done\n"
            nothing = await here.run("invocations", "kill", "Desk/nap", "--yes", code=1)
            assert "no invocation matches" in nothing.stderr
            nothing = await here.run("invocations", "kill", "Desk/nap", code=1)
            assert "no invocation matches" in nothing.stderr

    run(test())


def test_a_single_pause_and_resume_need_no_yes(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.suspended("/Desk/nap")
            assert (await here.run("invocations", "pause", id)).stdout == "pause: 1 done\n"
            assert await here.status(id) == "paused"
            assert (await here.run("invocations", "resume", id)).stdout == "resume: 1 done\n"
            await here.world.until(id, "suspended")
            await here.run("invocations", "pause", "Desk", code=2)
            cancelled = await here.run("invocations", "cancel", id, "--yes")
            assert cancelled.stdout == "cancel: 0 done, 1 accepted (takes effect later)\n"
            await here.world.until(id, "completed")

    run(test())


def test_refusals_are_counted_and_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id, other = [await here.suspended("/Desk/nap") for _ in range(2)]
            await here.run("invocations", "kill", id, "--yes")
            single = await here.run("invocations", "kill", id, "--yes", code=1)
            assert "already completed" in single.stderr
            unknown = "inv_1hicKraSQcU10FFFCwCZo1v1viG0OD66Zz"
            done = await here.run("invocations", "kill", id, other, unknown, "--yes", code=1)
            assert done.stdout == "kill: 1 done, 2 refused\n"
            assert f"  {id}: " in done.stderr
            assert (
                f"  {unknown}: The requested invocation '{unknown}' does not exist" in done.stderr
            )

    run(test())


def test_what_to_operate_on_must_be_said(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            nothing = await here.run("invocations", "kill", "--yes", code=2)
            assert "Say which invocations" in nothing.stderr
            both = await here.run("invocations", "kill", "inv_1x", "--service", "Desk", code=2)
            assert "not both" in both.stderr

    run(test())


def test_a_mismatch_shows_both_command_streams(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.suspended("/Desk/swap")
            newest = await here.register_new()
            latest = ("invocations", "resume", id, "--deployment", "latest")
            asked = await here.run(*latest, code=2)
            assert f"Resume {id} on latest?" in asked.stderr
            refused = await here.run(*latest, "--check", "--yes", code=1)
            assert "diverges" in refused.stderr
            assert await here.status(id) == "suspended"

            await here.run(*latest, "--yes")
            await here.world.until(id, "backing-off")
            done = await here.run("invocations", "describe", id)
            assert "PinMoved" in done.stdout
            assert row(done, "   0") == ["0", "Input", "Input"]
            assert row(done, ">  1") == [">", "1", "Run", "charge", "Sleep"]
            assert f"recorded by  {here.first}" in done.stdout
            assert f"issued by    {newest}" in done.stdout
            await here.run("invocations", "kill", id, "--yes")

    run(test())


def test_many_are_moved_only_where_the_code_fits(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            swap, nap = await here.suspended("/Desk/swap"), await here.suspended("/Desk/nap")
            newest = await here.register_new()
            moved = await here.run(
                *("invocations", "resume", "Desk", "--deployment", "latest", "--check", "--yes"),
                code=1,
            )
            assert moved.stdout == "resume: 1 done, 1 refused\n"
            assert f"  {swap}: not resumed" in moved.stderr
            assert (await here.world.look(nap))["deployment_id"] == newest
            assert (await here.world.look(swap))["deployment_id"] == here.first
            await here.run("invocations", "kill", "Desk", "--yes")

    run(test())


def test_completed_ones_run_again_and_are_forgotten(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.world.send("/Desk/greet", "Bob")
            assert await here.world.result(id) == "Hello Bob from v1"
            done = await here.run("invocations", "restart-as-new", id, "--yes")
            again = done.stdout.splitlines()[1].removeprefix("new invocation: ")
            assert await here.world.result(again) == "Hello Bob from v1"
            shown = (await here.run("invocations", "describe", again)).stdout
            assert f"restarted from  {id}" in shown

            await here.run("invocations", "purge-journal", id, "--yes")
            assert "is gone" in (await here.run("invocations", "journal", id)).stdout
            gone = await here.run("invocations", "restart-as-new", id, "--yes", code=1)
            assert "journal" in gone.stderr
            [purged] = await here.json("invocations", "purge", "Desk", "--yes")
            assert purged["done"] == 2
            missing = await here.run("invocations", "describe", id, code=1)
            assert "invocations list" in missing.stderr

    run(test())


def test_restarting_keeps_a_part_of_the_journal(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path) as here:
            id = await here.suspended("/Desk/nap")
            await here.run("invocations", "kill", id, "--yes")
            done = await here.run(
                "invocations", "restart-as-new", id, "--from", "2", "-y", "--json"
            )
            [answer] = json.loads(done.stdout)
            again = answer["new_invocation_id"]
            await here.world.until(again, "suspended")
            journal = (await here.json("invocations", "journal", again))["entries"]
            assert [entry["type"] for entry in journal[:2]] == ["Command: Input", "Command: Run"]
            await here.run("invocations", "kill", again, "--yes")

    run(test())
