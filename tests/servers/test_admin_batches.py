"""`POST /invocations/batch`: one operation on many, a page at a time."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from steadfaas.store import find
from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.yard import STATUSES, Yard, bring_to, dump, events
from tests.servers.invocation_world import UNKNOWN, UNKNOWN_DEPLOYMENT, Admin, admin_of
from tests.servers.test_admin_invocations import ANSWERS, OPERATIONS

pytestmark = pytest.mark.asyncio
Json = dict[str, Any]
# `ready` needs an engine with a single slot, `running` a held handler: both are tried one by one.
REACHED: Final = ("scheduled", "pending", "backing-off", "suspended", "paused", "completed")
# What an operation is for, if nobody says more.
MEANT: Final = {
    "cancel": set(REACHED) - {"completed"},
    "kill": set(REACHED) - {"completed"},
    "pause": {"backing-off", "suspended"},
    "resume": {"backing-off", "suspended", "paused"},
    "purge": {"completed"},
    "purge-journal": {"completed"},
    "restart-as-new": {"completed"},
}


async def _one_of_each(kit: Steadfaas) -> dict[str, Invocation]:
    """One invocation in each status; the holder of the pending one's key is left out."""
    sent = {status: await bring_to(kit, status, status) for status in reversed(REACHED)}
    assert {status: one.status for status, one in sent.items()} == {each: each for each in REACHED}
    return sent


def _summary(answer: Json) -> tuple[int, int, int, int]:
    return answer["matched"], answer["done"], answer["accepted"], answer["refused"]


# --- what becomes of each ----------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_named_ones_are_all_tried(steadfaas: Steadfaas, operation: str) -> None:
    """As one by one: what those would be answered is counted, and refusals are told."""
    await steadfaas.deploy(Yard().app)
    sent = await _one_of_each(steadfaas)
    answers = dict(zip(STATUSES, map(int, ANSWERS[operation].split()), strict=True))
    expected = [answers[status] for status in REACHED]
    async with admin_of(steadfaas) as admin:
        answer = await admin.batch(operation, ids=[one.text_id for one in sent.values()])
        assert answer["operation"] == operation
        refused = {sent[status].text_id for status in REACHED if answers[status] >= 400}
        counts = len(REACHED), expected.count(200), expected.count(202), len(refused)
        assert _summary(answer) == counts
        assert {each["id"] for each in answer["refusals"]} == refused
        for each in answer["refusals"]:
            assert each["id"] in each["message"]
        assert "next" not in answer


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_whom_an_operation_means_if_nobody_says(steadfaas: Steadfaas, operation: str) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await _one_of_each(steadfaas)
    holders = {each.text_id for each in steadfaas.sent} - {one.text_id for one in sent.values()}
    async with admin_of(steadfaas) as admin:
        before = dump(steadfaas)
        tried = await admin.batch(operation, dry_run=True)
        assert dump(steadfaas) == before, "a dry run has changed something"
        assert _summary(tried)[1:] == (0, 0, 0)
        assert tried["refusals"] == []
        suspended = len(holders) if "suspended" in MEANT[operation] else 0
        assert tried["matched"] == len(MEANT[operation]) + suspended

        answer = await admin.batch(operation)
        assert answer["matched"] == tried["matched"]
        assert answer["refused"] == 0
        assert answer["done"] + answer["accepted"] == answer["matched"]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_statuses_that_do_not_fit_are_refused_one_by_one(
    steadfaas: Steadfaas, dry_run: bool
) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await _one_of_each(steadfaas)
    async with admin_of(steadfaas) as admin:
        chosen = {"status": ["completed", "scheduled"]}
        answer = await admin.batch("pause", filter=chosen, dry_run=dry_run)
        assert _summary(answer) == (2, 0, 0, 0 if dry_run else 2)
        told = {each["id"] for each in answer["refusals"]}
        expected = {sent["completed"].text_id, sent["scheduled"].text_id}
        assert told == (set() if dry_run else expected)


# --- whom --------------------------------------------------------------------------------------


