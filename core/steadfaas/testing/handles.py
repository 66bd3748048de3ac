"""What a test holds in its hands: deployments and invocations."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from steadfaas import ids
from steadfaas.durations import format_duration
from steadfaas.errors import RequestError
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.status import Status
from steadfaas.runtime.routing import KEEP
from steadfaas.store import invocations
from steadfaas.testing import stories
from steadfaas.testing.failures import InvocationFailed, Refused
from steadfaas.testing.spans import Duration, milliseconds
from steadfaas.testing.stories import JournalEntry

if TYPE_CHECKING:
    from steadfaas.runtime.check import Findings
    from steadfaas.testing.host import Host

_T = TypeVar("_T")
# Of many attempts, a timeline shows so many from the beginning and from the end.
_ENDS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Deployment:
    """A registered version. Two handles are equal if they mean the same deployment."""

    id: str
    name: str = field(compare=False)
    uri: str = field(compare=False)

    @property
    def address(self) -> str:
        """Its URI without a slash at the end."""
        return self.uri.rstrip("/")

    def __repr__(self) -> str:
        return f"<{self.name} {self.id}>"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that ended (or runs): times in ms since the epoch, `outcome` as in the admin
    API: `completed`, `suspended`, `running`, an RT code."""

    number: int
    deployment: Deployment
    started_at: int
    ended_at: int | None
    outcome: str


class Attempts(Sequence[Attempt]):
    """The attempts of an invocation, in order."""

    def __init__(self, attempts: list[Attempt]) -> None:
        self._attempts = attempts

    @property
    def deployments(self) -> set[Deployment]:
        """Where they ran."""
        return {attempt.deployment for attempt in self._attempts}

    @property
    def outcomes(self) -> list[str]:
        """How they ended, in order."""
        return [attempt.outcome for attempt in self._attempts]

    @overload
    def __getitem__(self, index: int) -> Attempt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Attempt]: ...
    def __getitem__(self, index: int | slice) -> Attempt | list[Attempt]:
        return self._attempts[index]

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._attempts)

    def __repr__(self) -> str:
        shown = (f"{attempt.deployment.name} {attempt.outcome}" for attempt in self._attempts)
        return f"[{', '.join(shown)}]"


