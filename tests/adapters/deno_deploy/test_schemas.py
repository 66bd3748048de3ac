"""The schemas of the vendor's answers can fail, and cover all that the fake answers."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from jsonschema import ValidationError  # type: ignore[import-untyped]

from steadfaas.testing.deno import Asked, FakeDeno
from tests.adapters.deno_deploy.platform import ANSWERS, SCHEMAS, check, fake_deno
from tests.deployments.world import run

REVISION: dict[str, Any] = {
    "id": "rh2r15rgy802",
    "status": "succeeded",
    "failure_reason": None,
    "created_at": "2026-11-01T00:00:00Z",
    "cancellation_requested_at": None,
    "build_finished_at": None,
    "deleted_at": None,
}


def asked(body: Any, status: int = 200, route: str = "/revisions/{revision}") -> Asked:
    return Asked("GET", route, route, status, body)


def test_a_good_answer_passes() -> None:
    check(asked(REVISION))
    check(asked({"code": "NOT_FOUND", "message": "no"}, 404))


@pytest.mark.parametrize(
    "answer",
    [
        asked({**REVISION, "status": "ready"}),
        asked({**REVISION, "commit": "3f2c"}),
        asked({**REVISION, "created_at": 5}),
        asked({key: REVISION[key] for key in REVISION if key != "deleted_at"}),
        asked({"error": "no"}, 404),
        asked([{"slug": "production"}], route="/revisions/{revision}/timelines"),
    ],
)
def test_an_answer_that_the_vendor_would_not_give_fails(answer: Asked) -> None:
    with pytest.raises(ValidationError):
        check(answer)


def test_every_schema_is_used() -> None:
    used = {name for name, _ in ANSWERS.values()} | {"error"}
    assert {each.stem for each in SCHEMAS.glob("*.json")} == used
    for each in SCHEMAS.glob("*.json"):
        assert json.loads(each.read_text())["additionalProperties"] is False


def test_every_answer_of_the_fake_is_one_of_the_vendor_s() -> None:
    """The fixture checks them when it ends."""
    with fake_deno(largest_page=2) as platform:
        shop = [platform.deploy("shop", to=["production", f"b/{n}"]) for n in range(3)]
        platform.app("shop").custom_domains.append("shop.example")
        failed = platform.deploy("shop", status="failed", failure_reason="no")
        run(_ask_everything(platform, [*(each.id for each in shop), failed.id]))
        routes = {each.route for each in platform.asked}
        assert {route for _, route in ANSWERS} <= routes
        assert {each.status for each in platform.asked} == {200, 204, 400, 401, 404, 409, 429}


async def _ask_everything(platform: FakeDeno, ids: list[str]) -> None:
    env = platform.env()
    good = {"authorization": f"Bearer {env['STEADFAAS_DENO_TOKEN']}"}
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, headers: dict[str, str] = good) -> int:
            url = f"{env['STEADFAAS_DENO_API']}{path}"
            async with session.request(method, url, headers=headers) as answer:
                return answer.status

        for path in ("/apps/shop", "/apps/shop/revisions", "/apps/none", "/nowhere"):
            await ask("GET", path)
        for id in (*ids, "none"):
            await ask("GET", f"/revisions/{id}")
            await ask("GET", f"/revisions/{id}/timelines")
        assert await ask("GET", "/apps/shop/revisions?limit=101") == 400
        assert await ask("GET", "/apps/shop", {}) == 401
        platform.throttle(1)
        assert await ask("GET", "/apps/shop") == 429
        platform.deploy("shop")
        assert await ask("DELETE", f"/revisions/{ids[2]}") == 409  # active in a branch
        assert await ask("DELETE", f"/revisions/{ids[3]}") == 204
