"""The admin API about deployments: what still needs them, moving, promoting, removing them."""

from __future__ import annotations

from typing import Any

import pytest

from steadfaas import ids
from steadfaas.machine.status import Status
from tests.deployments.world import Endpoint, announce, run, service, serving
from tests.servers.admin_world import DRAINED, UNKNOWN, Admin, admin

ME = {"x-steadfaas-actor": "ada@desk"}


async def two_versions(ask: Admin, one: Endpoint, two: Endpoint) -> tuple[str, str]:
    """Register both; the older one and the newer one."""
    first = (await ask.register(one.uri)).body["id"]
    return first, (await ask.register(two.uri)).body["id"]


def shop(*handlers: str) -> Any:
    return announce(service("Shop", *(handlers or ("buy",))))


# --- what still needs them ---------------------------------------------------------------------


def test_the_list_tells_what_still_needs_each_deployment() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop()) as two:
            old, new = await two_versions(ask, one, two)

            async def drains() -> list[Any]:
                listed = (await ask("GET", "/deployments")).body["deployments"]
                assert [each["id"] for each in listed] == [old, new]
                return [each["drain"] for each in listed]

            active = {**DRAINED, "state": "active", "active_services": ["Shop"]}
            assert await drains() == [DRAINED, active]
            for status in (Status.PAUSED, *[Status.SUSPENDED] * 6):
                ask.world.writer.add_invocation("Shop", status, old)
            ask.world.writer.add_invocation("Shop", Status.SCHEDULED, None)
            first, second = await drains()
            named = [ids.format_invocation(number.to_bytes(24, "big")) for number in range(1, 9)]
            assert first == {
                **DRAINED,
                "state": "draining",
                "unfinished": 7,
                "counts": {**DRAINED["counts"], "suspended": 6, "paused": 1},
                "oldest": {
                    "invocation_id": named[0],
                    "target": "Shop/buy",
                    "created_at": "1970-01-01T00:00:00.000000000Z",
                },
                "blockers": named[:5],
                "blockers_shown": 5,
            }
            assert second["state"] == "active"
            assert (second["unfinished"], second["counts"]["scheduled"]) == (1, 1)
            assert second["blockers"] == named[7:]
            assert "blockers_shown" not in second
            detail = (await ask("GET", f"/deployments/{old}")).body["drain"]
            assert detail["blockers"] == named[:7]
            assert {**detail, "blockers": named[:5], "blockers_shown": 5} == first
            ask.world.writer.connection.execute("DELETE FROM invocation")
            assert await drains() == [DRAINED, active]

    run(test())


def test_the_list_follows_registrations_and_removals() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop()) as two:

            async def listed() -> list[tuple[str, int]]:
                known = (await ask("GET", "/deployments")).body["deployments"]
                return [(each["id"], each["services"][0]["revision"]) for each in known]

            old, new = await two_versions(ask, one, two)
            assert await listed() == [(old, 1), (new, 2)]
            await ask.register(two.uri, force=True)
            assert await listed() == [(old, 1), (new, 3)]
            await ask("DELETE", f"/deployments/{old}")
            assert await listed() == [(new, 3)]

    run(test())


# --- moving ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "prefix"), [("PATCH", ""), ("PATCH", "/v3"), ("PUT", "/v2")])
def test_a_deployment_moves_to_another_address(method: str, prefix: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop("sell")) as two:
            before = (await ask.register(one.uri)).body
            path = f"{prefix}/deployments/{before['id']}"
            fields = {"uri": two.uri, "additional_headers": {"X-Key": "v"}, "use_http_11": True}
            tried = await ask(method, path, json={**fields, "dry_run": True}, headers=ME)
            assert (tried.status, tried.body["uri"]) == (200, two.uri)
            assert (await ask("GET", path)).body["uri"] == one.uri
            moved = await ask(method, path, json=fields, headers=ME)
            assert moved.status == 200
            shown = moved.body
            assert (shown["id"], shown["uri"]) == (before["id"], two.uri)
            assert shown["additional_headers"] == {"x-key": "v"}
            assert shown["services"] == before["services"]
            assert "'buy'" in shown.pop("info")[0]["message"]
            assert {change["by"] for change in shown["changes"]} == {"ada@desk"}
            assert [each["what"] for each in shown["changes"]] == [
                "address changed",
                "headers changed",
            ]
            assert (await ask("GET", path)).body == shown
            assert "changes" not in (await ask("GET", "/deployments")).body["deployments"][0]
            assert (await ask(method, path, json={})).body == shown
            [again] = ask.world.restarted().deployments()
            assert again.uri == two.uri

    run(test())


def test_an_overwriting_move_takes_the_services_too() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop("sell")) as two:
            id = (await ask.register(one.uri)).body["id"]
            fields = {"uri": two.uri, "overwrite": True}
            shown = (await ask("PATCH", f"/deployments/{id}", json=fields)).body
            assert [each["name"] for each in shown["services"][0]["handlers"]] == ["sell"]
            by = shown["changes"][0]["by"]
            assert by.startswith("Python/")
            assert by.endswith(" from 127.0.0.1")

    run(test())


