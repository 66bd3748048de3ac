"""`steadfaas dev` as a user has it: real engine, real uvicorn, the official SDK, kills."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steadfaas.cli.dev.ports import LOOPBACK, free_port, is_free
from steadfaas.testing.engine import SteadfaasEngine
from tests.dev.program import Dev, Program, resolve
from tests.dev.system import gone, occupied, until, wait_gone
from tests.support import client

pytestmark = pytest.mark.e2e


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "program")


@pytest.fixture
def dev(program: Program, steadfaas_engine: SteadfaasEngine) -> Iterator[Dev]:
    with Dev(program.folder, steadfaas_engine.admin_url) as running:
        yield running


def deployments(engine: SteadfaasEngine) -> dict[str, str]:
    """The addresses of all deployments by version."""
    listed = engine.admin("GET", "/deployments")["deployments"]
    return {each["metadata"]["version"]: each["uri"] for each in listed}


def test_what_began_on_a_version_ends_on_it(
    program: Program, steadfaas_engine: SteadfaasEngine, dev: Dev
) -> None:
    engine = steadfaas_engine
    first = dev.serving()
    early = engine.send("Greeter/greet", "Ada")
    version, awakeable = dev.waits("Ada")
    assert version == first
    [pid] = dev.pids()

    program.save("v2")
    second = dev.serving()
    assert engine.call("Greeter/version") == "v2 v2 you"
    late = engine.send("Greeter/greet", "Bob")
    assert dev.waits("Bob")[0] == second
    assert dev.wait("waiting", first)["unfinished"] == 1

    program.save("v3", more="this is no Python")
    failed = dev.wait("failed")
    assert failed["exit_code"] == 1
    assert "SyntaxError" in failed["output"][-1]
    assert engine.call("Greeter/version") == "v2 v2 you", "goes on serving"

    program.save("v1")
    assert dev.wait("promoted")["version"] == first
    assert engine.call("Greeter/version") == "v1 v1 you"
    assert len([each for each in dev.events if each["event"] == "started"]) == 3
    assert not gone(pid)

    program.save("v2")
    assert dev.wait("promoted")["version"] == second
    resolve(engine.ingress_url, awakeable)
    assert early.result() == "v1 v1 Ada", "also the module that it had not loaded yet"
    dev.wait("drained", first)
    wait_gone({pid})
    assert set(deployments(engine)) == program.kept == {second}
    assert late.deployments == {dev.wait("promoted", second)["id"]}


def test_a_kill_loses_nothing(program: Program, steadfaas_engine: SteadfaasEngine) -> None:
    engine = steadfaas_engine
    with Dev(program.folder, engine.admin_url) as dev:
        first = dev.serving()
        early = engine.send("Greeter/greet", "Ada")
        _, awakeable = dev.waits("Ada")
        program.save("v2")
        second = dev.serving()
        late = engine.send("Greeter/greet", "Bob")
        _, other_awakeable = dev.waits("Bob")
        dev.wait("waiting", first)
        before = deployments(engine)
        dev.kill()
        wait_gone(dev.pids())
    resolve(engine.ingress_url, awakeable)
    until("an attempt that meets nobody", lambda: early.status == "backing-off")

    program.save("v3")
    with Dev(program.folder, engine.admin_url) as dev:
        third = dev.serving()
        assert early.result() == "v1 v1 Ada"
        assert engine.call("Greeter/version") == "v3 v3 you"
        dev.wait("drained", first)
        assert set(deployments(engine)) == program.kept == {second, third}
        assert deployments(engine)[second] == before[second], "where it was"
        dev.kill()

    port = int(before[second].rstrip("/").rpartition(":")[2])
    with occupied(port), Dev(program.folder, engine.admin_url) as dev:
        assert dev.serving() == third
        dev.wait("moved", second)
        assert deployments(engine)[second] != before[second]
        resolve(engine.ingress_url, other_awakeable)
        assert late.result() == "v2 v2 Bob"
        dev.wait("drained", second)


def test_a_version_whose_snapshot_is_gone(
    program: Program, steadfaas_engine: SteadfaasEngine
) -> None:
    engine = steadfaas_engine
    with Dev(program.folder, engine.admin_url) as dev:
        first = dev.serving()
        waiting = engine.send("Greeter/greet", "Ada")
        dev.waits("Ada")
    place = program.folder / ".steadfaas/dev/greeter" / first
    place.rename(program.folder.parent / "elsewhere")
    program.save("v2")
    with Dev(program.folder, engine.admin_url) as dev:
        dev.serving()
        text = dev.wait("missing", first)["text"]
        assert "1 invocation waits for it" in text
        words = text.partition("steadfaas invocations ")[2].split()
        assert words[:2] == ["resume", "--pinned-to"]
        assert waiting.deployments == {words[2]}


def test_the_engine_is_restarted_and_loses_its_data(
    program: Program, tmp_path: Path, steadfaas_engine: SteadfaasEngine, dev: Dev
) -> None:
    version = dev.serving()
    steadfaas_engine.kill()
    dev.wait("engine-away")
    data = steadfaas_engine.folder / "data"
    data.rename(tmp_path / "lost")
    steadfaas_engine.start()
    dev.wait("engine-back")
    dev.wait("forgotten")
    assert dev.serving() == version
    assert steadfaas_engine.call("Greeter/version") == "v1 v1 you"


def test_a_command_with_its_own_engine(program: Program) -> None:
    admin, ingress = (free_port(()) for _ in range(2))
    urls = [f"http://{LOOPBACK}:{port}" for port in (admin, ingress)]
    words = (
        *("--up", "--name", "greeter", "--"),
        *(sys.executable, "-m", "uvicorn", "greeter:app", "--port", "{port}"),
    )

    def run() -> Dev:
        return Dev(program.folder, urls[0], *words, STEADFAAS_INGRESS=f"{LOOPBACK}:{ingress}")

    with run() as dev:
        version = dev.serving()
        sent = client.post_json(urls[1], "/Greeter/greet/send", "Ada").json()
        _, awakeable = dev.waits("Ada")
        assert dev.interrupt() == 0
        assert dev.wait("rest", version)["unfinished"] == 1
        dev.wait("bye")
        wait_gone(dev.pids())
        until("the end of its engine", lambda: is_free(admin))
    with run() as dev:
        assert dev.serving() == version
        resolve(urls[1], awakeable)
        path = f"/restate/invocation/{sent['invocationId']}/attach"
        reply = client.request("GET", urls[1], path, timeout=30.0)
        assert reply.json() == "v1 v1 Ada"
        dev.interrupt()
        assert "bye" not in [each["event"] for each in dev.events], "nothing waits"


def test_no_engine_is_worth_another_try(program: Program) -> None:
    url = f"http://{LOOPBACK}:{free_port(())}"
    with Dev(program.folder, url) as dev:
        code, said = dev.wait_end()
    assert code == 75
    assert f"No answer from the admin API at {url}" in said
    assert "With --up, this command runs one itself." in said


def test_two_of_them_in_one_folder(
    program: Program, steadfaas_engine: SteadfaasEngine, dev: Dev
) -> None:
    dev.serving()
    with Dev(program.folder, steadfaas_engine.admin_url) as second:
        code, said = second.wait_end()
    assert code == 75
    assert "runs 'greeter' in this folder" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("greeter",), "Write greeter:app"),
        (("greeter:app", "--watch", "/"), "is not below"),
        (("greeter:app", "--watch", "nowhere"), "is no folder"),
        (("greeter:app", "--name", "../x"), "is not made of letters"),
        ((), "Missing argument"),
    ],
)
def test_wrong_words(
    program: Program, words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from steadfaas.cli import app

    monkeypatch.chdir(program.folder)
    done = CliRunner().invoke(app, ["dev", *words])
    assert done.exit_code == 2
    assert says in " ".join(done.output.replace("│", " ").split())
    assert not (program.folder / ".steadfaas").exists()
