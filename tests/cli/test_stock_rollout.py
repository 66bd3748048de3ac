"""`plan`, `apply`, `gc`, `status` and `check` against the official server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steadfaas.cli import admin
from steadfaas.cli.apply import carried_out
from steadfaas.cli.exits import ExitCode
from steadfaas.cli.rollout.connect import connect
from steadfaas.cli.rollout.options import declared
from steadfaas.testing import LocalLambda
from tests.cli.stock import Http2Service, Stock, stock
from tests.support.npm import NpmParts
from tests.support.processes import SteadfaasServer

pytestmark = pytest.mark.e2e

TWO = """
[[deployments]]
name = "shop"
target = "{shop}"
metadata = {{ team = "web" }}

[[deployments]]
name = "greeter"
target = "lambda:Greeter@live"
keep = 0
"""
ONE = """
[[deployments]]
name = "shop"
target = "{shop}"
{more}
"""
SECRET = "nobody-may-see-this"


@pytest.fixture
def here(
    tmp_path: Path,
    npm_parts: NpmParts,
    local_lambda: LocalLambda,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stock]:
    """A new official server."""
    for variable in (admin.URL_VARIABLE, admin.FALLBACK_VARIABLE):
        monkeypatch.delenv(variable, raising=False)  # the file says where it is
    with stock(tmp_path, npm_parts, local_lambda) as made:
        yield made


def shop(here: Stock, version: str, more: str = "") -> None:
    """The file names this version of the shop."""
    here.write(ONE.format(shop=here.clerk.version("Shop", version), more=more))


# --- plan and apply ----------------------------------------------------------------------------


def test_apply_does_what_plan_shows_and_the_second_one_writes_nothing(here: Stock) -> None:
    first, uri = here.release("Greeter", "v1"), here.clerk.version("Shop", "v1")
    settings = '\n[services.Shop]\npublic = false\njournal_retention = "2d"'
    here.write(TWO.format(shop=uri) + settings + "\nretry = { max_attempts = 3 }")
    shown = here.run("plan").stdout
    assert f"register   shop  {uri}" in shown
    assert f"register   greeter  lambda:Greeter@live → {first}" in shown
    assert "note: this server takes retry policies from the code only" in shown
    assert here.deployments() == {}
    done = here.run("apply").stdout
    assert f"registered  greeter  {first}" in done
    assert "updated     Shop  settings (public, journal_retention)" in done
    known = here.deployments()
    assert known[uri]["metadata"] == {"team": "web", "steadfaas.name": "shop"}
    assert list(known) == [uri, first]
    service = here.service("Shop")
    assert (service["public"], service["journal_retention"]) == (False, "2d")
    before = here.everything()
    assert here.run("apply").stdout == "Unchanged: 2 deployments.\n"
    assert set(here.json("plan")["summary"]) == {"unchanged"}
    assert here.everything() == before


def test_both_engines_do_the_same_for_the_same_files(here: Stock, tmp_path: Path) -> None:
    private = "\n[services.Shop]\npublic = false"
    with SteadfaasServer(tmp_path, aws=here.local.env()) as server:
        ours = replace(here, server=server, file=tmp_path / "ours.toml")
        here.release("Greeter", "v1")
        for version, more, code in (
            ("v1", "", 0),
            ("v1", private, 0),
            ("short", "", 1),  # handlers are gone
            ("v2", private, 0),
            ("v1", "", 0),  # back again
            ("v1", "\n[services.None]\npublic = false", 1),  # nobody serves it
            ("v3", private.replace("Shop", "ShopDesk"), 0),
        ):
            for each in (here, ours):
                each.write(TWO.format(shop=here.clerk.version("Shop", version)) + more)
            for command in ("plan", "apply", "plan"):
                told = [_actions(each, command, code) for each in (here, ours)]
                assert told[0] == told[1], f"{command} {version} {more}"
            if not code:
                assert set(here.json("plan")["summary"]) == {"unchanged"}


def _actions(here: Stock, command: str, code: int) -> Any:
    """What a command says in JSON, without what differs between any two servers: ids, the words
    of refusals, and what the settings of a version have become before."""
    said = here.json(command, code=code)
    for step in said["deployments"]:
        del step["deployment_id"]
        step["error"] = step["error"] and step["error"]["code"]
        for difference in step["differences"]:
            difference.pop("changed", None)
    del said["server"]
    # A promotion renews the age there, and so the order.
    said["stays"] = sorted((each["uri"], each["why"]) for each in said["stays"])
    for done in said.get("done", ()):
        done.pop("details")
    return said


def test_a_saved_plan_is_applied_unless_the_world_has_moved(here: Stock, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    here.release("Greeter", "v1")
    here.write(TWO.format(shop=here.clerk.version("Shop", "v1")))
    here.run("plan", "--out", str(saved))
    second = here.release("Greeter", "v2")
    done = here.run("apply", "--plan", str(saved), code=1)
    assert "The world has moved since the plan was made, so nothing was done:" in done.stderr
    assert second in done.stderr
    assert here.deployments() == {}
    here.run("plan", "--out", str(saved))
    here.run("apply", "--plan", str(saved))
    assert second in here.deployments()
    done = here.run("apply", "--plan", str(saved), code=1)
    assert "action was register, is unchanged" in done.stderr


def test_rolling_back_is_applying_the_old_file(here: Stock) -> None:
    """A registration with force sets the settings back; those of the file are put there again."""
    more = "[services.Shop]\nabort_timeout = '5m'"
    shop(here, "v1", more)
    here.run("apply")
    assert here.call("/Shop/greet") == "v1"
    shop(here, "v2", more)
    here.run("apply")
    assert here.call("/Shop/greet") == "v2"
    held = here.send("/Shop/wait", until="suspended")
    shop(here, "v1", more)
    shown = here.run("plan").stdout
    assert "promote    shop" in shown
    assert "abort_timeout: 10m → 5m" in shown
    before = here.deployments()
    done = here.run("apply").stdout
    assert "promoted    shop" in done
    after = here.deployments()
    uri = here.clerk.version("Shop", "v1")
    assert after[uri]["metadata"] == before[uri]["metadata"]
    assert after[uri]["id"] == before[uri]["id"]
    assert here.service("Shop")["revision"] == 3
    assert here.service("Shop")["abort_timeout"] == "5m"
    assert here.call("/Shop/greet") == "v1"
    here.tell(here.clerk.awakeables()[-1], "go on")
    assert here.result(held) == "v2 was told go on"
    settled = here.everything()
    assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"
    assert here.everything() == settled


def test_several_at_once_end_like_one(here: Stock) -> None:
    admin.use(here.server.admin)
    for version in ("v1", "v2", "v1"):
        shop(here, version, "[services.Shop]\nabort_timeout = '5m'")
        wanted = declared(here.file, None)
        with ThreadPoolExecutor(8) as pool:
            codes = [pool.submit(carried_out, wanted, connect()) for _ in range(8)]
            assert {code.result() for code in codes} == {ExitCode.DONE}
        settled = here.everything()
        assert here.service("Shop")["abort_timeout"] == "5m"
        assert here.call("/Shop/greet") == version
        assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"
        assert here.everything() == settled


def test_lost_handlers_are_refused_though_the_server_would_take_them(here: Stock) -> None:
    shop(here, "v1")
    here.run("apply")
    asking = [here.send("/Shop/ask", what, until="suspended") for what in ("greet", "greet", "key")]
    version = here.deployments()[here.clerk.version("Shop", "v1")]["id"]
    shop(here, "short")
    before = here.everything()
    done = here.run("apply", code=1)
    assert "callers of 'Shop' lose handlers" in done.stdout
    assert f"! 2 invocations on {version} called Shop/greet" in done.stdout
    assert "called ShopDesk/gone" not in done.stdout, "a key only looks like it"
    assert here.everything() == before
    asking.append(here.send("/Shop/ask", "gone", until="suspended"))
    here.ask("POST", "/deployments", {"uri": here.clerk.version("Late", "v1"), "use_http_11": True})
    assert f"! 1 invocation on {version} called ShopDesk/gone" in here.run("plan", code=1).stdout
    [step] = here.json("plan", code=1)["deployments"]
    assert [(each["handler"], each["invocations"]) for each in step["callers"]] == [
        ("greet", 2),
        ("gone", 1),
    ]
    shop(here, "short", "breaking = true")
    here.run("apply")
    assert here.service("Shop")["revision"] == 2
    assert {here.status(id) for id in asking} == {"suspended"}


def test_what_the_server_cannot_change_is_said(here: Stock) -> None:
    uri = here.clerk.version("Shop", "v1")
    here.ask("POST", "/deployments", {"uri": uri, "use_http_11": True})
    shop(here, "v1", "keep = 0\n[services.Shop]\ninactivity_timeout = '2m'")
    before = here.everything()
    shown = here.run("plan").stdout
    assert "'gc' never takes it for a version of 'shop'" in shown
    assert "note: inactivity_timeout has no effect on request/response deployments" in shown
    assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"
    assert here.everything() == before


def test_code_that_may_change_is_registered_again_when_its_interface_did(here: Stock) -> None:
    here.write(
        '[[deployments]]\nname = "dev"\ntarget = "lambda:Dev@$LATEST"\ndev = true\n'
        '[services.Dev]\nabort_timeout = "5m"'
    )
    here.release("Dev", "v1")
    here.run("apply")
    settled = here.everything()
    here.release("Dev", "v2")
    assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"
    assert here.everything() == settled
    here.release("Dev", "v3", "extra")
    assert "+ handler extra" in here.run("plan").stdout
    here.run("apply")
    service = here.service("Dev")
    assert (service["revision"], service["abort_timeout"]) == (2, "5m")
    assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"


def test_endpoints_that_speak_http2_only_are_deployed_and_promoted(
    here: Stock, tmp_path: Path, npm_parts: NpmParts
) -> None:
    with (
        Http2Service(tmp_path / "first", npm_parts) as first,
        Http2Service(tmp_path / "second", npm_parts) as second,
    ):
        more = ("", "", 'headers = { x-a = "b" }\n[services.LongLived]\ninactivity_timeout = "2m"')
        for service, keys in zip((first, second, first), more, strict=True):
            here.write(ONE.format(shop=service.url, more=keys))
            here.run("apply")
            assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"
            known = here.deployments()[service.url]
            assert (known["http_version"], known["protocol_type"]) == ("HTTP/2.0", "BidiStream")
            assert here.service("LongLived")["deployment_id"] == known["id"]
            assert here.call("/LongLived/greet") == "hello"
        assert known["additional_headers"] == {"x-a": "b"}
        assert here.service("LongLived")["inactivity_timeout"] == "2m"


def test_what_cannot_be_reached_changes_nothing(here: Stock) -> None:
    here.write(ONE.format(shop="http://127.0.0.1:1/", more=""))
    done = here.run("apply", code=1)
    assert "unable to reach the remote endpoint" in done.stdout
    assert done.stdout.count("META0003") == 1
    assert here.deployments() == {}


# --- secrets -----------------------------------------------------------------------------------


def test_secrets_are_looked_up_on_this_machine_and_shown_nowhere(
    here: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = 'headers = { x-key = { env = "SHOP_KEY" }, x-plain = "plain" }'
    shop(here, "v1", more)
    for command in ("plan", "apply"):
        done = here.run(command, code=1)
        assert "the variable SHOP_KEY is not set on this machine" in done.output
    assert here.deployments() == {}

    outputs = []
    for value in (SECRET, SECRET + "-2"):
        monkeypatch.setenv("SHOP_KEY", value)
        saved = tmp_path / "plan.json"
        outputs += [
            here.run("plan").output,
            here.run("plan", "--json").output,
            here.run("plan", "--markdown").output,
            here.run("plan", "--out", str(saved)).output,
            saved.read_text(),
            here.run("apply", "--json").output,
            here.run("apply").output,
            here.run("status", "--json").output,
        ]
        [known] = here.deployments().values()
        assert known["additional_headers"] == {"x-key": value, "x-plain": "plain"}
    assert "additional headers: x-plain, x-key" in outputs[8]
    rival = ONE.replace('"shop"', '"rival"').format(
        shop=here.clerk.version("Shop", "v1"), more=more
    )
    here.write(ONE.format(shop=here.clerk.version("Shop", "v1"), more=more) + rival)
    outputs += [here.run("plan", code=1).output, here.run("plan", "--json", code=1).output]
    assert "want. Only one of them can have it" in outputs[-2]
    assert not [text for text in outputs if SECRET in text]


# --- gc and status -----------------------------------------------------------------------------


def greeter(here: Stock, policy: str = "keep = 0") -> None:
    """The file is about the function."""
    here.write(f'[[deployments]]\nname = "greeter"\ntarget = "lambda:Greeter@live"\n{policy}\n')


def test_gc_leaves_what_something_is_pinned_to_and_then_retires_it(here: Stock) -> None:
    greeter(here)
    first = here.release("Greeter", "v1")
    here.run("apply")
    held = here.send("/Greeter/wait", until="suspended")
    here.release("Greeter", "v2")
    done = here.run("apply")
    assert "retired" not in done.stdout
    id = here.deployments()[first]["id"]
    stays = f"stays    greeter  {id}  {first}: draining: 1 unfinished (1 suspended)"
    assert stays in here.run("gc", "--explain").stdout
    shown = here.run("status").stdout
    assert "1 draining" in shown
    assert held in shown
    [draining] = here.json("status")["draining"]
    assert (draining["deployment_id"], draining["unfinished"]) == (id, 1)
    assert draining["blockers"] == [held]
    assert here.on_lambda("Greeter") == ["1", "2"]

    here.tell(here.local.logs(first).partition("awakeable ")[2].split()[0], "go on")
    assert here.result(held) == "v1 was told go on"
    here.wait(lambda: here.status(held) == "completed")
    greeter(here, 'min_age = "1h"')
    assert "old, and it stays for 1h" in here.run("gc", "--explain").stdout
    greeter(here)
    assert f"would retire  greeter  {id}" in here.run("gc", "--dry-run").stdout
    assert f"retired  greeter  {id}" in here.run("gc").stdout
    assert first not in here.deployments()
    assert here.on_lambda("Greeter") == ["2"]
    assert here.call("/Greeter/greet") == "v2"
    assert "Retired 0 versions; 0 stay." in here.run("gc").stdout


def test_what_its_platform_still_needs_is_foreseen(here: Stock) -> None:
    greeter(here)
    first = here.release("Greeter", "v1")
    here.run("apply")
    here.release("Greeter", "v2")
    here.run("apply")
    here.local.alias("Greeter", "old", "1")
    assert here.json("plan")["retire"] == []
    assert f"{first}: drained, but version 1 of Greeter" in here.run("gc", "--explain").stdout
    assert here.run("apply").stdout == "Unchanged: 1 deployment.\n"
    here.local.alias("Greeter", "old", "2")
    here.run("gc")
    assert here.on_lambda("Greeter") == ["2"]


def test_an_attempt_that_has_stored_nothing_needs_its_version_too(
    here: Stock, tmp_path: Path
) -> None:
    shop(here, "v1", "keep = 0")
    here.run("apply")
    gate = tmp_path / "gate"
    held = here.send("/Shop/hold", str(gate), until="running")
    here.wait(lambda: here.rows(ATTEMPT.format(id=held)) != [])
    shop(here, "v2", "keep = 0")
    here.run("apply")
    [draining] = here.json("status")["draining"]
    assert (draining["blockers"], draining["drain"]["counts"]) == ([held], {"running": 1})
    assert "draining: 1 unfinished (1 running)" in here.run("gc", "--explain").stdout
    gate.touch()
    assert here.result(held) == "v1"
    here.wait(lambda: here.status(held) == "completed")
    assert "drained, platform keeps it" in here.run("gc", "--explain").stdout
    assert "drained, platform keeps it" in here.run("status").stdout
    assert len(here.deployments()) == 2


ATTEMPT = """
    SELECT id FROM sys_invocation
    WHERE id = '{id}' AND last_attempt_deployment_id IS NOT NULL AND pinned_deployment_id IS NULL
