"""A version of a service under the real Deno runtime, on a loopback port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.support.npm import CHECKOUT, DenoParts
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ManagedProcess, Probe

_SOURCE = CHECKOUT / "tests" / "services" / "deno_app.ts"


class DenoService(ManagedProcess):
    """The shop of `tests/services/deno_app.ts`, whose steps sign with `version`."""

    name = "deno"

    def __init__(self, folder: Path, parts: DenoParts, version: str) -> None:
        super().__init__(folder)
        self._parts = parts
        self._folder = folder
        self._port = free_port()
        # Deno looks for packages beside the program.
        (folder / "node_modules").symlink_to(parts.node_modules)
        (folder / "package.json").write_text(json.dumps({"type": "module"}))
        self._program = folder / "app.ts"
        self._program.write_text(_SOURCE.read_text().replace("first code", version))

    @property
    def origin(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self._port}"

    def command(self) -> list[str]:
        return [
            *(str(self._parts.deno), "serve", "--no-remote", "--node-modules-dir=manual"),
            *("--allow-net", "--allow-env", "--allow-read", "--no-prompt"),
            *("--host", LOOPBACK, "--port", str(self._port), str(self._program)),
        ]

    def environment(self) -> Mapping[str, str]:
        return {"DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": str(self._folder / "deno-dir")}

    def probes(self) -> list[Probe]:
        return [Probe(self._port, "/health")]
