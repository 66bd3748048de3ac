"""Statements in SQL beside a running engine: they end in time, see all, change nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import client
from tests.support.processes import EngineServer, PythonService, RestateServer, SteadfaasServer

pytestmark = pytest.mark.e2e

pytest.importorskip("datafusion", reason="the extra 'sql' is not installed")

JSON = "application/json"
FOREVER = "SELECT count(*) FROM generate_series(1, 1000000000000)"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def ask(server: EngineServer, statement: str, *, timeout: float = 60.0) -> client.Reply:
    """A statement and its answer in JSON."""
    body = json.dumps({"query": statement}).encode()
    headers = {"content-type": JSON, "accept": JSON}
    return client.request(
        "POST", server.admin, "/query", body=body, headers=headers, timeout=timeout
    )


def rows(server: EngineServer, statement: str) -> list[dict[str, Any]]:
    """The rows of an answer."""
    reply = ask(server, statement)
    assert reply.status == 200, reply.body
    found: list[dict[str, Any]] = reply.json()["rows"]
    return found


def children(pid: int) -> list[int]:
    """The processes that a process started and that have not ended."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def is_there(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_background(server: EngineServer, statement: str) -> threading.Thread:
    """Ask, and do not care for the answer."""

    def work() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(server, statement)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SteadfaasServer]:
    with SteadfaasServer(tmp_path, query_time_limit="2s", query_memory_limit="200MiB") as server:
        yield server


@linux_only
def test_a_statement_that_never_ends_is_ended_and_disturbs_nobody(engine: SteadfaasServer) -> None:
    assert children(engine.pid) == []
    assert rows(engine, "SELECT 1 AS one") == [{"one": 1}]
    asked = in_background(engine, FOREVER)
    slowest = 0.0
    while asked.is_alive():
        for base, path in ((engine.admin, "/health"), (engine.ingress, "/restate/health")):
            started = time.monotonic()
            assert client.request("GET", base, path).status == 200
            slowest = max(slowest, time.monotonic() - started)
    assert slowest < 1.0
    reply = ask(engine, FOREVER)
    assert reply.status == 400
    assert "took longer than 2s (setting query_time_limit)" in reply.json()["message"]
    until(lambda: children(engine.pid) == [])
    assert rows(engine, "SELECT 1 AS one") == [{"one": 1}]


@linux_only
def test_a_statement_that_needs_too_much_memory_is_refused(engine: SteadfaasServer) -> None:
    reply = ask(engine, "SELECT array_agg(value) FROM generate_series(1, 20000000)")
    assert reply.status == 400
    assert "query_memory_limit" in reply.json()["message"]


