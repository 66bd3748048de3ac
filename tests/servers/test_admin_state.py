"""The admin API about what services hold now: state of keys, unfinished invocations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steadfaas import ids
from steadfaas.machine.status import Status
from steadfaas.servers import admin_state
from steadfaas.store.state_version import state_version
from tests.deployments.world import announce, serving
from tests.deployments.world import run as run_bare
from tests.deployments.world import service as announced
from tests.runtime.in_process import World, run
from tests.servers.admin_world import Admin, admin
from tests.servers.ingress_world import ingress

EMPTY = state_version([])
CART = announced("Cart", "add", ty="VIRTUAL_OBJECT")


def put(ask: Admin, key: str, **values: bytes) -> None:
    """State as handlers would have written it."""
    ask.world.writer.connection.executemany(
        "INSERT INTO state (service, key, name, value) VALUES ('Cart', ?, ?, ?)",
        [(key, name.encode(), value) for name, value in values.items()],
    )


# --- reading state -----------------------------------------------------------------------------


def test_state_of_a_key_and_keys_with_state() -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(CART)) as one:
            await ask.register(one.uri)
            assert (await ask("GET", "/services/Cart/state?key=nobody")).body == {
                "service": "Cart", "key": "nobody", "version": EMPTY, "state": {},
            }  # fmt: skip
            put(ask, "a/b ö", n=b"1", raw=b"\xff\x00", empty=b"")
            put(ask, "c", n=b"2")
            shown = await ask("GET", "/v4/services/Cart/state", params={"key": "a/b ö"})
            assert shown.body == {
                "service": "Cart",
                "key": "a/b ö",
                "version": state_version([(b"n", b"1"), (b"raw", b"\xff\x00"), (b"empty", b"")]),
                "state": {"n": {"utf8": "1"}, "raw": {"base64": "/wA="}, "empty": {"utf8": ""}},
            }
            keys = [{"key": "a/b ö", "entries": 3}, {"key": "c", "entries": 1}]
            listed = (await ask("GET", "/services/Cart/state")).body
            assert listed == {"service": "Cart", "keys": keys, "truncated": False}
            cut = (await ask("GET", "/services/Cart/state?limit=1")).body
            assert cut == {"service": "Cart", "keys": keys[:1], "truncated": True}

    run_bare(test())


def test_state_that_is_too_large_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_state, "_MAX_STATE_SHOWN", 10)

    async def test() -> None:
        async with admin() as ask, serving(announce(CART)) as one:
            await ask.register(one.uri)
            put(ask, "k", n=b"123456789")
            assert (await ask("GET", "/services/Cart/state?key=k")).status == 200
            put(ask, "k", m=b"")
            reply = await ask("GET", "/services/Cart/state?key=k")
            assert reply.status == 413
            assert "POST /query" in reply.body["message"]

    run_bare(test())


# --- bad requests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "Nope/state", None, 404, "service 'Nope' does not exist"),
        ("GET", "Shop/state", None, 400, "has no state"),
        ("GET", "Cart/state?limit=0", None, 400, "query parameter 'limit' is invalid"),
        ("GET", "Cart/state?limit=ten", None, 400, "query parameter 'limit' is invalid"),
        ("GET", "Cart/state?key=a&key=b", None, 400, "'key' is invalid: it is given twice"),
        ("GET", "Nope/status", None, 404, "service 'Nope' does not exist"),
        ("POST", "Nope/state", {}, 404, "service 'Nope' does not exist"),
        ("POST", "Shop/state", {}, 400, "Cannot modify state for service type Service"),
        ("POST", "Cart/state", {}, 422, "'object_key' is invalid"),
        ("POST", "Cart/state", {"object_key": "k"}, 422, "'new_state' is invalid"),
        ("POST", "Cart/state", {"object_key": 1, "new_state": {}}, 422, "'object_key'"),
        ("POST", "Cart/state", {"object_key": "k", "new_state": []}, 422, "'new_state'"),
        ("POST", "Cart/state", {"object_key": "k", "new_state": {"n": 1}}, 422, "'new_state.n'"),
        (
            *("POST", "Cart/state", {"object_key": "k", "new_state": {"n": [256]}}, 422),
            "numbers from 0 to 255",
        ),
        ("POST", "Cart/state", {"object_key": "k", "new_state": {"n": [-1]}}, 422, "new_state.n"),
        ("POST", "Cart/state", {"object_key": "k", "new_state": {"n": ["1"]}}, 422, "new_state.n"),
        ("POST", "Cart/state", {"object_key": "k", "new_state": {"n": [1.5]}}, 422, "new_state.n"),
        ("POST", "Cart/state", {"object_key": "k", "new_state": {"n": None}}, 422, "new_state.n"),
        (
            *("POST", "Cart/state", {"object_key": "k", "new_state": {}, "version": 1}, 422),
            "'version' is invalid",
        ),
        (
            *("POST", "Cart/state", {"object_key": "k", "new_state": {}, "scope": "s"}, 400),
            "scopes are not offered",
        ),
        ("POST", "Cart/state", [], 422, "must be a JSON object such as"),
    ],
)
def test_a_bad_request(method: str, path: str, body: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(CART, announced())) as one:
            await ask.register(one.uri)
            options = {} if body is None else {"json": body}
            reply = await ask(method, f"/services/{path}", **options)
            assert (reply.status, reply.body["restate_code"]) == (status, None)
            assert words in reply.body["message"]

    run_bare(test())


def test_a_state_that_is_too_large_is_refused() -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(CART)) as one:
            await ask.register(one.uri)
            headers = {"content-type": "application/json"}
            data = b" " * (admin_state.MAX_STATE_BODY + 1)
            reply = await ask("POST", "/services/Cart/state", data=data, headers=headers)
            assert reply.status == 413
            assert str(admin_state.MAX_STATE_BODY) in reply.body["message"]

    run_bare(test())


# --- changing state, with an engine ------------------------------------------------------------


async def change(here: World, key: str, state: Any, **fields: Any) -> None:
    """Replace the state of a key of `Counter`."""
    body = {"object_key": key, "new_state": state, **fields}
    reply = await here.ask(
        "POST",
        f"{here.admin}/services/Counter/state",
        data=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert (reply.status, reply.body) == (202, b"")


async def state_of(here: World, key: str) -> Any:
    reply = await here.ask("GET", f"{here.admin}/services/Counter/state?key={key}")
    assert reply.status == 200
    return reply.json()


def test_state_is_replaced_as_a_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            assert await here.call("/Counter/k/add", 2) == 2
            await change(here, "k", {"total": [52, 48], "more": "é"})
            assert await here.call("/Counter/k/add", 2) == 42
            found = await state_of(here, "k")
            assert found["state"] == {"total": {"utf8": "42"}, "more": {"utf8": "é"}}
            await change(here, "k", {})
            assert (await state_of(here, "k"))["version"] == EMPTY
            assert await here.call("/Counter/k/add", 1) == 1

    run(test())


def test_a_change_may_insist_on_what_it_was_made_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            await change(here, "k", {"total": "5"}, version=EMPTY)
            version = (await state_of(here, "k"))["version"]
            await change(here, "k", {"total": "6"}, version=EMPTY)
            assert (await state_of(here, "k"))["state"] == {"total": {"utf8": "5"}}
            await change(here, "k", {"total": "6"}, version=version)
            assert await here.call("/Counter/k/add", 1) == 7

    run(test())


# --- unfinished invocations --------------------------------------------------------------------


def test_what_is_unfinished_of_a_service() -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(CART, announced())) as one:
            await ask.register(one.uri)
            writer = ask.world.writer
            assert (await ask("GET", "/services/Cart/status")).body == {
                "service": "Cart",
                "ty": "VirtualObject",
                "handlers": [{"name": "add", "counts": {}}],
                "keys": [],
            }
            for status in (Status.COMPLETED, Status.BACKING_OFF, Status.READY, Status.PENDING):
                writer.add_invocation("Cart", status, None)
            writer.connection.execute("UPDATE invocation SET handler = 'add' WHERE seq = 3")
            for key, seq in (("quiet", 2), ("busy", 3), ("busy", 4), ("busy", 9)):
                writer.connection.execute(
                    "INSERT INTO inbox (service, key, place, seq) VALUES ('Cart', ?, ?, ?)",
                    (key, seq, seq),
                )
            shown = (await ask("GET", "/services/Cart/status")).body
            two, three = (
                {
                    "invocation_id": ids.format_invocation(seq.to_bytes(24, "big")),
                    "handler": handler,
                    "status": status,
                    "created_at": "1970-01-01T00:00:00.000000000Z",
                }
                for seq, handler, status in ((2, "buy", "backing-off"), (3, "add", "ready"))
            )
            assert shown["handlers"] == [
                {"name": "add", "counts": {"ready": 1}, "oldest": three},
                # A handler that the newest revision has not, but somebody waits for.
                {"name": "buy", "counts": {"backing-off": 1, "pending": 1}, "oldest": two},
            ]
            assert shown["keys"] == [
                {"key": "busy", "pending": 2, "holder": three},
                {"key": "quiet", "pending": 0, "holder": two},
            ]
            plain = (await ask("GET", "/services/Shop/status")).body
            assert (plain["ty"], plain["handlers"][0]["counts"]) == ("Service", {})

    run_bare(test())
