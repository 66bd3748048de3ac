"""The parts of a local Lambda, put together: one endpoint, one control plane, one fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from steadfaas.testing.local_lambda import variables
from steadfaas.testing.local_lambda.control_plane import ControlPlane
from steadfaas.testing.local_lambda.fleet import Fleet
from steadfaas.testing.local_lambda.front import Front
from steadfaas.testing.local_lambda.functions import FunctionVersion
from steadfaas.testing.local_lambda.invoke import Invoker
from steadfaas.testing.local_lambda.log_streams import LogStreams
from steadfaas.testing.local_lambda.names import Place, Reference
from steadfaas.testing.local_lambda.report import Report
from steadfaas.testing.local_lambda.runtime_api import LOOPBACK
from steadfaas.testing.local_lambda.task_roots import TaskRoots

# For answers to calls whose processes have just been killed.
_LAST_ANSWERS_SECONDS: Final = 1.0


class Server:
    """A running local Lambda. All methods belong to the event loop that started it."""

    def __init__(
        self,
        place: Place,
        folder: Path,
        logs: LogStreams,
        *,
        max_concurrency: int,
        installed_packages: bool,
        watch: Callable[[Report], None] | None,
    ) -> None:
        self.endpoint_url = ""
        self.control = ControlPlane(place)
        self.fleet = Fleet(
            TaskRoots(folder, self._code),
            logs,
            limit=max_concurrency,
            installed_packages=installed_packages,
            reserved=self.control.reserved_concurrency,
            is_current=self.control.is_current,
            variables=self._variables,
        )
        self._place = place
        self._invoker = Invoker(self.control, self.fleet, watch)
        self._front = Front(self.control, self.fleet, self._invoker)
        self._web: web.Server | None = None
        self._listening: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listen on a port of the loopback interface; 0 takes a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._web = web.Server(self._front.handle)
        self._listening = await loop.create_server(self._web, LOOPBACK, port, reuse_address=True)
        self.endpoint_url = f"http://{LOOPBACK}:{self._listening.sockets[0].getsockname()[1]}"
        self.control.endpoint_url = self.endpoint_url

    async def reset(self) -> None:
        """Forget all functions and end what runs of them."""
        await self._invoker.forget()
        # First the functions, so that nothing new begins.
        await self._front.on_control_thread(self.control.reset)
        await self.fleet.end_all()

    async def crash(self, arn: str) -> int:
        """Kill all processes of a version; how many there were."""
        return self.fleet.crash(arn)

    async def close(self) -> None:
        """Stop listening and end all processes. No call is answered any more."""
        if self._listening is not None:
            self._listening.close()
        await self.reset()
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(_LAST_ANSWERS_SECONDS)
        self._front.close()

    def _code(self, version: FunctionVersion) -> bytes:
        reference = Reference(version.name, version.version)
        return bytes(self.control.function(reference).code_bytes)

    def _variables(
        self, version: FunctionVersion, task_root: Path, log_stream: str
    ) -> Mapping[str, str]:
        return variables.of_handlers(version, task_root, self._place, self.endpoint_url, log_stream)
