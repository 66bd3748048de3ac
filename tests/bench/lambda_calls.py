"""What a call to Lambda costs the caller: `python -m tests.bench.lambda_calls`.

The same requests, many in flight at once, to the same API of a process of its own that answers at
once: by the adapter's data plane (signed by botocore, sent by aiohttp), and by boto3 in threads.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from aiohttp import web

from steadfaas.spi import Endpoint, Request
from steadfaas_adapters.aws_lambda import envelope
from steadfaas_adapters.aws_lambda.clients import clients
from steadfaas_adapters.aws_lambda.data_plane import LambdaDataPlane
from tests.bench import loops

REGION = "eu-central-1"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:bench"
ANSWER = json.dumps(
    {
        "statusCode": 200,
        "headers": {"content-type": "application/vnd.restate.invocation.v6"},
        "body": base64.b64encode(bytes(400)).decode(),
        "isBase64Encoded": True,
    }
).encode()

Call = Callable[[Request], Awaitable[object]]


@dataclass(frozen=True)
class Figures:
    """Of one run: calls a second, and milliseconds of the caller's processor time for each."""

    rate: float
    cpu: float


def main() -> int:
    """Measure both, in turns, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lambda_calls", description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        loops.run(_serve())
        return 0
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.lambda_calls", "--serve"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": REGION,
        }
        loops.run(_measure(given.calls, given.flight, given.rounds))
    finally:
        server.kill()
        server.wait()
    return 0


async def _measure(calls: int, flight: int, rounds: int) -> None:
    plane = LambdaDataPlane()
    endpoint = Endpoint(f"{FUNCTION}:1")
    with ThreadPoolExecutor(flight) as threads:
        ways: dict[str, Call] = {
            "aiohttp, signed by botocore": lambda request: plane.call(endpoint, request),
            "boto3 in threads": _boto3(threads, flight),
        }
        found: dict[str, list[Figures]] = {name: [] for name in ways}
        print(f"{calls} calls, {flight} in flight, {rounds} rounds", flush=True)
        for number in range(rounds + 1):
            for name, call in ways.items():
                figures = await _run(call, calls if number else calls // 10, flight)
                if number:  # the first round only warms up
                    found[name].append(figures)
    await plane.close()
    for name, all_figures in found.items():
        rate = median(each.rate for each in all_figures)
        cpu = median(each.cpu for each in all_figures)
        print(f"{name:30} {rate:8.0f} calls/s  {cpu:6.3f} ms of CPU a call")


async def _run(call: Call, calls: int, flight: int) -> Figures:
    request = Request("POST", "/invoke/Bench/run", {"content-type": "x"}, bytes(600))
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await call(request)

    began, cpu = time.perf_counter(), _cpu()
    await asyncio.gather(*(work() for _ in range(flight)))
    seconds = time.perf_counter() - began
    return Figures(calls / seconds, (_cpu() - cpu) * 1000 / calls)


def _boto3(threads: ThreadPoolExecutor, flight: int) -> Call:
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=flight, retries={"total_max_attempts": 1})
    client = boto3.client("lambda", region_name=REGION, config=config)

    def invoke(request: Request) -> object:
        answer = client.invoke(
            FunctionName=FUNCTION, Qualifier="1", Payload=envelope.wrap(request, None)
        )
        return envelope.unwrap(answer["Payload"].read())

    async def call(request: Request) -> object:
        return await asyncio.get_running_loop().run_in_executor(threads, invoke, request)

    return call


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=ANSWER, headers={"X-Amz-Executed-Version": "1"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    clients()  # what it takes to load is no part of a call
    sys.exit(main())
