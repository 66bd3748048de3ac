"""A Lambda API in the test's event loop whose versions are applications of the official SDK."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import restate
from aiohttp import web
from restate import aws_lambda

from tests.adapters.aws_lambda.scripted import Answer, LambdaApi, refused, serving

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:greeter"


class Functions(LambdaApi):
    """One function, `greeter`; its versions by number, or `$LATEST`."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, Any] = {}
        self.failing: list[Answer] = []  # what the next exchanges get instead of an answer
        self.invoked: list[str] = []  # the version of each exchange, in order
        self.aliases: list[dict[str, str]] = []
        self.deleted: list[str] = []
        self.discovered: list[str] = []  # the version of each discovery, in order
        self.throttled: set[str] = set()  # functions that nobody may ask about now
        self.keys: list[str] = []  # the access key of each request
        self.events: list[Any] = []  # of each exchange
        self.compression: str | None = None  # what manifests offer

    def publish(self, version: str, *services: Any) -> str:
        """There is a version with these services; its ARN."""
        self.versions[version] = restate.app(list(services), protocol="request_response")
        return f"{FUNCTION}:{version}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.check_signature(request, body)
        self.keys.append(request.headers["authorization"].split("Credential=")[1].split("/")[0])
        path, _, query = request.raw_path.partition("?")
        name, *operation = path.split("/")[3:]
        version = unquote(query.removeprefix("Qualifier=")) or "$LATEST"
        if unquote(name).rpartition(":")[2] in self.throttled:
            found: Answer | None = refused("TooManyRequestsException", 429)
        else:
            found = self._answer(request.method, operation, version)
        if found is None:
            found = await self._run(version, json.loads(body))
        return web.Response(status=found.status, body=found.body, headers=found.headers)

    def _answer(self, method: str, operation: list[str], version: str) -> Answer | None:
        match method, operation:
            case "GET", ["aliases"]:
                return _json({"Aliases": self.aliases})
            case "GET", ["aliases", alias]:
                known = [each for each in self.aliases if each["Name"] == alias]
                return _json(known[0]) if known else refused("ResourceNotFoundException", 404)
            case "GET", ["versions"]:
                return _json({"Versions": [_about(each) for each in self.versions]})
            case _ if version not in self.versions:
                return refused("ResourceNotFoundException", 404)
            case "GET", []:
                return _json({"Configuration": _about(version)})
            case "DELETE", []:
                del self.versions[version]
                self.deleted.append(version)
                return Answer(204)
            case "POST", ["invocations"]:
                return None
        raise AssertionError(f"not scripted: {method} {operation}")

    async def _run(self, version: str, event: Any) -> Answer:
        if event["path"].startswith("/invoke/"):
            self.invoked.append(version)
            self.events.append(event)
            if self.failing:
                return self.failing.pop(0)
        else:
            self.discovered.append(version)
        collector = aws_lambda.ResponseCollector()
        await self.versions[version](
            aws_lambda.create_scope(event), aws_lambda.request_to_receive(event), collector
        )
        if self.compression is not None and event["path"] == "/discover":
            # The SDK looks for this at its own start, in the environment of a function.
            manifest = json.loads(bytes(collector.body)) | {"lambdaCompression": self.compression}
            collector.body = bytearray(json.dumps(manifest).encode())
        answer = json.dumps(collector.to_lambda_response()).encode()
        return Answer(200, answer, {"X-Amz-Executed-Version": version})


def _about(version: str) -> dict[str, str]:
    return {
        "FunctionArn": f"{FUNCTION}:{version}",
        "Version": version,
        "CodeSha256": f"sha-{version}",
        "State": "Active",
        "LastModified": "2026-11-29T08:00:00.000+0000",
    }


def _json(value: object) -> Answer:
    return Answer(body=json.dumps(value).encode())


@contextlib.asynccontextmanager
async def functions() -> AsyncIterator[Functions]:
    """The running API, and AWS settings that lead to it."""
    async with serving(Functions()) as api:
        yield api
