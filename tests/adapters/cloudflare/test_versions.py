"""Requests finish on the version of a Worker that began them: two versions of one Worker under the
real runtime, an engine in a process of its own, and a Cloudflare without an account between them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from steadfaas.testing import Refused, SteadfaasEngine
from steadfaas.testing.cloudflare import ACCOUNT, FakeCloudflare
from tests.support import npm, workers

# Long enough to release the next version meanwhile, or to delete the old one (milliseconds).
NAP = 4000
PATIENCE_SECONDS = 40.0
CLIENT_ID, CLIENT_SECRET = "planted-client-id.access", "planted-client-secret-7d0c2f"
TOKEN = "planted-api-token-91b5aa"


@dataclass(frozen=True, slots=True)
class Runtimes:
    """Where the two versions run."""

    v1: str
    v2: str


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtimes]:
    """Both versions, running; skips the test, with the reason, where workerd cannot be had."""
    parts = npm.install_workers()
    if isinstance(parts, npm.Unavailable):
        pytest.skip(f"workerd: {parts.reason}")
    folder = tmp_path_factory.mktemp("workers")
    bundles = [workers.bundled(parts, folder / version, version) for version in ("v1", "v2")]
    with (
        workers.WorkerProcess(folder / "run1", parts, bundles[0]) as first,
        workers.WorkerProcess(folder / "run2", parts, bundles[1]) as second,
    ):
        yield Runtimes(first.url, second.url)


@pytest.fixture
def cloudflare(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudflare]:
    """The account, whose hosts the engine finds here."""
    with FakeCloudflare(token=TOKEN) as fake:
        for name, value in fake.env().items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def engine(cloudflare: FakeCloudflare, tmp_path: Path) -> Iterator[SteadfaasEngine]:
    """An engine that knows nothing yet."""
    with SteadfaasEngine(tmp_path / "engine") as engine:
        yield engine


@pytest.mark.e2e
def test_each_request_ends_on_the_version_that_began_it(
    runtimes: Runtimes, cloudflare: FakeCloudflare, engine: SteadfaasEngine
) -> None:
    v1 = cloudflare.upload("shop", runtimes.v1)
    first = engine.deploy(cloudflare.url("shop", v1))
    old = engine.send("Shop/order", NAP)
    _until(lambda: old.status == "suspended")

    v2 = cloudflare.upload("shop", runtimes.v2, tag="v2")
    second = engine.deploy(f"cloudflare:{ACCOUNT}/shop@latest")
    found = engine.admin("GET", f"/deployments/{second}")
    assert found["uri"] == f"{cloudflare.url('shop', v2)}/"
    assert found["evidence"] == "control-plane"
    assert found["facts"]["tag"] == "v2"
    assert engine.call("Shop/order", 0) == {"began": "v2", "ended": "v2"}
    assert old.result() == {"began": "v1", "ended": "v1"}
    assert old.deployments == {first}

    versions = json.loads(_steadfaas(engine, "adapters", "versions", "cloudflare:shop", "--json"))
    assert v1.id in json.dumps(versions)
    assert "is unchanged" in _steadfaas(engine, "deployments", "verify", first)
    _steadfaas(engine, "deployments", "retire", first, "--yes")
    assert list(cloudflare.workers["shop"].versions) == [v2.id]
    with pytest.raises(Refused, match="does not exist"):
        engine.admin("GET", f"/deployments/{first}")


@pytest.mark.e2e
def test_a_deleted_version_pauses_what_is_pinned_to_it(
    runtimes: Runtimes, cloudflare: FakeCloudflare, engine: SteadfaasEngine
) -> None:
    v1 = cloudflare.upload("shop", runtimes.v1)
    engine.deploy(cloudflare.url("shop", v1))
    lost = engine.send("Shop/order", NAP)
    _until(lambda: lost.status == "suspended")
    cloudflare.delete("shop", v1)
    cloudflare.upload("shop", runtimes.v2)
    second = engine.deploy(f"cloudflare:{ACCOUNT}/shop@latest")

    _until(lambda: lost.status == "paused")
    failure = lost.describe()["last_failure"]
    assert failure["restate_code"] == "SF0003"
    assert f"no version {v1.id} of the Worker 'shop'" in failure["message"]

    query = f"deployment={second}"
    checked = engine.admin("POST", f"/invocations/{lost.id}/check?{query}")
    assert checked["verdict"] == "compatible"
    engine.admin("PATCH", f"/invocations/{lost.id}/resume?{query}")
    assert lost.result() == {"began": "v1", "ended": "v2"}


@pytest.mark.e2e
def test_versions_that_are_switched_off_wait_until_they_are_on_again(
    runtimes: Runtimes, cloudflare: FakeCloudflare, tmp_path: Path
) -> None:
    v1 = cloudflare.upload("shop", runtimes.v1)
    settings = {"retry_initial_interval": "50ms", "retry_max_interval": "200ms"}
    with SteadfaasEngine(tmp_path / "engine", **settings) as engine:
        engine.deploy(cloudflare.url("shop", v1))
        cloudflare.switch("shop", previews_enabled=False)
        waiting = engine.send("Shop/order", 0)
        _until(lambda: waiting.status == "backing-off")
        failure = waiting.describe()["last_failure"]
        assert failure["restate_code"] == "SF0004"
        assert "switched off, all of them at once" in failure["message"]
        cloudflare.switch("shop", previews_enabled=True)
        assert waiting.result() == {"began": "v1", "ended": "v1"}


@pytest.mark.e2e
def test_secrets_open_doors_and_are_nowhere_to_be_read(
    runtimes: Runtimes,
    cloudflare: FakeCloudflare,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("SHOP_CLIENT_SECRET", CLIENT_SECRET)
    cloudflare.access = (CLIENT_ID, CLIENT_SECRET)
    url = cloudflare.url("shop", cloudflare.upload("shop", runtimes.v1))
    seen: list[object] = []
    with SteadfaasEngine(tmp_path / "engine", retry_max_attempts="2") as engine:
        with pytest.raises(Exception, match="Cloudflare Access asks for a login") as shut:
            engine.deploy(url)
        seen.append(str(shut.value))
        body = {"target": url, "protection": ["env:SHOP_CLIENT_ID", "env:SHOP_CLIENT_SECRET"]}
        id = engine.admin("POST", "/deployments", body)["id"]
        seen.append(engine.call("Shop/order", 0))
        # The lock is changed: what the engine knows opens nothing any more.
        cloudflare.access = ("another", "token")
        shut_out = engine.send("Shop/order", 0)
        _until(lambda: shut_out.status in ("paused", "completed"))
        failure = shut_out.describe()
        assert "Cloudflare Access" in json.dumps(failure)
        # The API's token is no good any more either.
        cloudflare.token = "another"
        with pytest.raises(Exception, match="Check the token") as refused:
            engine.deploy(f"cloudflare:{ACCOUNT}/shop@latest")
        seen += [failure, str(refused.value), engine.admin("GET", f"/deployments/{id}")]
        seen += [_rows(engine, table) for table in ("sys_deployment", "sys_invocation")]
    written = b"".join(path.read_bytes() for path in engine.folder.rglob("*") if path.is_file())
    assert b"SHOP_CLIENT_SECRET" in written  # the search finds what is there
    assert len(written) > 10_000
    for secret in (CLIENT_ID, CLIENT_SECRET, TOKEN):
        assert secret not in json.dumps(seen)
        assert secret.encode() not in written


def _steadfaas(engine: SteadfaasEngine, *words: str) -> str:
    """What the command line prints, run with the variables of this test."""
    done = subprocess.run(
        [sys.executable, "-m", "steadfaas", *words],
        env={**os.environ, "STEADFAAS_ADMIN_URL": engine.admin_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _rows(engine: SteadfaasEngine, table: str) -> object:
    request = urllib.request.Request(
        f"{engine.admin_url}/query",
        json.dumps({"query": f"SELECT * FROM {table}"}).encode(),
        {"content-type": "application/json", "accept": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        rows = json.load(answer)["rows"]
    assert rows
    return rows


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
