"""A real engine for a test: `steadfaas up` in a process of its own, and what one does with it.

Beside the kit's engine, which lives inside the test on a clock of its own, this one has real ports,
real time and a real end: for what a test wants to see across processes. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from steadfaas.testing.calls import encoded, ingress_path
from steadfaas.testing.failures import InvocationFailed, Refused
from steadfaas.testing.spans import Duration, milliseconds

_LOOPBACK: Final = "127.0.0.1"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.01
_ASK_SECONDS: Final = 35.0
_LOG_SHOWN: Final = 2000


class EngineDidNotStart(AssertionError):
    """The engine's process ended, or did not answer in time. The message ends with its log."""


class SteadfaasEngine:
    """An engine in a process of its own. Its data outlives `kill` and `restart`, its ports too.

    `folder` takes data and log. `settings` are those of `steadfaas.toml`, by name; `config` is such
    a file, whose deployments are applied once it runs. The process gets the environment that the
    test has when it starts, and dies with it. Use it as a context manager, or call `start` and
    `stop`.
    """

    def __init__(self, folder: Path, *, config: Path | str | None = None, **settings: str) -> None:
        self.folder = folder
        self._config = config
        self._settings = settings
        self._ports: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until it takes requests. Raises EngineDidNotStart."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._ports is None:
            self._ports = _free_port(), _free_port()
        ingress, admin = (f"{_LOOPBACK}:{port}" for port in self._ports)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "steadfaas.testing.engine", "up"),
                    *("--ingress", ingress, "--admin", admin),
                    *("--data-dir", str(self.folder / "data")),
                    *(() if self._config is None else ("--config", str(self._config))),
                ],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """End it in an orderly way: open exchanges may end first."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            self.kill()

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()  # reaps it, and closes our end of its input
            self._process = None

    def restart(self) -> None:
        """Kill it, and start it again on what it had stored."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def ingress_url(self) -> str:
        """Where requests go."""
        return self._url(0)

    @property
    def admin_url(self) -> str:
        """Where the admin API is; `steadfaas --admin-url` takes it."""
        return self._url(1)

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        if self._process is None:
            raise RuntimeError("the engine does not run: call start(), or use it in `with`")
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """What it printed, over all restarts."""
        return self.folder / "engine.log"

    # --- versions ------------------------------------------------------------------------------

    def deploy(
        self,
        target: str,
        *,
        force: bool = False,
        breaking: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Register a version, which takes new requests from now on; the deployment's id.

        `target` is what `steadfaas deployments register` takes: a URL, an ARN, `lambda:NAME`.
        Raises Refused.
        """
        body: dict[str, object] = {
            "target": target,
            "force": force,
            "breaking": breaking,
            "metadata": dict(metadata or {}),
        }
        return str(self.admin("POST", "/deployments", body)["id"])

    def drain(self, deployment: str) -> dict[str, Any]:
        """What still needs a deployment: `drain(id)["state"]` is active, draining or drained."""
        found: dict[str, Any] = self.admin("GET", f"/deployments/{deployment}")["drain"]
        return found

    def admin(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Ask the admin API; the JSON that it answers. Raises Refused."""
        raw = None if body is None else json.dumps(body).encode()
        return self._ask(self.admin_url, method, path, raw, "application/json")

    # --- requests ------------------------------------------------------------------------------

    def send(
        self,
        target: str,
        body: object = None,
        *,
        delay: Duration | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
    ) -> Sent:
        """Send a request to `Service/handler` or `Object/key/handler`, and do not wait for it.

        `body` is sent as JSON (bytes as they are, None: no body). `version` is what the deployment
        that it is for has in its metadata, such as `git:3f2c91e`. Raises Refused.
        """
        path = f"/{ingress_path(target)}/send"
        if delay is not None:
            path += f"?delay={milliseconds(delay)}ms"
        more = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        if version is not None:
            more["x-steadfaas-version"] = version
        raw, content_type = encoded(body)
        answer = self._ask(self.ingress_url, "POST", path, raw, content_type, more)
        return Sent(self, str(answer["invocationId"]), target)

    def call(
        self,
        target: str,
        body: object = None,
        *,
        version: str | None = None,
        within: Duration = "30s",
    ) -> Any:
        """Send a request and wait for its result. Raises what `send` and `Sent.result` raise."""
        return self.send(target, body, version=version).result(within)

    # --- how -----------------------------------------------------------------------------------

    def _ask(
        self,
        base: str,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        typed = {} if content_type is None else {"content-type": content_type}
        sent = {**typed, **(headers or {})}
        status, raw = _exchange(base, method, path, body, sent, _ASK_SECONDS)
        if status >= 400:
            raise Refused(status, _message(raw))
        return json.loads(raw) if raw else None

    def _url(self, which: int) -> str:
        if self._ports is None:
            raise RuntimeError("the engine was not started: call start(), or use it in `with`")
        return f"http://{_LOOPBACK}:{self._ports[which]}"

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not _is_setting(k)}
        # The modules that this process has, wherever it found them.
        path = os.pathsep.join(each for each in sys.path if each)
        settings = {f"STEADFAAS_{name.upper()}": value for name, value in self._settings.items()}
        return {**inherited, "PYTHONPATH": path, **settings}

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        end = time.monotonic() + _START_SECONDS
        while not (_answers(self.admin_url, "/health") and _answers(self.ingress_url, _HEALTH)):
            if self._process.poll() is not None or time.monotonic() > end:
                code = self._process.poll()
                self.kill()
                log = self.log_path.read_text(errors="replace")[-_LOG_SHOWN:]
                raise EngineDidNotStart(f"exit code {code}; its log ends with\n{log}")
            time.sleep(_LOOK_SECONDS)


_HEALTH: Final = "/restate/health"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent to an engine."""

    engine: SteadfaasEngine
    id: str
    target: str

    def result(self, within: Duration = "30s") -> Any:
        """Wait for the result, from JSON (bytes if it is none); an engine that is restarted
        meanwhile is asked again. Raises InvocationFailed, TimeoutError."""
        end = time.monotonic() + milliseconds(within) / 1000
        path = f"/restate/invocation/{self.id}/attach"
        while (left := end - time.monotonic()) > 0:
            try:
                status, raw = _exchange(self.engine.ingress_url, "GET", path, None, {}, left)
            except (OSError, http.client.HTTPException):
                time.sleep(min(_LOOK_SECONDS, left))
                continue
            if status >= 400:
                raise InvocationFailed(status, _message(raw))
            with contextlib.suppress(ValueError):
                return json.loads(raw)
            return raw
        raise TimeoutError(f"{self.target} ({self.id}) is {self.status} and has no result yet")

    def describe(self) -> dict[str, Any]:
        """All that the engine tells about it: status, attempts, events, the latest failure."""
        found: dict[str, Any] = self.engine.admin("GET", f"/invocations/{self.id}")
        return found

    @property
    def status(self) -> str:
        """`running`, `suspended`, `backing-off`, `paused`, `completed` …"""
        return str(self.describe()["status"])

    @property
    def deployments(self) -> set[str]:
        """The ids of the deployments that its attempts went to."""
        return {str(each["deployment_id"]) for each in self.describe()["attempts"]}


def _exchange(
    base: str,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    seconds: float,
) -> tuple[int, bytes]:
    address = urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def _answers(base: str, path: str) -> bool:
    try:
        return _exchange(base, "GET", path, None, {}, 2.0)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw.decode("utf-8", "replace")


def _is_setting(variable: str) -> bool:
    """The test says what is set, not whoever runs it; tokens of adapters are no settings."""
    from steadfaas.config import Settings, variable_of
    from steadfaas.config.given import NESTED

    flat = {variable_of(name) for name in Settings.model_fields}
    return variable in flat or variable == "STEADFAAS_CONFIG" or bool(NESTED.match(variable))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _main() -> None:
    """The engine's process: ends with its parent, and is `steadfaas up` apart from that."""
    from steadfaas.cli import main
    from steadfaas.testing.local_lambda.bootstrap import die_with_parent

    if sys.platform.startswith("linux"):
        die_with_parent()
    main()


if __name__ == "__main__":
    _main()