def test_put_is_of_the_second_version_only() -> None:
    async def test() -> None:
        async with admin() as ask:
            for prefix in ("", "/v3", "/v4"):
                reply = await ask("PUT", f"{prefix}/deployments/{UNKNOWN}", json={})
                assert reply.status == 405
                assert reply.body == {
                    "message": "PUT deployment is deprecated, use PATCH instead",
                    "restate_code": None,
                }

    run(test())


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"uri": 7}, 422, "'uri' is invalid"),
        ({"uri": "/somewhere"}, 400, "is not absolute"),
        ({"arn": "arn:aws:lambda:eu-central-1:1:function:f:1"}, 400, "cannot change"),
        ({"additional_headers": {"a b": ""}}, 400, "'a b'"),
        ({"overwrite": "yes"}, 422, "'overwrite' is invalid"),
        ([], 422, "must be a JSON object"),
        ({"uri": "http://127.0.0.1:1/"}, 500, "[META0003]"),
    ],
)
def test_a_bad_move_changes_nothing(body: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one:
            path = f"/deployments/{(await ask.register(one.uri)).body['id']}"
            before = (await ask("GET", path)).body
            reply = await ask("PATCH", path, json=body)
            assert reply.status == status
            assert words in reply.body["message"]
            assert (await ask("GET", path)).body == before

    run(test())


# --- promoting ---------------------------------------------------------------------------------


def test_an_older_deployment_is_promoted() -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one, serving(shop("buy", "sell")) as two:
            old, new = await two_versions(ask, one, two)
            path = f"/deployments/{old}/promote"
            tried = await ask("POST", path, json={"dry_run": True})
            assert tried.status == 200
            assert "'sell'" in tried.body["info"][0]["message"]
            assert (await ask("GET", "/services/Shop")).body["deployment_id"] == new
            done = await ask("POST", path, headers=ME)
            assert done.status == 200
            assert done.body["services"][0]["revision"] == 3
            assert done.body["drain"]["state"] == "active"
            [change] = done.body["changes"]
            assert (change["what"], change["by"]) == ("promoted", "ada@desk")
            assert (await ask("GET", "/services/Shop")).body["deployment_id"] == old
            again = await ask("POST", path, json={})
            assert again.body["services"][0]["revision"] == 3
            assert "info" not in again.body

    run(test())


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"json": {"dry_run": 1}}, 422, "'dry_run' is invalid"),
        ({"data": b"{", "headers": {"content-type": "application/json"}}, 400, "as JSON"),
        ({"data": b"{}", "headers": {"content-type": "text/plain"}}, 415, "Content-Type"),
        ({}, 404, UNKNOWN),
    ],
)
def test_a_bad_promotion(options: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask:
            reply = await ask("POST", f"/deployments/{UNKNOWN}/promote", **options)
            assert reply.status == status
            assert words in reply.body["message"]

    run(test())


# --- who and how -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"x-steadfaas-actor": "  ada@desk "}, "ada@desk"),
        ({"x-steadfaas-actor": "x" * 500}, "x" * 200),
        ({"x-steadfaas-actor": "a\u00a0b\u00e9"}, "a?b\u00e9"),
        ({"user-agent": "restate-cli/1.7.12"}, "restate-cli/1.7.12 from 127.0.0.1"),
        ({"user-agent": "u" * 500}, f"{'u' * 140} from 127.0.0.1"),
        ({"x-steadfaas-actor": " ", "user-agent": ""}, "somebody from 127.0.0.1"),
    ],
)
def test_who_did_it_is_recorded(headers: dict[str, str], shown: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop()) as one:
            id = (await ask.register(one.uri)).body["id"]
            await ask("POST", "/deployments", json={"uri": one.uri, "force": True}, headers=headers)
            [change] = (await ask("GET", f"/deployments/{id}")).body["changes"]
            assert (change["by"], change["what"]) == (shown, "registered again by force")

    run(test())


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("identity", False),
    ],
)
def test_large_answers_are_compressed_for_those_who_ask(accepted: str, compressed: bool) -> None:
    async def test() -> None:
        async with admin() as ask, serving(shop(*(f"handler{n}" for n in range(9)))) as one:
            await ask.register(one.uri)
            headers = {"accept-encoding": accepted}
            large = await ask("GET", "/services", headers=headers)
            assert len(large.body["services"][0]["handlers"]) == 9
            assert large.headers.get("content-encoding") == ("gzip" if compressed else None)
            assert large.headers.get("vary") == ("accept-encoding" if compressed else None)
            small = await ask("GET", "/version", headers=headers)
            assert "content-encoding" not in small.headers

    run(test())
