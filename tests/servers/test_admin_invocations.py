"""The admin API's routes about one invocation: every operation in every status, every refusal."""

from __future__ import annotations

from typing import Any, Final

import pytest

from steadfaas import ids
from steadfaas.runtime.engine import Tuning
from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.yard import STATUSES, Yard, bring_to, dump, events
from tests.servers.invocation_world import UNKNOWN, UNKNOWN_DEPLOYMENT, Admin, admin_of

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, drain_seconds=0)),
]
OPERATIONS: Final = (
    "cancel", "kill", "pause", "resume", "purge", "purge-journal", "restart-as-new",
)  # fmt: skip

# What is answered. Columns as in STATUSES: scheduled, pending, ready, running, backing-off,
# suspended, paused, completed, unknown.
ANSWERS: Final = {
    "cancel": "200 200 202 202 202 202 202 409 404",
    "kill": "200 200 200 200 200 200 200 409 404",
    "pause": "409 409 200 202 202 200 200 409 404",
    "resume": "425 425 200 200 200 200 200 409 404",
    "resume?deployment=keep": "425 425 200 200 200 200 200 409 404",
    "resume?deployment=latest": "425 425 409 409 409 200 200 409 404",
    "resume?deployment=Latest": "425 425 409 409 409 200 200 409 404",
    "resume?deployment=NEW": "425 425 409 409 409 200 200 409 404",
    "resume?deployment=NOWHERE": "425 425 409 409 409 400 400 409 404",
    "purge": "409 409 409 409 409 409 409 200 404",
    "purge-journal": "409 409 409 409 409 409 409 200 404",
    "restart-as-new": "425 425 409 409 409 409 409 200 404",
    "restart-as-new?deployment=latest": "425 425 409 409 409 409 409 200 404",
}
CELLS: Final = [
    pytest.param(operation, status, int(answer), id=f"{operation}-{status}")
    for operation, row in ANSWERS.items()
    for status, answer in zip(STATUSES, row.split(), strict=True)
]


@pytest.mark.parametrize(("operation", "status", "answer"), CELLS)
async def test_every_operation_in_every_status(
    steadfaas: Steadfaas, operation: str, status: str, answer: int
) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await bring_to(steadfaas, status)
    new = await steadfaas.deploy(Yard("v2").app)
    asked = operation.replace("NEW", new.id).replace("NOWHERE", UNKNOWN_DEPLOYMENT)
    async with admin_of(steadfaas) as admin:
        before = dump(steadfaas)
        told = await admin.operate(sent, asked, status=answer)
        if answer >= 400:
            assert dump(steadfaas) == before, "a refusal has changed something"
            assert told["restate_code"] is None
            assert told["message"]
        elif operation.startswith("restart-as-new"):
            assert told["new_invocation_id"].startswith(sent.text_id[:6])
        else:
            assert told is None


# --- which invocation --------------------------------------------------------------------------

ROUTES: Final = [
    ("GET", ""), ("DELETE", ""), ("GET", "/journal"), ("POST", "/check"),
    *(("PATCH", f"/{operation}") for operation in OPERATIONS),
]  # fmt: skip
MALFORMED: Final = (
    "inv_", "inv_1", "x", "dp_10000000000000000000000", UNKNOWN[:-1], f"{UNKNOWN}0",
    UNKNOWN[:-1] + "-", UNKNOWN[:-1] + "%2F", UNKNOWN.upper(), "inv_1" + "z" * 33, "inv_1%C3%A9",
    "%00", "inv_1%ff",
)  # fmt: skip


@pytest.mark.parametrize(("method", "route"), ROUTES)
async def test_ids_that_mean_nothing(steadfaas: Steadfaas, method: str, route: str) -> None:
    async with admin_of(steadfaas) as admin:
        for id in MALFORMED:
            said = await admin.refused(method, f"/invocations/{id}{route}", status=400)
            assert said.startswith("The request field 'invocation_id' is invalid. Reason: ")
        path = f"/invocations/{UNKNOWN}{route}"
        if method == "DELETE":
            await admin(method, path, status=202)  # nobody is told
        else:
            said = await admin.refused(method, path, status=404)
            assert said == f"The requested invocation '{UNKNOWN}' does not exist"
        for prefix in ("/v2", "/v3", "/v4"):
            await admin(method, prefix + path, status=202 if method == "DELETE" else 404)