"""


def test_what_takes_new_requests_again_is_not_removed(
    here: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is promoted by somebody else between the plan and the retirement."""
    greeter(here)
    first = here.release("Greeter", "v1")
    here.run("apply")
    second = here.release("Greeter", "v2")
    here.run("apply")
    real = admin.ask

    def ask(method: str, path: str, *words: Any, **named: Any) -> Any:
        if method == "GET" and path.startswith("/deployments/"):
            monkeypatch.setattr(admin, "ask", real)
            here.ask("POST", "/deployments", {"arn": first, "force": True})
        return real(method, path, *words, **named)

    monkeypatch.setattr(admin, "ask", ask)
    done = here.run("gc")
    assert f"{first}: it is active: 0 unfinished" in done.stdout
    assert "takes the new requests of Greeter" in done.stdout
    assert set(here.deployments()) == {first, second}
    assert here.on_lambda("Greeter") == ["1", "2"]


def test_a_version_is_retired_by_hand_if_it_is_drained(here: Stock) -> None:
    here.write('[[deployments]]\nname = "greeter"\ntarget = "lambda:Greeter@live"')
    first = here.release("Greeter", "v1")
    here.run("apply")
    held = here.send("/Greeter/wait", until="suspended")
    id = here.deployments()[first]["id"]
    for state in ("active", "draining"):
        refused = here.plain("deployments", "retire", id, "--yes", code=1)
        assert f"{id} is not drained: {state}: 1 unfinished (1 suspended)" in refused.stderr
        here.release("Greeter", "v2")
        here.run("apply")
    here.ask("PATCH", f"/invocations/{held}/kill")
    here.wait(lambda: here.status(held) == "completed")
    assert f"Retired {first}" in here.plain("deployments", "retire", id, "--yes").stdout
    assert first not in here.deployments()
    assert "1" not in here.on_lambda("Greeter")


