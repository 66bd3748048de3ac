"""What an invocation of the local Lambda costs: `python -m tests.bench.local_lambda`.

A function that returns its event, called by boto3 and by aiohttp (unsigned: signatures are not
checked), one at a time and eight at once. Times are what a client sees.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import aiohttp
from rich.console import Console
from rich.table import Table

from steadfaas.testing import LocalLambda

_PAYLOAD = b'{"name": "Ada"}'
_WARM_UPS = 50
_CODE = "def handler(event, context):\n    return event\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.bench.local_lambda")
    parser.add_argument("--calls", type=int, default=800, help="calls of each measurement")
    calls = parser.parse_args().calls
    begun = time.perf_counter()
    with LocalLambda() as lam:
        start_ms = (time.perf_counter() - begun) * 1000
        arn = lam.publish({"app.py": _CODE}, name="echo")
        cold = [_cold_ms(lam, arn) for _ in range(7)]
        table = Table("client", "at once", "p50 ms", "p99 ms", "calls/s")
        for at_once in (1, 8):
            _row(table, "boto3", at_once, *_by_boto3(lam, arn, at_once, calls))
            _row(table, "aiohttp", at_once, *asyncio.run(_by_aiohttp(lam, arn, at_once, calls)))
    console = Console()
    console.print(f"start of the server {start_ms:.0f} ms, cold start {_median(cold):.0f} ms")
    console.print(table)


def _cold_ms(lam: LocalLambda, arn: str) -> float:
    lam.crash(arn)
    begun = time.perf_counter()
    lam.client().invoke(FunctionName=arn, Payload=_PAYLOAD)["Payload"].read()
    return (time.perf_counter() - begun) * 1000


def _by_boto3(lam: LocalLambda, arn: str, at_once: int, calls: int) -> tuple[list[float], float]:
    functions = lam.client()

    def call(_: int) -> float:
        begun = time.perf_counter()
        functions.invoke(FunctionName=arn, Payload=_PAYLOAD)["Payload"].read()
        return (time.perf_counter() - begun) * 1000

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(call, range(_WARM_UPS)))
        begun = time.perf_counter()
        times = list(pool.map(call, range(calls)))
        return times, time.perf_counter() - begun


async def _by_aiohttp(
    lam: LocalLambda, arn: str, at_once: int, calls: int
) -> tuple[list[float], float]:
    url = f"{lam.endpoint_url}/2015-03-31/functions/{quote(arn, safe='')}/invocations"
    async with aiohttp.ClientSession() as session:

        async def call() -> float:
            begun = time.perf_counter()
            async with session.post(url, data=_PAYLOAD) as answer:
                await answer.read()
            return (time.perf_counter() - begun) * 1000

        await _repeated(call, at_once, _WARM_UPS)
        begun = time.perf_counter()
        times = await _repeated(call, at_once, calls)
        return times, time.perf_counter() - begun


async def _repeated(call: Callable[[], Awaitable[float]], at_once: int, calls: int) -> list[float]:
    async def in_turn() -> list[float]:
        return [await call() for _ in range(calls // at_once)]

    turns = await asyncio.gather(*(in_turn() for _ in range(at_once)))
    return [each for turn in turns for each in turn]


def _row(table: Table, client: str, at_once: int, times: list[float], seconds: float) -> None:
    p99 = statistics.quantiles(times, n=100)[98]
    rate = len(times) / seconds
    table.add_row(client, str(at_once), f"{_median(times):.2f}", f"{p99:.2f}", f"{rate:.0f}")


def _median(times: list[float]) -> float:
    return statistics.median(times)


if __name__ == "__main__":
    main()
