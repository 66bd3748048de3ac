"""The official command line run on one server, and what else an operator sends to it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support import client
from tests.support.plain_output import Names, Outcome
from tests.support.processes import EngineServer, PythonService

CLI_SECONDS = 20.0
JSON = {"content-type": "application/json"}


class OperatedService(PythonService):
    """`tests.services.operated`: endpoints for stories, under any prefix and version."""

    name = "operated-service"

    def command(self) -> list[str]:
        """The same uvicorn with another application."""
        ours, own = "tests.services.python_app:app", "tests.services.operated:app"
        return [own if word == ours else word for word in super().command()]

    def endpoint(self, prefix: str, version: str) -> str:
        """What to register."""
        return f"{self.url}{prefix}/{version}"


class Side:
    """One server in one story: the identifiers it gave, and its output with names for them."""

    def __init__(self, server: EngineServer, binary: Path, home: Path) -> None:
        self.server = server
        self.kept: dict[str, str] = {}
        self._binary = binary
        self._home = home
        addresses = {server.admin: "admin", server.ingress: "ingress", str(home): "home"}
        self._names = Names(addresses)

    def filled(self, text: str) -> str:
        """Replace `{name}` by what was kept under that name."""
        for name, value in self.kept.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def run(self, args: Sequence[str], editor: Path | None) -> Outcome:
        """Run the command line; raises TimeoutExpired when it does not end."""
        self._home.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [
                *(str(self._binary), "--table-style", "compact", "--time-format", "iso8601", "-y"),
                *(self.filled(arg) for arg in args),
            ],
            env=self._environment(editor),
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLI_SECONDS,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def ask(self, base: str, method: str, path: str, body: str | None, headers: Any) -> Outcome:
        """Send one request."""
        raw = None if body is None else self.filled(body).encode()
        reply = client.request(method, base, self.filled(path), body=raw, headers=headers)
        return Outcome(reply.status, reply.body.decode("utf-8", "backslashreplace"))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query; raises AssertionError with the answer when there are none."""
        body = json.dumps({"query": self.filled(sql)})
        headers = {**JSON, "accept": "application/json"}
        done = self.ask(self.server.admin, "POST", "/query", body, headers)
        assert done.code == 200, f"{sql}: HTTP {done.code} {done.out}"
        rows: list[dict[str, Any]] = json.loads(done.out)["rows"]
        return rows

    def plain(self, text: str) -> str:
        """Text without what differs between any two servers."""
        return self._names.plain(text, self.kept)

    def _environment(self, editor: Path | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if "RESTATE" not in name}
        return {
            **inherited,
            "RESTATE_ADMIN_URL": self.server.admin,
            "RESTATE_INGRESS_URL": self.server.ingress,
            "RESTATE_CLI_CONFIG_HOME": str(self._home),
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **({"EDITOR": str(editor)} if editor else {}),
        }
