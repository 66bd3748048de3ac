"""Statements in SQL from outside, and the processes that run them.

The processes are real ones. What they run is the stand-in of `tests.query`: it does on demand what
a database does by bad luck.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from steadfaas.errors import Overloaded, RequestError
from steadfaas.query.frames import Question
from steadfaas.servers.query import Limits, QueryPool, query_routes
from steadfaas.servers.query_pool import StatementRefused
from tests.house.checkout import ROOT
from tests.servers.admin_world import Admin, Reply, admin

pa = pytest.importorskip("pyarrow", reason="the extra 'sql' is not installed")

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
MIB = 1024 * 1024
DATABASE = Path("some.db").absolute()
STAND_IN = "tests.query.standin"
#: Long enough for a machine under load, so that no test meets it by accident.
AMPLE = Limits(time=60, memory=128 * MIB, rows=77, workers=2)


@pytest.fixture(autouse=True)
def _tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@contextlib.asynccontextmanager
async def pool(limits: Limits = AMPLE, **options: Any) -> AsyncIterator[QueryPool]:
    made = QueryPool(DATABASE, limits, **{"engine": STAND_IN, **options})
    try:
        yield made
    finally:
        await made.close()
    assert made.pids == []


@contextlib.asynccontextmanager
async def served(limits: Limits = AMPLE, **options: Any) -> AsyncIterator[tuple[QueryPool, Admin]]:
    async with pool(limits, **options) as made, admin(*query_routes(made)) as ask:
        yield made, ask


async def query(ask: Admin, statement: str, accept: str = JSON) -> Reply:
    return await ask("POST", "/query", json={"query": statement}, headers={"accept": accept})


def reading(ask: Admin, statement: str) -> contextlib.AbstractAsyncContextManager[Any]:
    """An answer that is there as soon as it begins."""
    return ask.session.post(
        f"{ask.base}/query", json={"query": statement}, headers={"accept": JSON}
    )


async def rows(made: QueryPool, statement: str) -> list[dict[str, Any]]:
    async with made.ask(Question(statement, JSON)) as pieces:
        content = b"".join([piece async for piece in pieces])
    found: list[dict[str, Any]] = json.loads(content)["rows"]
    return found


async def until(true: Callable[[], bool]) -> None:
    """Let everything else go on until it is so."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - processes set no events of ours
            await asyncio.sleep(0.005)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def run(test: Awaitable[None]) -> None:
    async def whole() -> None:
        await test

    asyncio.run(whole())


# --- over HTTP ---------------------------------------------------------------------------------


def test_answers_in_both_formats() -> None:
    async def test() -> None:
        async with served() as (_, ask):
            answer = await query(ask, "echo hello")
            said = {"said": "hello", "max_rows": 77, "at": str(Path("some.db").absolute())}  # noqa: ASYNC240
            assert (answer.status, answer.headers["content-type"]) == (200, JSON)
            assert answer.body == {"rows": [said]}
            for accept in ("*/*", f"{JSON}, text/plain", f"{JSON};q=1", "application/jsonl"):
                answer = await query(ask, "echo hello", accept)
                assert (answer.status, answer.headers["content-type"]) == (200, ARROW)
                assert pa.ipc.open_stream(answer.raw).read_all().to_pylist() == [said]

    run(test())


@pytest.mark.parametrize("prefix", ["", "/v2", "/v3", "/v4"])
def test_requests_that_are_none(prefix: str) -> None:
    async def test() -> None:
        async with served() as (made, ask):
            path = f"{prefix}/query"
            for options, status in (
                ({"data": '{"query": "echo"}', "headers": {"content-type": "text/plain"}}, 415),
                ({"data": "{", "headers": {"content-type": JSON}}, 400),
                ({"json": {}}, 422),
                ({"json": []}, 422),
                ({"json": {"query": 1}}, 422),
            ):
                answer = await ask("POST", path, **options)
                assert answer.status == status
                assert answer.body["message"]
                assert answer.body["restate_code"] is None
            assert (await ask("GET", path)).status == 405
            assert made.pids == []

    run(test())


