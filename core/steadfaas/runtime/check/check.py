"""Carries a check out: reads a journal, asks the deployment, stores nothing."""

from __future__ import annotations

import asyncio
from copy import copy
from dataclasses import replace
from typing import Final, Protocol

from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Status
from steadfaas.runtime.check.answers import Answer, Listener
from steadfaas.runtime.check.examine import Examination, examine
from steadfaas.runtime.check.findings import Findings
from steadfaas.runtime.check.recording import Recording, barred
from steadfaas.runtime.exchanges import CHECK_HEADER, Exchanges
from steadfaas.runtime.routing import chosen, misfit, version_for
from steadfaas.store import invocations
from steadfaas.store.port import Reader

# A check runs no step, so it is over soon, or it hangs (seconds).
SECONDS: Final = 30.0


class _Store(Protocol):
    @property
    def reader(self) -> Reader: ...


class Engine(Protocol):
    """What a check needs of the engine. `checks` bounds how many are under way."""

    @property
    def store(self) -> _Store: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def exchanges(self) -> Exchanges: ...
    @property
    def checks(self) -> asyncio.Semaphore: ...


async def check(engine: Engine, id: bytes, choice: str, *, seconds: float = SECONDS) -> Findings:
    """Whether a deployment's code goes on with the journal of an invocation, in any state.

    `choice` is `keep` (the deployment it is pinned to), `latest` or a deployment's id. The journal
    is taken as it is stored now. No step runs and nothing is stored; code outside of steps runs,
    once or, where the handler waits, a few times. It takes `seconds` at most, once its turn comes.

    Raises NotFound for an unknown invocation, BadRequest for an unknown deployment, and Conflict
    for one that is being retired.
    """
    inv = _load(engine.store.reader, id)
    deployment = chosen(engine.catalog, inv, choice)
    recording = Recording.of(inv.journal, completed=inv.status is Status.COMPLETED)
    findings = _unasked(inv, deployment, recording)
    if findings is None:
        replays = _Replays(engine.exchanges, inv, deployment, recording, seconds)
        async with engine.checks:
            findings = await _ask(replays, seconds)
    return replace(
        findings,
        commands=max(recording.end - 1, 0),
        target=inv.target,
        deployment_id=deployment.id,
    )


def _load(reader: Reader, id: bytes) -> Invocation:
    found = invocations.outline(reader, id)
    inv = None if found is None else invocations.load(reader, found.seq)
    if inv is None:
        raise invocations.unknown(id)
    return inv


def _unasked(inv: Invocation, deployment: Deployment, recording: Recording) -> Findings | None:
    """What can be said without asking the deployment; None: it must be asked."""
    why = misfit(inv, deployment)
    if why is not None:
        return Findings("diverges", f"the deployment {why}")
    if not recording.end:
        return Findings("cannot-tell", "the journal is not kept any more")
    if recording.end == 1 and recording.output is None:
        return Findings("compatible", "nothing but its input is recorded, which is no different")
    return None


class _Gone(Exception):
    """The platform has the version no more."""

    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class _Replays:
    """Sends one invocation's journal to one deployment, again and again."""

    def __init__(
        self,
        exchanges: Exchanges,
        inv: Invocation,
        deployment: Deployment,
        recording: Recording,
        seconds: float,
    ) -> None:
        options = deployment.services[inv.service].handlers[inv.handler].options
        self._options = replace(
            options, abort_timeout=min(options.abort_timeout, int(seconds * 1000))
        )
        self._exchanges = exchanges
        self._deployment = deployment
        self._inv = copy(inv)
        self._inv.version = version_for(inv, deployment)
        self.recording = recording
        self.count = 0

    async def ask(self, barrier: int) -> Answer:
        """One exchange; nothing of its answer is kept but what it means."""
        self.count += 1
        self._inv.journal = barred(self.recording, barrier)
        listener = Listener()
        failure = await self._exchanges.send(
            self._inv, self._deployment, self._options, listener.take, more={CHECK_HEADER: "true"}
        )
        if failure is not None and failure.verdict is Verdict.GONE:
            raise _Gone(failure)
        return listener.answer(failure, self.recording, barrier)


async def _ask(replays: _Replays, seconds: float) -> Findings:
    """Ask until it is clear, or time is up."""
    examination = examine(replays.recording)
    try:
        async with asyncio.timeout(seconds):
            step = _advance(examination, None)
            while isinstance(step, int):
                step = _advance(examination, await replays.ask(step))
        findings = step
    except _Gone as gone:
        # Nothing ran there, and nothing ever will.
        return Findings("diverges", f"there is no code to go on with it: {gone.failure.message}")
    except TimeoutError:
        findings = Findings("cannot-tell", f"the check was not over within {seconds:g} s")
    return replace(findings, reason=f"{findings.reason}. {_told(findings, replays.count)}")


def _advance(examination: Examination, answer: Answer | None) -> int | Findings:
    """Where the barrier is to stand next, or what all answers mean."""
    try:
        return next(examination) if answer is None else examination.send(answer)
    except StopIteration as over:
        findings: Findings = over.value
        return findings


def _told(findings: Findings, count: int) -> str:
    times = "once" if count == 1 else f"{count} times"
    told = f"The handler was called {times} for this"
    if findings.verdict == "cannot-tell":
        return told
    return f"{told}: its code outside of steps ran, no step did"
