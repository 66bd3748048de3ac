"""The adapters that ship keep to the contract that they hand to others."""

from __future__ import annotations

from typing import Any

import pytest

from steadfaas.errors import BadRequest
from steadfaas.spi import ANYBODY, Access, EndpointReference, Evidence, Mounts, Promise
from steadfaas.testing.adapter_contract import AdapterContract
from steadfaas_adapters import aws_lambda, cloudflare, deno_deploy, plain_http, vercel

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:greeter"


class TestAwsLambda(AdapterContract):
    adapter = aws_lambda.ADAPTER
    refused = (FUNCTION, f"{FUNCTION}:live", f"{FUNCTION}:$LATEST", "lambda:", "lambda:a b")
    foreign = ("http://127.0.0.1:9080", "https://shop-abc.vercel.app", "greeter")


class TestVercel(AdapterContract):
    adapter = vercel.ADAPTER
    refused = (
        "https://shop-git-main-acme.vercel.app",
        "https://shop.vercel.app",
        "http://shop-3kd9x0a2q-acme.vercel.app",
        "vercel:",
        "vercel:acme",
    )
    foreign = (FUNCTION, "https://shop.example", "deno:acme/shop", "https://vercel.app.example")


class TestDenoDeploy(AdapterContract):
    adapter = deno_deploy.ADAPTER
    refused = (
        "https://shop.acme.deno.net",
        "https://shop--main.acme.deno.net",
        "https://shop-rh2r15rgy802.deno.dev",
        "deno:",
        "deno:acme",
    )
    foreign = (FUNCTION, "https://deno.net.example", "vercel:acme/shop", "http://127.0.0.1")


class TestCloudflare(AdapterContract):
    adapter = cloudflare.ADAPTER
    refused = (
        "https://shop.acme.workers.dev",
        "https://live-shop.acme.workers.dev",
        "http://1f2e3d4c-shop.acme.workers.dev",
        "cloudflare:",
        "cloudflare:acme",
    )
    foreign = (FUNCTION, "https://workers.dev.example", "lambda:greeter")


class TestPlainHttp(AdapterContract):
    adapter = plain_http.ADAPTER
    taken = ("http://127.0.0.1:9080", "HTTPS://Shop.Example/base")
    refused = ("http://user:secret@shop.example", "http://shop.example/?q=1", "http://")
    foreign = ("lambda:greeter", FUNCTION, "greeter")


class Careless:
    """An adapter that breaks the contract in every way that it looks for."""

    __module__ = "aiohttp"  # what importing it loads
    name = "Careless"
    max_request_bytes = 0

    def claims(self, target: str) -> bool:
        return True

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        if promise is Promise.NONE and target == "bad":
            raise BadRequest("no")
        return EndpointReference(self.name, f"{target}!", Evidence.MUTABLE)

    def version_at(self, uri: str) -> str:
        return uri

    async def diagnose(self, *_: Any) -> Any:
        from steadfaas.errors import AttemptFailure

        return AttemptFailure("RT0010", "it is always the platform")


@pytest.mark.parametrize(
    ("adapter", "host"),
    [
        (vercel.ADAPTER, "shop-abc123def-acme.vercel.app"),
        (deno_deploy.ADAPTER, "shop-rh2r15rgy802.acme.deno.net"),
        (cloudflare.ADAPTER, "1f2e3d4c-shop.acme.workers.dev"),
    ],
)
def test_a_version_is_its_host(adapter: Mounts, host: str) -> None:
    for same in ("/", "/api", "/api/restate/"):
        assert adapter.version_at(f"https://{host}{same}") == host
    assert adapter.version_at(f"HTTPS://{host.upper()}.") == host
    for other in (f"https://x{host}/", FUNCTION, f"https://{host}:8443/"):
        assert adapter.version_at(other) != host


@pytest.mark.parametrize(
    "check", [name for name in dir(AdapterContract) if name.startswith("test_")]
)
def test_each_check_can_fail(check: str) -> None:
    contract = AdapterContract()
    vars(contract).update(adapter=Careless(), taken=("x",), refused=("bad",), foreign=("y",))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(contract, check)()
