"""The command line against a restate-server: versions at HTTP addresses and on a local Lambda."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from steadfaas.cli import app
from steadfaas.testing import LocalLambda
from tests.support import client
from tests.support.npm import CHECKOUT, NpmParts
from tests.support.ports import free_port
from tests.support.processes import (
    EngineServer,
    NodeService,
    Probe,
    PythonService,
    RestateServer,
)

Json = dict[str, Any]
_JSON = {"content-type": "application/json", "accept": "application/json"}
_SECONDS = 20.0

_ON_LAMBDA = """
import restate
service = restate.Service("{name}")

@service.handler("{greet}")
async def greet(ctx: restate.Context) -> str:
    return "{version}"

@service.handler()
async def wait(ctx: restate.Context) -> str:
    awakeable, told = ctx.awakeable(type_hint=str)
    await ctx.run_typed("begin", lambda: print("awakeable", awakeable, flush=True))
    return f"{version} was told {{await told}}"

handler = restate.app([service])
"""


class ClerkService(PythonService):
    """`tests.services.clerk`."""

    name = "clerk-service"

    def command(self) -> list[str]:
        """The same uvicorn with another application."""
        ours, own = "tests.services.python_app:app", "tests.services.clerk:app"
        return [own if word == ours else word for word in super().command()]

    def version(self, name: str, version: str) -> str:
        """What a file names."""
        return f"{self.url}{name}/{version}"

    def awakeables(self) -> list[str]:
        """Those that handlers have waited for, in order."""
        lines = map(json.loads, self.effects_path.read_text().splitlines())
        return [line["awakeable"] for line in lines if "awakeable" in line]


class Http2Service(NodeService):
    """`tests/services/http2_app.mjs`."""

    name = "http2-service"

    def __init__(self, work_dir: Path, parts: NpmParts) -> None:
        super().__init__(work_dir, parts)
        self._health_port = free_port()

    def command(self) -> list[str]:
        """The same Node with another application."""
        node, _ = super().command()
        return [node, str(CHECKOUT / "tests" / "services" / "http2_app.mjs")]

    def environment(self) -> Mapping[str, str]:
        """Where it tells that it listens."""
        return {**super().environment(), "TEST_HEALTH_PORT": str(self._health_port)}

    def probes(self) -> list[Probe]:
        """Probes speak HTTP/1.1."""
        return [Probe(self._health_port, "/")]


class RestateWithLambda(RestateServer):
    """The official server, with the local Lambda for AWS."""

    def __init__(self, work_dir: Path, parts: NpmParts, local: LocalLambda) -> None:
        super().__init__(work_dir, parts)
        self._local = local

    def environment(self) -> Mapping[str, str]:
        """Where AWS is."""
        return {**super().environment(), **self._local.env()}


@dataclass(frozen=True, slots=True)
class Stock:
    """A server, what it may be told to deploy, and a file about that."""

    server: EngineServer
    clerk: ClerkService
    local: LocalLambda
    file: Path

    def write(self, text: str) -> None:
        """What the file says from now on; it names the server."""
        self.file.write_text(f'[engine]\nadmin = "{self.server.admin}"\n{text}')

    def run(self, *words: str, code: int | None = 0) -> Result:
        """Run a command about the file, which must end with `code` (None: any)."""
        if "--plan" not in words:  # a saved one holds the file
            words = (*words, "--config", str(self.file))
        return self._run(*words, code=code)

    def plain(self, *words: str, code: int = 0) -> Result:
        """Run a command that is about no file."""
        return self._run("--admin-url", self.server.admin, *words, code=code)

    def _run(self, *words: str, code: int | None) -> Result:
        done = CliRunner().invoke(app, words)
        assert code is None or done.exit_code == code, f"{done.exit_code}: {done.output}"
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command about the file says, as JSON."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    # --- Lambda --------------------------------------------------------------------------------

    def release(self, name: str, version: str, greet: str = "greet") -> str:
        """Publish a version of a function of that name, whose handler is `greet`, and move the
        alias `live`; its ARN."""
        code = {"app.py": _ON_LAMBDA.format(name=name, version=version, greet=greet)}
        return self.local.publish(code, name=name, alias="live")

    def on_lambda(self, name: str) -> list[str]:
        """The versions of a function that Lambda has."""
        found = self.local.client().list_versions_by_function(FunctionName=name)["Versions"]
        return [each["Version"] for each in found if each["Version"] != "$LATEST"]

    # --- the server, without our commands ------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What its admin API answers."""
        raw = None if body is None else json.dumps(body).encode()
        reply = client.request(
            method, self.server.admin, path, body=raw, headers=_JSON, timeout=_SECONDS
        )
        assert reply.status < 300, f"{method} {path}: HTTP {reply.status} {reply.body!r}"
        return reply.json() if reply.body else None

    def deployments(self) -> dict[str, Json]:
        """All deployments by their address, oldest first."""
        found = self.ask("GET", "/deployments")["deployments"]
        for each in found:
            each["services"].sort(key=lambda one: one["name"])
        found.sort(key=lambda one: one["created_at"])
        return {each.get("uri") or each["arn"]: each for each in found}

    def everything(self) -> Any:
        """All that a write would change: ids, moments, revisions, settings."""
        services = self.ask("GET", "/services")["services"]
        for each in services:
            each["handlers"].sort(key=lambda one: one["name"])
        return self.deployments(), sorted(services, key=lambda one: one["name"])

    def service(self, name: str) -> Json:
        """A service."""
        return dict(self.ask("GET", f"/services/{name}"))

    def rows(self, sql: str) -> list[Json]:
        """The rows of a query."""
        return list(self.ask("POST", "/query", {"query": sql})["rows"])

    # --- requests ------------------------------------------------------------------------------

    def call(self, path: str) -> Any:
        """Call a handler; its result."""
        return self._ingress("POST", path).json()

    def send(self, path: str, value: Any = None, *, until: str) -> str:
        """Send to a handler and wait until the invocation has a status; its id."""
        id = str(self._ingress("POST", f"{path}/send", value).json()["invocationId"])
        self.wait(lambda: self.status(id) == until)
        return id

    def status(self, id: str) -> str | None:
        """The status of an invocation."""
        rows = self.rows(f"SELECT status FROM sys_invocation WHERE id = '{id}'")
        return rows[0]["status"] if rows else None

    def tell(self, awakeable: str, word: str) -> None:
        """Resolve an awakeable."""
        self._ingress("POST", f"/restate/awakeables/{awakeable}/resolve", word)

    def result(self, id: str) -> Any:
        """Wait for a result."""
        return self._ingress("GET", f"/restate/invocation/{id}/attach").json()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds."""
        end = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < end, "what was waited for never came"
            time.sleep(0.02)

    def _ingress(self, method: str, path: str, value: Any = None) -> client.Reply:
        raw = None if value is None else json.dumps(value).encode()
        headers = _JSON if raw else {}
        reply = client.request(
            method, self.server.ingress, path, body=raw, headers=headers, timeout=_SECONDS
        )
        assert reply.status < 300, f"{method} {path}: HTTP {reply.status} {reply.body!r}"
        return reply


@contextmanager
def stock(folder: Path, parts: NpmParts, local: LocalLambda) -> Iterator[Stock]:
    """A new official server, with nothing registered."""
    with ClerkService(folder) as clerk, RestateWithLambda(folder, parts, local) as server:
        yield Stock(server, clerk, local, folder / "steadfaas.toml")
