"""Commands against a fake admin API: what they ask, what they print, how they end."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import app, render
from tests.cli import fake_admin
from tests.cli.fake_admin import DEPLOYMENT, INVOCATION, MOMENT, OLDER, FakeAdmin


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAdmin]:
    with fake_admin.serve() as fake:
        monkeypatch.setenv("STEADFAAS_ADMIN_URL", fake.url)
        yield fake


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


# --- what is asked


def test_register_asks_for_what_was_said(admin: FakeAdmin) -> None:
    admin.answer("POST", "/deployments", 201, fake_admin.REGISTERED)
    done = run(
        *("deployments", "register", "http://127.0.0.1:9080", "--breaking", "--dry-run"),
        *("--header", "x-team=blue", "--header", "authorization=Bearer a=b"),
        *("--metadata", "commit=3f2c"),
    )
    assert done.exit_code == 0, done.output
    [asked] = admin.asked
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == {
        "uri": "http://127.0.0.1:9080",
        "additional_headers": {"x-team": "blue", "authorization": "Bearer a=b"},
        "metadata": {"commit": "3f2c"},
        "use_http_11": True,
        "breaking": True,
        "force": False,
        "dry_run": True,
    }
    assert "Would register http://127.0.0.1:9080" in done.stdout
    assert DEPLOYMENT not in done.stdout, "the id of a dry run is thrown away"


def test_register_sends_an_arn_as_such(admin: FakeAdmin) -> None:
    admin.answer("POST", "/deployments", 201, fake_admin.REGISTERED)
    arn = "arn:aws:lambda:eu-central-1:123456789012:function:greeter:3"
    assert run("deployments", "register", arn, "--force").exit_code == 0
    body = admin.asked[0].body
    assert (body["arn"], body["force"]) == (arn, True)
    assert "uri" not in body
    assert "use_http_11" not in body


@pytest.mark.parametrize(
    ("flags", "path"),
    [((), f"/deployments/{DEPLOYMENT}"), (("--force",), f"/deployments/{DEPLOYMENT}?force=true")],
)
def test_remove_forces_only_when_told(admin: FakeAdmin, flags: tuple[str, ...], path: str) -> None:
    admin.answer("DELETE", path, 202, None)
    done = run("deployments", "remove", DEPLOYMENT, "--yes", *flags)
    assert (done.exit_code, done.stdout) == (0, f"Removed {DEPLOYMENT}\n")


def test_an_id_cannot_reach_another_route(admin: FakeAdmin) -> None:
    assert run("deployments", "remove", "../services?x", "--yes").exit_code == 1
    assert admin.asked[0].path == "/deployments/..%2Fservices%3Fx"


def test_a_path_in_the_address_is_kept(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFAAS_ADMIN_URL", admin.url + "/engines/one/")
    admin.answer("GET", "/engines/one/services", 200, {"services": []})
    assert run("services", "list").exit_code == 0


# --- what is printed


def test_register_prints_id_and_services(admin: FakeAdmin) -> None:
    admin.answer("POST", "/deployments", 201, fake_admin.REGISTERED)
    done = run("deployments", "register", "http://127.0.0.1:9080")
    assert done.stdout.splitlines() == [
        f"Registered http://127.0.0.1:9080 as {DEPLOYMENT}",
        "SERVICE  TYPE     REVISION  HANDLERS",
        "Greeter  Service  2         greet, wave",
    ]


def test_list_tells_who_takes_new_requests(admin: FakeAdmin) -> None:
    older = {**fake_admin.DESCRIBED, "id": OLDER, "services": [{"name": "Greeter", "revision": 1}]}
    newer = {**fake_admin.DESCRIBED, "services": [{"name": "Greeter", "revision": 2}]}
    admin.answer("GET", "/deployments", 200, {"deployments": [older, newer]})
    admin.answer("GET", "/services", 200, {"services": [fake_admin.SERVICE]})
    _, first, second = run("deployments", "list").stdout.splitlines()
    assert first.split() == [
        *(OLDER, "http://127.0.0.1:9080/", "-", "-", "-", "-"),
        *("Greeter", "(1)"),
    ], "a server without drain states does not tell what is needed"
    assert second.split()[2:] == ["active", "-", "-", "-", "Greeter", "(2)"]


def test_describe_shows_header_names_but_no_values(admin: FakeAdmin) -> None:
    admin.answer("GET", f"/deployments/{DEPLOYMENT}", 200, fake_admin.DESCRIBED)
    done = run("deployments", "describe", DEPLOYMENT)
    assert "authorization" in done.stdout
    assert "a-secret" not in done.stdout
    assert "commit=3f2c" in done.stdout


def test_services_list(admin: FakeAdmin) -> None:
    hidden = {**fake_admin.SERVICE, "name": "Audit", "public": False}
    admin.answer("GET", "/services", 200, {"services": [fake_admin.SERVICE, hidden]})
    _, first, second = run("services", "list").stdout.splitlines()
    assert first.split()[:3] == ["Audit", "Service", "no"]
    assert second.split()[:3] == ["Greeter", "Service", "yes"]


def test_an_invocation_shows_every_attempt(admin: FakeAdmin) -> None:
    attempts = [
        {
            "attempt": 1,
            "deployment_id": DEPLOYMENT,
            "started_at": MOMENT,
            "ended_at": MOMENT,
            "outcome": "RT0010",
        },
        {"attempt": 2, "deployment_id": DEPLOYMENT, "started_at": MOMENT},
    ]
    admin.answer(
        "GET",
        f"/invocations/{INVOCATION}",
        200,
        {
            "id": INVOCATION,
            "target": "Greeter/greet",
            "status": "running",
            "deployment_id": DEPLOYMENT,
            "created_at": MOMENT,
            "modified_at": MOMENT,
            "attempts": attempts,
            "last_failure": {
                "restate_code": "RT0010",
                "code": 500,
                "message": "network error\nand a second line",
            },
        },
    )
    lines = run("invocations", "describe", INVOCATION).stdout.splitlines()
    assert "last failure  RT0010 network error" in lines
    assert not any(line.startswith("next retry") for line in lines)
    assert lines[-2].split() == [
        *("1", DEPLOYMENT, "2026-11-23", "02:28:59", "2026-11-23", "02:28:59", "RT0010")
    ]
    assert lines[-1].split()[-2:] == ["-", "running"]


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("deployments", "list"), "/deployments", {"deployments": []}),
        (("services", "list"), "/services", {"services": []}),
        (("deployments", "describe", DEPLOYMENT), f"/deployments/{DEPLOYMENT}", {"id": "x"}),
        (("invocations", "describe", INVOCATION), f"/invocations/{INVOCATION}", {"id": "ü"}),
    ],
)
def test_json_is_the_servers_answer(
    admin: FakeAdmin, words: tuple[str, ...], path: str, body: dict[str, object]
) -> None:
    admin.answer("GET", path, 200, body)
    done = run(*words, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == body
    assert len(admin.asked) == 1, "a script waits for one answer only"


def test_an_empty_list_tells_the_next_step(admin: FakeAdmin) -> None:
    admin.answer("GET", "/deployments", 200, {"deployments": []})
    admin.answer("GET", "/services", 200, {"services": []})
    assert "deployments register TARGET" in run("deployments", "list").stdout
    assert "deployments register URL" in run("services", "list").stdout


def test_a_table_on_a_terminal_keeps_foreign_brackets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    render.print_table(("A", "B"), [("[red]x[/red]", "2")], empty="")
    assert "[red]x[/red]" in capsys.readouterr().out


# --- how it ends

REFUSALS = [
    (400, {"message": "no", "restate_code": None}, 1, "no"),
    (404, {"message": "gone", "restate_code": None}, 1, "gone"),
    (409, {"message": "[META0006] breaking", "restate_code": "META0006"}, 1, "META0006"),
    (500, {"message": "[META0003] unreachable", "restate_code": "META0003"}, 1, "META0003"),
    (501, None, 1, "501"),
    (415, "plain words", 1, "plain words"),
    (429, {"message": "too many", "restate_code": None}, 75, "Try again in 3 s"),
    (503, None, 75, "503"),
    (302, None, 1, "302"),
]


@pytest.mark.parametrize(("status", "body", "exit_code", "words"), REFUSALS)
def test_exit_codes(
    admin: FakeAdmin, status: int, body: object, exit_code: int, words: str
) -> None:
    admin.headers["retry-after"] = "3"
    admin.answer("POST", "/deployments", status, body)
    done = run("deployments", "register", "http://127.0.0.1:9080")
    assert done.exit_code == exit_code
    assert done.stdout == ""
    assert words in done.stderr


def test_a_refusal_as_json(admin: FakeAdmin) -> None:
    body = {"message": "[META0006] breaking", "restate_code": "META0006"}
    admin.answer("POST", "/deployments", 409, body)
    done = run("deployments", "register", "http://127.0.0.1:9080", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stderr) == {**body, "status": 409}


def test_no_engine_is_a_reason_to_try_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("STEADFAAS_ADMIN_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        done = run("services", "list")
    assert done.exit_code == 75
    assert "steadfaas up" in done.stderr


def test_what_is_no_admin_api_is_named(admin: FakeAdmin) -> None:
    admin.answer("GET", "/services", 200, "<html>")
    done = run("services", "list")
    assert done.exit_code == 1
    assert "not an admin API" in done.stderr


@pytest.mark.parametrize("url", ["localhost:9070", "ftp://x", "http://", "http://x:99999"])
def test_an_address_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFAAS_ADMIN_URL", url)
    done = run("services", "list")
    assert done.exit_code == 2
    assert "STEADFAAS_ADMIN_URL" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("deployments", "update", DEPLOYMENT, "--yes"),
        ("deployments", "update", DEPLOYMENT, "--header", "a=b", "--clear-headers", "--yes"),
        ("deployments", "wait", DEPLOYMENT, "--timeout", "10"),
        ("invocations", "list", "--limit", "0"),
        ("invocations", "restart-as-new", INVOCATION, "--from", "-1"),
        ("services", "config", "set", "Greeter"),
        ("state", "patch", "Cart", "a", "--set", "n"),
        ("deployments", "register"),
        ("deployments", "register", "http://x", "--header", "novalue"),
        ("deployments", "register", "http://x", "--metadata", "=value"),
        ("invocations", "describe"),
        ("up", "--ingress", "nowhere"),
        ("up", "--config", "missing.toml"),
    ],
)
def test_wrong_usage_ends_with_2(words: tuple[str, ...], tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert run(*words).exit_code == 2
    finally:
        os.chdir(before)


# --- help


def examples(*path: str) -> dict[tuple[str, ...], str]:
    """The example of each command below this group, by the command's words."""
    shown = run(*path, "--help").stdout
    names = re.findall(r"(?m)^  ([a-z-]+)  ", shown.partition("Commands:\n")[2])
    if not names:
        [example] = re.findall(r"(?m)^ +Example: steadfaas (.*)$", shown)
        return {path: example}
    return {words: found for name in names for words, found in examples(*path, name).items()}


def test_every_command_has_an_example_that_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each runs up to the admin API, which cannot be reached: nothing else is wrong with it."""
    monkeypatch.chdir(tmp_path)
    Path("steadfaas.toml").write_text('[[deployments]]\nname = "greeter"\ntarget = "lambda:x"\n')
    found = examples()
    assert len(found) > 30
    alone = (("up",), ("local-lambda",), ("adapters", "list"), ("adapters", "versions"))
    for each in (*alone, ("config", "schema"), ("config", "check")):
        del found[each]  # these do without an engine
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = ["--admin-url", f"http://127.0.0.1:{free.getsockname()[1]}"]
        for words, example in found.items():
            assert example.startswith(" ".join(words))
            line = [*nowhere, *shlex.split(example)]
            done = CliRunner().invoke(app, line, env={"CI": "true"})
            assert done.exit_code == 75, done.output
