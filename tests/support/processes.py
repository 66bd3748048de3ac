"""Real server processes for tests: started on loopback, waited for, and always reaped.

Each process runs in its own process group with its output in a file, and dies with the process
that started it, also when that one is killed. What a test sees when a server does not come up is
the end of that server's log rather than a bare timeout.

`start` only spawns and `wait_ready` only waits, so that a test with an event loop can spawn on the
loop's own thread and wait on another: the kernel ties "die with the parent" to the *thread* that
spawned, and a pool thread may end long before the test does.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.support import client
from tests.support.npm import CHECKOUT, NpmParts
from tests.support.ports import LOOPBACK, free_port

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.004


class NotReady(AssertionError):
    """A server did not become ready; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A server counts as ready when each of its probes answers with its status."""

    port: int
    path: str
    status: int = 200


class ManagedProcess:
    """One server process and its log file, appended to over restarts.

    Use it as a context manager, or call `start`, `wait_ready` and finally `stop` or `kill`.
    """

    name: ClassVar[str] = "process"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    ready_seconds: ClassVar[float] = 20.0

    def __init__(self, work_dir: Path) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        self.log_path = work_dir / f"{self.name}.log"
        self.boot_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    # What a subclass describes.

    def command(self) -> list[str]:
        """Program and arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Variables on top of the inherited ones."""
        return {}

    def probes(self) -> list[Probe]:
        """What must answer before the server is ready."""
        raise NotImplementedError

    # Life.

    @property
    def pid(self) -> int:
        """The pid of the running process, also the id of its process group."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Spawn the process. Call `wait_ready` before using it."""
        assert self._process is None, f"{self.name} is already running"
        with self.log_path.open("ab") as log:
            self._started_at = time.monotonic()
            self._process = subprocess.Popen(
                self.command(),
                cwd=CHECKOUT,
                env={**_clean_environment(), **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    def wait_ready(self, seconds: float | None = None) -> None:
        """Wait until every probe answers, and set `boot_seconds`, counted from `start`.

        Raises NotReady, with the end of the log, when the process ends or time runs out; the
        process is then gone.
        """
        deadline = self._started_at + (seconds or self.ready_seconds)
        waiting = self.probes()
        while waiting:
            if not self.running:
                raise self._not_ready("ended with exit code")
            if time.monotonic() > deadline:
                raise self._not_ready(f"did not answer {waiting[0]} in time; exit code")
            waiting = [probe for probe in waiting if not _answers(probe)]
            if waiting:
                time.sleep(_POLL_SECONDS)
        self.boot_seconds = time.monotonic() - self._started_at

    def stop(self, grace: float = 10.0) -> int:
        """Ask the process to end, kill it after `grace` seconds, reap it; give its exit code."""
        assert self._process is not None, f"{self.name} is not running"
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
        try:
            code = self._process.wait(grace)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._process = None
        return code

    def kill(self) -> int:
        """SIGKILL the whole process group, as a machine that loses power would, and reap."""
        assert self._process is not None, f"{self.name} is not running"
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait(10.0)
        self._process = None
        return code

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()

    def _not_ready(self, what: str) -> NotReady:
        code = self.kill()
        return NotReady(f"{self.name} {what} {code}; end of {self.log_path}:\n{self.log_tail()}")


class EngineServer(ManagedProcess):
    """An engine with an ingress and an admin address: ours, or restate-server.

    The data folder outlives restarts of the same object, the addresses too.
    """

    def __init__(self, work_dir: Path) -> None:
        super().__init__(work_dir)
        self.data_dir = work_dir / f"{self.name}-data"
        self.ingress_port = free_port()
        self.admin_port = free_port()

    @property
    def ingress(self) -> str:
        """Base URL of the ingress API."""
        return f"http://{LOOPBACK}:{self.ingress_port}"

    @property
    def admin(self) -> str:
        """Base URL of the admin API."""
        return f"http://{LOOPBACK}:{self.admin_port}"

    def probes(self) -> list[Probe]:
        """Health of both APIs."""
        return [Probe(self.admin_port, "/health"), Probe(self.ingress_port, "/restate/health")]

    def register(self, service: ServiceProcess, *, force: bool = False) -> str:
        """Register a service process and return the deployment's id."""
        return str(client.register(self.admin, service.url, force=force)["id"])


class SteadfaasServer(EngineServer):
    """Our engine, from this checkout. Settings given here become `STEADFAAS_*` variables.

    `aws` are variables that lead it to a Lambda.
    """

    name = "steadfaas"

    def __init__(
        self, work_dir: Path, *, aws: Mapping[str, str] | None = None, **settings: str
    ) -> None:
        super().__init__(work_dir)
        self._aws = aws or {}
        self._settings = settings

    def command(self) -> list[str]:
        """Start it the way a user does."""
        return [
            *(sys.executable, "-m", "steadfaas", "up"),
            *("--ingress", f"{LOOPBACK}:{self.ingress_port}"),
            *("--admin", f"{LOOPBACK}:{self.admin_port}"),
            *("--data-dir", str(self.data_dir)),
        ]

    def environment(self) -> Mapping[str, str]:
        """Import from this checkout, whatever is installed."""
        settings = {f"STEADFAAS_{name.upper()}": value for name, value in self._settings.items()}
        path = f"{CHECKOUT / 'core'}{os.pathsep}{CHECKOUT / 'adapters'}"
        return {"PYTHONPATH": path, **self._aws, **settings}


class RestateServer(EngineServer):
    """The official single-node server: loopback only, no telemetry, otherwise its defaults."""

    name = "restate-server"
    ready_seconds = 45.0

    def __init__(self, work_dir: Path, parts: NpmParts) -> None:
        super().__init__(work_dir)
        self._binary = parts.restate_server
        self._fabric_port = free_port()

    def command(self) -> list[str]:
        """The binary itself; everything else is in the environment."""
        return [str(self._binary), "--no-logo", "--base-dir", str(self.data_dir)]

    def environment(self) -> Mapping[str, str]:
        """Addresses, and nothing that changes what the server does for an invocation."""
        return {
            # A node finds its data again by its name; the host's name may change under us.
            "RESTATE_NODE_NAME": "test-node",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_IP": LOOPBACK,
            "RESTATE_BIND_PORT": str(self._fabric_port),
            "RESTATE_ADVERTISED_ADDRESS": f"http://{LOOPBACK}:{self._fabric_port}/",
            "RESTATE_INGRESS__BIND_ADDRESS": f"{LOOPBACK}:{self.ingress_port}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"{LOOPBACK}:{self.admin_port}",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
            "RESTATE_LOG_FORMAT": "compact",
        }

    def dumped_settings(self) -> str:
        """The settings in force, as the server itself prints them (TOML)."""
        done = subprocess.run(
            [*self.command(), "--dump-config"],
            env={**_clean_environment(), **self.environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout


class ServiceProcess(ManagedProcess):
    """An SDK endpoint over HTTP/1.1."""

    def __init__(self, work_dir: Path) -> None:
        super().__init__(work_dir)
        self.port = free_port()
        self.effects_path = work_dir / f"{self.name}-effects.jsonl"

    @property
    def url(self) -> str:
        """What to register."""
        return f"http://{LOOPBACK}:{self.port}/"

    def probes(self) -> list[Probe]:
        """Both SDKs serve a health route."""
        return [Probe(self.port, "/health")]


class PythonService(ServiceProcess):
    """`tests.services.python_app` under uvicorn, one worker."""

    name = "python-service"
    # The Python SDK takes SIGTERM for itself after the first request, and uvicorn then never
    # stops on it.
    stop_signal = signal.SIGINT

    def command(self) -> list[str]:
        """uvicorn, quiet."""
        return [
            *(sys.executable, "-m", "uvicorn", "tests.services.python_app:app"),
            *("--host", LOOPBACK, "--port", str(self.port)),
            *("--log-level", "warning", "--no-access-log"),
            *("--timeout-graceful-shutdown", "1"),
        ]

    def environment(self) -> Mapping[str, str]:
        """Where handlers log their side effects."""
        return {"TEST_EFFECTS_FILE": str(self.effects_path)}

    def stop(self, grace: float = 3.0) -> int:
        """As in the base class, with less patience: open requests are worth nothing here."""
        return super().stop(grace)


class NodeService(ServiceProcess):
    """`tests/services/node_app.mjs`: the TypeScript SDK on node's own HTTP/1.1 server."""

    name = "node-service"

    def __init__(self, work_dir: Path, parts: NpmParts) -> None:
        super().__init__(work_dir)
        self._parts = parts

    def command(self) -> list[str]:
        """The pinned Node, not the machine's."""
        return [str(self._parts.node), str(CHECKOUT / "tests" / "services" / "node_app.mjs")]

    def environment(self) -> Mapping[str, str]:
        """Where to listen, and where the SDK is: it does not live beside the script."""
        return {
            "TEST_PORT": str(self.port),
            "TEST_NODE_MODULES": str(self._parts.node_modules),
            "RESTATE_LOGGING": "WARN",
        }


def _clean_environment() -> dict[str, str]:
    """The inherited variables without those that would configure a server under test."""
    ours = ("STEADFAAS_", "RESTATE_", "AWS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _answers(probe: Probe) -> bool:
    try:
        base = f"http://{LOOPBACK}:{probe.port}"
        return client.request("GET", base, probe.path, timeout=1.0).status == probe.status
    except (OSError, http.client.HTTPException):
        return False


def _die_with_parent() -> Callable[[], None] | None:
    """What a child runs before it becomes the server: be killed when the parent ends.

    Only Linux offers this. Elsewhere a killed test run leaves its servers to the next reboot.
    """
    if not sys.platform.startswith("linux"):
        return None
    # Looked up before the fork: a forked child of a threaded process must not import or allocate
    # more than it has to.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # It died before we asked.
            os._exit(1)

    return before_exec