class Invocation:
    """A request that was sent. Its properties show it as it is now."""

    def __init__(self, host: Host, id: bytes, target: str) -> None:
        self._host = host
        self.id = id
        self.target = target

    @property
    def text_id(self) -> str:
        """`inv_1…`."""
        return ids.format_invocation(self.id)

    async def result(self, within: Duration = "365 days") -> Any:
        """The result, from JSON (bytes if it is none); virtual time moves as far as needed.

        Raises InvocationFailed if it ended with a failure, Stuck if it cannot end (within
        that time), NonDeterminism if always-replay found that it takes different ways.
        """
        __tracebackhide__ = True
        output = await self._host.outcome(self.id, repr(self), milliseconds(within))
        if output.failure is not None:
            raise InvocationFailed(output.failure.code, output.failure.message)
        return stories.plain(b"" if output.value is None else output.value.content)

    async def cancel(self) -> None:
        """Ask it to stop; the handler decides how. Raises Refused if it has ended."""
        await self._operate((await self._host.engine()).operators.cancel(self.id))

    async def kill(self) -> None:
        """End it, and those it called and waits for. Raises Refused if it has ended."""
        await self._operate((await self._host.engine()).operators.kill(self.id))

    async def pause(self) -> None:
        """Try it no more until it is resumed; an open attempt is let end first. Raises Refused."""
        await self._operate((await self._host.engine()).operators.pause(self.id))

    async def resume(self, deployment: Deployment | None = None, *, check: bool = False) -> None:
        """Try it again now: ends a pause, cuts a back-off short.

        With a deployment, it goes on there; that needs it paused or suspended. With `check`, only
        if its journal fits the code there. Raises Refused.
        """
        engine = await self._host.engine()
        if check:
            findings = await self.check(deployment)
            if findings.verdict != "compatible":
                raise Refused(409, f"not resumed: {findings}")
        choice = KEEP if deployment is None else deployment.id
        await self._operate(engine.operators.resume(self.id, deployment=choice, actor="test kit"))

    async def restart(self) -> Invocation:
        """Run it again with the same input, as a new invocation, once it is completed."""
        engine = await self._host.engine()
        new = await self._operate(engine.operators.restart_as_new(self.id))
        return Invocation(self._host, new, self.target)

    async def purge(self) -> None:
        """Forget it, its result included, once it is completed. Raises Refused."""
        await self._operate((await self._host.engine()).operators.purge(self.id))

    async def check(self, deployment: Deployment | None = None) -> Findings:
        """Whether its journal fits the code of a deployment; by default, of its own.

        The handler's code outside of steps runs there; no step does, and nothing is stored. Raises
        Refused if it is unknown.
        """
        from steadfaas.runtime.check import check

        engine = await self._host.engine()
        choice = KEEP if deployment is None else deployment.id
        return await self._operate(check(engine, self.id, choice))

    async def _operate(self, action: Coroutine[Any, Any, _T]) -> _T:
        try:
            result = await self._host.asked(action)
        except RequestError as error:
            raise Refused(error.status, error.message) from None
        await self._host.settle()
        return result

    @property
    def status(self) -> str:
        """As in the admin API: `suspended`, `backing-off`, `completed`, …; `unknown` if gone."""
        found = self._host.running.outline(self.id)
        if found is None:
            return "unknown"
        return Status(found.status).word

    @property
    def attempts(self) -> Attempts:
        """All attempts, the running one included."""
        reader = self._host.running.store.reader
        found = invocations.describe(reader, self.id)
        if found is None:
            return Attempts([])
        attempts = [
            Attempt(
                ended.number,
                self._host.deployment_of(ended.deployment),
                ended.started_at,
                ended.ended_at,
                ended.outcome,
            )
            for ended in invocations.attempts(reader, found)
        ]
        if found.status == Status.RUNNING:
            deployment = self._host.deployment_of(found.deployment)
            attempts.append(Attempt(found.attempt, deployment, found.started_at, None, "running"))
        return Attempts(attempts)

    @property
    def journal(self) -> list[JournalEntry]:
        """The journal as it is stored; empty if it is not kept."""
        inv = stories.load(self._host.running, self.id)
        return [] if inv is None else stories.journal(inv)

    @property
    def steps(self) -> dict[str, Any]:
        """The recorded results of its steps by name, from JSON; of one that failed, its failure.

        Of several steps with one name, the last.
        """
        inv = stories.load(self._host.running, self.id)
        return {} if inv is None else stories.steps(inv)

    @property
    def awakeables(self) -> list[str]:
        """The ids of the awakeables that it waits for now; give one to `Steadfaas.resolve`."""
        inv = stories.load(self._host.running, self.id)
        return [] if inv is None else stories.awakeables(inv)

    @property
    def last_failure(self) -> FailureRecord | None:
        """Why the latest failed attempt failed; None if none did since it last got on."""
        inv = stories.load(self._host.running, self.id)
        return None if inv is None else inv.failure

    def timeline(self) -> str:
        """What happened, for people: attempts, journal, and what it waits for."""
        lines = [f"{self.target} {self.text_id}: {self.status}"]
        engine = self._host.running
        inv = stories.load(engine, self.id)
        if inv is None:
            return lines[0]
        told = [_told(attempt, inv.created_at) for attempt in self.attempts]
        if len(told) > 2 * _ENDS_SHOWN + 1:
            left_out = f"  … {len(told) - 2 * _ENDS_SHOWN} more attempts"
            told = [*told[:_ENDS_SHOWN], left_out, *told[-_ENDS_SHOWN:]]
        lines += told
        lines += [f"    {entry}" for entry in stories.journal(inv)]
        if inv.status is not Status.COMPLETED:
            lines.append(f"  {stories.situation(engine, inv)}")
        elif inv.failure is not None:
            lines.append(f"  its last failure: {stories.failed(inv.failure)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{self.target} ({self.text_id})"


def _told(attempt: Attempt, start: int) -> str:
    since = format_duration(max(attempt.started_at - start, 0))
    where = attempt.deployment.name
    return f"  +{since:<10} attempt {attempt.number} on {where}: {attempt.outcome}"
