"""What the admin API tells of one invocation: its story, its events, a mismatch, its journal."""

from __future__ import annotations

import json
from typing import Any

import pytest
import restate

from steadfaas import ids
from steadfaas.testing import Deployment, Invocation, Steadfaas
from tests.runtime.yard import TEN_MINUTES, Yard, bring_to
from tests.servers.invocation_world import UNKNOWN, Admin, admin_of

pytestmark = pytest.mark.asyncio
Json = dict[str, Any]


def _handle(kit: Steadfaas, id: str) -> Invocation:
    return Invocation(kit._host, ids.parse_invocation(id), "its target")


# --- attempts and status -----------------------------------------------------------------------


async def test_the_story_of_a_job(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard().app)
    sent = await steadfaas.send("Job/work", "x", idempotency_key="k")
    async with admin_of(steadfaas) as admin:
        await steadfaas.settle()
        asleep = await admin.look(sent)
        assert (asleep["id"], asleep["target"]) == (sent.text_id, "Job/work")
        assert (asleep["status"], asleep["deployment_id"]) == ("suspended", v1.id)
        assert asleep["idempotency_key"] == "k"
        assert asleep["wakes_up_at"] > asleep["modified_at"]
        assert [each["attempt"] for each in asleep["attempts"]] == [1, 2]
        assert not asleep.keys() & {"result", "completed_at", "last_failure", "events", "pausing"}

        await sent.result()
        done = await admin.look(sent)
        assert done["result"] == {"outcome": "success"}
        assert "wakes_up_at" not in done
        assert done["completed_at"] == done["modified_at"]
        assert done["attempts"][-1]["outcome"] == "completed"
        assert {each["deployment_id"] for each in done["attempts"]} == {v1.id}
        assert [each["outcome"] for each in done["attempts"]] == sent.attempts.outcomes