@pytest.mark.parametrize(("method", "route"), ROUTES)
async def test_other_methods(steadfaas: Steadfaas, method: str, route: str) -> None:
    there_are = {method} if route else {"GET", "DELETE"}
    async with admin_of(steadfaas) as admin:
        for other in sorted({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - there_are):
            await admin(other, f"/invocations/{UNKNOWN}{route}", status=405)


async def test_other_methods_of_the_routes_about_many(steadfaas: Steadfaas) -> None:
    async with admin_of(steadfaas) as admin:
        for other in ("POST", "PUT", "PATCH", "DELETE"):
            await admin(other, "/invocations", status=405)
        for other in ("PUT", "PATCH"):
            await admin(other, "/invocations/batch", status=405)


# --- query strings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ("resume?deployment=", "deployment"),
        ("resume?deployment=dp_x", "deployment"),
        ("resume?deployment=newest", "deployment"),
        ("resume?deployment=latest&deployment=keep", "deployment"),
        ("resume?check=yes", "check"),
        ("resume?check=", "check"),
        ("restart-as-new?from=x", "from"),
        ("restart-as-new?from=-1", "from"),
        ("restart-as-new?from=4294967296", "from"),
        ("restart-as-new?from=1.5", "from"),
        ("restart-as-new?from=0&from=1", "from"),
        ("restart-as-new?deployment=dp_x", "deployment"),
    ],
)
async def test_query_strings_that_mean_nothing(
    steadfaas: Steadfaas, asked: str, parameter: str
) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "completed" if "restart" in asked else "suspended")
    async with admin_of(steadfaas) as admin:
        before = dump(steadfaas)
        told = await admin.operate(sent, asked, status=400)
        assert told["message"].startswith(f"The query parameter '{parameter}' is invalid")
        assert dump(steadfaas) == before


async def test_parameters_and_bodies_that_nobody_knows_are_no_matter(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        path = f"/invocations/{sent.text_id}"
        await admin("PATCH", f"{path}/pause?force=please", {"why": "I like it"})
        await admin("PATCH", f"{path}/resume?more=1", data=b"\xff" * 5_000)
        assert sent.status != "paused"
        await steadfaas.settle()
        assert sent.status == "suspended"


# --- the old form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "status", "follows"),
    [
        ("", "suspended", "completed"),
        ("?mode=cancel", "suspended", "completed"),
        ("?mode=Cancel", "scheduled", "unknown"),
        ("?mode=kill", "backing-off", "completed"),
        ("?mode=Kill", "pending", "unknown"),
        ("?mode=purge", "completed", "unknown"),
        ("?mode=Purge", "completed", "unknown"),
        ("?mode=purge", "suspended", "suspended"),
        ("?mode=purge", "scheduled", "scheduled"),
        ("?mode=kill", "completed", "completed"),
        ("", "completed", "completed"),
        ("", "unknown", "unknown"),
    ],
)
async def test_delete(steadfaas: Steadfaas, mode: str, status: str, follows: str) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, status)
    async with admin_of(steadfaas) as admin:
        await admin("DELETE", f"/invocations/{sent.text_id}{mode}", status=202)
        await steadfaas.settle()
        assert sent.status == follows


@pytest.mark.parametrize("mode", ["", "stop", "kill,purge", "purge-journal", "KILL "])
async def test_delete_in_a_mode_that_nobody_knows(steadfaas: Steadfaas, mode: str) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        path = f"/invocations/{sent.text_id}?mode={mode}"
        said = await admin.refused("DELETE", path, status=400)
        assert said.startswith("The query parameter 'mode' is invalid")
        twice = await admin.refused("DELETE", f"{path}&mode=kill", status=400)
        assert "twice" in twice
        assert sent.status == "suspended"


