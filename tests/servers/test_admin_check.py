"""`POST /invocations/{id}/check`, and `resume?check=true`: what would fit is told, and no more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

import pytest
import restate

from steadfaas.runtime.engine import Tuning
from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.yard import STATUSES, Yard, bring_to, dump
from tests.servers.invocation_world import UNKNOWN_DEPLOYMENT, Admin, admin_of

pytestmark = pytest.mark.asyncio
Json = dict[str, Any]


async def _check(admin: Admin, sent: Invocation, query: str = "") -> Json:
    """What the check says; it must have stored nothing."""
    before = dump(admin.kit)
    found: Json = await admin("POST", f"/invocations/{sent.text_id}/check{query}")
    assert dump(admin.kit) == before
    return found


async def _slept(kit: Steadfaas) -> Invocation:
    """A job that has done its first step, and sleeps."""
    sent = await kit.send("Job/work", "x")
    await kit.advance("1 min")
    assert sent.status == "suspended"
    return sent


# --- verdicts ----------------------------------------------------------------------------------


async def test_the_same_code(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    yard = Yard("v2")
    v2 = await steadfaas.deploy(yard.app)
    async with admin_of(steadfaas) as admin:
        queries = {"": v2, "?deployment=latest": v2, "?deployment=Latest": v2}
        queries |= {f"?deployment={v2.id}": v2, "?deployment=keep": v1, f"?deployment={v1.id}": v1}
        for query, where in queries.items():
            found = await _check(admin, sent, query)
            reason = found.pop("reason")
            assert "waits for what has not come yet" in reason
            assert found == {
                "invocation_id": sent.text_id,
                "target": "Job/work",
                "deployment_id": where.id,
                "verdict": "compatible",
                "commands": 2,
            }
        assert yard.ran == []


async def test_other_code(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    yard = Yard("v2", swapped=True)
    v2 = await steadfaas.deploy(yard.app)
    async with admin_of(steadfaas) as admin:
        found = await _check(admin, sent)
        assert found.pop("reason").startswith("command 1 was recorded as Run one, and it issues")
        assert found == {
            "invocation_id": sent.text_id,
            "target": "Job/work",
            "deployment_id": v2.id,
            "verdict": "diverges",
            "index": 1,
            "recorded": "Run one",
            "issued": "Sleep",
            "commands": 2,
        }
        assert yard.ran == []


async def test_nobody_can_tell(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    async with admin_of(steadfaas) as admin:
        steadfaas.fail(v1, status=503)
        found = await _check(admin, sent)
        assert (found["verdict"], found["commands"]) == ("cannot-tell", 2)
        assert "503" in found["reason"]
        assert not found.keys() & {"index", "recorded", "issued"}
        assert (await _check(admin, sent))["verdict"] == "compatible"
        done = await steadfaas.send("Job/quick", "x")
        await steadfaas.settle()
        await admin.operate(done, "purge-journal")
        found = await _check(admin, done)
        assert (found["verdict"], found["commands"]) == ("cannot-tell", 0)


async def test_who_does_not_serve_it(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    other = restate.Service("Other")

    @other.handler()
    async def work(ctx: restate.Context) -> None: ...

    v2 = await steadfaas.deploy(restate.app([other]))
    async with admin_of(steadfaas) as admin:
        found = await _check(admin, sent, f"?deployment={v2.id}")
        assert found["verdict"] == "diverges"
        assert "does not serve 'Job/work'" in found["reason"]
        assert "index" not in found


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, drain_seconds=0))
@pytest.mark.parametrize("status", [one for one in STATUSES if one != "unknown"])
async def test_in_every_status(steadfaas: Steadfaas, status: str) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await bring_to(steadfaas, status)
    yard = Yard("v2")
    yard.failing = False
    await steadfaas.deploy(yard.app)
    async with admin_of(steadfaas) as admin:
        found = await admin("POST", f"/invocations/{sent.text_id}/check")
        assert found["verdict"] == "compatible", found
        assert sent.status == status
        assert yard.ran == []


async def test_requests_that_mean_nothing(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    async with admin_of(steadfaas) as admin:
        path = f"/invocations/{sent.text_id}/check?deployment"
        for text in ("", "dp_x", "newest", "http://localhost:9080", "%00", "keep&deployment=keep"):
            said = await admin.refused("POST", f"{path}={text}", status=400)
            assert said.startswith("The query parameter 'deployment' is invalid")
        said = await admin.refused("POST", f"{path}={UNKNOWN_DEPLOYMENT}", status=400)
        assert said == f"the deployment '{UNKNOWN_DEPLOYMENT}' does not exist"


# --- resume, if it fits ------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["latest", "V2"])
@pytest.mark.parametrize("status", ["suspended", "paused"])
async def test_a_resume_that_does_not_fit(steadfaas: Steadfaas, status: str, where: str) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    v2 = await steadfaas.deploy(Yard("v2", swapped=True).app)
    async with admin_of(steadfaas) as admin:
        if status == "paused":
            await admin.operate(sent, "pause")
        before = dump(steadfaas)
        how = f"resume?check=true&deployment={where.replace('V2', v2.id)}"
        told = await admin.operate(sent, how, status=409)
        assert "diverges: command 1 was recorded as Run one" in told["message"]
        assert dump(steadfaas) == before
        view = await admin.look(sent)
        assert (view["status"], view["deployment_id"]) == (status, v1.id)
        # Without a check, it goes there, and meets the mismatch.
        await admin.operate(sent, how.replace("check=true", "check=false"))
        assert (await admin.look(sent))["last_failure"]["restate_code"] == "RT0016"


async def test_a_resume_that_fits(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    await steadfaas.deploy(Yard("v2").app)
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, "resume?check=true&deployment=latest", actor="ada@lathe")
        assert (await admin.look(sent))["events"][0]["by"] == "ada@lathe"
        assert await sent.result() == ["v1", "v2", "v2", "v2"]


async def test_a_resume_where_it_is(steadfaas: Steadfaas) -> None:
    """Without a deployment, the one that it is pinned to is asked."""
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    await steadfaas.deploy(Yard("v2", swapped=True).app)
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, "pause")
        steadfaas.replace(v1, Yard("v1", swapped=True).app)
        told = await admin.operate(sent, "resume?check=true", status=409)
        assert "Sleep" in told["message"]
        steadfaas.replace(v1, Yard("v1").app)
        await admin.operate(sent, "resume?check=true")
        assert await sent.result() == ["v1", "v1", "v1", "v1"]


async def test_a_resume_when_nobody_can_tell(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    async with admin_of(steadfaas) as admin:
        steadfaas.fail(v1, status=503)
        told = await admin.operate(sent, "resume?check=true", status=409)
        assert "cannot-tell" in told["message"]
        assert sent.status == "suspended"
        told = await admin.operate(
            sent, f"resume?check=true&deployment={UNKNOWN_DEPLOYMENT}", status=400
        )


_REFUSED: Final = {"scheduled": 425, "pending": 425, "completed": 409, "unknown": 404}


@pytest.mark.parametrize("status", list(_REFUSED))
async def test_a_check_makes_no_resume_possible_that_is_none(
    steadfaas: Steadfaas, status: str
) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await bring_to(steadfaas, status)
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, "resume?check=true", status=_REFUSED[status])
        assert sent.status == status


async def test_nobody_is_asked_about_a_resume_that_is_not_possible(steadfaas: Steadfaas) -> None:
    """Its pin cannot be moved while it is retried; the code there would say what it cannot tell."""
    await steadfaas.deploy(Yard("v1").app)
    sent = await bring_to(steadfaas, "backing-off")
    v2 = await steadfaas.deploy(Yard("v2").app)
    steadfaas.fail(v2, status=503)
    async with admin_of(steadfaas) as admin:
        before = dump(steadfaas)
        told = await admin.operate(sent, f"resume?check=true&deployment={v2.id}", status=409)
        assert "deployment id cannot be changed" in told["message"]
        assert dump(steadfaas) == before


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, drain_seconds=0))
async def test_a_checked_resume_of_one_that_has_recorded_nothing(steadfaas: Steadfaas) -> None:
    """It has no pin yet, and goes to the newest by itself."""
    await steadfaas.deploy(Yard("v1").app)
    sent = await bring_to(steadfaas, "ready")
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, "pause")
        await steadfaas.deploy(Yard("v2").app)
        await admin.operate(sent, "resume?check=true&deployment=latest")
        await steadfaas.advance("1 min")
        assert (await sent.result())[0] == "v2"


async def test_what_was_checked_is_where_it_goes(steadfaas: Steadfaas) -> None:
    """Who registers another version during the check does not let it go there unchecked."""
    await steadfaas.deploy(Yard("v1").app)
    sent = await _slept(steadfaas)
    asked, gate = asyncio.Event(), asyncio.Event()
    job = restate.Service("Job")

    @job.handler()
    async def work(ctx: restate.Context, text: str) -> list[str]:
        asked.set()
        await gate.wait()
        one = await ctx.run_typed("one", lambda: "v2")
        await ctx.sleep(timedelta(minutes=10))
        return [one, "v2"]

    v2 = await steadfaas.deploy(restate.app([job]), breaking=True)
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, "pause")
        path = f"/invocations/{sent.text_id}/resume?check=true&deployment=latest"
        resumed = asyncio.create_task(admin("PATCH", path))
        await asked.wait()
        await steadfaas.deploy(Yard("v3", swapped=True).app, breaking=True)
        gate.set()
        await resumed
        await steadfaas.settle()
        assert (await admin.look(sent))["deployment_id"] == v2.id
        assert await sent.result() == ["v1", "v2"]
