"""How long the question takes who still calls a service: `python -m tests.bench.callers`.

Unfinished invocations with journals, a quarter of whose entries are calls, among ten times as many
that are retained. What counts is the longest page: nothing else is done meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steadfaas.machine.status import Status
from steadfaas.store import callers
from steadfaas.store.invocations import SPAN
from steadfaas.store.sqlite import Store
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.messages import MessageType as T

CHECKOUT = Path(__file__).parents[2]
_PARAMETER = b"x" * 200


def main() -> None:
    """Build a database in a temporary folder, ask, print, and drop it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.callers", description=__doc__)
    parser.add_argument("--unfinished", type=int, default=20_000)
    parser.add_argument("--retained", type=int, default=200_000)
    parser.add_argument("--entries", type=int, default=20, help="of each journal")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-callers-", dir=CHECKOUT))
    try:
        asyncio.run(_measure(options, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(options: argparse.Namespace, folder: Path) -> None:
    store = Store.open(folder, durability="none")
    try:
        await store.writer.write(lambda tx: _fill(tx, options))
        for what, service in (("all call it", "Stock"), ("nobody calls it", "Nobody")):
            _ask(store, what, service)
    finally:
        await store.close()


def _ask(store: Store, what: str, service: str) -> None:
    pages: list[float] = []
    found, began, last = 0, time.perf_counter(), time.thread_time()
    for page in callers.pages(store.reader, service):
        found += sum(page.by_deployment.values())
        now = time.thread_time()  # a busy neighbour makes no page longer
        pages.append((now - last) * 1000)
        last = now
    seconds = time.perf_counter() - began
    print(
        f"{what}: {found} found in {seconds:.2f} s, {len(pages)} pages of"
        f" {statistics.median(pages):.2f} ms of CPU, the longest {max(pages):.2f} ms"
    )


def _fill(tx: Any, options: argparse.Namespace) -> None:
    rng = random.Random(1)
    total = options.retained + options.unfinished
    unfinished = set(rng.sample(range(1, total + 1), options.unfinished))
    tx.executemany(
        "INSERT INTO invocation (seq, id, status, service, handler, kind, deployment, version,"
        " created_at, modified_at, entries) VALUES (?, ?, ?, ?, 'sell', 0, ?, 6, 1, 1, ?)",
        (
            (
                *(seq, rng.randbytes(24)),
                int(Status.SUSPENDED if seq in unfinished else Status.COMPLETED),
                *(f"S{seq % 50}", f"dp_{seq % 40}", options.entries),
            )
            for seq in range(1, total + 1)
        ),
    )
    tx.executemany(
        "INSERT INTO journal (pos, type, payload) VALUES (?, ?, ?)",
        _journals(sorted(unfinished), options.entries),
    )


def _journals(seqs: list[int], entries: int) -> Iterator[tuple[int, int, bytes]]:
    call = encode(m.CallCommand(service_name="Stock", handler_name="take", parameter=_PARAMETER))
    for seq in seqs:
        for index in range(entries):
            kind, payload = (T.CALL, call) if index % 4 == 1 else (T.RUN, _PARAMETER)
            yield seq * SPAN + index, int(kind), payload


if __name__ == "__main__":
    main()
