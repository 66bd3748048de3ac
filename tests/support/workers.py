"""Workers under the real runtime: `tests/services/worker.ts`, bundled once for each version."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.npm import CHECKOUT, WorkerParts
from tests.support.processes import Probe, ServiceProcess

_SOURCE = CHECKOUT / "tests" / "services" / "worker.ts"
_WASM = "sdk_shared_core_wasm_bindings_bg.wasm"
_CONFIG = """\
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "WASM", wasm = embed "WASM"),
  ],
  compatibilityDate = "2025-06-01",
  compatibilityFlags = ["nodejs_compat"],
);
""".replace("WASM", _WASM)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A version that is ready to run."""

    version: str
    config: Path


def bundled(parts: WorkerParts, folder: Path, version: str, source: Path = _SOURCE) -> Bundle:
    """Build one version of a Worker."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            str(parts.esbuild),
            str(source),
            *("--bundle", "--format=esm", "--platform=browser", "--log-level=error"),
            *("--conditions=workerd,worker,browser", "--external:node:*"),
            *("--loader:.wasm=copy", "--asset-names=[name]"),
            f'--define:VERSION="{version}"',
            f"--outfile={folder / 'worker.js'}",
        ],
        # The source does not lie beside the packages.
        env={"NODE_PATH": str(parts.node_modules)},
        check=True,
        timeout=60,
    )
    config = folder / "config.capnp"
    config.write_text(_CONFIG)
    return Bundle(version, config)


class WorkerProcess(ServiceProcess):
    """One version of the Worker under workerd."""

    def __init__(self, work_dir: Path, parts: WorkerParts, bundle: Bundle) -> None:
        super().__init__(work_dir)
        self._workerd, self._bundle = parts.workerd, bundle

    def command(self) -> list[str]:
        """The binary itself."""
        address = f"--socket-addr=http=127.0.0.1:{self.port}"
        return [str(self._workerd), "serve", str(self._bundle.config), address]

    def probes(self) -> list[Probe]:
        """The SDK serves a health route."""
        return [Probe(self.port, "/health")]
