"""Drives open attempts: sends the journal up, takes the answer's frames to the machine.

One attempt is one task. It holds a slot from its start to the end of its exchange. Everything it
learns is handed to the engine as units of work, fenced by the attempt's number: what comes late
changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, cast
from urllib.parse import quote

from yarl import URL

from steadfaas import ids
from steadfaas.clock import Clock
from steadfaas.deployments.catalog import Deployment
from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.runtime.ledger import Ledger
from steadfaas.runtime.work import Work
from steadfaas.store import invocations, keys
from steadfaas.store.port import Reader
from steadfaas.transport.http import Limits, Sink
from steadfaas.wire.frame import Frame, encode_frame
from steadfaas.wire.messages import MessageType as T
from steadfaas.wire.version import content_type

_log = logging.getLogger(__name__)
_START: Final = int(T.START)
_END: Final = int(T.END)
_OUTPUT: Final = int(T.OUTPUT)
# State beyond this is not sent along but fetched by the handler, value by value (bytes).
EAGER_STATE_LIMIT: Final = 8 * 1024 * 1024
_MOST_URLS: Final = 4096


class Transport(Protocol):
    """Carries exchanges to endpoints; see `transport.http` for the real one."""

    async def exchange(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits, sink: Sink
    ) -> AttemptFailure | None:
        """Send `body`, hand the answer's frames to `sink` in order, and say how it ended."""
        ...


class Submit(Protocol):
    """How units of work are handed in; `seq` is the invocation that a unit is about."""

    def __call__(self, change: Callable[[Work], object], seq: int) -> None: ...