def test_a_refused_statement_has_a_message_and_no_code() -> None:
    async def test() -> None:
        async with served() as (_, ask):
            for accept in (JSON, "*/*"):
                answer = await query(ask, "refuse 418 Datafusion error: no such thing", accept)
                assert answer.status == 418
                assert answer.body == {"message": "Datafusion error: no such thing"}

    run(test())


def test_too_many_statements_are_told_when_to_come_again() -> None:
    async def test() -> None:
        async with served(max_waiting=0) as (_, ask):
            answer = await query(ask, "echo")
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            assert "query_workers" in answer.body["message"]

    run(test())


def test_without_the_extra_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with served() as (made, ask):
            answer = await query(ask, "echo")
            assert answer.status == 501
            assert "pip install 'steadfaas[sql]'" in answer.body["message"]
            assert made.pids == []

    monkeypatch.setitem(sys.modules, "datafusion", None)
    run(test())


def test_a_long_answer_comes_in_pieces_and_whole() -> None:
    async def test() -> None:
        async with served() as (_, ask):
            answer = await query(ask, "rows 50000")
            assert [row["n"] for row in answer.body["rows"]] == list(range(50_000))
            assert answer.headers["transfer-encoding"] == "chunked"

    run(test())


def test_half_an_answer_does_not_look_like_a_whole_one() -> None:
    async def test() -> None:
        async with served() as (made, ask):
            async with reading(ask, "rows 200000") as answer:
                assert answer.status == 200
                await answer.content.read(1000)
                os.kill(made.pids[0], signal.SIGKILL)
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
            assert (await query(ask, "echo on")).status == 200

    run(test())


@pytest.mark.e2e
def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def test() -> None:
        short = Limits(time=1.5, memory=512 * MIB, workers=1)
        async with served(short) as (made, ask), reading(ask, "rows 200000") as answer:
            (pid,) = made.pids
            await until(lambda: not is_there(pid))
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()

    run(test())