def test_too_many_rows_are_refused_and_not_cut(tmp_path: Path) -> None:
    with SteadfaasServer(tmp_path, query_max_rows="10") as engine:
        assert len(rows(engine, "SELECT * FROM generate_series(1, 10)")) == 10
        reply = ask(engine, "SELECT * FROM generate_series(1, 11)")
        assert reply.status == 400
        assert "LIMIT" in reply.json()["message"]


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{file}'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO sys_service (name) VALUES ('x')",
        "DELETE FROM state",
        "UPDATE state SET key = 'x'",
        "DROP TABLE state",
        "SET datafusion.execution.batch_size = 1",
        "ATTACH DATABASE '{file}' AS x",
        "PRAGMA writable_schema = 1",
        "SELECT 1; DROP TABLE state",
    ],
)
def test_statements_touch_no_files_and_change_nothing(
    engine_of_all: SteadfaasServer, statement: str, tmp_path: Path
) -> None:
    reply = ask(engine_of_all, statement.format(file=tmp_path / "out"))
    assert reply.status in (400, 500)
    assert reply.json()["message"].startswith("Datafusion error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def engine_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteadfaasServer]:
    with SteadfaasServer(tmp_path_factory.mktemp("query")) as server:
        yield server


@linux_only
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_query_processes_end_with_the_engine(tmp_path: Path, end: str) -> None:
    """Busy ones and idle ones, whether the engine is asked to end or killed."""
    with SteadfaasServer(tmp_path) as engine:
        in_background(engine, FOREVER)
        in_background(engine, FOREVER)
        until(lambda: len(children(engine.pid)) == 2)
        processes = children(engine.pid)
        if end == "stop":
            started = time.monotonic()
            assert engine.stop() == 0
            assert time.monotonic() - started < 8
        else:
            _kill_alone(engine)
        until(lambda: not any(map(is_there, processes)))


def _kill_alone(engine: SteadfaasServer) -> None:
    """Kill the engine and not its group, as the kernel would."""
    os.kill(engine.pid, signal.SIGKILL)


@linux_only
def test_a_long_answer_passes_through_and_is_not_kept(tmp_path: Path) -> None:
    statement = "SELECT value, repeat('x', 200) AS text FROM generate_series(1, 300000)"
    with SteadfaasServer(tmp_path) as engine:
        rows(engine, "SELECT 1")
        before = _peak(engine.pid)
        assert len(ask(engine, statement).body) > 60_000_000
        assert _peak(engine.pid) - before < 30_000


def _peak(pid: int) -> int:
    """The most memory a process has held, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# --- beside the real server --------------------------------------------------------------------

#: Requests whose journals both servers show; together they issue most kinds of commands.
CALLS = [
    ("/Basic/threeSteps", '"x"'),
    ("/Basic/sleepy", ""),
    ("/Basic/callOther", '"x"'),
    ("/Basic/sendOther", '"journal"'),
    ("/Basic/callTerminal", '{"code":418,"message":"tea"}'),
    ("/Counter/journal/add", "2"),
    ("/Counter/journal/clear", ""),
    ("/LazyCounter/journal/add", "2"),
    ("/LazyCounter/journal/keys", ""),
    ("/Signup/journal/verify", '"word"'),
    ("/Signup/journal/run", '"a@b"'),
    ("/Signup/journal/status", ""),
]
_COLUMNS = ("index", "entry_type", "name", "version", "raw_length", "entry_json", "entry_lite_json")


def test_journals_are_shown_as_the_real_server_shows_them(
    tmp_path: Path, restate_server: RestateServer, python_service: PythonService
) -> None:
    with SteadfaasServer(tmp_path) as engine:
        for server in (engine, restate_server):
            server.register(python_service)
        for path, body in CALLS:
            ours, theirs = (_journal(server, path, body) for server in (engine, restate_server))
            assert ours == theirs, path


def _journal(server: EngineServer, path: str, body: str) -> list[str]:
    headers = {"content-type": JSON} if body else {}
    reply = client.request(
        "POST", server.ingress, path, body=body.encode() or None, headers=headers
    )
    id = reply.headers["x-restate-id"]
    statement = f"SELECT * FROM sys_journal WHERE id = '{id}' ORDER BY index"
    # The real server shows the last entry a moment after it has answered.
    until(lambda: _is_whole(rows(server, statement)))
    return [_comparable(row) for row in rows(server, statement)]


def _is_whole(journal: list[dict[str, Any]]) -> bool:
    return journal != [] and journal[-1]["entry_type"] == "Command: Output"


def _comparable(row: dict[str, Any]) -> str:
    """An entry without the ids and times that differ from run to run."""
    text = json.dumps({name: row.get(name) for name in _COLUMNS})
    text = re.sub(r"\[(\d+(?:,\d+)*)\]", _as_text, text)
    text = re.sub(r"(inv|sign)_1[\w-]+", r"\1_…", text)
    return re.sub(r'(wake_up_time|invoke_time)\\":[1-9]\d*', r"\1", text)


def _as_text(array: re.Match[str]) -> str:
    return bytes(map(int, array[1].split(","))).decode()
