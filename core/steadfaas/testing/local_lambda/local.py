"""LocalLambda: Lambda on this machine, without an account and without containers."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from steadfaas.errors import SteadfaasError
from steadfaas.testing.local_lambda import variables
from steadfaas.testing.local_lambda.archive import Code, package
from steadfaas.testing.local_lambda.log_streams import LogStreams
from steadfaas.testing.local_lambda.names import LATEST, Place
from steadfaas.testing.local_lambda.report import Report
from steadfaas.testing.loop_thread import LoopThread

_RUNTIME: Final = f"python{sys.version_info[0]}.{sys.version_info[1]}"

_PARTS: Final = ("moto", "flask", "boto3", "awslambdaric")

_accounts: Final[set[str]] = set()
_accounts_lock: Final = threading.Lock()


class NotUsable(SteadfaasError):
    """A local Lambda cannot run here, or not like this; the sentence says what to do."""


class LocalLambda:
    """Functions, versions and aliases, and processes that run them, behind one local endpoint.

    Use it as a context manager, or call `close` in the end; its processes also end when this one
    is killed. Its methods may be called from any thread, and block for a moment: in asynchronous
    code that shares its loop with a server, call those that invoke or publish in a thread.

    `port` is on 127.0.0.1, 0 takes a free one. `max_concurrency` is how many execution environments
    of a version may be busy at once. Handlers can import what is installed beside steadfaas, unless
    `installed_packages` is false: then only what they bring along. `logs` is a folder to keep what
    functions print; without one it is forgotten at the end. `watch` is called, in the server's
    thread, with each invocation that has run.

    Raises NotUsable where a part is missing, or another instance of this process has the account;
    OSError when the port cannot be taken.
    """

    def __init__(
        self,
        region: str = "eu-central-1",
        account: str = "123456789012",
        port: int = 0,
        *,
        max_concurrency: int = 10,
        installed_packages: bool = True,
        logs: str | Path | None = None,
        watch: Callable[[Report], None] | None = None,
    ) -> None:
        _check_parts()
        from steadfaas.testing.local_lambda.server import Server

        self._place = Place(region, account)
        _take(account)
        self._folder = tempfile.TemporaryDirectory(prefix="steadfaas-lambda-")
        folder = Path(self._folder.name)
        self._logs = LogStreams(folder / "logs" if logs is None else Path(logs))
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self._publishing = threading.Lock()
        self._loop = LoopThread("local-lambda")
        self._open = True
        try:
            self._server = Server(
                self._place,
                folder / "tasks",
                self._logs,
                max_concurrency=max_concurrency,
                installed_packages=installed_packages,
                watch=watch,
            )
            self._loop.call(self._server.start(port))
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def endpoint_url(self) -> str:
        """Where AWS's clients find it."""
        return self._server.endpoint_url

    @property
    def role(self) -> str:
        """The ARN of a role that exists, for `create_function`."""
        return self._server.control.role

    def env(self) -> dict[str, str]:
        """Environment variables for a process that is to use it: endpoint, region, credentials."""
        return variables.of_clients(self._place, self.endpoint_url)

    def client(self, service: str = "lambda") -> Any:
        """A boto3 client, made once for each service. It does not retry."""
        with self._clients_lock:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def publish(
        self,
        code: Code,
        *,
        name: str | None = None,
        handler: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: int = 30,
        memory: int = 128,
        alias: str | None = None,
        description: str = "",
    ) -> str:
        """Make a version of the code, and of its function if there is none yet; its ARN.

        `code` is a directory, a Python file, an imported module, or a mapping of file names to
        texts. Without a `name` the function is called like the directory, file or module. The
        handler is by default `handler` in the file or module, and `app.handler` otherwise.
        `timeout` is in seconds, `memory` in MB (shown to the handler, not enforced). An `alias` is
        created or moved to the version. The same code and settings again give the same version.

        Raises ValueError where there is no code, botocore's ClientError for what Lambda refuses.
        """
        packed = package(code)
        name = name or packed.name
        settings = {
            "Handler": handler or packed.handler,
            "Runtime": _RUNTIME,
            "Timeout": timeout,
            "MemorySize": memory,
            "Environment": {"Variables": dict(environment or {})},
        }
        with self._publishing:
            self._write(name, packed.zip_file, settings)
            version = self.client().publish_version(FunctionName=name, Description=description)
            if alias is not None:
                self.alias(name, alias, version["Version"])
        return str(version["FunctionArn"])

    def alias(self, name: str, alias: str, version: str | int) -> str:
        """Create an alias of a function, or move it, to a version (number or ARN); its ARN."""
        number = str(version).rpartition(":")[2]
        functions = self.client()
        words = {"FunctionName": name, "Name": alias, "FunctionVersion": number}
        try:
            answer = functions.update_alias(**words)
        except functions.exceptions.ResourceNotFoundException:
            answer = functions.create_alias(**words)
        return str(answer["AliasArn"])

    def logs(self, version_arn: str) -> str:
        """What the processes of a version have printed, on standard output and standard error."""
        reference = self._place.reference(version_arn)
        return self._logs.read(reference.name, reference.qualifier or LATEST)

    def crash(self, version_arn: str) -> int:
        """Kill the processes of a version, busy or idle, with SIGKILL; how many there were."""
        reference = self._place.reference(version_arn)
        arn = self._place.arn(reference.name, reference.qualifier or LATEST)
        return self._loop.call(self._server.crash(arn))

    def reset(self) -> None:
        """Forget all functions, end their processes and begin with version 1 again."""
        self._loop.call(self._server.reset())
        self._logs.forget()

    def close(self) -> None:
        """End it with all its processes. It cannot be used again."""
        if self._open:
            self._loop.call(self._server.close())
            self._end()

    def _write(self, name: str, zip_file: bytes, settings: dict[str, Any]) -> None:
        """Make $LATEST of a function what it is to be."""
        functions = self.client()
        try:
            functions.update_function_code(FunctionName=name, ZipFile=zip_file)
            functions.update_function_configuration(FunctionName=name, **settings)
        except functions.exceptions.ResourceNotFoundException:
            functions.create_function(
                FunctionName=name, Role=self.role, Code={"ZipFile": zip_file}, **settings
            )

    def _end(self) -> None:
        self._open = False
        self._loop.stop()
        self._folder.cleanup()
        _accounts.discard(self._place.account)

    def _new_client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            region_name=self._place.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id="local-lambda",
            aws_secret_access_key="local-lambda",
            # Longer than any function may take; and what a test provokes is to be seen once.
            config=Config(
                read_timeout=1000,
                proxies={},
                retries={"total_max_attempts": 1},
                max_pool_connections=50,
            ),
        )


def _take(account: str) -> None:
    """Take an account for one instance. Raises NotUsable when another has it."""
    with _accounts_lock:
        if account in _accounts:
            raise NotUsable(
                f"Another LocalLambda of this process has the account {account}. Give each an"
                " account of its own: LocalLambda(account='210987654321')."
            )
        _accounts.add(account)


def _check_parts() -> None:
    if not sys.platform.startswith("linux"):
        raise NotUsable(
            "LocalLambda runs handlers under AWS's own runtime client (awslambdaric), which there"
            " is for Linux only. Use Linux, WSL or a container."
        )
    missing = [name for name in _PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise NotUsable(
            f"LocalLambda needs {', '.join(missing)}. Run: pip install 'steadfaas[testing]'."
        )
