"""Work ends on the revision that began it, whatever the platform does meanwhile.

The engine and two revisions are real processes, the latter under Deno; the engine calls them by
their addresses on `deno.net`, over TLS.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from steadfaas.testing import SteadfaasEngine
from steadfaas.testing.deno import FakeDeno
from steadfaas.testing.engine import Sent
from steadfaas.testing.failures import Refused
from tests.support import npm
from tests.support.deno import DenoShop

pytestmark = pytest.mark.e2e

FIRST, SECOND = "first code", "second code"


@pytest.fixture(scope="module")
def codes(
    deno_parts: npm.DenoParts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The origins of both versions of the shop, running."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with (
        DenoShop(folders[0], deno_parts, FIRST) as first,
        DenoShop(folders[1], deno_parts, SECOND) as second,
    ):
        yield first.origin, second.origin


@pytest.fixture
def engine(platform: FakeDeno, tmp_path: Path) -> Iterator[SteadfaasEngine]:
    with SteadfaasEngine(tmp_path / "engine") as made:
        yield made


def test_it_ends_where_it_began(
    platform: FakeDeno, engine: SteadfaasEngine, codes: tuple[str, str]
) -> None:
    first = platform.deploy("shop", codes[0])
    old = engine.deploy("deno:acme/shop@production")
    assert engine.admin("GET", f"/deployments/{old}")["uri"] == first.url
    early = engine.send("Shop/order", {"item": "tea", "nap": 1500})
    until(early, "suspended")

    second = platform.deploy("shop", codes[1])  # production moves
    new = engine.deploy("deno:acme/shop@production")
    assert engine.admin("GET", f"/deployments/{new}")["uri"] == second.url
    late = engine.call("Shop/order", {"item": "jam", "nap": 1})
    assert late == [f"jam taken by {SECOND}", f"shipped by {SECOND}"]

    assert early.result() == [f"tea taken by {FIRST}", f"shipped by {FIRST}"]
    assert early.deployments == {old}


def test_a_version_that_was_deleted_pauses_what_needs_it(
    platform: FakeDeno, engine: SteadfaasEngine, codes: tuple[str, str]
) -> None:
    first = platform.deploy("shop", codes[0])
    old = engine.deploy(first.url)
    early = engine.send("Shop/order", {"item": "tea", "nap": 1500})
    until(early, "suspended")
    platform.delete(first)
    platform.deploy("shop", codes[1])
    new = engine.deploy("deno:acme/shop@production")

    until(early, "paused")
    failure = early.describe()["last_failure"]
    assert failure["restate_code"] == "SF0003"
    assert f"{first.id} of shop was deleted on 2026-11-29" in failure["message"]
    assert early.deployments == {old}

    # What the sentence advises.
    steadfaas(engine, "check", early.id, "--deployment", new)
    steadfaas(engine, "invocations", "resume", early.id, "--deployment", new, "--yes")
    assert early.result() == [f"tea taken by {FIRST}", f"shipped by {SECOND}"]


def test_a_disabled_version_is_waited_for(
    platform: FakeDeno, tmp_path: Path, codes: tuple[str, str]
) -> None:
    settings = {"retry_initial_interval": "100ms", "retry_max_interval": "200ms"}
    first = platform.deploy("shop", codes[0])
    with SteadfaasEngine(tmp_path / "engine", **settings) as engine:
        engine.deploy(first.url)
        early = engine.send("Shop/order", {"item": "tea", "nap": 1500})
        until(early, "suspended")
        platform.disable(first)
        until(early, "backing-off")
        failure = early.describe()["last_failure"]
        assert failure["restate_code"] == "SF0004"
        assert "Enable it again" in failure["message"]
        platform.disable(first, disabled=False)
        assert early.result() == [f"tea taken by {FIRST}", f"shipped by {FIRST}"]


def test_what_the_command_line_shows_and_ends(
    platform: FakeDeno, engine: SteadfaasEngine, codes: tuple[str, str]
) -> None:
    first = platform.deploy("shop", codes[0])
    old = engine.deploy(first.url)
    second = platform.deploy("shop", codes[1])
    engine.deploy(second.url)
    listed = steadfaas(engine, "adapters", "versions", "deno:acme/shop")
    assert re.search(rf"{second.id}.*production.*active", listed), listed
    assert re.search(rf"{first.id}.*{old}.*drained", listed), listed
    assert "is unchanged" in steadfaas(engine, "deployments", "verify", old)
    steadfaas(engine, "deployments", "retire", old, "--yes")
    assert first.deleted_at is not None


def test_the_token_is_nowhere(
    platform: FakeDeno, engine: SteadfaasEngine, codes: tuple[str, str]
) -> None:
    token = os.environ["STEADFAAS_DENO_TOKEN"]
    first = platform.deploy("shop", codes[0])
    old = engine.deploy(first.url)
    engine.call("Shop/order", {"item": "tea", "nap": 1})
    early = engine.send("Shop/order", {"item": "tea", "nap": 1500})
    until(early, "suspended")
    platform.delete(first)
    until(early, "paused")
    said = [
        engine.admin("GET", f"/deployments/{old}"),
        engine.admin("GET", "/deployments"),
        early.describe(),
        steadfaas(engine, "deployments", "describe", old),
    ]
    for target in ("deno:acme/none", "deno:acme/shop@aaaaaaaaaaaa", first.url + "x"):
        with pytest.raises(Refused) as refused:
            engine.deploy(target)
        said.append(refused.value)
    assert any(each.status == 200 for each in platform.asked), "the token was used"
    assert token not in repr(said)
    assert token not in engine.log_path.read_text()
    assert token not in stored(engine.folder)
    assert "Shop" in stored(engine.folder), "what is stored can be searched"


# Helpers.


def until(sent: Sent, status: str, seconds: float = 15.0) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while sent.status != status:
        assert time.monotonic() < end, f"not {status}: {sent.describe()}"
        time.sleep(0.02)


def steadfaas(engine: SteadfaasEngine, *words: str) -> str:
    """What a command prints. It must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "steadfaas", "--admin-url", engine.admin_url, *words],
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stored(folder: Path) -> str:
    """All rows of all tables, and the bytes of all files."""
    texts: list[Any] = []
    for path in (each for each in folder.rglob("*") if each.is_file()):
        raw = path.read_bytes()
        texts.append(raw.decode("latin-1"))
        if raw.startswith(b"SQLite format 3"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                texts += connection.iterdump()
    return "\n".join(texts)
