"""What a test holds in its hands: deployments and invocations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from steadfaas import ids
from steadfaas.durations import format_duration, parse_duration
from steadfaas.machine.failure import FailureRecord
from steadfaas.machine.status import Status
from steadfaas.store import invocations
from steadfaas.testing import stories
from steadfaas.testing.stories import JournalEntry

if TYPE_CHECKING:
    from steadfaas.testing.kit import Steadfaas


class InvocationFailed(AssertionError):
    """An invocation ended with a failure: `code` and `message` are what its caller gets."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Deployment:
    """A registered version. Two handles are equal if they mean the same deployment."""

    id: str
    name: str = field(compare=False)
    uri: str = field(compare=False)

    @property
    def host(self) -> str:
        """The host of its address, without the port."""
        return self.uri.partition("://")[2].partition("/")[0].partition(":")[0]

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

    def __init__(self, kit: Steadfaas, id: bytes, target: str) -> None:
        self._kit = kit
        self.id = id
        self.target = target

    @property
    def text_id(self) -> str:
        """`inv_1…`."""
        return ids.format_invocation(self.id)

    async def result(self, within: str = "365 days") -> Any:
        """The result, from JSON (bytes if it is none); virtual time moves as far as needed.

        Raises InvocationFailed if it ended with a failure, Stuck if it cannot end (within
        that time), NonDeterminism if always-replay found that it takes different ways.
        """
        output = await self._kit.outcome(self, parse_duration(within))
        if output.failure is not None:
            raise InvocationFailed(output.failure.code, output.failure.message)
        content = b"" if output.value is None else output.value.content
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError:
            return content

    async def cancel(self) -> None:
        """Ask it to stop."""
        await (await self._kit.engine()).cancel(self.id)
        await self._kit.settle()

    async def kill(self) -> None:
        """End it."""
        await (await self._kit.engine()).kill(self.id)
        await self._kit.settle()

    @property
    def status(self) -> str:
        """As in the admin API: `suspended`, `backing-off`, `completed`, …; `unknown` if gone."""
        found = self._kit.running.outline(self.id)
        if found is None:
            return "unknown"
        return Status(found.status).name.lower().replace("_", "-")

    @property
    def attempts(self) -> Attempts:
        """All attempts, the running one included."""
        reader = self._kit.running.store.reader
        found = invocations.describe(reader, self.id)
        if found is None:
            return Attempts([])
        attempts = [
            Attempt(
                ended.number,
                self._kit.deployment_of(ended.deployment),
                ended.started_at,
                ended.ended_at,
                ended.outcome,
            )
            for ended in invocations.attempts(reader, found)
        ]
        if found.status == Status.RUNNING:
            deployment = self._kit.deployment_of(found.deployment)
            attempts.append(Attempt(found.attempt, deployment, found.started_at, None, "running"))
        return Attempts(attempts)

    @property
    def journal(self) -> list[JournalEntry]:
        """The journal as it is stored; empty if it is not kept."""
        inv = stories.load(self._kit.running, self.id)
        return [] if inv is None else stories.journal(inv)

    @property
    def last_failure(self) -> FailureRecord | None:
        """Why the latest failed attempt failed; None if none did since it last got on."""
        inv = stories.load(self._kit.running, self.id)
        return None if inv is None else inv.failure

    def timeline(self) -> str:
        """What happened, for people: attempts, journal, and what it waits for."""
        lines = [f"{self.target} {self.text_id}: {self.status}"]
        inv = stories.load(self._kit.running, self.id)
        if inv is None:
            return lines[0]
        start = inv.created_at
        for attempt in self.attempts:
            since = format_duration(max(attempt.started_at - start, 0))
            lines.append(
                f"  +{since:<10} attempt {attempt.number} on {attempt.deployment.name}:"
                f" {attempt.outcome}"
            )
        lines += [f"    {entry}" for entry in stories.journal(inv)]
        if inv.status is not Status.COMPLETED:
            lines.append(f"  {stories.situation(inv, self._kit.now())}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{self.target} ({self.text_id})"
