"""Starts and ends: nothing is left behind, whoever ends and however."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from steadfaas.testing import LocalLambda
from steadfaas.testing.local_lambda import NotUsable, local
from steadfaas.testing.local_lambda.names import Place
from steadfaas.testing.local_lambda.variables import of_clients
from tests.local_lambda.handlers import doing, saying
from tests.local_lambda.test_invoke import WAITING, Gate, result


def is_gone(process: int) -> bool:
    """Whether a process has ended. One that nobody reaped yet has."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def wait_until_gone(process: int) -> None:
    """Return when a process has ended; its end is the test's, or the test hangs."""
    while not is_gone(process):
        threading.Event().wait(0.005)


@pytest.mark.e2e
def test_closing_ends_what_runs_and_answers_it(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    lam = LocalLambda(account="222222222222")
    idle = result(lam, lam.publish(doing("return os.getpid()")))
    waiting = lam.publish(WAITING, name="waiting")
    failed: list[Any] = []
    caller = threading.Thread(
        target=lambda: failed.append(
            lam.client().invoke(FunctionName=waiting, Payload=json.dumps(gate.event))
        )
    )
    caller.start()
    gate.wait_for(1)
    lam.close()
    caller.join()
    assert failed[0]["FunctionError"] == "Unhandled"
    [busy] = [int(path.name[6:]) for path in tmp_path.glob("begun-*")]
    assert is_gone(idle)
    assert is_gone(busy)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(lam.endpoint_url.rpartition(":")[2])), 5)
    lam.close()


@pytest.mark.e2e
def test_a_reset_ends_all_processes(local_lambda: LocalLambda) -> None:
    process = result(local_lambda, local_lambda.publish(doing("return os.getpid()")))
    local_lambda.reset()
    assert is_gone(process)


@pytest.mark.e2e
def test_the_same_name_runs_other_code_after_a_reset(local_lambda: LocalLambda) -> None:
    for word in ("one", "two", "six"):
        assert result(local_lambda, local_lambda.publish(saying(word))) == word
        local_lambda.reset()


@pytest.mark.e2e
def test_two_instances_have_functions_of_their_own() -> None:
    with (
        LocalLambda(account="111111111111") as one,
        LocalLambda("us-east-1", account="222222222222") as two,
    ):
        first = one.publish(saying("one"), name="greeter")
        second = two.publish(saying("two"), name="greeter")
        assert first == "arn:aws:lambda:eu-central-1:111111111111:function:greeter:1"
        assert second == "arn:aws:lambda:us-east-1:222222222222:function:greeter:1"
        assert (result(one, first), result(two, second)) == ("one", "two")
        one.reset()
        assert result(two, second) == "two"


@pytest.mark.e2e
def test_logs_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    for _ in range(2):
        with LocalLambda(account="111111111111", logs=tmp_path) as lam:
            version = lam.publish(doing("print('said')"), name="sayer")
            result(lam, version)
            assert lam.logs(version) == "said\n"
            lam.reset()
            assert lam.logs(version) == ""
    kept = sorted((tmp_path / "sayer/1").iterdir())
    assert [path.read_text() for path in kept] == ["said\n"] * 2
    assert (tmp_path / "mine").exists()


@pytest.mark.e2e
def test_closing_while_a_process_starts_waits_for_nothing() -> None:
    lam = LocalLambda(account="111111111111")
    version = lam.publish(doing("time.sleep(600)"), timeout=900)
    asked = threading.Event()

    def call() -> None:
        functions = lam.client()
        asked.set()
        with contextlib.suppress(Exception):  # it may not even have arrived
            functions.invoke(FunctionName=version)

    caller = threading.Thread(target=call)
    caller.start()
    asked.wait()
    lam.close()
    caller.join()


def test_an_account_is_for_one_instance() -> None:
    with LocalLambda(account="111111111111"), pytest.raises(NotUsable, match="an account of its"):
        LocalLambda(account="111111111111")
    LocalLambda(account="111111111111").close()


def test_a_taken_port_leaves_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            LocalLambda(account="111111111111", port=taken.getsockname()[1])
    LocalLambda(account="111111111111").close()


