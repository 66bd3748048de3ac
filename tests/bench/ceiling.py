"""How fast the load generator itself can go: the same load against a server that does nothing.

A scenario that comes near this number measures the load generator, not an engine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import cast

from tests.bench.load import Measured, Order, measure
from tests.bench.loops import run
from tests.bench.scenarios import SCENARIOS
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ManagedProcess, Probe

_ANSWER = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n"Hello bench"'
)


class TrivialServer(ManagedProcess):
    """Answers every request with the same bytes."""

    name = "trivial-server"

    def __init__(self, work_dir: Path) -> None:
        super().__init__(work_dir)
        self.port = free_port()

    def command(self) -> list[str]:
        """This module, as a server."""
        return [sys.executable, "-m", "tests.bench.ceiling", str(self.port)]

    def probes(self) -> list[Probe]:
        """Any path will do."""
        return [Probe(self.port, "/")]


def ceiling(seconds: float, connections: int = 16) -> Measured:
    """Measure the load generator against the trivial server."""
    with tempfile.TemporaryDirectory() as folder, TrivialServer(Path(folder)) as server:
        requests = [raw.decode("latin-1") for raw in SCENARIOS[0].make(f"{LOOPBACK}:{server.port}")]
        return measure(Order(LOOPBACK, server.port, connections, 0.5, seconds, requests))


class _Trivial(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Trivial, LOOPBACK, port)
    await server.serve_forever()


if __name__ == "__main__":
    run(_serve(int(sys.argv[1])))
