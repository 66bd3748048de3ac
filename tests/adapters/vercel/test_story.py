"""The whole story on a fake Vercel: pinned over a promotion, paused by a deletion, resumed; and no
secret is left anywhere.

The engine is a process of its own. It calls deployments at their real URLs, over TLS.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadfaas.cli import main
from steadfaas.testing import FakeVercel, Refused, Sent, SteadfaasEngine
from steadfaas.testing.vercel import FakeDeployment, FakeProject
from tests.adapters.vercel.sdk_server import PATH, served

pytestmark = pytest.mark.e2e

BYPASS = "bypass-4c81d0f7a2"
COMMIT = "3f2c91e0a1b2c3d4e5f60718293a4b5c6d7e8f90"


@pytest.fixture
def engine(
    vercel: FakeVercel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SteadfaasEngine]:
    """An engine that reaches the fake, and holds the secret of its protection."""
    for name, value in vercel.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHOP_BYPASS", BYPASS)
    with SteadfaasEngine(tmp_path / "engine", retry_initial_interval="100ms") as running:
        yield running


def register(engine: SteadfaasEngine, target: str, **fields: Any) -> dict[str, Any]:
    body = {"target": target, "protection": ["env:SHOP_BYPASS"], **fields}
    found: dict[str, Any] = engine.admin("POST", "/deployments", body)
    return found


def until(order: Sent, status: str, seconds: float = 30) -> dict[str, Any]:
    """What is known of an invocation, once it stands like this."""
    end = time.monotonic() + seconds
    while (found := order.describe())["status"] != status:
        assert time.monotonic() < end, f"{found['status']}: {found.get('last_failure')}"
        time.sleep(0.02)
    return found


def sql(engine: SteadfaasEngine, statement: str) -> str:
    """What a statement answers."""
    request = urllib.request.Request(
        f"{engine.admin_url}/query",
        json.dumps({"query": statement}).encode(),
        {"content-type": "application/json", "accept": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def steadfaas(engine: SteadfaasEngine, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """A command, which must end well."""
    monkeypatch.setattr(sys, "argv", ["steadfaas", *words])
    monkeypatch.setenv("STEADFAAS_ADMIN_URL", engine.admin_url)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (None, 0)


def test_pinned_paused_and_resumed(
    vercel: FakeVercel, engine: SteadfaasEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = vercel.project("shop")
    shop.bypass = BYPASS
    with served("v1") as one, served("v2") as two:
        first = _released(shop, one)
        v1 = register(engine, f"{first.url}{PATH}")
        assert v1["uri"] == f"{first.url}{PATH}"
        short, long = engine.send("Shop/order", 1.5), engine.send("Shop/order", 4.0)
        until(short, "suspended")
        until(long, "suspended")

        second = _released(shop, two)
        v2 = register(engine, f"vercel:acme/shop@production:{PATH}")
        assert v2["uri"] == f"{second.url}{PATH}"
        assert engine.call("Shop/order", 0.0) == ["v2", "v2"]
        assert short.result() == ["v1", "v1"]
        assert short.deployments == {v1["id"]}

        shop.delete(first)
        found = until(long, "paused")
        failure = found["last_failure"]
        assert failure["restate_code"] == "SF0003", found
        assert "DEPLOYMENT_NOT_FOUND" in failure["message"]
        outcomes = [each["outcome"] for each in found["attempts"]]
        assert outcomes.count("SF0003") == 1

        steadfaas(engine, monkeypatch, "check", long.id, "--deployment", v2["id"])
        words = ("invocations", "resume", long.id, "--deployment", v2["id"], "--yes")
        steadfaas(engine, monkeypatch, *words)
        assert long.result() == ["v1", "v2"]
    assert {each.host for each in vercel.called} == {first.host, second.host}


def test_versions_are_looked_after_from_the_command_line(
    vercel: FakeVercel,
    engine: SteadfaasEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = vercel.project("shop")
    with served("v1") as one, served("v2") as two:
        first = _released(shop, one)
        v1 = engine.deploy(f"{first.url}{PATH}")
        second = _released(shop, two)
        v2 = engine.deploy(f"vercel:acme/shop:{PATH}")
        steadfaas(engine, monkeypatch, "adapters", "versions", f"vercel:acme/shop:{PATH}", "--json")
        listed = json.loads(capsys.readouterr().out)["versions"]
        assert [(each["version"], each["deployment"]) for each in listed] == [
            (second.id, v2),
            (first.id, v1),
        ]
        steadfaas(engine, monkeypatch, "deployments", "verify", v1)
        steadfaas(engine, monkeypatch, "deployments", "retire", v1, "--yes")
    assert list(shop.deployments) == [second.id]
    assert [each["id"] for each in engine.admin("GET", "/deployments")["deployments"]] == [v2]


def test_a_deployment_that_is_built_can_be_registered_a_moment_later(
    vercel: FakeVercel, engine: SteadfaasEngine
) -> None:
    shop = vercel.project("shop")
    with served("v1") as origin:
        made = shop.deploy(origin, branch="main", commit=COMMIT, state="BUILDING")
        with pytest.raises(Refused, match="is BUILDING, so it cannot be called yet") as refused:
            engine.deploy(f"vercel:acme/shop@commit:3f2c91e:{PATH}")
        assert refused.value.status == 503
        shop.update(made, state="READY")
        assert engine.deploy(f"vercel:acme/shop@commit:3f2c91e:{PATH}").startswith("dp_")


def test_a_deletion_by_the_retention_policy_pauses(
    vercel: FakeVercel, engine: SteadfaasEngine
) -> None:
    shop = vercel.project("shop")
    with served("v1") as origin:
        made = _released(shop, origin)
        register(engine, f"{made.url}{PATH}")
        order = engine.send("Shop/order", 1.0)
        until(order, "suspended")
        shop.expire(made)
        failure = until(order, "paused")["last_failure"]
        assert failure["restate_code"] == "SF0003"
        assert "it can be restored on Vercel" in failure["message"]


def test_another_secret_takes_the_place_of_the_first(
    vercel: FakeVercel, engine: SteadfaasEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = vercel.project("shop")
    shop.bypass = BYPASS
    with served("v1") as origin:
        made = _released(shop, origin)
        path = f"/deployments/{register(engine, f'{made.url}{PATH}')['id']}"
        [(header, place)] = engine.admin("GET", path)["secret_headers"].items()
        assert place == "env:SHOP_BYPASS"
        wanted = {"protection": ["env:OTHER"], "secret_headers": {"x-b": "env:B"}}
        changed = engine.admin("PATCH", path, wanted)
        assert changed["secret_headers"] == {header: "env:OTHER", "x-b": "env:B"}
        words = ("deployments", "update", path.rpartition("/")[2], "--protection", "env:THIRD")
        steadfaas(engine, monkeypatch, *words, "--yes")
        assert engine.admin("GET", path)["secret_headers"] == {header: "env:THIRD"}
        with pytest.raises(Refused, match="'protection' is invalid"):
            engine.admin("PATCH", path, {"protection": [BYPASS]})


def test_no_secret_is_left_anywhere(vercel: FakeVercel, engine: SteadfaasEngine) -> None:
    pytest.importorskip("datafusion", reason="the extra 'sql' is not installed")
    shop = vercel.project("shop")
    shop.bypass = BYPASS
    said: list[str] = []
    with served("v1") as origin:
        made = _released(shop, origin)
        for refused in (  # protected; moved; unknown; a password
            {"target": f"{made.url}{PATH}"},
            {"target": "https://shop.vercel.app"},
            {"target": "vercel:acme/shop@branch:nowhere"},
            {"target": f"https://me:{BYPASS}@{made.host}"},
            {"target": f"{made.url}{PATH}", "protection": [BYPASS]},
            {"target": f"{made.url}{PATH}", "protection": ["env:SHOP_BYPASS"] * 2},
        ):
            with pytest.raises(Refused) as found:
                engine.admin("POST", "/deployments", refused)
            said.append(str(found.value))
        assert "--protection env:NAME" in said[0]
        register(engine, f"{made.url}{PATH}")
        order = engine.send("Shop/order", 0.5)
        until(order, "suspended")
        shop.bypass = "another"  # it was renewed on Vercel alone
        end = time.monotonic() + 30
        while "SF0004" not in (shown := json.dumps(order.describe())):
            assert time.monotonic() < end, shown
            time.sleep(0.02)
        said.append(shown)
        said += [json.dumps(engine.admin("GET", path)) for path in ("/deployments", "/services")]
        said += [
            sql(engine, f"SELECT * FROM {table}") for table in ("sys_deployment", "sys_invocation")
        ]
    engine.stop()
    said.append(engine.log_path.read_text(errors="replace"))
    answered = [text.encode() for text in said]
    stored = [each.read_bytes() for each in (engine.folder / "data").rglob("*") if each.is_file()]
    for searched in (answered, stored):
        assert any(b"SHOP_BYPASS" in text for text in searched), "the wrong places were searched"
    for secret in (BYPASS, vercel.token):
        assert not any(secret.encode() in text for text in answered + stored)


def _released(shop: FakeProject, origin: str) -> FakeDeployment:
    made = shop.deploy(origin, branch="main", commit=COMMIT, target="production")
    shop.promote(made)
    return made