def test_a_missing_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PARTS", ("moto", "no_such_part"))
    with pytest.raises(NotUsable, match=r"needs no_such_part.*'steadfaas\[testing\]'"):
        LocalLambda(account="111111111111")


def test_other_systems_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotUsable, match="Linux"):
        LocalLambda(account="111111111111")


@pytest.mark.e2e
def test_a_caller_that_goes_away_stops_nothing(local_lambda: LocalLambda, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    version = local_lambda.publish(
        doing(*_body(WAITING), "open(event['go'] + '-seen', 'w').close()", "return 1")
    )
    url = f"{local_lambda.endpoint_url}/2015-03-31/functions/{version}/invocations"

    async def leave() -> None:
        async with aiohttp.ClientSession() as session:
            call = asyncio.create_task(session.post(url, json=gate.event))
            await asyncio.to_thread(gate.wait_for, 1)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call

    asyncio.run(leave())
    gate.open()
    while not (tmp_path / "go-seen").exists():
        threading.Event().wait(0.005)


def _body(files: dict[str, str]) -> list[str]:
    """The lines of a function's body, but for what it returns."""
    return [line.strip() for line in files["app.py"].splitlines()[2:-1]]


PARENT = """
import signal, sys
from steadfaas.testing import LocalLambda

code = '''
import os, subprocess
def handler(event, context):
    child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    return f"{os.getpid()} {child.pid}"
'''
lam = LocalLambda()
version = lam.publish({"app.py": code})
print(lam.client().invoke(FunctionName=version)["Payload"].read().decode(), flush=True)
if sys.argv[1] == "waits":
    signal.pause()
"""


@pytest.mark.e2e
@pytest.mark.parametrize("how", ["waits", "ends"])
def test_processes_die_with_a_parent_that_is_killed_or_forgets_them(how: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, how], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent:
        processes = [int(each) for each in json.loads(parent.stdout.readline()).split()]
        if how == "waits":
            assert not any(map(is_gone, processes))
            parent.kill()
    for process in processes:
        wait_until_gone(process)


@contextlib.contextmanager
def command(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`steadfaas local-lambda`, started, with the variables it told."""
    running = subprocess.Popen(
        [sys.executable, "-m", "steadfaas", "local-lambda", "--port", "0", *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    try:
        if "--json" in words:
            yield running, json.loads(running.stdout.readline())["env"]
        else:
            exported = len(of_clients(Place("eu-central-1", "123456789012"), ""))
            told = [running.stdout.readline().strip() for _ in range(2 + exported)]
            assert "# Lambda at http://127.0.0.1:" in told[0]
            yield (
                running,
                dict(line.removeprefix("export ").split("=", 1) for line in told[2:]),
            )
    finally:
        running.kill()
        running.wait()


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_command_serves_until_told_to_end(
    number: signal.Signals, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    from steadfaas.testing.local_lambda.archive import package

    with command("--region", "us-west-2", *words) as (running, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        functions = boto3.session.Session().client("lambda")
        created = functions.create_function(
            FunctionName="greeter",
            Role="arn:aws:iam::123456789012:role/local-lambda",
            Runtime="python3.12",
            Handler="app.handler",
            Code={"ZipFile": package(doing("return os.getpid()")).zip_file},
            Publish=True,
        )
        assert created["FunctionArn"].startswith("arn:aws:lambda:us-west-2:")
        answer = functions.invoke(FunctionName=created["FunctionArn"])
        process = int(answer["Payload"].read())
        assert running.stdout is not None
        line = running.stdout.readline()
        if words:
            report = json.loads(line)
            assert (report["version_arn"], report["cold_start"]) == (created["FunctionArn"], True)
        else:
            assert line.startswith("greeter:1 · ")
            assert line.endswith(" ms · cold start\n")
        running.send_signal(number)
        assert running.wait() == 0
        assert is_gone(process)


@pytest.mark.e2e
def test_the_command_says_what_keeps_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "steadfaas", "local-lambda", "--port", port],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port N" in done.stderr


def test_the_plugin_leads_clients_of_the_test_to_it(
    local_lambda: LocalLambda,
) -> None:
    assert os.environ["AWS_ENDPOINT_URL_LAMBDA"] == local_lambda.endpoint_url
    assert "AWS_PROFILE" not in os.environ
