"""The check of journals against the official SDKs, over HTTP: the same cases, the same findings.

Each SDK serves two versions of its handlers at two paths of one process. What its steps really did
is in the process's side-effect log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.check_cases import CASES, LONG, Case, Moves
from tests.support.npm import CHECKOUT, NpmParts
from tests.support.ports import LOOPBACK
from tests.support.processes import NodeService, PythonService, ServiceProcess

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

_A: Final = ["run", "a"]
_B: Final = ["run", "b"]
_NAP: Final = ["sleep", LONG]
_WAIT: Final = ["awakeable"]
# What only the TypeScript SDK offers: combinators of its own, and steps in concurrent branches.
_BRANCHES: Final = ["branches", [_A, _B], [_NAP, ["run", "c"]]]
_ANY: Final = ["any", _NAP, _WAIT]
_NODE_ONLY: Final[dict[str, Case]] = {
    "waits for any": Case([_A, _ANY], [_A, _ANY], next="waits"),
    "waits in branches": Case([_BRANCHES], [_BRANCHES], next="waits"),
}


class _ScriptPython(PythonService):
    name = "script-python"

    def command(self) -> list[str]:
        """Under uvicorn, quiet: a check is an error in the endpoint's log."""
        return [
            *(sys.executable, "-m", "uvicorn", "tests.services.script_app:app"),
            *("--host", LOOPBACK, "--port", str(self.port)),
            *("--log-level", "critical", "--no-access-log", "--timeout-graceful-shutdown", "1"),
        ]


class _ScriptNode(NodeService):
    name = "script-node"

    def command(self) -> list[str]:
        """The pinned Node."""
        return [str(self._parts.node), str(CHECKOUT / "tests" / "services" / "script_app.mjs")]

    def environment(self) -> Mapping[str, str]:
        """As other Node services have it, and where the log of side effects is."""
        return {**super().environment(), "TEST_EFFECTS_FILE": str(self.effects_path)}


@pytest.fixture(scope="module")
def python(process_dir: Path) -> Iterator[ServiceProcess]:
    """Both versions with the Python SDK."""
    with _ScriptPython(process_dir) as service:
        yield service


@pytest.fixture(scope="module")
def node(process_dir: Path, npm_parts: NpmParts) -> Iterator[ServiceProcess]:
    """Both versions with the TypeScript SDK."""
    with _ScriptNode(process_dir, npm_parts) as service:
        yield service


async def _record(kit: Steadfaas, case: Case) -> Invocation:
    target = case.target if case.target == "Script/play" else case.target.replace("/", "/k/")
    sent = await kit.send(target, {"old": case.old, "new": case.new})
    await kit.settle()
    if case.cancel:
        await sent.cancel()
    return sent


def _effects(service: ServiceProcess, kind: str) -> list[Any]:
    path = service.effects_path
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in map(json.loads, lines) if line.get("kind") == kind]


async def _judge(service: ServiceProcess, case: Case) -> None:
    async with Steadfaas() as kit:
        old = await kit.deploy(f"{service.url}old")
        sent = await _record(kit, case)
        new = await kit.deploy(f"{service.url}new")
        assert old != new
        before, journal = _effects(service, "run"), [str(entry) for entry in sent.journal]
        status = sent.status
        own = await sent.check(old)
        found = await sent.check(new)
        assert _effects(service, "run") == before, "no step runs"
        assert (sent.status, [str(entry) for entry in sent.journal]) == (status, journal)
        told = (found.verdict, found.index, found.recorded, found.issued)
        assert (told, case.next in found.reason) == (case.expected, True), (found, journal)
        assert own.verdict == "compatible", (own, journal)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sdk", ["python", "node"])
async def test_case(sdk: str, case: str, request: pytest.FixtureRequest) -> None:
    await _judge(request.getfixturevalue(sdk), CASES[case])


@pytest.mark.parametrize("case", _NODE_ONLY.values(), ids=_NODE_ONLY)
async def test_case_of_the_typescript_sdk(node: ServiceProcess, case: Case) -> None:
    await _judge(node, case)


@pytest.mark.parametrize("sdk", ["python", "node"])
async def test_code_outside_of_steps_runs(sdk: str, request: pytest.FixtureRequest) -> None:
    service: ServiceProcess = request.getfixturevalue(sdk)
    moves = [["outside", f"of {sdk}"], _A, _WAIT]
    async with Steadfaas() as kit:
        await kit.deploy(f"{service.url}old")
        sent = await _record(kit, Case(moves, moves))
        before = len(_effects(service, "outside"))
        found = await sent.check()
        assert len(_effects(service, "outside")) == before + 2
        assert "called 2 times" in found.reason


@pytest.mark.parametrize("sdk", ["python", "node"])
async def test_what_is_compatible_goes_on_with_the_other_code(
    sdk: str, request: pytest.FixtureRequest
) -> None:
    service: ServiceProcess = request.getfixturevalue(sdk)
    old: Moves = [_A, _NAP]
    async with Steadfaas() as kit:
        await kit.deploy(f"{service.url}old")
        sent = await _record(kit, Case(old, [*old, _B, ["return", "by the new code"]]))
        new = await kit.deploy(f"{service.url}new")
        before = len(_effects(service, "run"))
        await sent.pause()
        await sent.resume(new, check=True)
        assert await sent.result() == "by the new code"
        assert [line["name"] for line in _effects(service, "run")[before:]] == ["b"]