async def test_filters(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    await steadfaas.send("Job/work", "x")
    for key in ("a", "a", "a/b"):
        await steadfaas.send(f"Cart/{key}/put", 1)
    fails = await steadfaas.send("Job/fail", "x")
    await steadfaas.settle()
    v2 = await steadfaas.deploy(Yard("v2").app)
    await steadfaas.send("Job/work", "x")
    await steadfaas.settle()
    cases: list[tuple[Json, int]] = [
        ({}, 6),
        ({"target": "Job"}, 3),
        ({"target": "Job/work"}, 2),
        ({"target": "Cart/a"}, 2),
        ({"target": "Cart/a/b/put"}, 1),
        ({"target": fails.text_id}, 1),
        ({"service": "Cart", "key": "a/b"}, 1),
        ({"handler": "put"}, 3),
        ({"key": ""}, 0),
        ({"deployment": v1.id}, 4),
        ({"deployment": v2.id, "service": "Job"}, 1),
        ({"status": ["pending", "backing-off"]}, 2),
        ({"status": []}, 6),
        ({"service": "Job", "status": ["suspended"], "deployment": v1.id, "handler": "work"}, 1),
        ({"target": None, "key": None, "status": None, "colour": "red"}, 6),
    ]
    async with admin_of(steadfaas) as admin:
        for filter, number in cases:
            answer = await admin.batch("kill", filter=filter, dry_run=True)
            assert answer["matched"] == number, filter
        both = await admin.batch("kill", ids=[fails.text_id], filter={"service": "Cart"})
        assert both["matched"] == 0
        assert fails.status == "backing-off"
        await admin.batch("kill", filter={"service": "Cart"})
        assert len(await admin.ids()) == 3


async def test_ids_that_nobody_knows_are_refused(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    told = {"id": UNKNOWN, "message": f"The requested invocation '{UNKNOWN}' does not exist"}
    async with admin_of(steadfaas) as admin:
        chosen = [UNKNOWN, sent.text_id, sent.text_id]
        tried = await admin.batch("pause", ids=chosen, dry_run=True)
        assert (_summary(tried), tried["refusals"]) == ((1, 0, 0, 1), [told])
        answer = await admin.batch("pause", ids=chosen)
        assert (_summary(answer), answer["refusals"]) == ((1, 1, 0, 1), [told])
        assert _summary(await admin.batch("kill", ids=[UNKNOWN])) == (0, 0, 0, 1)
        assert _summary(await admin.batch("kill", ids=[])) == (0, 0, 0, 0)
        elsewhere = await admin.batch("kill", ids=[sent.text_id], filter={"service": "Nope"})
        assert _summary(elsewhere) == (0, 0, 0, 0), "a filter leaves it out; it is known"
        assert sent.status == "paused"


async def test_unknown_ids_are_told_on_the_first_page_only(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    chosen = [(await steadfaas.send("Job/ask", "x")).text_id for _ in range(3)]
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        answers = await _pages(admin, "pause", limit=2, ids=[*chosen, UNKNOWN])
        assert [_summary(each) for each in answers] == [(2, 2, 0, 1), (1, 1, 0, 0)]


async def test_only_some_of_many_refusals_are_shown(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    for _ in range(30):
        await steadfaas.send("Job/work", "x", delay="1 day")
    async with admin_of(steadfaas) as admin:
        answer = await admin.batch("pause", filter={"status": ["scheduled"]})
        assert _summary(answer) == (30, 0, 0, 30)
        assert len(answer["refusals"]) == 20


# --- where to ----------------------------------------------------------------------------------


async def test_a_batch_moves_pins_and_tells_who_did(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard("v1").app)
    ask = [await steadfaas.send("Job/ask", "x") for _ in range(3)]
    await steadfaas.settle()
    v2 = await steadfaas.deploy(Yard("v2").app)
    async with admin_of(steadfaas) as admin:
        for where, to in (("latest", v2), (v1.id, v1), ("Latest", v2)):
            body = {"operation": "resume", "filter": {"target": "Job/ask"}, "deployment": where}
            headers = {"x-steadfaas-actor": "ada@lathe"}
            answer = await admin("POST", "/invocations/batch", body, headers=headers)
            await steadfaas.settle()
            assert _summary(answer) == (3, 3, 0, 0)
            assert {(await admin.look(one))["deployment_id"] for one in ask} == {to.id}
        for one in ask:
            assert [each["by"] for each in events(steadfaas, one)] == ["ada@lathe"] * 3
        nowhere = await admin.batch("resume", deployment=UNKNOWN_DEPLOYMENT)
        assert _summary(nowhere) == (3, 0, 0, 3)
        assert "does not exist" in nowhere["refusals"][0]["message"]
        keep = await admin.batch("resume", deployment="keep")
        assert _summary(keep) == (3, 3, 0, 0)


@pytest.mark.parametrize("more", [{}, {"dry_run": True}, {"filter": {"service": "Nope"}}])
async def test_a_deployment_that_means_nothing_is_always_refused(
    steadfaas: Steadfaas, more: Json
) -> None:
    await steadfaas.deploy(Yard().app)
    await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        answer = await admin.batch("resume", deployment="dp_x", status=400, **more)
        assert answer["message"].startswith("The request field 'deployment' is invalid")


@pytest.mark.parametrize("where", ["keep", UNKNOWN_DEPLOYMENT])
@pytest.mark.parametrize("more", [{}, {"dry_run": True}, {"filter": {"service": "Nope"}}])
async def test_what_is_restarted_goes_to_the_latest_deployment(
    steadfaas: Steadfaas, where: str, more: Json
) -> None:
    """Another one is refused once, as for a single invocation, and nothing is begun."""
    await steadfaas.deploy(Yard().app)
    await bring_to(steadfaas, "completed")
    async with admin_of(steadfaas) as admin:
        before = dump(steadfaas)
        told = await admin.batch("restart-as-new", deployment=where, status=400, **more)
        assert told["message"].startswith("the request field 'deployment' is invalid")
        assert dump(steadfaas) == before
        answer = await admin.batch("restart-as-new", deployment="latest")
        assert _summary(answer) == (1, 1, 0, 0)


# --- pages -------------------------------------------------------------------------------------


async def _pages(admin: Admin, operation: str, **fields: Any) -> list[Json]:
    """The answers of all pages."""
    answers, after = [], None
    while True:
        answers.append(await admin.batch(operation, after=after, **fields))
        assert len(answers) < 50, "there is no end"
        after = answers[-1].get("next")
        if after is None:
            return answers


@pytest.mark.parametrize("limit", [1, 3, 10, 11])
@pytest.mark.parametrize("stretch", [2, 10_000])
@pytest.mark.parametrize("operation", ["kill", "pause", "resume"])
async def test_pages_reach_everything_once(
    steadfaas: Steadfaas,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    stretch: int,
    limit: int,
) -> None:
    monkeypatch.setattr(find, "STRETCH", stretch)
    await steadfaas.deploy(Yard().app)
    sent = [await steadfaas.send("Job/ask", "x") for _ in range(10)]
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        answers = await _pages(admin, operation, limit=limit)
        assert sum(each["matched"] for each in answers) == 10
        assert sum(each["done"] for each in answers) == 10
        assert {each["matched"] for each in answers[:-1]} <= {limit}
        follows = {"kill": "completed", "pause": "paused", "resume": "suspended"}[operation]
        assert {one.status for one in sent} == {follows}


async def test_pages_of_named_ones(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = [await steadfaas.send("Job/ask", "x") for _ in range(7)]
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        chosen = [one.text_id for one in sent[::-1]]
        answers = await _pages(admin, "pause", limit=3, ids=chosen)
        assert [each["done"] for each in answers] == [3, 3, 1]
        again = await _pages(admin, "pause", limit=3, ids=chosen)
        assert [each["matched"] for each in again] == [3, 3, 1], "a page moves on by number"


@pytest.mark.parametrize("chosen", [True, False])
async def test_a_full_last_page_says_that_it_is_the_last(
    steadfaas: Steadfaas, chosen: bool
) -> None:
    await steadfaas.deploy(Yard().app)
    sent = [await steadfaas.send("Job/ask", "x") for _ in range(6)]
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        named = {"ids": [one.text_id for one in sent]} if chosen else {}
        answers = await _pages(admin, "pause", limit=3, **named)
        assert [each["done"] for each in answers] == [3, 3]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_a_restart_page_by_page_repeats_no_repetition(
    steadfaas: Steadfaas, limit: int
) -> None:
    """What is repeated is completed soon, too; the next page must not begin with it."""
    await steadfaas.deploy(Yard().app)
    done = [await steadfaas.send("Job/quick", "x") for _ in range(5)]
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        answers = await _pages(admin, "restart-as-new", limit=limit)
        assert sum(each["done"] for each in answers) == len(done)
        all_of_them = (await admin.page("status=completed"))["invocations"]
        assert len(all_of_them) == 2 * len(done)
        origins = []
        for each in all_of_them:
            view = await admin("GET", f"/invocations/{each['id']}")
            origins += [view["restarted_from"]] if "restarted_from" in view else []
        assert sorted(origins) == sorted(one.text_id for one in done)


async def test_named_ones_are_restarted_page_by_page(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    done = [await steadfaas.send("Job/quick", "x") for _ in range(5)]
    await steadfaas.settle()
    async with admin_of(steadfaas) as admin:
        chosen = [one.text_id for one in done]
        answers = await _pages(admin, "restart-as-new", limit=2, ids=chosen)
        assert [each["done"] for each in answers] == [2, 2, 1]
        assert len(await admin.ids("status=completed")) == 10


# --- bodies that mean nothing ------------------------------------------------------------------

_JSON: Final = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, b"", "Failed to parse the request body as JSON"),
        (400, b"{", "Failed to parse the request body as JSON"),
        (400, b'{"operation":"kill",}', "Failed to parse the request body as JSON"),
        (400, b"\xff", "Failed to parse the request body as JSON"),
        (400, b'{"operation":"kill","filter":{"key":"\\ud800"}}', "Failed to parse"),
        (422, b"[]", "must be a JSON object such as"),
        (422, b'"kill"', "must be a JSON object such as"),
        (422, b"{}", "'operation' is invalid"),
        (422, b'{"operation":"stop"}', "'operation' is invalid"),
        (422, b'{"operation":null}', "'operation' is invalid"),
        (422, b'{"operation":"Kill"}', "'operation' is invalid"),
        (422, b'{"operation":"kill","filter":null}', "'filter' is invalid"),
        (422, b'{"operation":"kill","filter":"Job"}', "'filter' is invalid"),
        (422, b'{"operation":"kill","filter":{"status":"paused"}}', "'filter.status' is invalid"),
        (422, b'{"operation":"kill","filter":{"status":["lost"]}}', "'filter.status.0'"),
        (422, b'{"operation":"kill","filter":{"key":1}}', "'filter.key' is invalid"),
        (422, b'{"operation":"kill","ids":"inv_1"}', "'ids' is invalid"),
        (422, b'{"operation":"kill","ids":[1]}', "'ids.0' is invalid"),
        (400, b'{"operation":"kill","ids":["inv_1"]}', "'invocation_id' is invalid"),
        (422, b'{"operation":"kill","limit":0}', "'limit' is invalid"),
        (422, b'{"operation":"kill","limit":10001}', "'limit' is invalid"),
        (422, b'{"operation":"kill","limit":"5"}', "'limit' is invalid"),
        (422, b'{"operation":"kill","limit":1.5}', "'limit' is invalid"),
        (422, b'{"operation":"kill","limit":true}', "'limit' is invalid"),
        (422, b'{"operation":"kill","limit":null}', "'limit' is invalid"),
        (422, b'{"operation":"kill","after":-1}', "'after' is invalid"),
        (422, b'{"operation":"kill","after":"1"}', "'after' is invalid"),
        (422, b'{"operation":"kill","dry_run":"yes"}', "'dry_run' is invalid"),
        (422, b'{"operation":"kill","dry_run":1}', "'dry_run' is invalid"),
        (422, b'{"operation":"resume","deployment":7}', "'deployment' is invalid"),
        (400, b'{"operation":"resume","deployment":""}', "'deployment' is invalid"),
    ],
)
async def test_bodies_that_mean_nothing(
    steadfaas: Steadfaas, status: int, body: bytes, says: str
) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        told = await admin("POST", "/invocations/batch", status=status, data=body, headers=_JSON)
        assert says in told["message"]
        assert sent.status == "suspended"


@pytest.mark.parametrize("type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_type(steadfaas: Steadfaas, type: str) -> None:
    async with admin_of(steadfaas) as admin:
        headers = {"content-type": type} if type else {}
        body = b'{"operation":"kill"}'
        told = await admin("POST", "/invocations/batch", status=415, data=body, headers=headers)
        assert "application/json" in told["message"]


async def test_bodies_that_are_large(steadfaas: Steadfaas) -> None:
    async with admin_of(steadfaas) as admin:
        answer = await admin.batch("kill", ids=[UNKNOWN] * 10_000)
        assert _summary(answer) == (0, 0, 0, 1)
        await admin.batch("kill", ids=[UNKNOWN] * 10_001, status=422)
        body = json.dumps({"operation": "kill", "filter": {"key": "x" * 1_100_000}}).encode()
        told = await admin("POST", "/invocations/batch", status=413, data=body, headers=_JSON)
        assert "larger than" in told["message"]
        answer = await admin.batch("kill", after=2**70, limit=10_000)
        assert answer["matched"] == 0
