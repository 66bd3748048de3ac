"""The load generator: a process of its own, and lean, because it shares two cores with the rest.

It reads one order (JSON) from standard input and writes one result (JSON) to standard output.
Each connection keeps exactly one request under way. The parser knows only what that needs: where
one answer ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import cast

from tests.bench.loops import run
from tests.bench.procfs import cpu_seconds
from tests.support.npm import CHECKOUT

_RECONNECTS = 50


@dataclass(frozen=True, slots=True)
class Order:
    """What to do. `watch` names process groups whose processor time is wanted."""

    host: str
    port: int
    connections: int
    warmup: float
    seconds: float
    requests: list[str]
    watch: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """What came back in the measured window; latencies in milliseconds, the rest in seconds.

    `failures` counts answers other than 200 by status, and broken connections as `closed`.
    """

    completed: int
    seconds: float
    p50: float
    p99: float
    failures: dict[str, int]
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Completed requests per second."""
        return self.completed / self.seconds


def measure(order: Order) -> Measured:
    """Run the order in a fresh process.

    Raises RuntimeError with that process's last words when it fails or overruns its time.
    """
    bound = order.warmup + order.seconds + 30.0
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.load"],
            cwd=CHECKOUT,
            input=json.dumps(asdict(order)),
            capture_output=True,
            text=True,
            timeout=bound,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"the load generator did not end within {bound:.0f} s") from error
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed:\n{done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout))


class _Tally:
    """Everything counted, shared by the connections."""

    def __init__(self, requests: list[bytes]) -> None:
        self.next_request: Iterator[bytes] = itertools.cycle(requests)
        self.measuring = False
        self.stopping = False
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()

    def count(self, status: bytes, latency: float) -> None:
        if not self.measuring:
            return
        if status == b"200":
            self.latencies.append(latency)
        else:
            self.failures[status.decode("latin-1")] += 1


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._sent_at = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not an assertion: uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if not _is_whole(received):
            self._received = received
            return
        self._received = b""
        self._tally.count(received[9:12], time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tally.measuring:
            self._tally.failures["closed"] += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        if self._tally.stopping:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._tally.next_request))


def _is_whole(received: bytes) -> bool:
    """Whether this is all of one answer. Nothing follows it: we have not asked for more yet."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = received[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        stop = head.find(b"\r\n", at + 2)
        length = int(head[at + 17 : stop if stop >= 0 else end])
        return len(received) >= end + 4 + length
    if b"\r\ntransfer-encoding: chunked" in head:
        return received.endswith(b"\r\n0\r\n\r\n")
    return True


async def _keep_connected(order: Order, tally: _Tally) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(_RECONNECTS):
        if tally.stopping:
            return
        _, protocol = await loop.create_connection(
            lambda: _Connection(tally), order.host, order.port
        )
        await protocol.closed


async def _run(order: Order) -> Measured:
    tally = _Tally([text.encode("latin-1") for text in order.requests])
    tasks = [asyncio.create_task(_keep_connected(order, tally)) for _ in range(order.connections)]
    await asyncio.sleep(order.warmup)
    before, began = _cpu(order), time.perf_counter()
    tally.measuring = True
    await asyncio.sleep(order.seconds)
    tally.measuring = False
    seconds, after = time.perf_counter() - began, _cpu(order)
    tally.stopping = True
    await asyncio.wait(tasks, timeout=10.0)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, OSError):
            raise outcome
    ordered = sorted(tally.latencies)
    return Measured(
        completed=len(ordered),
        seconds=seconds,
        p50=_percentile(ordered, 0.50) * 1000,
        p99=_percentile(ordered, 0.99) * 1000,
        failures=dict(tally.failures),
        cpu={name: after[name] - before[name] for name in after},
    )


def _cpu(order: Order) -> dict[str, float]:
    seconds = {name: cpu_seconds(group) for name, group in order.watch.items()}
    return {**seconds, "load": time.process_time()}


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def main() -> None:
    """Read the order, run it, write the result."""
    order = Order(**json.load(sys.stdin))
    json.dump(asdict(run(_run(order))), sys.stdout)


if __name__ == "__main__":
    main()