@pytest.mark.e2e
def test_a_client_that_hangs_up_frees_its_process() -> None:
    async def test() -> None:
        async with served(Limits(time=60, memory=128 * MIB, workers=1)) as (made, ask):
            host, port = ask.base.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            body = b'{"query": "forever"}'
            writer.write(
                b"POST /query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                + f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await until(lambda: made.pids != [])
            (pid,) = made.pids
            writer.close()
            await until(lambda: made.pids == [] and not is_there(pid))
            assert (await query(ask, "echo free")).status == 200

    run(test())


# --- processes ---------------------------------------------------------------------------------


def test_processes_start_when_asked_and_are_used_again() -> None:
    async def test() -> None:
        async with pool() as made:
            assert made.pids == []
            await rows(made, "echo")
            (first,) = made.pids
            await rows(made, "echo")
            with pytest.raises(StatementRefused):
                await rows(made, "refuse 400 no")
            assert made.pids == [first]
            await asyncio.gather(*(rows(made, "echo") for _ in range(6)))
            assert first in made.pids
            assert len(made.pids) == 2

    run(test())


def test_a_statement_that_takes_too_long_is_ended() -> None:
    async def test() -> None:
        async with pool(Limits(time=0.2, memory=128 * MIB)) as made:
            with pytest.raises(StatementRefused, match=r"200ms \(setting query_time_limit\)") as no:
                await rows(made, "forever")
            assert no.value.status == 400
            assert made.pids == []

    run(test())


def test_an_answer_that_is_left_early_ends_its_process() -> None:
    async def test() -> None:
        async with pool() as made:
            async with made.ask(Question("rows 200000", JSON)) as pieces:
                assert await anext(pieces)
                (pid,) = made.pids
            assert made.pids == []
            await until(lambda: not is_there(pid))

    run(test())


def test_a_cancelled_statement_ends_its_process() -> None:
    async def test() -> None:
        async with pool() as made:
            task = asyncio.ensure_future(rows(made, "forever"))
            await until(lambda: made.pids != [])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert made.pids == []
            assert (await rows(made, "echo on"))[0]["said"] == "on"

    run(test())


def test_statements_wait_for_their_turn() -> None:
    async def test() -> None:
        async with pool(Limits(time=60, memory=128 * MIB, workers=1), max_waiting=1) as made:
            async with made.ask(Question("echo first", JSON)) as first:
                second = asyncio.ensure_future(rows(made, "echo second"))
                await asyncio.sleep(0)
                with pytest.raises(Overloaded):
                    await rows(made, "echo third")
                assert [piece async for piece in first]
                assert not second.done()
            assert (await second)[0]["said"] == "second"
            assert len(made.pids) == 1

    run(test())


def test_nobody_waits_longer_for_a_turn_than_a_statement_may_run() -> None:
    async def test() -> None:
        async with pool(Limits(time=0.3, memory=128 * MIB, workers=1)) as made:  # noqa: SIM117
            async with made.ask(Question("echo first", JSON)):
                with pytest.raises(Overloaded):
                    await rows(made, "echo second")

    run(test())


def test_a_process_that_is_not_asked_ends() -> None:
    async def test() -> None:
        async with pool(idle=0) as made:
            await rows(made, "echo")
            await until(lambda: made.pids == [])
            assert (await rows(made, "echo on"))[0]["said"] == "on"

    run(test())


def test_a_process_that_died_while_it_waited_is_replaced() -> None:
    async def test() -> None:
        async with pool() as made:
            await rows(made, "echo")
            (pid,) = made.pids
            os.kill(pid, signal.SIGKILL)
            # Not only gone: asyncio must have been told, which comes a moment later.
            await until(lambda: not any(process.running for process in made._processes))
            assert (await rows(made, "echo on"))[0]["said"] == "on"
            assert pid not in made.pids

    run(test())


def test_a_process_that_holds_much_is_replaced() -> None:
    async def test() -> None:
        async with pool() as made:
            await rows(made, "keep 90")
            assert made.pids == []
            await rows(made, "keep 90")

    run(test())


@pytest.mark.parametrize(
    ("statement", "status", "sentence"),
    [
        ("allocate 500", 400, r"more memory than 128 MiB \(setting query_memory_limit\)"),
        ("abort memory allocation of 5 bytes failed", 400, "query_memory_limit"),
        ("abort no reason", 500, r"ended its query process \(SIGABRT\)"),
        ("kill", 500, "killed from outside"),
        ("exit 3", 500, r"ended its query process \(exit code 3\)"),
    ],
)
def test_a_statement_that_ends_its_process_gets_an_answer(
    statement: str, status: int, sentence: str
) -> None:
    async def test() -> None:
        async with pool() as made:
            with pytest.raises(StatementRefused, match=sentence) as refused:
                await rows(made, statement)
            assert refused.value.status == status
            assert (await rows(made, "echo on"))[0]["said"] == "on"

    run(test())


def test_processes_that_do_not_start() -> None:
    async def test() -> None:
        async with pool(engine="tests.query.nowhere") as made:
            with pytest.raises(RequestError, match="did not start; see the log") as refused:
                await rows(made, "echo")
            assert refused.value.status == 500
            assert made.pids == []

    run(test())


def test_closing_ends_busy_and_idle_processes() -> None:
    async def test() -> None:
        async with pool() as made:
            await asyncio.gather(rows(made, "echo"), rows(made, "echo"))
            busy = asyncio.ensure_future(rows(made, "forever"))
            await asyncio.sleep(0)
            pids = made.pids
            await made.close()
            with pytest.raises(RequestError, match="shutting down"):
                await busy
            assert pids
            assert not any(map(is_there, pids))
            with pytest.raises(RequestError, match="shutting down") as refused:
                await rows(made, "echo")
            assert refused.value.status == 503

    run(test())


def test_the_route_is_an_operation_of_the_document() -> None:
    async def test() -> None:
        async with served() as (_, ask):
            document = (await ask("GET", "/openapi")).body
            assert set(document["paths"]["/query"]["post"]["responses"]["200"]["content"]) == {
                JSON,
                ARROW,
            }

    run(test())
