"""Services under the real Deno runtime, on a loopback port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.support.npm import CHECKOUT, DenoParts
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ManagedProcess, Probe


class DenoService(ManagedProcess):
    """A TypeScript program that serves SDK handlers."""

    name = "deno"
    source: ClassVar[Path]
    ready_status: ClassVar[int] = 200

    def __init__(self, folder: Path, parts: DenoParts) -> None:
        super().__init__(folder)
        self._parts = parts
        self._folder = folder
        self._port = free_port()
        # Deno looks for packages beside the program.
        (folder / "node_modules").symlink_to(parts.node_modules)
        (folder / "package.json").write_text(json.dumps({"type": "module"}))
        self._program = folder / "main.ts"
        self._program.write_text(self.text())

    def text(self) -> str:
        """The program."""
        return self.source.read_text(encoding="utf-8")

    @property
    def origin(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self._port}"

    def command(self) -> list[str]:
        """Without leave to load anything from elsewhere."""
        return [
            *(str(self._parts.deno), "serve", "--no-remote", "--node-modules-dir=manual"),
            *("--allow-net", "--allow-env", "--allow-read", "--no-prompt"),
            *("--host", LOOPBACK, "--port", str(self._port), str(self._program)),
        ]

    def environment(self) -> Mapping[str, str]:
        """Its caches are its own."""
        return {"DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": str(self._folder / "deno-dir")}

    def probes(self) -> list[Probe]:
        """What the SDK answers by itself."""
        return [Probe(self._port, "/health", self.ready_status)]


class DenoShop(DenoService):
    """The shop of `tests/services/deno_app.ts`, whose steps sign with `version`."""

    source = CHECKOUT / "tests" / "services" / "deno_app.ts"

    def __init__(self, folder: Path, parts: DenoParts, version: str) -> None:
        self._version = version
        super().__init__(folder, parts)

    def text(self) -> str:
        """The program, as this version."""
        return super().text().replace("first code", self._version)
