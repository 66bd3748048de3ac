"""Real parts from npm, installed once per checkout and pinned to exact versions.

The official restate-server and its command line, the TypeScript SDK and a Node new enough for that
SDK all come as npm packages. They land in `.cache/npm-<hash of the pins>` (ignored by git), so a
changed pin makes a fresh folder and an unchanged one costs nothing. Where npm is missing or the
install fails, callers get the reason as text, and the tests that need the part are skipped with it.

Binaries are named directly, never through npx: npx leaves a parent process behind whose pid is
not the pid of the program.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache"

RESTATE_SERVER_VERSION = "1.7.12"
PINS = {
    "@restatedev/restate": RESTATE_SERVER_VERSION,
    "@restatedev/restate-server": RESTATE_SERVER_VERSION,
    "@restatedev/restate-sdk": "1.17.2",
    # The TypeScript SDK calls Promise.withResolvers, which older Nodes lack: there discovery
    # succeeds and every invocation hangs.
    "node": "22.23.3",
}

# Both are large (some 90 MB each), and fetched only by the tests that need them: the Deno runtime
# with the SDK for what it runs, and what builds and runs Workers.
DENO_PINS = {"deno": "2.9.6", "@restatedev/restate-sdk": PINS["@restatedev/restate-sdk"]}
WORKER_PINS = {
    "workerd": "1.20261117.1",
    "esbuild": "0.28.2",
    "@restatedev/restate-sdk-cloudflare-workers": "1.17.2",
}

INSTALL_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class NpmParts:
    """Where the installed parts are."""

    root: Path

    @property
    def node_modules(self) -> Path:
        """The folder that holds the packages."""
        return self.root / "node_modules"

    @property
    def node(self) -> Path:
        """The Node binary."""
        return self.node_modules / "node" / "bin" / "node"

    @property
    def restate_server(self) -> Path:
        """The restate-server binary of this platform."""
        package = f"restate-server-{_npm_platform()}-{_npm_arch()}"
        return self.node_modules / "@restatedev" / package / "bin" / "restate-server"

    @property
    def restate_cli(self) -> Path:
        """The official command line of this platform, of the server's version."""
        package = f"restate-{_npm_platform()}-{_npm_arch()}"
        return self.node_modules / "@restatedev" / package / "bin" / "restate"


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """Where the parts are that build and run Workers."""

    root: Path

    @property
    def node_modules(self) -> Path:
        """The folder that holds the packages."""
        return self.root / "node_modules"

    @property
    def workerd(self) -> Path:
        """The runtime of Workers, for this platform."""
        arch = {"x64": "64"}.get(_npm_arch(), _npm_arch())
        package = f"workerd-{_npm_platform()}-{arch}"
        return self.node_modules / "@cloudflare" / package / "bin" / "workerd"

    @property
    def esbuild(self) -> Path:
        """The bundler, for this platform."""
        package = f"{_npm_platform()}-{_npm_arch()}"
        return self.node_modules / "@esbuild" / package / "bin" / "esbuild"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The parts cannot be had here; `reason` is one sentence for the test summary."""

    reason: str


@dataclass(frozen=True, slots=True)
class DenoParts:
    """Where Deno is, and the packages for what it runs."""

    node_modules: Path

    @property
    def deno(self) -> Path:
        """The Deno binary of this platform."""
        libc = "-glibc" if _npm_platform() == "linux" else ""
        package = f"{_npm_platform()}-{_npm_arch()}{libc}"
        return self.node_modules / "@deno" / package / "deno"


def install() -> NpmParts | Unavailable:
    """The official server and command line, the SDK and Node, installed unless they are there."""
    root = _installed(PINS)
    if isinstance(root, Unavailable):
        return root
    parts = NpmParts(root)
    return _lacking(parts.node, parts.restate_server, parts.restate_cli) or parts


def install_deno() -> DenoParts | Unavailable:
    """Deno and the SDK, in the same way."""
    root = _installed(DENO_PINS)
    if isinstance(root, Unavailable):
        return root
    parts = DenoParts(root / "node_modules")
    return _lacking(parts.deno) or parts


def install_workers() -> WorkerParts | Unavailable:
    """What builds and runs Workers, in the same way."""
    root = _installed(WORKER_PINS)
    if isinstance(root, Unavailable):
        return root
    parts = WorkerParts(root)
    return _lacking(parts.workerd, parts.esbuild) or parts


def _installed(pins: Mapping[str, str]) -> Path | Unavailable:
    """Install the pinned packages unless they are there, and say where they are.

    Safe to call from several processes at once: one installs, the others wait for it (at most
    about `INSTALL_SECONDS` seconds). A failed install leaves nothing behind.
    """
    npm = shutil.which("npm")
    if npm is None:
        return Unavailable("npm is not installed")
    digest = hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()[:12]
    target = CACHE / f"npm-{digest}"
    CACHE.mkdir(exist_ok=True)
    with _lock(CACHE / "npm.lock"):
        if not target.exists():
            failure = _install_into(npm, target, pins)
            if failure is not None:
                return Unavailable(failure)
    return target


def _install_into(npm: str, target: Path, pins: Mapping[str, str]) -> str | None:
    """Install beside `target` and rename: a half-installed folder never carries the final name."""
    scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    try:
        manifest = {"name": "steadfaas-test-parts", "private": True, "dependencies": dict(pins)}
        (scratch / "package.json").write_text(json.dumps(manifest, indent=2))
        command = [npm, "install", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
        # A dependency of restate-server reports installs to its vendor unless told not to.
        environment = {**os.environ, "SCARF_ANALYTICS": "false", "DO_NOT_TRACK": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"npm install took longer than {INSTALL_SECONDS:.0f} s"
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return f"npm install failed with exit code {done.returncode}: {last}"
        scratch.rename(target)
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _lacking(*binaries: Path) -> Unavailable | None:
    for binary in binaries:
        if not os.access(binary, os.X_OK):
            return Unavailable(f"npm brought no {binary.name} for {sys.platform}")
    return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """An advisory lock between processes; the kernel lets go of it if the holder dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _npm_platform() -> str:
    return {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)


def _npm_arch() -> str:
    return {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