class Driver:
    """Opens exchanges and feeds their answers to the ledger."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        transport: Transport,
        reader: Reader,
        clock: Clock,
        submit: Submit,
        over: Callable[[str], None],
        cluster_name: str,
        max_frame: int,
    ) -> None:
        self._ledger = ledger
        self._transport = transport
        self._reader = reader
        self._clock = clock
        self._submit = submit
        self._over = over
        self._cluster_name = cluster_name
        self._max_frame = max_frame
        self._tasks: dict[int, tuple[int, asyncio.Task[None]]] = {}
        self._urls: dict[tuple[str, str, str], URL] = {}

    def open(self, inv: Invocation, deployment: Deployment) -> None:
        """Start the exchange of an attempt that was stored."""
        attempt = inv.attempt
        task = asyncio.get_running_loop().create_task(self._run(inv, attempt, deployment))
        self._tasks[inv.seq] = (attempt, task)
        # Not within the task: one that is cancelled before its first step never runs at all.
        task.add_done_callback(partial(self._ended, inv.seq, attempt, deployment.id))

    def _ended(self, seq: int, attempt: int, deployment_id: str, _: asyncio.Task[None]) -> None:
        found = self._tasks.get(seq)
        if found is not None and found[0] == attempt:
            del self._tasks[seq]
        self._over(deployment_id)

    def abort(self, seq: int, attempt: int | None = None) -> None:
        """Drop the connection of an attempt (of any, without a number)."""
        found = self._tasks.get(seq)
        if found is not None and attempt in (None, found[0]):
            found[1].cancel()

    def abort_all(self) -> list[asyncio.Task[None]]:
        """Drop all connections; returns the tasks, which end soon."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        return tasks

    @property
    def open_exchanges(self) -> int:
        """How many exchanges are open."""
        return len(self._tasks)

    async def drain(self, seconds: float) -> None:
        """Let open exchanges end for a while, then drop the rest: they are retried later."""
        tasks = [task for _, task in self._tasks.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        tasks = self.abort_all()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    async def _run(self, inv: Invocation, attempt: int, deployment: Deployment) -> None:
        try:
            failure = await self._exchange(inv, attempt, deployment)
            self._hand_in(inv, attempt, [], failure, final=True)
        except asyncio.CancelledError:
            pass  # whoever cancelled has stored why
        except Exception as error:  # a bug of ours must not leave an attempt open for ever
            _log.exception("an exchange failed unexpectedly")
            failure = AttemptFailure("RT0006", f"internal error: {error!r}")
            self._hand_in(inv, attempt, [], failure, final=True)

    async def _exchange(
        self, inv: Invocation, attempt: int, deployment: Deployment
    ) -> AttemptFailure | None:
        options = self._ledger.options(inv)
        version = inv.version or 0
        wire_type = content_type(version)
        headers = {
            "content-type": wire_type,
            "accept": wire_type,
            "x-restate-invocation-id": ids.format_invocation(inv.id),
            "x-restate-cluster-name": self._cluster_name,
        }
        if inv.key is not None:
            headers["x-restate-service-key"] = quote(inv.key, safe="")
        if deployment.headers:
            headers.update(deployment.headers)
        body = self._body(inv, lazy=options.lazy_state)
        limits = Limits(abort=options.abort_timeout / 1000, max_frame=self._max_frame)
        return await self._transport.exchange(
            self._url(deployment, inv),
            headers,
            body,
            limits,
            lambda frames: self._hand_in(inv, attempt, frames, None, final=False),
        )

    def _body(self, inv: Invocation, *, lazy: bool) -> bytes:
        state: list[tuple[bytes, bytes]] | None = None
        partial = True
        if inv.kind is not Kind.SERVICE and not lazy:
            state, complete = keys.all_state(
                self._reader, inv.service, inv.key or "", EAGER_STATE_LIMIT
            )
            partial = not complete
        start = inv.start_message(self._clock.now(), state, partial=partial)
        parts = [encode_frame(_START, start)]
        parts += [encode_frame(frame_type, payload) for frame_type, payload in inv.journal]
        return b"".join(parts)

    def _url(self, deployment: Deployment, inv: Invocation) -> URL:
        key = (deployment.uri, inv.service, inv.handler)
        url = self._urls.get(key)
        if url is None:
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            base = deployment.uri.rstrip("/")
            url = URL(f"{base}/invoke/{inv.service}/{inv.handler}")
            self._urls[key] = url
        return url

    def _hand_in(
        self,
        inv: Invocation,
        attempt: int,
        frames: list[Frame],
        failure: AttemptFailure | None,
        *,
        final: bool,
    ) -> None:
        # After the closing frame there is nothing to add.
        if inv.attempt == attempt and inv.closed is None:
            self._submit(
                lambda work: self._take(work, inv, attempt, frames, failure, final), inv.seq
            )

    def _take(
        self,
        work: Work,
        inv: Invocation,
        attempt: int,
        frames: list[Frame],
        failure: AttemptFailure | None,
        final: bool,
    ) -> None:
        ledger = self._ledger
        if (
            ledger.lives.get(inv.seq) is not inv
            or inv.attempt != attempt
            or inv.status is not Status.RUNNING
        ):
            return  # overtaken: killed, paused, or dropped after a failed transaction
        work.touch(inv)
        try:
            self._receive(work, inv, frames)
            if final and inv.closed is None:
                raise failure or AttemptFailure(
                    "RT0007", "the answer ended without saying how (no closing frame)"
                )
        except AttemptFailure as failed:
            ledger.fail(work, inv, failed)
            if not final:
                work.aborted.append((inv.seq, attempt))
        ledger.save(work, inv)

    def _receive(self, work: Work, inv: Invocation, frames: list[Frame]) -> None:
        """Take frames in order, up to the closing one. Raises AttemptFailure."""
        ledger = self._ledger
        output: Append | None = None
        try:
            for frame in frames:
                effects = inv.receive(frame.type, frame.payload, work.now, ledger)
                if inv.closed == _END:
                    # The record holds the result; the journal need not hold it again.
                    if output is not None and output.index == len(inv.journal) - 1:
                        output = None
                elif inv.closed is not None:
                    invocations.add_attempt(work.tx, inv, work.now, "suspended")
                elif frame.type == _OUTPUT:
                    if output is not None:
                        ledger.apply(work, inv, [output])
                    output = cast(Append, effects[0])
                    continue
                ledger.apply(work, inv, effects)
                if inv.closed is not None:
                    break
        finally:
            if output is not None:
                ledger.apply(work, inv, [output])
