"""The same commands against a cluster of official servers, also after one of them has died."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from steadfaas.cli import admin
from steadfaas.cli.exits import ExitCode
from steadfaas.testing import LocalLambda
from tests.cli.stock import ClerkService, RestateWithLambda, Stock
from tests.support import client
from tests.support.npm import NpmParts
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Probe

pytestmark = pytest.mark.e2e

FILE = """
[[deployments]]
name = "greeter"
target = "lambda:Greeter@live"
keep = 0

[services.Greeter]
abort_timeout = "5m"
"""


class Node(RestateWithLambda):
    """One of three nodes; each log entry is on two. The first one founds the cluster."""

    ready_seconds = 90.0

    def __init__(
        self,
        folder: Path,
        parts: NpmParts,
        local: LocalLambda,
        number: int,
        ports: Sequence[int],
    ) -> None:
        super().__init__(folder / f"node-{number}", parts, local)
        self._number = number
        self._fabric_port = ports[number]
        self._addresses = [f"http://{LOOPBACK}:{port}/" for port in ports]

    def environment(self) -> Mapping[str, str]:
        """Where the others are."""
        return {
            **super().environment(),
            "RESTATE_CLUSTER_NAME": "trial",
            "RESTATE_NODE_NAME": f"node-{self._number}",
            "RESTATE_AUTO_PROVISION": "true" if self._number == 0 else "false",
            "RESTATE_DEFAULT_REPLICATION": "2",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "4",
            "RESTATE_METADATA_CLIENT__TYPE": "replicated",
            "RESTATE_METADATA_CLIENT__ADDRESSES": json.dumps(self._addresses),
        }

    def probes(self) -> list[Probe]:
        """The ingress is healthy later, when all have joined."""
        return [Probe(self.admin_port, "/health")]


@pytest.fixture
def cluster(
    tmp_path: Path,
    npm_parts: NpmParts,
    local_lambda: LocalLambda,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[Stock]]:
    """Three nodes, and a file about each."""
    for variable in (admin.URL_VARIABLE, admin.FALLBACK_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    ports = [free_port() for _ in range(3)]
    nodes = [Node(tmp_path, npm_parts, local_lambda, number, ports) for number in range(3)]
    with ClerkService(tmp_path) as clerk, contextlib.ExitStack() as stack:
        for node in nodes:
            node.start()
            stack.callback(_end, node)
        first = Stock(nodes[0], clerk, local_lambda, tmp_path / "0.toml")
        made = [
            replace(first, server=node, file=tmp_path / f"{number}.toml")
            for number, node in enumerate(nodes)
        ]
        for node, each in zip(nodes, made, strict=True):
            node.wait_ready()
            each.write(FILE)
            each.wait(functools.partial(_healthy, node))
        yield made


def _end(node: Node) -> None:
    if node.running:
        node.kill()


def _healthy(node: Node) -> bool:
    return client.request("GET", node.ingress, "/restate/health").status == 200


def test_every_node_is_told_and_tells_the_same(
    cluster: list[Stock], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = cluster
    old = first.release("Greeter", "v1")
    first.run("apply")
    before = first.everything()
    for here in (second, third):  # each learns it a little later
        here.wait(functools.partial(_tells, here, before))
    assert second.run("apply").stdout == "Unchanged: 1 deployment.\n"
    assert first.everything() == before

    held = [here.send("/Greeter/wait", until="suspended") for here in (*cluster, *cluster)]
    first.release("Greeter", "v2")
    second.run("apply")
    for here in cluster:
        here.wait(functools.partial(_answers, here, "v2"))
    third.wait(functools.partial(_counts, third, len(held)))  # it hears of them a little later
    [draining] = third.json("status")["draining"]
    assert draining["unfinished"] == len(held)

    third.server.kill()
    assert "6 unfinished (6 suspended)" in patiently(first, "gc", "--explain")
    assert first.on_lambda("Greeter") == ["1", "2"]
    for id in held:
        second.wait(functools.partial(_ended, second, id))
    refused = patiently(second, "gc")
    assert "less than a minute ago, and not every node of the server may know" in refused
    assert first.on_lambda("Greeter") == ["1", "2"]
    monkeypatch.setattr("steadfaas.cli.rollout.stock._SETTLED_SECONDS", 0.0)
    assert f"retired  greeter  {draining['deployment_id']}" in patiently(second, "gc")
    assert first.on_lambda("Greeter") == ["2"]
    first.wait(lambda: old not in first.deployments())


def _tells(here: Stock, what: object) -> bool:
    return bool(here.everything() == what)


def _counts(here: Stock, number: int) -> bool:
    return [each["unfinished"] for each in here.json("status")["draining"]] == [number]


def _answers(here: Stock, version: str) -> bool:
    return bool(here.call("/Greeter/greet") == version)


def _ended(here: Stock, id: str) -> bool:
    """Whether it is over now; without a leader, nobody could tell or end it."""
    with contextlib.suppress(AssertionError):
        if here.status(id) == "completed":
            return True
        here.ask("PATCH", f"/invocations/{id}/kill")
    return False


def patiently(here: Stock, *words: str) -> str:
    """What a command prints that may have to be run again while a partition has no leader."""
    done = here.run(*words, code=None)
    while done.exit_code == ExitCode.TRY_LATER:
        done = here.run(*words, code=None)
    assert done.exit_code == 0, done.output
    return done.stdout
