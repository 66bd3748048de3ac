"""The admin API about retiring deployments, and about what was done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steadfaas.machine.status import Status
from tests.deployments.world import announce, run, service, serving
from tests.servers.admin_world import DRAINED, UNKNOWN, Admin, admin

ME = {"x-steadfaas-actor": "ada@desk"}
BEGIN = {"step": "begin"}
REMOVED = {"step": "artifact-removed", "evidence": {"answer": 204, "why": ["old", None, "ö"]}}


def shop() -> Any:
    return announce(service("Shop"))


async def audit(ask: Admin, query: str = "") -> list[Any]:
    """The entries of a page."""
    entries: list[Any] = (await ask("GET", f"/audit{query}")).body["entries"]
    return entries


# --- the steps ---------------------------------------------------------------------------------


def test_a_deployment_is_retired_in_steps() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop()) as two:
            old, _ = [(await ask.register(each.uri)).body["id"] for each in (one, two)]
            one_path = f"/deployments/{old}"
            path = f"{one_path}/retirement"
            would = await ask("POST", path, json={**BEGIN, "dry_run": True}, headers=ME)
            assert (would.status, would.body["retiring"]["by"]) == (200, "ada@desk")
            assert "retiring" not in (await ask("GET", one_path)).body
            begun = await ask("POST", path, json={**BEGIN, "evidence": {"n": 1}}, headers=ME)
            assert begun.status == 200
            shown = begun.body
            assert shown["drain"] == DRAINED
            assert shown["retiring"].keys() == {"since", "by"}
            assert (await ask("GET", one_path)).body == shown
            listed = (await ask("GET", "/deployments")).body["deployments"]
            assert [each.get("retiring") for each in listed] == [shown["retiring"], None]
            assert (await ask("POST", path, json=BEGIN)).body == shown

            for refused in (
                await ask("POST", f"{one_path}/promote"),
                await ask("PATCH", one_path, json={"metadata": {"a": "b"}}),
                await ask.register(one.uri),
                await ask.register(one.uri, force=True),
                await ask.register(one.uri, prefix="/v2"),
            ):
                assert refused.status == 409
                assert refused.body["message"].endswith(f"(DELETE {path}).")
                assert refused.body["restate_code"] is None

            gone = (await ask("POST", path, json=REMOVED, headers=ME)).body
            told = gone["retiring"]
            assert (told["since"], told["by"]) == (shown["retiring"]["since"], "ada@desk")
            assert told["artifact_removed_at"] > told["since"]
            assert (await ask("DELETE", path)).status == 409
            assert (await ask("DELETE", one_path, headers=ME)).status == 202
            for again in (await ask("DELETE", one_path), await ask("DELETE", path)):
                assert again.status == 404
            assert (await ask("POST", path, json=BEGIN)).status == 404

            entries = await audit(ask, f"?subject={old}")
            assert [(each["action"], each["actor"]) for each in entries[:3]] == [
                ("removed", "ada@desk"),
                ("artifact removed", "ada@desk"),
                ("retirement begun", "ada@desk"),
            ]
            assert entries[1]["detail"] == {"uri": one.uri, "evidence": REMOVED["evidence"]}
            detail = entries[2]["detail"]
            assert detail["evidence"] == {"n": 1}
            assert detail["found"] == {
                name: DRAINED[name] for name in ("state", "active_services", "unfinished", "counts")
            }
            assert all(each["subject"] == old for each in entries)

    run(test())


def test_a_retirement_is_called_off() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop()) as two:
            old, _ = [(await ask.register(each.uri)).body["id"] for each in (one, two)]
            path = f"/deployments/{old}/retirement"
            before = (await ask("DELETE", path)).body
            await ask("POST", path, json=BEGIN)
            done = await ask("DELETE", path, headers=ME)
            assert (done.status, done.body) == (200, before)
            assert (await audit(ask))[0]["action"] == "retirement called off"
            assert (await ask("POST", f"/deployments/{old}/promote")).status == 200

    run(test())


def test_what_is_needed_is_not_retired() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop()) as two:
            old, new = [(await ask.register(each.uri)).body["id"] for each in (one, two)]
            ask.world.writer.add_invocation("Shop", Status.PAUSED, old)
            for id, words in ((old, "1 paused"), (new, "it takes the new requests of Shop")):
                refused = await ask("POST", f"/deployments/{id}/retirement", json=BEGIN)
                removal = await ask("DELETE", f"/deployments/{id}")
                assert words in refused.body["message"]
                assert (refused.status, refused.body) == (409, removal.body)
            early = await ask("POST", f"/deployments/{old}/retirement", json=REMOVED)
            assert (early.status, "begin with that" in early.body["message"]) == (409, True)

    run(test())


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "'step' is invalid"),
        ({"step": "end"}, 422, "'step' is invalid"),
        ({"step": "begin", "evidence": []}, 422, "'evidence' is invalid"),
        ({"step": "begin", "evidence": {"a": "x" * 16_377}}, 422, "larger than 16384 bytes"),
        ({"step": "begin", "evidence": {"a": "ö" * 3000}}, 422, "larger than 16384 bytes"),
        ({"step": "begin", "dry_run": "no"}, 422, "'dry_run' is invalid"),
        ({"step": "begin", "evidence": {"a": float("nan")}}, 422, "that JSON does not have"),
    ],
)
def test_a_bad_step(body: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop()) as two:
            old, _ = [(await ask.register(each.uri)).body["id"] for each in (one, two)]
            path = f"/deployments/{old}/retirement"
            reply = await ask("POST", path, json=body)
            assert reply.status == status
            assert words in reply.body["message"]
            assert len(await audit(ask)) == 2
            largest = {"step": "begin", "evidence": {"a": "x" * 16_376}}
            assert len(json.dumps(largest["evidence"], separators=(",", ":"))) == 16_384
            assert (await ask("POST", path, json=largest)).status == 200
            assert (await audit(ask))[0]["detail"]["evidence"] == largest["evidence"]

    run(test())


def test_ids_that_are_none() -> None:
    async def test() -> None:
        async with admin() as ask:
            for id, status in (("dp_x", 400), (UNKNOWN, 404)):
                path = f"/deployments/{id}/retirement"
                assert (await ask("POST", path, json=BEGIN)).status == status
                assert (await ask("DELETE", path)).status == status

    run(test())


# --- what was done -----------------------------------------------------------------------------


def test_the_audit_is_read_in_pages() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one:
            assert (await ask("GET", "/audit")).body == {"entries": []}
            id = (await ask.register(one.uri)).body["id"]
            for number in range(4):
                fields = {"metadata": {"n": str(number)}}
                await ask("PATCH", f"/deployments/{id}", json=fields, headers=ME)
            whole = await audit(ask)
            assert [each["seq"] for each in whole] == [5, 4, 3, 2, 1]
            assert whole[0] == {
                "seq": 5,
                "at": whole[0]["at"],
                "actor": "ada@desk",
                "action": "metadata changed",
                "subject": id,
                "detail": {"uri": one.uri, "change": "set: n"},
            }
            assert whole[0]["at"].endswith("Z")
            seen, after = [], ""
            while True:
                page = (await ask("GET", f"/audit?limit=2{after}")).body
                seen += page["entries"]
                if "next" not in page:
                    break
                assert page["next"] == page["entries"][-1]["seq"]
                after = f"&after={page['next']}"
            assert seen == whole
            assert await audit(ask, "?action=registered") == whole[4:]
            assert await audit(ask, f"?subject={id}&action=metadata+changed") == whole[:4]
            assert await audit(ask, f"?subject={UNKNOWN}") == []
            assert await audit(ask, "?after=0") == []

    run(test())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("action=lost", "expected one of registered, "),
        ("limit=0", "'limit' is invalid"),
        ("limit=1001", "'limit' is invalid"),
        ("after=-1", "'after' is invalid"),
        ("after=9223372036854775808", "'after' is invalid"),
        ("subject=a&subject=b", "given twice"),
    ],
)
def test_a_bad_question(query: str, words: str) -> None:
    async def test() -> None:
        async with admin() as ask:
            reply = await ask("GET", f"/audit?{query}")
            assert reply.status == 400
            assert words in reply.body["message"]

    run(test())


# --- notes and secrets of an update ------------------------------------------------------------


def test_what_is_given_empty_is_cleared() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one:
            fields = {
                "additional_headers": {"x-a": "1"},
                "secret_headers": {"x-b": "env:HOME"},
                "metadata": {"team": "web"},
            }
            id = (await ask("POST", "/deployments", json={"uri": one.uri})).body["id"]
            path = f"/deployments/{id}"
            would = await ask("PATCH", path, json={**fields, "dry_run": True})
            assert {name: would.body[name] for name in fields} == fields
            assert not fields.keys() & (await ask("GET", path)).body.keys()
            changed = (await ask("PATCH", path, json=fields)).body
            assert {name: changed[name] for name in fields} == fields
            left = dict(fields)
            for name in fields:
                shown = (await ask("PATCH", path, json={name: {}})).body
                del left[name]
                assert {each: shown[each] for each in fields if each in shown} == left

    run(test())


@pytest.mark.parametrize(
    "body", [{"metadata": {"a": 1}}, {"metadata": []}, {"protection": "env:A"}]
)
def test_bad_notes(body: Any) -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one:
            id = (await ask.register(one.uri)).body["id"]
            reply = await ask("PATCH", f"/deployments/{id}", json=body)
            assert reply.status == 422
            assert next(iter(body)) in reply.body["message"]

    run(test())
