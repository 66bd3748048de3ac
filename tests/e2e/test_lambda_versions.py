"""A thousand invocations finish on the Lambda version that began them, whatever happens meanwhile.

The engine is a real process; versions run their own code in processes of a local Lambda.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from steadfaas.testing import LocalLambda
from tests.support.lambda_orders import (
    FIRST_CODE,
    REPAIRED_CODE,
    SECOND_CODE,
    Code,
    Record,
    Shop,
    Version,
    judge,
)
from tests.support.processes import SteadfaasServer

MANY = 1000
NAP_SECONDS = 15.0
# The engine opens more calls than Lambda runs, so it is throttled all the time. Whatever counts as
# a failed attempt pauses the invocation: neither throttles nor crashes may.
CONCURRENCY = 4
SETTINGS = {"max_concurrency_per_deployment": "16", "retry_max_attempts": "1"}


@pytest.fixture
def local() -> Iterator[LocalLambda]:
    """A Lambda that holds nothing yet."""
    with LocalLambda(max_concurrency=CONCURRENCY) as local:
        yield local


@pytest.fixture
def engine(tmp_path: Path, local: LocalLambda) -> Iterator[SteadfaasServer]:
    """An engine that knows nothing yet."""
    with SteadfaasServer(tmp_path, aws=local.env(), **SETTINGS) as engine:
        yield engine


@pytest.mark.e2e
def test_a_thousand_in_flight_finish_on_their_version(
    local: LocalLambda, engine: SteadfaasServer, tmp_path: Path
) -> None:
    asyncio.run(_a_thousand(local, engine, tmp_path / "steps"))


async def _a_thousand(local: LocalLambda, engine: SteadfaasServer, log: Path) -> None:
    async with _shop(engine) as shop:
        first = await _release(shop, local, FIRST_CODE, log)
        old = await shop.send((f"old-{n}" for n in range(MANY)), NAP_SECONDS)
        await shop.until_begun(first, 60)

        second = await _release(shop, local, SECOND_CODE, log)
        sending = asyncio.create_task(shop.send(f"new-{n}" for n in range(MANY)))
        await asyncio.sleep(2)
        left = [await shop.unfinished(first)]
        await _crash(engine, while_down=lambda: local.alias("orders", "live", 1))
        new = await sending  # to version 2, although the alias points back
        local.alias("orders", "live", 2)
        await shop.until_unfinished(first, MANY * 2 // 3, 60)
        left.append(await shop.unfinished(first))
        await _crash(engine, while_down=lambda: local.alias("orders", "live", 1))
        local.alias("orders", "live", 2)
        await shop.until_unfinished(first, 0, 60)
        await shop.until_unfinished(second, 0, 60)

        records = await shop.records([*old.values(), *new.values()])
    lines = _read(log)
    verdicts = (judge(first, old, records, lines), judge(second, new, records, lines))
    for verdict in verdicts:
        assert not verdict.wrong, "\n".join(verdict.wrong[:10])
    outcomes = verdicts[0].outcomes + verdicts[1].outcomes
    print(f"on version 1 at the kills: {left}; attempts: {dict(outcomes)}")
    # Otherwise the kills would have come too early or too late.
    assert left[0] == MANY
    assert 0 < left[1] < MANY
    assert outcomes["interrupted"] > 0


@pytest.mark.e2e
def test_a_throttle_that_lasts_costs_no_attempt(
    local: LocalLambda, engine: SteadfaasServer, tmp_path: Path
) -> None:
    asyncio.run(_throttled(local, engine, tmp_path / "steps"))


async def _throttled(local: LocalLambda, engine: SteadfaasServer, log: Path) -> None:
    async with _shop(engine) as shop:
        first = await _release(shop, local, FIRST_CODE, log)
        orders = await shop.send(["patient"], seconds=1)
        [id] = orders.values()
        await _until(shop, id, "suspended", attempts=2)
        lambda_api = local.client()
        lambda_api.put_function_concurrency(FunctionName="orders", ReservedConcurrentExecutions=0)
        record = await _until(shop, id, "backing-off", attempts=3)
        assert record.attempts[-1]["outcome"] == "RT0023"
        lambda_api.delete_function_concurrency(FunctionName="orders")
        await _until(shop, id, "completed")
        records = await shop.records([id])
    assert judge(first, orders, records, _read(log)).wrong == []


@pytest.mark.e2e
def test_a_version_that_was_deleted_is_not_called_again(
    local: LocalLambda, engine: SteadfaasServer, tmp_path: Path
) -> None:
    asyncio.run(_deleted(local, engine, tmp_path / "steps"))


async def _deleted(local: LocalLambda, engine: SteadfaasServer, log: Path) -> None:
    async with _shop(engine) as shop:
        first = await _release(shop, local, FIRST_CODE, log)
        [id] = (await shop.send(["lost"], seconds=2)).values()
        await _until(shop, id, "suspended", attempts=2)
        second = await _release(shop, local, REPAIRED_CODE, log)
        local.client().delete_function(FunctionName="orders", Qualifier=first.number)

        record = await _until(shop, id, "paused")
        found = await shop.get(f"/invocations/{id}")
        failure = found["last_failure"]
        assert failure["restate_code"] == "SF0003", found
        assert "This version will not come back" in failure["message"]
        assert [each["outcome"] for each in record.attempts].count("SF0003") == 1
        await asyncio.sleep(1.5)  # longer than the policy would wait
        assert (await shop.records([id]))[id] == record

        # What the sentence advises.
        assert "'steadfaas check INVOCATION --deployment ID'" in failure["message"]
        await asyncio.to_thread(_steadfaas, engine, "check", id, "--deployment", second.deployment)
        assert "'steadfaas invocations resume INVOCATION --deployment ID'" in failure["message"]
        words = ("invocations", "resume", id, "--deployment", second.deployment, "--yes")
        await asyncio.to_thread(_steadfaas, engine, *words)
        record = await _until(shop, id, "completed")
        assert record.result is not None
        assert record.result["by"] == [REPAIRED_CODE.name, second.number]
        lines = [line.split("\t")[1:4] for line in _read(log).splitlines()]
        assert lines == [["take", "first code", "1"], ["ship", REPAIRED_CODE.name, "2"]]


# The judgement itself: a test of a promise that cannot fail is worth nothing.

FIRST = Version("arn:x:function:orders:1", "dp_1", FIRST_CODE)
LOG = "a\ttake\tfirst code\t1\tt1\na\tship\tfirst code\t1\tt0\na\tship\tfirst code\t1\tt2\n"
RESULT = {"name": "a", "by": ["first code", "1"], "tokens": {"take": "t1", "ship": "t2"}}
ATTEMPTS = [
    {"deployment_id": "dp_1", "outcome": outcome}
    for outcome in ("suspended", "interrupted", "RT0023", "completed")
]
SOUND = Record("completed", ATTEMPTS, RESULT)


def test_sound_witnesses_agree() -> None:
    assert judge(FIRST, {"a": "inv"}, {"inv": SOUND}, LOG).wrong == []


@pytest.mark.parametrize(
    ("record", "log", "expected"),
    [
        (replace(SOUND, status="paused", result=None), LOG, "is paused"),
        (
            replace(SOUND, attempts=[{"deployment_id": "dp_2", "outcome": "suspended"}, *ATTEMPTS]),
            LOG,
            "attempts ran on",
        ),
        (replace(SOUND, attempts=ATTEMPTS[:3]), LOG, "0 attempts completed it"),
        (replace(SOUND, result={**RESULT, "by": ["first code", "2"]}), LOG, "the result is"),
        (replace(SOUND, result={**RESULT, "name": "b"}), LOG, "the result is"),
        (SOUND, f"{LOG}a\ttake\tsecond code\t2\tt3\n", "steps ran elsewhere"),
        (SOUND, f"{LOG}a\tscreen\tfirst code\t1\tt3\n", "the steps that ran"),
        (SOUND, LOG.replace("t2", "t4"), "was not written by a step"),
    ],
)
def test_each_witness_is_heard(record: Record, log: str, expected: str) -> None:
    [sentence] = judge(FIRST, {"a": "inv"}, {"inv": record}, log).wrong
    assert expected in sentence


def test_orders_that_became_one_are_noticed() -> None:
    wrong = judge(FIRST, {"a": "inv", "b": "inv"}, {"inv": SOUND}, LOG).wrong
    assert "two orders share an invocation" in wrong


# Helpers.


@asynccontextmanager
async def _shop(engine: SteadfaasServer) -> AsyncIterator[Shop]:
    async with aiohttp.ClientSession() as session:
        yield Shop(engine, session)


async def _release(shop: Shop, local: LocalLambda, code: Code, log: Path) -> Version:
    """Publish it, let the alias `live` point to it, and register what the alias points to."""
    arn = await asyncio.to_thread(code.publish, local, log)
    registered = await shop.register("lambda:orders@live")
    assert registered["arn"] == arn
    return Version(arn, registered["id"], code)


async def _crash(engine: SteadfaasServer, *, while_down: Callable[[], object]) -> None:
    assert engine.running, engine.log_tail()
    engine.kill()
    while_down()
    # Spawned on this thread: the engine is to die with it, not with a pool thread.
    engine.start()
    await asyncio.to_thread(engine.wait_ready)


async def _until(
    shop: Shop, id: str, status: str, *, attempts: int = 0, seconds: float = 15.0
) -> Record:
    deadline = time.monotonic() + seconds
    while True:
        record = (await shop.records([id]))[id]
        if record.status == status and len(record.attempts) >= attempts:
            return record
        assert time.monotonic() < deadline, f"not {status} within {seconds} s: {record}"
        await asyncio.sleep(0.05)


def _read(log: Path) -> str:
    """What the steps have written."""
    return log.read_text()


def _steadfaas(engine: SteadfaasServer, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steadfaas", "--admin-url", engine.admin, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stdout + done.stderr
