"""The client of the admin API: whom it asks, what it says about itself, what servers lack."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import app
from tests.cli import fake_admin
from tests.cli.fake_admin import DEPLOYMENT, INVOCATION, FakeAdmin


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAdmin]:
    for name in ("STEADFAAS_ADMIN_URL", "RESTATE_ADMIN_URL", "CI"):
        monkeypatch.delenv(name, raising=False)
    with fake_admin.serve() as fake:
        fake.answer("GET", "/services", 200, {"services": []})
        yield fake


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(app, list(words), env=env)


LIST = ("services", "list", "--json")


def test_the_address_is_taken_from_the_nearest_place(admin: FakeAdmin) -> None:
    nowhere = "ftp://nowhere"
    assert run(*LIST, RESTATE_ADMIN_URL=admin.url).exit_code == 0
    assert run(*LIST, RESTATE_ADMIN_URL=nowhere, STEADFAAS_ADMIN_URL=admin.url).exit_code == 0
    assert run("--admin-url", admin.url, *LIST, STEADFAAS_ADMIN_URL=nowhere).exit_code == 0
    assert len(admin.asked) == 3


@pytest.mark.parametrize(
    ("words", "env", "source"),
    [
        (("--admin-url", "x"), {}, "--admin-url"),
        ((), {"RESTATE_ADMIN_URL": "x"}, "RESTATE_ADMIN_URL"),
        ((), {"STEADFAAS_ADMIN_URL": "x"}, "STEADFAAS_ADMIN_URL"),
    ],
)
def test_a_wrong_address_is_blamed_on_its_source(
    admin: FakeAdmin, words: tuple[str, ...], env: dict[str, str], source: str
) -> None:
    done = run(*words, *LIST, **env)
    assert done.exit_code == 2
    assert f"{source} is 'x'" in done.stderr


def test_who_changes_something_says_who_it_is(admin: FakeAdmin) -> None:
    admin.answer("PATCH", f"/invocations/{INVOCATION}/pause", 200, None)
    assert run(*LIST, STEADFAAS_ADMIN_URL=admin.url).exit_code == 0
    done = run(
        "invocations", "pause", INVOCATION, STEADFAAS_ADMIN_URL=admin.url, LOGNAME="Jürgen\n"
    )
    assert done.exit_code == 0
    looked, changed = admin.asked
    assert "x-steadfaas-actor" not in looked.headers
    user, _, host = changed.headers["x-steadfaas-actor"].partition("@")
    assert user == "J?rgen?"
    assert host


ROUTES = [
    (("invocations", "describe", INVOCATION), "GET", f"/invocations/{INVOCATION}"),
    (("invocations", "list"), "GET", "/invocations"),
    (("invocations", "kill", "Greeter", "--yes"), "POST", "/invocations/batch"),
    (("check", INVOCATION), "POST", f"/invocations/{INVOCATION}/check"),
    (("deployments", "promote", DEPLOYMENT, "--yes"), "POST", f"/deployments/{DEPLOYMENT}/promote"),
    (("state", "get", "Cart", "a"), "GET", "/services/Cart/state"),
    (("services", "status", "Cart"), "GET", "/services/Cart/status"),
]


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(("words", "method", "route"), ROUTES)
def test_what_a_server_lacks_is_named(
    admin: FakeAdmin, words: tuple[str, ...], method: str, route: str, status: int
) -> None:
    admin.default = status, None
    admin.answer("GET", "/version", 200, {"version": "1.7.12"})
    done = run(*words, STEADFAAS_ADMIN_URL=admin.url)
    assert done.exit_code == 1
    assert f"(version 1.7.12) does not offer {method} {route}, which" in done.stderr
    assert "Only steadfaas does." in done.stderr
    assert "See '" not in done.stderr, "a list of things would not help"


def test_an_older_steadfaas_is_to_be_updated(admin: FakeAdmin) -> None:
    admin.default = 404, None
    admin.answer("GET", "/version", 200, {"version": "1.7.12+steadfaas.0.1.0"})
    done = run("sql", "SELECT 1", STEADFAAS_ADMIN_URL=admin.url)
    assert "update it" in done.stderr


def test_a_refusal_tells_the_next_step(admin: FakeAdmin) -> None:
    admin.answer("GET", "/services/Cart", 404, {"message": "no service 'Cart'"})
    done = run("services", "config", "view", "Cart", STEADFAAS_ADMIN_URL=admin.url)
    assert done.stderr == "Error: no service 'Cart'. See 'steadfaas services list'.\n"


def test_a_query_goes_out_as_it_is_and_comes_back_as_a_table(admin: FakeAdmin) -> None:
    rows = [{"id": "inv_1", "n": 3}, {"id": "inv_2", "done": True, "list": [1, "ü"]}]
    admin.answer("POST", "/query", 200, {"rows": rows})
    done = run("sql", "SELECT 1", STEADFAAS_ADMIN_URL=admin.url)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["id", "n", "done", "list"],
        ["inv_1", "3"],
        ["inv_2", "true", "[1,", '"ü"]'],
    ]
    [asked] = admin.asked
    assert asked.body == {"query": "SELECT 1"}
    assert asked.headers["accept"] == "application/json", "the server compares the whole value"
    as_json = run("sql", "SELECT 1", "--json", STEADFAAS_ADMIN_URL=admin.url)
    assert json.loads(as_json.stdout) == {"rows": rows}
    admin.answer("POST", "/query", 200, {"rows": []})
    assert run("sql", "SELECT 1", STEADFAAS_ADMIN_URL=admin.url).stdout == "No rows.\n"


def test_a_batch_that_breaks_off_tells_how_far_it_came(admin: FakeAdmin) -> None:
    """The second page is refused for a while; the first one has happened."""
    page = {"operation": "kill", "matched": 1, "done": 1, "accepted": 0, "refused": 0}
    admin.answer("POST", "/invocations/batch", 200, {**page, "refusals": [], "next": 7})
    admin.then("POST", "/invocations/batch", 503, {"message": "the store is busy"})
    done = run("invocations", "kill", "Greeter", "--yes", STEADFAAS_ADMIN_URL=admin.url)
    assert done.exit_code == 75
    assert done.stderr == "Error: kill: 1 done; then: the store is busy\n"
    assert [asked.body["after"] for asked in admin.asked] == [None, 7]


def test_waiting_outlasts_a_restart_of_the_server(admin: FakeAdmin) -> None:
    drain = {"state": "draining", "unfinished": 1, "counts": {"running": 1}, "active_services": []}
    drained = {**fake_admin.DESCRIBED, "drain": {**drain, "state": "drained", "unfinished": 0}}
    path = f"/deployments/{DEPLOYMENT}"
    admin.answer("GET", path, 200, {**fake_admin.DESCRIBED, "drain": drain})
    admin.then("GET", path, 503, None)
    admin.then("GET", path, 200, drained)
    wait = ("deployments", "wait", DEPLOYMENT, "--every", "1ms", "--json")
    done = run(*wait, STEADFAAS_ADMIN_URL=admin.url)
    assert (done.exit_code, len(admin.asked)) == (0, 3)
    assert json.loads(done.stdout) == drained
    admin.answer("GET", path, 503, None)
    assert run(*wait, STEADFAAS_ADMIN_URL=admin.url).exit_code == 75, "one try, not ten minutes"
    assert len(admin.asked) == 4
