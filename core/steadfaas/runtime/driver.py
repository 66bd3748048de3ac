"""Drives open attempts: has the journal sent, takes the answer's frames to the machine.

One attempt is one task. It holds a slot from its start to the end of its exchange. Everything it
learns is handed to the engine as units of work, fenced by the attempt's number: what comes late
changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol, cast

from steadfaas.deployments.catalog import Deployment
from steadfaas.errors import AttemptFailure
from steadfaas.machine.effects import Append
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Status
from steadfaas.runtime.exchanges import Exchanges
from steadfaas.runtime.ledger import Ledger
from steadfaas.runtime.work import Work
from steadfaas.store import invocations
from steadfaas.wire.frame import Frame
from steadfaas.wire.messages import MessageType as T

_log = logging.getLogger(__name__)
_END: Final = int(T.END)
_OUTPUT: Final = int(T.OUTPUT)


class Submit(Protocol):
    """How units of work are handed in; `seq` is the invocation that a unit is about."""

    def __call__(self, change: Callable[[Work], object], seq: int) -> None: ...


class Driver:
    """Opens exchanges and feeds their answers to the ledger."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        exchanges: Exchanges,
        submit: Submit,
        over: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._exchanges = exchanges
        self._submit = submit
        self._over = over
        self._tasks: dict[int, tuple[int, asyncio.Task[None]]] = {}

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

    async def until_over(self, seqs: Iterable[int], seconds: float) -> None:
        """Wait until the exchanges of these invocations have ended, for so long at most."""
        tasks = [self._tasks[seq][1] for seq in seqs if seq in self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

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
            failure = await self._exchanges.send(
                inv,
                deployment,
                self._ledger.options(inv),
                lambda frames: self._hand_in(inv, attempt, frames, None, final=False),
            )
            self._hand_in(inv, attempt, [], failure, final=True)
        except asyncio.CancelledError:
            pass  # whoever cancelled has stored why
        except Exception as error:  # a bug of ours must not leave an attempt open for ever
            _log.exception("an exchange failed unexpectedly")
            failure = AttemptFailure("RT0006", f"internal error: {error!r}")
            self._hand_in(inv, attempt, [], failure, final=True)

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