class Killed(BaseException):
    """The process is gone, as far as a test can tell."""


def test_killed_at_any_step_apply_and_gc_end_the_same(
    here: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after the change number `step`, and run again."""
    real = admin.ask
    for step in range(3):
        for after in (False, True):
            name = f"Greeter{step}{after}"
            here.write(
                f'[[deployments]]\nname = "{name}"\ntarget = "lambda:{name}@live"\nkeep = 0\n'
                f'[services.{name}]\nabort_timeout = "5m"'
            )
            here.release(name, "v1")
            here.run("apply")
            second = here.release(name, "v2")
            made = 0

            def ask(
                method: str,
                path: str,
                body: Any = None,
                *,
                _last: int = step + 1,
                _after: bool = after,
                **named: Any,
            ) -> Any:
                nonlocal made
                if method == "GET" or path == "/query" or (body or {}).get("dry_run"):
                    return real(method, path, body, **named)
                made += 1
                if made == _last and not _after:
                    raise Killed
                answer = real(method, path, body, **named)
                if made == _last:
                    raise Killed
                return answer

            monkeypatch.setattr(admin, "ask", ask)
            for command in ("apply", "gc"):
                with contextlib.suppress(Killed):
                    here.run(command)
            assert made > step
            monkeypatch.setattr(admin, "ask", real)
            for command in ("apply", "gc"):
                here.run(command)
            mine = [uri for uri in here.deployments() if f":{name}:" in uri]
            assert (mine, here.on_lambda(name)) == ([second], ["2"])
            assert here.service(name)["abort_timeout"] == "5m"


# --- check -------------------------------------------------------------------------------------


def test_check_says_what_is_missing(here: Stock) -> None:
    for words in (("Shop",), ("inv_1foAirY4KKzi6JKC23eTVeqJAh6l6iouQ0",)):
        done = here.plain("check", *words, code=1)
        assert "which this command needs. Only steadfaas does." in done.stderr
        assert "tries no other code on them" in done.stderr
