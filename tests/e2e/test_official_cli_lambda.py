"""The official command line on Lambda versions, at our engine and at restate-server.

Both servers talk to the same local Lambda. How steps are compared: `tests.support.cli_story`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from steadfaas.testing import LocalLambda
from tests.support.cli_story import Difference, Pair, Story
from tests.support.npm import NpmParts
from tests.support.official_cli import OperatedService
from tests.support.processes import RestateServer, SteadfaasServer

pytestmark = pytest.mark.e2e

ACCOUNT = "321098765432"  # the fixture `local_lambda` has another
FUNCTION = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:lamDesk"
ID = r"Deployment ID:\s+(dp_\w+)"

NONE = FUNCTION.replace("lamDesk", "lamNone")

DIFFERENCES: dict[str, Difference] = {
    f"lam: deployments register {FUNCTION}:9": Difference(
        "the control plane is asked first, and its 404 is told as such", says="knows no version '9'"
    ),
    f"lam: deployments register {NONE}:1": Difference(
        "the same refusal in a sentence of ours", says="is its handler the SDK's?"
    ),
    f"lam: deployments register {FUNCTION}:live": Difference(
        "an alias moves: only what it points to now can be registered",
        says="to register the version that it points to now",
        code=1,
    ),
}


class OurServer(SteadfaasServer):
    """Our engine, with the local Lambda for AWS."""

    aws: Mapping[str, str] = {}

    def environment(self) -> Mapping[str, str]:
        """Where AWS is."""
        return {**super().environment(), **self.aws}


class TheirServer(RestateServer):
    """The official server, with the same."""

    aws: Mapping[str, str] = {}

    def environment(self) -> Mapping[str, str]:
        """Where AWS is."""
        return {**super().environment(), **self.aws}


def desk(word: str, *handlers: str) -> dict[str, str]:
    """A service whose handlers answer with a word."""
    code = ["import restate", 'desk = restate.Service("lamDesk")']
    for name in ("greet", *handlers):
        code += ["@desk.handler()", f"async def {name}(ctx: restate.Context) -> str:"]
        code += [f"    return {word!r}"]
    return {"app.py": "\n".join([*code, "handler = restate.app([desk])"])}


@pytest.fixture(scope="module")
def lam() -> Iterator[LocalLambda]:
    """A function with two versions, an alias of the first, and code that is no service."""
    with LocalLambda(account=ACCOUNT) as made:
        made.publish(desk("one"), name="lamDesk", alias="live")
        made.publish(desk("two", "more"), name="lamDesk")
        made.publish({"app.py": "def handler(event, context): return 1"}, name="lamNone")
        yield made


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, npm_parts: NpmParts, lam: LocalLambda
) -> Iterator[Pair]:
    """Both servers with nothing registered."""
    folder = tmp_path_factory.mktemp("official-cli-lambda")
    servers: tuple[Any, Any] = OurServer(folder), TheirServer(folder, npm_parts)
    with ExitStack() as stack:
        for server in servers:
            server.aws = lam.env()
            server.start()
            stack.callback(_stop, server)
        for server in servers:
            server.wait_ready()
        ours, theirs = servers
        # Nothing is served over HTTP here: that one is not started.
        service = OperatedService(folder)
        yield Pair(ours, theirs, service, npm_parts.restate_cli, folder, DIFFERENCES)


def _stop(server: Any) -> None:
    if server.running:
        server.stop(3.0)


def register(s: Story, version: str, *flags: str) -> None:
    """Register a version by its ARN, and keep the deployment's id under `vN`."""
    arn = f"{FUNCTION}:{version}"
    s.cli("deployments", "register", arn, *flags, keep={f"v{version}": ID}, says="lamDesk")


def test_versions_are_registered_listed_and_described(pair: Pair) -> None:
    with pair.story("lam") as s:
        register(s, "1")
        s.cli("deployments", "register", f"{FUNCTION}:1", says="already exists with id <v1>")
        s.cli("deployments", "list", says=f"{FUNCTION}:1")
        s.cli("deployments", "list", "--extra", says="Active")
        s.cli("deployments", "describe", "{v1}", says="Transport: AWS Lambda")
        s.ingress("POST", "/lamDesk/greet", status=200, says="one")
        register(s, "2", "--metadata", "git=abc123", "--extra-header", "x-who=me")
        s.cli("deployments", "describe", "{v2}", says="abc123")
        s.cli("deployments", "describe", "{v1}", "--extra", says="Drained")
        s.cli("services", "describe", "lamDesk", says="Revision: 2")
        s.cli("services", "list", says="lamDesk")
        s.ingress("POST", "/lamDesk/greet", status=200, says="two")
        s.ingress("POST", "/lamDesk/more", status=200, says="two")
        s.query("SELECT ty, endpoint FROM sys_deployment ORDER BY endpoint", rows=2)
        s.cli("deployments", "remove", "{v1}", says="removed")
        s.cli("deployments", "register", f"{FUNCTION}:9", exits=1, says="META0003")
        s.cli("deployments", "register", f"{NONE}:1", exits=1, says="META0003")
        s.cli("deployments", "list")
        s.cli("deployments", "register", f"{FUNCTION}:live", says="lamDesk")