async def test_what_it_waits_for(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    async with admin_of(steadfaas) as admin:
        times = {}
        for status in ("scheduled", "pending", "backing-off", "paused", "completed"):
            view = await admin.look(await bring_to(steadfaas, status, status))
            assert view["status"] == status
            times[status] = view.keys() & {
                "scheduled_at", "wakes_up_at", "next_retry_at", "completed_at"
            }  # fmt: skip
        assert times == {
            "scheduled": {"scheduled_at"},
            "pending": set(),
            "backing-off": {"next_retry_at"},
            "paused": set(),
            "completed": {"completed_at"},
        }


async def test_a_version_that_it_waits_for(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    soon = await steadfaas.send("Job/work", "x", version="git:1")
    later = await steadfaas.send("Job/work", "x", version="git:1", delay="1 h")
    async with admin_of(steadfaas) as admin:
        view = await admin.look(soon)
        assert (view["status"], view["waits_for_version"]) == ("scheduled", "git:1")
        assert view["waits_until"] > view["created_at"]
        assert "scheduled_at" not in view, "it starts as soon as it can"
        assert (await admin.look(later))["scheduled_at"] < (await admin.look(later))["waits_until"]
        [brief, _] = (await admin.page("status=scheduled"))["invocations"]
        assert (brief["waits_for_version"], brief["waits_until"]) == ("git:1", view["waits_until"])

        await steadfaas.advance("10 min")
        missed = await admin.look(soon)
        assert missed["attempts"] == []
        assert missed["result"]["code"] == 504
        assert missed["result"]["message"].startswith("[SF0006] no deployment that carries git:1")
        await steadfaas.deploy(Yard().app, metadata={"git": "1"})
        await steadfaas.settle()
        landed = await admin.look(later)
        assert (landed["status"], landed["deployment_id"][:3]) == ("scheduled", "dp_")
        assert not {"waits_for_version", "waits_until"} & (missed.keys() | landed.keys())


async def test_an_attempt_that_runs_and_is_to_be_paused(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "running")
    async with admin_of(steadfaas) as admin:
        [attempt] = (await admin.look(sent))["attempts"]
        assert (attempt["outcome"], attempt["deployment_id"]) == ("running", v1.id)
        assert "ended_at" not in attempt
        await admin.operate(sent, "pause", status=202)
        view = await admin.look(sent)
        assert (view["status"], view["pausing"]) == ("running", True)
        await steadfaas.advance("2 min")
        view = await admin.look(sent)
        assert view["status"] == "paused"
        assert "pausing" not in view
        assert [each["type"] for each in view["events"]] == ["Paused"]
        assert "last_failure" not in view["events"][0]


async def test_a_failure_of_its_own(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await steadfaas.send("Job/give_up", "x")
    with pytest.raises(AssertionError, match="v1 is not well"):
        await sent.result()
    async with admin_of(steadfaas) as admin:
        view = await admin.look(sent)
        assert (view["result"]["outcome"], view["result"]["code"]) == ("failure", 500)
        assert "v1 is not well" in view["result"]["message"]
        assert "last_failure" not in view, "it is told as the result"
        assert [each["type"] for each in view["events"]] == ["TransientError"]


# --- where it came from ------------------------------------------------------------------------


async def test_who_called_and_what_is_repeated(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    parent = await steadfaas.send("Job/parent", "x")
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        [child] = await admin.ids("target=Job/work")
        view = await admin("GET", f"/invocations/{child}")
        assert view["invoked_by"] == parent.text_id
        assert view["invoked_by_target"] == "Job/parent"
        assert not (await admin.look(parent)).keys() & {"invoked_by", "restarted_from"}
        await parent.result()

        told = await admin.operate(_handle(steadfaas, child), "restart-as-new")
        again = await admin("GET", f"/invocations/{told['new_invocation_id']}")
        assert again["restarted_from"] == child
        assert not again.keys() & {"invoked_by", "invoked_by_target", "idempotency_key"}
        assert again["created_at"] > view["created_at"]


# --- events ------------------------------------------------------------------------------------


async def test_the_same_failure_again_is_one_event(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard().app)
    sent = await steadfaas.send("Job/fail", "x")
    async with admin_of(steadfaas) as admin:
        await steadfaas.advance("20 min")
        assert len(sent.attempts) > 10
        [error] = (await admin.look(sent))["events"]
        assert error["type"] == error["ty"] == "TransientError"
        assert (error["error_code"], error["restate_doc_error_code"]) == (500, "RT0007")
        assert "v1 is not well" in error["error_message"]
        assert error["after_journal_entry_index"] == 2
        assert error["at"] < (await admin.look(sent))["last_failure"]["at"]

        steadfaas.fail(v1, times=3, status=503)
        await steadfaas.advance("10 min")
        events = (await admin.look(sent))["events"]
        codes = [each["restate_doc_error_code"] for each in events]
        assert len(codes) == 3, "another one, and then the first again"
        assert codes[0] == codes[2] == "RT0007" != codes[1]


async def test_the_latest_events_are_shown(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        for _ in range(60):
            await admin.operate(sent, "pause")
            await admin.operate(sent, "resume")
        events = (await admin.look(sent))["events"]
        assert [each["type"] for each in events] == ["Paused"] * 50


async def test_a_pause_by_the_policy_tells_why(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "paused")
    async with admin_of(steadfaas) as admin:
        view = await admin.look(sent)
        [error, paused] = view["events"]
        assert (error["type"], paused["type"]) == ("TransientError", "Paused")
        assert paused["last_failure"]["error_message"] == error["error_message"]
        assert view["last_failure"]["code"] == 500
        assert view["last_failure"]["attempt"] == 3


# --- a mismatch --------------------------------------------------------------------------------


async def _moved(kit: Steadfaas, admin: Admin) -> tuple[Invocation, Deployment, Deployment]:
    """A job that slept on v1, and was moved to v2, which sleeps first."""
    v1 = await kit.deploy(Yard("v1").app, metadata={"commit": "aaa"})
    sent = await kit.send("Job/work", "x")
    await kit.advance("1 min")
    v2 = await kit.deploy(Yard("v2", swapped=True).app, metadata={"commit": "bbb"})
    await admin.operate(sent, "pause")
    await admin.operate(sent, f"resume?deployment={v2.id}", actor="ada@lathe")
    return sent, v1, v2


async def test_a_mismatch_shows_both_streams(steadfaas: Steadfaas) -> None:
    async with admin_of(steadfaas) as admin:
        sent, v1, v2 = await _moved(steadfaas, admin)
        view = await admin.look(sent)
        assert (view["status"], view["deployment_id"]) == ("backing-off", v2.id)
        failure = view["last_failure"]
        assert (failure["restate_code"], failure["code"]) == ("RT0016", 570)
        assert (failure["command_index"], failure["deployment_id"]) == (1, v2.id)
        assert (failure["recorded_command"], failure["issued_command"]) == ("Run one", "Sleep")
        assert view["mismatch"] == {
            "index": 1,
            "recorded_by": {"id": v1.id, "metadata": {"commit": "aaa"}},
            "issued_by": {"id": v2.id, "metadata": {"commit": "bbb"}},
            "skipped": 0,
            "commands": [
                {"index": 0, "recorded": "Input", "issued": "Input"},
                {"index": 1, "recorded": "Run one", "issued": "Sleep"},
                {"index": 2, "recorded": "Sleep"},
            ],
        }
        types = [(each["type"], each.get("by")) for each in view["events"]]
        assert types == [("Paused", None), ("PinMoved", "ada@lathe"), ("TransientError", None)]
        assert (view["events"][1]["from"], view["events"][1]["to"]) == (v1.id, v2.id)

        # Back where it came from, there is no mismatch any more.
        await admin.operate(sent, "pause", status=202)
        await admin.operate(sent, f"resume?deployment={v1.id}", actor="ada@lathe")
        assert "mismatch" not in await admin.look(sent)
        assert await sent.result() == ["v1", "v1", "v1", "v1"]
        assert "mismatch" not in await admin.look(sent)


async def test_a_mismatch_with_a_deployment_that_is_gone(steadfaas: Steadfaas) -> None:
    async with admin_of(steadfaas) as admin:
        sent, v1, _ = await _moved(steadfaas, admin)
        await admin("DELETE", f"/deployments/{v1.id}", status=202)
        recorded_by = (await admin.look(sent))["mismatch"]["recorded_by"]
        assert recorded_by == {"id": v1.id, "removed": True}


async def test_a_mismatch_far_on(steadfaas: Steadfaas) -> None:
    """The commands around it are shown, not hundreds before it."""

    def steps(version: str, number: int) -> Any:
        service = restate.Service("Long")

        @service.handler()
        async def work(ctx: restate.Context) -> None:
            for each in range(number):
                await ctx.run_typed(f"step {each}", lambda: None)
            await ctx.sleep(TEN_MINUTES)
            for each in range(10):
                await ctx.run_typed(f"{version} {each}", lambda: None)
            await ctx.sleep(TEN_MINUTES)

        return restate.app([service])

    await steadfaas.deploy(steps("v1", 40))
    sent = await steadfaas.send("Long/work")
    await steadfaas.advance("11 min")
    v2 = await steadfaas.deploy(steps("v2", 40))
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, f"resume?deployment={v2.id}")
        shown = (await admin.look(sent))["mismatch"]
        assert (shown["index"], shown["skipped"]) == (42, 22)
        commands = shown["commands"]
        assert [each["index"] for each in commands] == list(range(22, 48))
        assert commands[20] == {"index": 42, "recorded": "Run v1 0", "issued": "Run v2 0"}
        assert commands[19]["recorded"] == commands[19]["issued"] == "Sleep"
        assert all("issued" not in each for each in commands[21:])


async def test_a_mismatch_of_a_restart_does_not_blame_the_new_deployment(
    steadfaas: Steadfaas,
) -> None:
    """What it begins with was copied: none of its own attempts has recorded that."""
    await steadfaas.deploy(Yard("v1").app)
    old = await steadfaas.send("Job/work", "x")
    await old.result()
    v2 = await steadfaas.deploy(Yard("v2", swapped=True).app)
    async with admin_of(steadfaas) as admin:
        told = await admin.operate(old, "restart-as-new?from=2&deployment=latest")
        view = await admin("GET", f"/invocations/{told['new_invocation_id']}")
        assert view["mismatch"]["issued_by"] == {"id": v2.id}
        assert view["mismatch"]["recorded_by"] == {}
        await admin.operate(_handle(steadfaas, view["id"]), "kill")


# --- the journal -------------------------------------------------------------------------------


async def _journal(admin: Admin, sent: Invocation) -> list[Json]:
    entries: list[Json] = (await admin("GET", f"/invocations/{sent.text_id}/journal"))["entries"]
    return entries


async def test_a_journal(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await steadfaas.send("Job/parent", "x")
    async with admin_of(steadfaas) as admin:
        await sent.result()
        entries = await _journal(admin, sent)
        assert [each["index"] for each in entries] == list(range(5))
        assert [each["type"] for each in entries] == [
            "Command: Input", "Command: Call", "Notification: CallInvocationId",
            "Notification: Call", "Command: Output",
        ]  # fmt: skip
        read = [json.loads(each["entry_json"]) for each in entries]
        assert bytes(read[0]["Command"]["Input"]["payload"]) == b'"x"'
        assert read[1]["Command"]["Call"]["request"]["parameter"] == list(b'"x"')
        assert bytes(read[4]["Command"]["Output"]["result"]["Success"])
        times = [each["appended_at"] for each in entries]
        assert times == sorted(times)
        [child] = await admin.ids("target=Job/work&status=completed")
        named = [each.get("name") for each in await _journal(admin, _handle(steadfaas, child))]
        assert [name for name in named if name] == ["one", "two", "three"]


@pytest.mark.parametrize("status", ["scheduled", "pending"])
async def test_the_journal_of_one_that_has_not_begun(steadfaas: Steadfaas, status: str) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, status)
    async with admin_of(steadfaas) as admin:
        assert [each["type"] for each in await _journal(admin, sent)] == ["Command: Input"]


async def test_a_journal_that_is_not_kept(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "completed")
    async with admin_of(steadfaas) as admin:
        assert len(await _journal(admin, sent)) == 2
        await admin.operate(sent, "purge-journal")
        assert await _journal(admin, sent) == []
        view = await admin.look(sent)
        assert view["result"] == {"outcome": "success"}
        assert "events" not in view
        await admin.operate(sent, "purge")
        await admin("GET", f"/invocations/{sent.text_id}/journal", status=404)


async def test_query_strings_are_no_matter(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        for route in ("", "/journal"):
            path = f"/invocations/{sent.text_id}{route}"
            assert await admin("GET", f"{path}?limit=x&deep=1") == await admin("GET", path)
            assert await admin("GET", f"/v4{path}") == await admin("GET", f"/v2{path}")
        assert UNKNOWN not in await admin.ids()
