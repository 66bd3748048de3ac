"""The command line against a running engine with official SDK handlers, all in one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from steadfaas.cli import app
from tests.runtime.in_process import Code, World, code, world
from tests.services import operated


@dataclass(frozen=True, slots=True)
class Live:
    """An engine with the first version of the operated services; the second one is not registered.

    Both serve `Desk`, `Till` and `Order`.
    """

    world: World
    first: str
    old: Code
    new: Code

    async def run(self, *words: str, code: int | None = 0, **env: str) -> Result:
        """Run a command, which must end with `code` (None: any)."""
        line = ["--admin-url", self.world.admin, *words]
        done = await asyncio.to_thread(CliRunner().invoke, app, line, env=env)
        assert code is None or done.exit_code == code, f"{done.exit_code}: {done.output}"
        return done

    async def json(self, *words: str, code: int = 0) -> Any:
        """The standard output of a command as JSON."""
        return json.loads((await self.run(*words, "--json", code=code)).stdout)

    async def register_new(self) -> str:
        """Register the second version; its deployment's id."""
        return await self.world.register(self.new)

    async def suspended(self, path: str, value: Any = None) -> str:
        """Send a request and wait until it is suspended; its id."""
        id = await self.world.send(path, value)
        await self.world.until(id, "suspended")
        return id

    async def status(self, id: str) -> str:
        """The status of an invocation."""
        return str((await self.world.look(id))["status"])


@contextlib.asynccontextmanager
async def live(data_dir: Path) -> AsyncIterator[Live]:
    """A new engine."""
    async with (
        code(*_services("v1")) as old,
        code(*_services("v2")) as new,
        world(data_dir) as here,
    ):
        yield Live(here, await here.register(old), old, new)


def _services(version: str) -> list[Any]:
    return [
        operated.desk("Desk", version),
        operated.till("Till"),
        operated.order("Order", "Desk"),
    ]


def row(done: Result, start: str) -> list[str]:
    """The words of the only line of standard output that begins so."""
    [line] = [line for line in done.stdout.splitlines() if line.startswith(start)]
    return line.split()
