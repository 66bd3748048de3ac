"""An execution environment: one process with the code of one version, one invocation at a time.

It is started for an invocation (a cold start), initialises the handler's module, and then serves
one event after the other until it crashes, runs out of time or is killed. Source:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from steadfaas.testing.local_lambda import bootstrap
from steadfaas.testing.local_lambda.functions import FunctionVersion
from steadfaas.testing.local_lambda.log_streams import LogStream
from steadfaas.testing.local_lambda.runtime_api import Event, Outcome, RuntimeApi, failure

# AWS breaks initialisation off after ten seconds and begins it again on the function's own time.
# Here it goes on, for as long as both would have taken.
_INIT_SECONDS: Final = 10.0


class ExecutionEnvironment:
    """One process of a version. `start` it once, then `run` events one at a time."""

    def __init__(self, version: FunctionVersion, log: LogStream, installed_packages: bool) -> None:
        self.version = version
        self.log = log
        self._installed_packages = installed_packages
        self._api = RuntimeApi(self._taken, self._finish)
        # The process dies when this end of a pipe is closed, also by our own end.
        self._lifeline: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ended = False
        self._watching: asyncio.Task[None] | None = None
        self._event: Event | None = None
        self._outcome: asyncio.Future[Outcome] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether it was started and has not ended."""
        return self._watching is not None and not self._ended

    async def start(self, task_root: Path, variables: Mapping[str, str]) -> None:
        """Start the process in a folder, with these environment variables and the API's address."""
        address = await self._api.start()
        until_closed, self._lifeline = os.pipe()
        try:
            with self.log.path.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *bootstrap.command(self.version.handler, self._installed_packages),
                    cwd=task_root,
                    env={**variables, "AWS_LAMBDA_RUNTIME_API": address},
                    stdin=until_closed,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            os.close(until_closed)
        self._watching = asyncio.create_task(self._watch(self._process))
        if self._ended:  # killed while it was started
            self.kill()

    async def run(self, event: Event) -> Outcome:
        """Have the process work on an event; what came of it. Afterwards see `usable`."""
        self._event = event
        self._outcome = asyncio.get_running_loop().create_future()
        self._set_timer(_INIT_SECONDS + self.version.timeout)
        self._api.offer(event)
        if not self.usable:
            self._finish(self._exit_error())
        try:
            outcome = await self._outcome
        except asyncio.CancelledError:
            self.kill()  # the process may not know of it
            raise
        finally:
            self._outcome = None
            if self._timer is not None:
                self._timer.cancel()
        if outcome.fatal:
            self.kill()
        return outcome

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        self._ended = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def gone(self) -> None:
        """Kill the process, and wait until nothing of it is left."""
        self.kill()
        if self._watching is not None:
            await self._watching
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        await self._api.close()

    def _taken(self, event: Event) -> int:
        """The process begins to work: from now on it is the function's time that passes."""
        timeout = self.version.timeout
        self._set_timer(timeout)
        return int((time.time() + timeout) * 1000)

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        self._finish(
            failure(
                "Sandbox.Timedout",
                f"RequestId: {self._request_id()} Error: Task timed out after"
                f" {self.version.timeout:.2f} seconds",
                fatal=True,
            )
        )

    def _finish(self, outcome: Outcome) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(outcome)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._ended = True
        # A process that ends by itself may leave others behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._finish(self._exit_error())

    def _exit_error(self) -> Outcome:
        code = None if self._process is None else self._process.returncode
        how = "exited without providing a reason"
        if code is not None and code < 0:
            how = f"exited with error: signal: {signal.strsignal(-code) or -code}".lower()
        elif code:
            how = f"exited with error: exit status {code}"
        sentence = f"RequestId: {self._request_id()} Error: Runtime {how}"
        return failure("Runtime.ExitError", sentence, fatal=True)

    def _request_id(self) -> str:
        return "" if self._event is None else self._event.request_id
