"""Our command line against the official server: what both know works, what it lacks is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import app
from tests.support import client
from tests.support.npm import NpmParts
from tests.support.official_cli import OperatedService
from tests.support.processes import RestateServer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, npm_parts: NpmParts) -> Iterator[Stock]:
    folder = tmp_path_factory.mktemp("stock")
    with OperatedService(folder) as service, RestateServer(folder, npm_parts) as server:
        yield Stock(server, service.endpoint("Stock", "v1"))


class Stock:
    """The official server with one deployment."""

    def __init__(self, server: RestateServer, uri: str) -> None:
        self.server = server
        self.deployment = self.json("deployments", "register", uri)["id"]

    def run(self, *words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, ["--admin-url", self.server.admin, *words])
        assert done.exit_code == code, done.output
        return done

    def json(self, *words: str) -> dict[str, str]:
        answer: dict[str, str] = json.loads(self.run(*words, "--json").stdout)
        return answer

    def send(self, path: str) -> str:
        reply = client.request("POST", self.server.ingress, f"{path}/send")
        return str(reply.json()["invocationId"])


def test_deployments_and_services(server: Stock) -> None:
    listed = server.run("deployments", "list").stdout.splitlines()
    [line] = [line for line in listed if line.startswith(server.deployment)]
    assert line.split()[2:4] == ["active", "-"], "what needs it is not known there"
    assert "StockDesk" in server.run("deployments", "describe", server.deployment).stdout
    assert "StockTill" in server.run("services", "list").stdout
    assert "nap" in server.run("services", "describe", "StockDesk").stdout
    done = server.run("services", "config", "set", "StockDesk", "--journal-retention", "2 days")
    assert "journal retention            2d" in done.stdout
    waited = server.run("deployments", "wait", server.deployment, code=1)
    assert "does not tell what a deployment waits for" in waited.stderr
    removed = server.run("deployments", "remove", server.deployment, "--yes", code=1)
    assert "by --force only" in removed.stderr


def test_invocations_by_id_and_by_sql(server: Stock) -> None:
    id = server.send("/StockDesk/nap")
    query = f"SELECT id, status FROM sys_invocation WHERE id = '{id}'"
    assert id in server.run("sql", query).stdout
    assert "kill: 1 done" in server.run("invocations", "kill", id, "--yes").stdout
    assert "completed" in server.run("sql", query).stdout
    wrong = server.run("sql", "SELECT nothing FROM nowhere", code=1)
    assert "nowhere" in wrong.stderr


def test_what_it_lacks_is_named(server: Stock, tmp_path: Path) -> None:
    for words, route in (
        (("invocations", "list"), "GET /invocations"),
        (("invocations", "kill", "StockDesk", "--yes"), "POST /invocations/batch"),
        (("state", "get", "StockTill", "a"), "GET /services/StockTill/state"),
        (("check", "StockDesk"), "GET /invocations"),
    ):
        done = server.run(*words, code=1)
        assert f"does not offer {route}, which this command needs" in done.stderr


def test_whoami(server: Stock) -> None:
    assert "healthy" in server.run("whoami").stdout
