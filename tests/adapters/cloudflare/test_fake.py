"""The fake answers as Cloudflare's API does: each of its answers fits a schema of the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from steadfaas.testing.cloudflare import ACCOUNT, TOKEN, FakeCloudflare
from steadfaas.testing.gateway import Called

pytestmark = pytest.mark.asyncio

SCHEMAS = Path(__file__).parents[2] / "data" / "platforms" / "cloudflare"
NOBODY = "f" * 32


async def ask(
    fake: FakeCloudflare, path: str, schema: str, *, method: str = "GET", token: str = TOKEN
) -> tuple[int, Any]:
    """Status and body of an answer, which fits the schema."""
    url = fake.env()["STEADFAAS_CLOUDFLARE_API"] + path
    headers = {"authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, url, headers=headers) as answer,
    ):
        body = await answer.json()
        status = answer.status
    rules = json.loads((SCHEMAS / f"{schema}.json").read_text())
    Draft202012Validator.check_schema(rules)
    Draft202012Validator(rules, format_checker=FormatChecker()).validate(body)
    return status, body


@pytest.fixture
def shop(cloudflare: FakeCloudflare) -> FakeCloudflare:
    """Seven versions, two of them deployed."""
    made = [cloudflare.upload("shop", tag=f"v{n}", message="a release") for n in range(7)]
    cloudflare.deploy("shop", **{made[0].id: 90, made[1].id: 10})
    return cloudflare


WORKER = f"/accounts/{ACCOUNT}/workers/workers/shop"


async def test_good_answers(shop: FakeCloudflare) -> None:
    plain = shop.upload("shop")
    hidden = shop.upload("shop", routable=False)
    await ask(shop, "/accounts", "accounts")
    _, worker = await ask(shop, WORKER, "worker")
    await ask(shop, f"/accounts/{ACCOUNT}/workers/workers/{worker['result']['id']}", "worker")
    for version in (plain, hidden):
        await ask(shop, f"{WORKER}/versions/{version.id}", "version")
    deployments = f"/accounts/{ACCOUNT}/workers/scripts/shop/deployments"
    _, found = await ask(shop, deployments, "deployments")
    assert sum(v["percentage"] for v in found["result"]["deployments"][0]["versions"]) == 100
    shop.deploy("shop")
    await ask(shop, deployments, "deployments")
    status, _ = await ask(shop, f"{WORKER}/versions/{plain.id}", "deleted", method="DELETE")
    assert status == 200
    await ask(shop, f"{WORKER}/versions/{plain.id}", "failure")


async def test_pages(shop: FakeCloudflare) -> None:
    numbers = []
    for page in range(1, 5):
        path = f"{WORKER}/versions?page={page}&per_page=50"
        _, body = await ask(shop, path, "versions")
        assert body["result_info"]["total_count"] == 7
        numbers.append([each["number"] for each in body["result"]])
    assert numbers == [[7, 6, 5], [4, 3, 2], [1], []]


async def test_errors(shop: FakeCloudflare) -> None:
    version = f"{WORKER}/versions/00000000-0000-4000-8000-000000000000"
    live = f"{WORKER}/versions/{next(iter(shop.workers['shop'].deployed))}"
    statuses = [
        (await ask(shop, "/accounts", "failure", token="wrong"))[0],
        (await ask(shop, version, "failure"))[0],
        (await ask(shop, version, "failure", method="DELETE"))[0],
        (await ask(shop, live, "failure", method="DELETE"))[0],
        (await ask(shop, f"/accounts/{ACCOUNT}/workers/workers/none", "failure"))[0],
        (await ask(shop, f"/accounts/{NOBODY}/workers/workers/shop", "failure"))[0],
        (await ask(shop, "/nothing/here", "failure"))[0],
    ]
    shop.throttle(1)
    statuses.append((await ask(shop, WORKER, "failure"))[0])
    assert statuses == [403, 404, 404, 409, 404, 404, 404, 429]


async def test_a_switch_takes_all_urls_away(shop: FakeCloudflare) -> None:
    shop.switch("shop", previews_enabled=False)
    _, worker = await ask(shop, WORKER, "worker")
    assert worker["result"]["subdomain"]["previews_enabled"] is False
    _, versions = await ask(shop, f"{WORKER}/versions", "versions")
    assert [each["urls"] for each in versions["result"]] == [[], [], []]
    version = next(iter(shop.workers["shop"].versions.values()))
    assert shop.route(Called("GET", shop.host("shop", version), "/", {})) != version.serves


async def test_a_schema_refuses_what_is_wrong() -> None:
    rules = json.loads((SCHEMAS / "versions.json").read_text())
    body = {"success": True, "errors": [], "messages": [], "result": [{"id": "1", "number": 1}]}
    assert not Draft202012Validator(rules).is_valid(body)
