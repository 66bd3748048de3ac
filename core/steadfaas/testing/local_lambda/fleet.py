"""All execution environments: which are idle, which are busy, and how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from steadfaas.testing.local_lambda.api_errors import ApiError
from steadfaas.testing.local_lambda.environment import ExecutionEnvironment
from steadfaas.testing.local_lambda.functions import FunctionVersion
from steadfaas.testing.local_lambda.log_streams import LogStreams
from steadfaas.testing.local_lambda.runtime_api import Event, Outcome
from steadfaas.testing.local_lambda.task_roots import TaskRoots

_RETRY_AFTER_SECONDS: Final = "1"
# Environments that are kept warm, of all versions together: each takes some 40 MB.
_IDLE: Final = 20


@dataclass(frozen=True, slots=True)
class Run:
    """An invocation that has ended. `log_tail`, if it was wanted, is in base64."""

    outcome: Outcome
    cold_start: bool
    log_tail: str


class Fleet:
    """Runs events in execution environments, reusing those that are warm.

    At most `limit` environments of a version are busy at once; `reserved` gives the limit of a
    function with all its versions, or None. `is_current` says whether a version still exists as
    it is, and `variables` what its processes find in their environment.
    """

    def __init__(
        self,
        task_roots: TaskRoots,
        logs: LogStreams,
        *,
        limit: int,
        installed_packages: bool,
        reserved: Callable[[str], int | None],
        is_current: Callable[[FunctionVersion], bool],
        variables: Callable[[FunctionVersion, Path, str], Mapping[str, str]],
    ) -> None:
        self._task_roots = task_roots
        self._logs = logs
        self._limit = limit
        self._installed_packages = installed_packages
        self._reserved = reserved
        self._is_current = is_current
        self._variables = variables
        self._idle: list[ExecutionEnvironment] = []
        self._busy: set[ExecutionEnvironment] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Condition()

    async def run(self, version: FunctionVersion, event: Event) -> Run:
        """Run an event. Raises ApiError when a limit on concurrency is reached."""
        reason = self._throttled(version)
        if reason is not None:
            raise ApiError(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                headers={"Retry-After": _RETRY_AFTER_SECONDS},
                Reason=reason,
            )
        environment = self._take_idle(version)
        cold = environment is None
        if environment is None:
            log = self._logs.open(version.name, version.version)
            environment = ExecutionEnvironment(version, log, self._installed_packages)
        self._busy.add(environment)
        try:
            if cold:
                root = await self._task_roots.of(version)
                variables = self._variables(version, root, environment.log.name)
                await environment.start(root, variables)
            printed = environment.log.size()
            outcome = await environment.run(event)
            tail = environment.log.tail(printed) if event.wants_log else ""
            return Run(outcome, cold, tail)
        finally:
            await self._give_back(environment)

    async def run_when_possible(self, version: FunctionVersion, event: Event) -> Run:
        """Run an event as soon as no limit on concurrency prevents it."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._throttled(version) is None)
        return await self.run(version, event)

    async def refresh(self) -> None:
        """Look again at what exists: end the environments of versions deleted or changed."""
        self._end_idle(lambda each: not self._is_current(each.version))
        await self._tell_waiting()

    def crash(self, arn: str) -> int:
        """Kill all processes of a version; how many there were."""
        found = [each for each in (*self._idle, *self._busy) if each.version.arn == arn]
        for environment in found:
            environment.kill()
        return len(found)

    async def end_all(self) -> None:
        """Kill all processes, and wait until they are gone. What they worked on fails."""
        self._end_idle(lambda _: True)
        for environment in self._busy:
            environment.kill()
        async with self._freed:
            await self._freed.wait_for(lambda: not self._busy)
        await asyncio.gather(*self._ending)
        self._task_roots.forget()

    def _throttled(self, version: FunctionVersion) -> str | None:
        """Why a version may not have another environment busy, in AWS's words."""
        busy = [each.version for each in self._busy if each.version.name == version.name]
        reserved = self._reserved(version.name)
        if reserved is not None and len(busy) >= reserved:
            return "ReservedFunctionConcurrentInvocationLimitExceeded"
        if busy.count(version) >= self._limit:
            return "ConcurrentInvocationLimitExceeded"
        return None

    def _take_idle(self, version: FunctionVersion) -> ExecutionEnvironment | None:
        """The one that was used last, so that the others can be idle for long."""
        self._end_idle(lambda each: not each.usable)
        for environment in reversed(self._idle):
            if environment.version == version:
                self._idle.remove(environment)
                return environment
        return None

    async def _give_back(self, environment: ExecutionEnvironment) -> None:
        self._busy.discard(environment)
        if environment.usable and self._is_current(environment.version):
            self._idle.append(environment)
            self._end_idle(self._idle[:-_IDLE].__contains__)
        else:
            self._end(environment)
        await self._tell_waiting()

    async def _tell_waiting(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    def _end_idle(self, which: Callable[[ExecutionEnvironment], bool]) -> None:
        for environment in list(filter(which, self._idle)):
            self._idle.remove(environment)
            self._end(environment)

    def _end(self, environment: ExecutionEnvironment) -> None:
        ending = asyncio.create_task(environment.gone())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
