"""A Lambda API that answers by script, and checks what AWS would check: signature and shape."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:greeter:7"
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-central-1"


@dataclass
class Answer:
    """One answer of the API."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def ran(
    body: bytes = b"",
    *,
    version: str = "7",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Answer:
    """What comes back when a version ran and its SDK answered."""
    envelope = {
        "statusCode": status,
        "headers": headers or {},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    return Answer(200, json.dumps(envelope).encode(), {"X-Amz-Executed-Version": version})


def failed(payload: object, *, version: str = "7") -> Answer:
    """What comes back when the function itself failed."""
    headers = {"X-Amz-Executed-Version": version, "X-Amz-Function-Error": "Unhandled"}
    return Answer(200, json.dumps(payload).encode(), headers)


def refused(name: str, status: int, *, retry_after: str | None = None, **body: str) -> Answer:
    """What comes back when Lambda does not run it."""
    headers = {"x-amzn-ErrorType": name}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Answer(status, json.dumps({"Message": f"it is {name}", **body}).encode(), headers)


@dataclass
class Invoked:
    """One call as it arrived."""

    function: str
    qualifier: str
    event: Any
    key: str
    token: str | None


class LambdaApi:
    """The scripted API; its last answer repeats."""

    def __init__(self, *answers: Answer) -> None:
        self.script = list(answers)
        self.calls: list[Invoked] = []
        self.secrets = {KEY: SECRET}
        self.url = ""
        self.resets = 0  # so many connections are dropped before anything is answered

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.check_signature(request, body)
        if self.resets:
            self.resets -= 1
            assert request.transport is not None
            request.transport.abort()
        path, query = request.raw_path.split("?")
        parts = path.split("/")
        assert parts[:3] == ["", "2015-03-31", "functions"]
        assert parts[4:] == ["invocations"]
        assert request.headers["x-amz-invocation-type"] == "RequestResponse"
        key = request.headers["authorization"].split("Credential=")[1].split("/")[0]
        self.calls.append(
            Invoked(
                unquote(parts[3]),
                unquote(query.removeprefix("Qualifier=")),
                json.loads(body),
                key,
                request.headers.get("x-amz-security-token"),
            )
        )
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    def check_signature(self, request: web.BaseRequest, body: bytes) -> None:
        """Sign what arrived once more, as AWS does, and compare."""
        given = request.headers["authorization"]
        signed = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        key = given.split("Credential=")[1].split("/")[0]
        assert "host" in signed
        again = AWSRequest(request.method, self.url + request.raw_path, data=body)
        for name in signed:
            again.headers[name] = request.headers[name]
        again.context["timestamp"] = request.headers["x-amz-date"]
        auth = SigV4Auth(Credentials(key, self.secrets[key]), "lambda", REGION)
        expected = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
        assert given.split("Signature=")[1] == expected


@contextlib.asynccontextmanager
async def lambda_api(*answers: Answer) -> AsyncIterator[LambdaApi]:
    """The running API, on loopback."""
    async with serving(LambdaApi(*answers)) as api:
        yield api


_Api = TypeVar("_Api", bound=LambdaApi)


@contextlib.asynccontextmanager
async def serving(api: _Api) -> AsyncIterator[_Api]:
    """The API, on loopback, and AWS settings that lead to it."""
    server = web.Server(api.answer, request_factory=_request)
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        with aws_settings(api.url):
            yield api
    finally:
        await runner.cleanup()


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=64 * 1024 * 1024
    )


@contextlib.contextmanager
def aws_settings(url: str, **more: str) -> Iterator[None]:
    """AWS settings of this test alone: credentials, and where the API is."""
    with pytest.MonkeyPatch.context() as patch:
        clear_aws(patch)
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_REGION", REGION)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        for name, value in more.items():
            patch.setenv(name, value)
        yield


def clear_aws(patch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the test reach it."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            patch.delenv(name)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