# --- who did it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "by"),
    [
        ({"x-steadfaas-actor": "ada@lathe"}, "ada@lathe"),
        ({"x-steadfaas-actor": "  ada  "}, "ada"),
        ({"x-steadfaas-actor": "a" * 300}, "a" * 200),
        ({"user-agent": "curl/8"}, "curl/8 from 127.0.0.1"),
        ({"x-steadfaas-actor": " ", "user-agent": "curl/8"}, "curl/8 from 127.0.0.1"),
        ({"user-agent": ""}, "somebody from 127.0.0.1"),
    ],
)
async def test_who_moves_a_pin_is_told(
    steadfaas: Steadfaas, headers: dict[str, str], by: str
) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    sent = await bring_to(steadfaas, "suspended")
    v2 = await steadfaas.deploy(Yard("v2").app)
    async with admin_of(steadfaas) as admin:
        path = f"/invocations/{sent.text_id}/resume?deployment=latest"
        await admin("PATCH", path, headers=headers)
        await steadfaas.settle()
        view = await admin.look(sent)
        [event] = view["events"]
        assert (event["type"], event["by"]) == ("PinMoved", by)
        assert (event["from"], event["to"]) == (v1.id, v2.id)
        assert view["deployment_id"] == v2.id
    assert [each["ty"] for each in events(steadfaas, sent)] == ["PinMoved"]


# --- restarts ----------------------------------------------------------------------------------


async def _done(kit: Steadfaas, target: str = "Job/work") -> Invocation:
    sent = await kit.send(target, "x")
    await sent.result()
    return sent


async def test_a_restart_from_an_entry(steadfaas: Steadfaas) -> None:
    """The entries up to it are copied, and the rest runs again where it is told."""
    v1 = await steadfaas.deploy(Yard("v1").app)
    old = await _done(steadfaas)
    await steadfaas.deploy(Yard("v2").app)
    async with admin_of(steadfaas) as admin:
        entries = (await admin("GET", f"/invocations/{old.text_id}/journal"))["entries"]
        first = next(each for each in entries if each["type"] == "Notification: Run")
        query = f"restart-as-new?from={first['index']}&deployment="
        results: dict[str, Any] = {}
        for where in ("keep", "latest", v1.id):
            told = await admin.operate(old, query + where)
            new = _handle(admin, told["new_invocation_id"])
            results[where] = await new.result()
        assert results["keep"] == ["v1", "v1", "v1", "v1"]
        assert results["latest"] == ["v1", "v2", "v2", "v2"]
        assert results[v1.id] == results["keep"]


def _handle(admin: Admin, id: str) -> Invocation:
    return Invocation(admin.kit._host, ids.parse_invocation(id), "restarted")


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("from=4", 400, "choose one from 0 (the input) to 3"),
        ("from=4294967295", 400, "choose one from 0"),
        ("from=3", 400, "never completed"),
        (f"from=2&deployment={UNKNOWN_DEPLOYMENT}", 400, "does not exist"),
        ("from=0&deployment=keep", 400, "goes to the latest deployment"),
        (f"deployment={UNKNOWN_DEPLOYMENT}", 400, "goes to the latest deployment"),
    ],
)
async def test_a_restart_from_nowhere(
    steadfaas: Steadfaas, query: str, status: int, says: str
) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        await admin.operate(sent, "kill")  # its journal: input, step, result of the step, sleep
        before = dump(steadfaas)
        told = await admin.operate(sent, f"restart-as-new?{query}", status=status)
        assert says in told["message"]
        assert dump(steadfaas) == before


async def test_restarts_that_cannot_be(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    flow = await steadfaas.send("Sign/a/run", "Ada")
    await steadfaas.call("Sign/a/click", "yes")
    await flow.result()
    quick = await _done(steadfaas, "Job/quick")
    async with admin_of(steadfaas) as admin:
        told = await admin.operate(flow, "restart-as-new", status=422)
        assert "runs once" in told["message"]
        await admin.operate(quick, "purge-journal")
        told = await admin.operate(quick, "restart-as-new", status=410)
        assert "not kept any more" in told["message"]
        assert (await admin.look(quick))["result"] == {"outcome": "success"}
        await admin.operate(quick, "purge")
        for operation in OPERATIONS:
            await admin.operate(quick, operation, status=404)


async def test_a_kill_and_a_cancel_tell_who_waits(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    killed = await bring_to(steadfaas, "suspended")
    cancelled = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        await admin.operate(killed, "kill")
        await admin.operate(cancelled, "cancel", status=202)
        assert (await admin.look(killed))["result"] == {
            "outcome": "failure", "code": 409, "message": "killed"
        }  # fmt: skip
        assert (await admin.look(cancelled))["result"]["code"] == 409
