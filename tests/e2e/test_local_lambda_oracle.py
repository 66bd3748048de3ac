"""The real restate-server on LocalLambda: what it finds there is what it expects of Lambda."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from steadfaas.testing import LocalLambda
from tests.support import client
from tests.support.client import Reply
from tests.support.npm import NpmParts
from tests.support.processes import RestateServer

pytestmark = pytest.mark.e2e

JSON = {"content-type": "application/json"}


def greeter(word: str) -> dict[str, str]:
    """A service whose handlers say which version they ran on."""
    code = f"""
from datetime import timedelta
import restate
greeter = restate.Service("Greeter")

@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    begun = await ctx.run_typed("begin", lambda: "{word}")
    await ctx.sleep(timedelta(milliseconds=300))
    return f"{{name}}: begun on {{begun}}, ended on {word}"

@greeter.handler()
async def wait(ctx: restate.Context, name: str) -> str:
    begun = await ctx.run_typed("begin", lambda: "{word}")
    _, signal = ctx.awakeable(type_hint=str)
    await ctx.run_typed("tell", lambda: print("awakeable", _, flush=True))
    return f"{{begun}}, {word}, {{await signal}}"

handler = restate.app([greeter])
"""
    return {"app.py": code}


class RestateOnLambda(RestateServer):
    """The official server, with the local Lambda for AWS."""

    name = "restate-on-lambda"

    def __init__(self, work_dir: Path, parts: NpmParts, lam: LocalLambda) -> None:
        super().__init__(work_dir, parts)
        self._lambda = lam

    def environment(self) -> Mapping[str, str]:
        """Where AWS is."""
        return {**super().environment(), **self._lambda.env()}

    def post(self, path: str, body: Any, base: str = "") -> Reply:
        """POST JSON, to the ingress unless told otherwise."""
        text = json.dumps(body).encode()
        return client.request(
            "POST", base or self.ingress, path, body=text, headers=JSON, timeout=30
        )

    def register_arn(self, arn: str) -> Reply:
        """Register what an ARN names."""
        return self.post("/deployments", {"arn": arn}, self.admin)


@pytest.fixture
def server(
    tmp_path: Path, npm_parts: NpmParts, local_lambda: LocalLambda
) -> Iterator[RestateOnLambda]:
    """The official server, with nothing registered."""
    with RestateOnLambda(tmp_path, npm_parts, local_lambda) as running:
        yield running


def _awakeable(lam: LocalLambda, arn: str) -> str:
    """What a handler that waits has printed."""
    return lam.logs(arn).partition("awakeable ")[2].split()[0]


def test_versions_are_revisions_and_keep_what_they_began(
    server: RestateOnLambda, local_lambda: LocalLambda
) -> None:
    first = local_lambda.publish(greeter("v1"), name="greeter")
    assert server.register_arn(first).status == 201
    answer = server.post("/Greeter/greet", "Ada")
    assert answer.json() == "Ada: begun on v1, ended on v1"

    started = server.post("/Greeter/wait/send", "Eve").json()["invocationId"]
    while "awakeable" not in local_lambda.logs(first):
        client.request("GET", server.ingress, "/restate/health")

    second = local_lambda.publish(greeter("v2"), name="greeter")
    registered = server.register_arn(second)
    assert registered.status == 201
    assert [each["revision"] for each in registered.json()["services"]] == [2]
    assert server.post("/Greeter/greet", "Ada").json() == "Ada: begun on v2, ended on v2"

    resolved = server.post(f"/restate/awakeables/{_awakeable(local_lambda, first)}/resolve", "done")
    assert resolved.status == 202
    ended = client.request(
        "GET", server.ingress, f"/restate/invocation/{started}/attach", timeout=30
    )
    assert ended.json() == "v1, v1, done"


def test_a_missing_version_is_not_registered(
    server: RestateOnLambda, local_lambda: LocalLambda
) -> None:
    first = local_lambda.publish(greeter("v1"), name="greeter")
    refused = server.register_arn(first.removesuffix(":1") + ":9")
    assert refused.status == 500
    assert "ResourceNotFoundException" in refused.body.decode()
