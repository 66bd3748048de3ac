"""Lambda, Vercel, Deno Deploy and Cloudflare at once, with as many versions as a test wants.

Each answer of a control plane, and each discovery, takes `latency` seconds. Nothing behind the
versions runs: they only say what they serve, one service each.
"""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp import web

from steadfaas.testing.cloudflare import FakeCloudflare
from steadfaas.testing.deno import FakeDeno
from steadfaas.testing.gateway import Answer, Called, Gateway
from steadfaas.testing.loop_thread import LoopThread
from steadfaas.testing.pace import Pace
from steadfaas.testing.vercel import FakeVercel

PLATFORMS: Final = ("lambda", "vercel", "deno", "cloudflare")
_REGION: Final = "eu-central-1"
_ARN: Final = f"arn:aws:lambda:{_REGION}:123456789012:function"
_MANIFEST: Final = "application/vnd.restate.endpointmanifest.v4+json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A deployment of the file. It serves the service that is called like it."""

    number: int

    @property
    def platform(self) -> str:
        """They take turns."""
        return PLATFORMS[self.number % len(PLATFORMS)]

    @property
    def name(self) -> str:
        """Also of the function, project, app or Worker."""
        return f"entry-{self.number}"

    @property
    def target(self) -> str:
        """What is current on its platform."""
        return {
            "lambda": f"lambda:{self.name}@live",
            "vercel": f"vercel:acme/{self.name}@production",
            "deno": f"deno:acme/{self.name}@production",
            "cloudflare": f"cloudflare:{self.name}@live",
        }[self.platform]


class FourPlatforms:
    """Use it as a context manager; everything runs in threads of its own.

    `paces` tells how busy each control plane was, and `discovery` all versions together.
    """

    def __init__(self, entries: int, latency: float) -> None:
        self.entries = [Entry(number) for number in range(entries)]
        self.discovery = Pace(latency)
        self.vercel = FakeVercel(latency=latency)
        self.deno = FakeDeno(latency=latency)
        self.cloudflare = FakeCloudflare(latency=latency)
        self.paces = {
            "lambda": Pace(latency),
            "vercel": self.vercel.pace,
            "deno": self.deno.pace,
            "cloudflare": self.cloudflare.pace,
        }
        self.release = 0
        self._gateway = Gateway(
            ["*.vercel.app", "*.acme.deno.net", "*.acme.workers.dev"], self._route
        )
        self._life = ExitStack()
        self._port = 0

    def __enter__(self) -> Self:
        with self._life as life:
            for fake in (self.vercel, self.deno, self.cloudflare):
                life.enter_context(fake)
            loop = LoopThread("four-platforms")
            life.callback(loop.stop)
            self._runner = loop.call(self._start())
            life.callback(lambda: loop.call(self._stop()))
            self.publish()
            self._life = life.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._life.close()

    def env(self) -> dict[str, str]:
        """Environment variables for a process that is to use all of them."""
        return {
            **self.vercel.env(),
            **self.deno.env(),
            **self.cloudflare.env(),
            **self._gateway.env(),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": _REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def file(self, more: str = "") -> str:
        """The `steadfaas.toml` of all entries, each with the lines `more`."""
        return "\n".join(
            f'[[deployments]]\nname = "{each.name}"\ntarget = "{each.target}"\n{more}'
            for each in self.entries
        )

    def publish(self) -> None:
        """A new version of each entry, which is current from now on."""
        self.release += 1
        for each in self.entries:
            origin = f"http://127.0.0.1:{self._port}/{each.name}/{self.release}"
            match each.platform:
                case "vercel":
                    project = self.vercel.project(each.name)
                    project.promote(project.deploy(origin, target="production"))
                case "deno":
                    self.deno.deploy(each.name, origin)
                case "cloudflare":
                    version = self.cloudflare.upload(each.name, origin)
                    self.cloudflare.deploy(each.name, **{version.id: 100})

    def reset(self) -> None:
        """Count calls anew."""
        for pace in (self.discovery, *self.paces.values()):
            pace.reset()

    # --- how -----------------------------------------------------------------------------------

    async def _start(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self._port = runner.addresses[0][1]
        await self._gateway.start()
        return runner

    async def _stop(self) -> None:
        await self._gateway.close()
        await self._runner.cleanup()

    def _route(self, called: Called) -> str | Answer:
        """What is behind a host of any of the three platforms that have hosts."""
        if called.host.endswith(".vercel.app"):
            return self.vercel.route(called)
        if called.host.endswith(".deno.net"):
            return self.deno.route(called)
        return self.cloudflare.route(called)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """A version on one of those, or the Lambda API."""
        await request.read()
        if request.path.endswith("/discover"):
            async with self.discovery:
                return web.Response(
                    body=_manifest(request.path.split("/")[1]), content_type=_MANIFEST
                )
        address = urlsplit(request.raw_path)
        name, *operation = address.path.split("/")[3:]
        name = unquote(name).rpartition("function:")[2]
        if operation == ["invocations"]:
            async with self.discovery:
                qualifier = parse_qs(address.query)["Qualifier"][0]
                headers = {"X-Amz-Executed-Version": qualifier}
                return web.json_response(_enveloped(_manifest(name)), headers=headers)
        async with self.paces["lambda"]:
            return web.json_response(self._told(name.partition(":")[0], operation))

    def _told(self, function: str, operation: list[str]) -> dict[str, Any]:
        version = str(self.release)
        if operation == ["aliases"]:
            return {"Aliases": []}
        if operation[:1] == ["aliases"]:
            return {"Name": operation[1], "FunctionVersion": version}
        about = {
            "FunctionArn": f"{_ARN}:{function}:{version}",
            "Version": version,
            "CodeSha256": f"sha-{version}",
            "State": "Active",
        }
        return {"Configuration": about}


def _manifest(service: str) -> bytes:
    """With schemas, as an SDK makes them."""
    handlers = [_handler(name) for name in ("create", "change", "look", "remove", "count")]
    return json.dumps(
        {
            "protocolMode": "REQUEST_RESPONSE",
            "minProtocolVersion": 5,
            "maxProtocolVersion": 6,
            "services": [{"name": service, "ty": "SERVICE", "handlers": handlers}],
        }
    ).encode()


def _handler(name: str) -> dict[str, Any]:
    fields = {f"field_{number}": {"type": "string"} for number in range(8)}
    schema = {"type": "object", "properties": fields, "required": sorted(fields)[:4]}
    content = {"contentType": "application/json", "jsonSchema": schema}
    return {
        "name": name,
        "input": {"required": True, **content},
        "output": {"setContentTypeIfEmpty": False, **content},
    }


def _enveloped(manifest: bytes) -> dict[str, Any]:
    return {
        "statusCode": 200,
        "headers": {"content-type": _MANIFEST},
        "body": base64.b64encode(manifest).decode(),
        "isBase64Encoded": True,
    }
