"""The fake Vercel answers as Vercel does, and what does not is noticed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from steadfaas.testing import FakeVercel
from steadfaas.testing.vercel import Answered
from tests.adapters.vercel.shapes import SCHEMAS, problems_of


def ask(vercel: FakeVercel, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async def asked() -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {vercel.token}"}
        url = vercel.env()["STEADFAAS_VERCEL_API"] + path
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, **more) as answer,
        ):
            return answer.status, await answer.json()

    return asyncio.run(asked())


def test_every_answer_has_its_shape(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    first = shop.deploy(branch="main", commit="3f2c91e", target="production")
    second = shop.deploy(branch="feat/x", state="ERROR", error="no", expiration=1)
    shop.promote(first)
    shop.roll(second)
    team = {"slug": "acme"}
    project = {**team, "projectId": "shop"}
    alias = {"alias": "a.vercel.app"}
    ask(vercel, "GET", f"/v13/deployments/{first.host}", params=team)
    ask(vercel, "GET", "/v6/deployments", params=project)
    ask(vercel, "POST", f"/v2/deployments/{first.id}/aliases", params=team, json=alias)
    ask(vercel, "GET", f"/v2/deployments/{first.id}/aliases", params=team)
    ask(vercel, "GET", "/v4/aliases", params=project)
    ask(vercel, "DELETE", "/v2/aliases/a.vercel.app", params=team)
    ask(vercel, "GET", "/v9/projects/shop", params=team)
    ask(vercel, "GET", f"/v1/projects/{shop.id}/rolling-release", params=team)
    shop.expire(first)
    ask(vercel, "GET", f"/v13/deployments/{first.id}", params=team)
    ask(vercel, "DELETE", f"/v13/deployments/{first.id}", params=team)
    ask(vercel, "DELETE", f"/v13/deployments/{first.id}", params=team)
    assert [each.status for each in vercel.answered] == [200] * 10 + [404]
    assert {(each.method, each.route) for each in vercel.answered} == set(SCHEMAS)
    assert [problems_of(each) for each in vercel.answered] == [[]] * 11
    for good in vercel.answered:
        assert problems_of(replace(good, body={**good.body, "surprise": 1})), good.route
        for name in good.body:
            less = {key: value for key, value in good.body.items() if key != name}
            wrong = {**good.body, name: object()}
            assert problems_of(replace(good, body=wrong)), f"{good.route}: {name}"
            if name not in OPTIONAL:
                assert problems_of(replace(good, body=less)), f"{good.route}: {name}"


OPTIONAL = {"alias", "gitSource", "readySubstate", "target", "targets"} | {
    "deletedAt",
    "softDeletedByRetention",
}


def test_a_deletion_by_url_takes_the_alias(vercel: FakeVercel) -> None:
    """Why the adapter never does that."""
    shop = vercel.project("shop")
    meant, live = shop.deploy(), shop.deploy()
    shop.promote(live)
    query = {"slug": "acme", "url": "shop.vercel.app"}
    ask(vercel, "DELETE", f"/v13/deployments/{meant.id}", params=query)
    assert list(shop.deployments) == [meant.id]


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"authorization": "Bearer other"}, {"slug": "acme"}, 403),
        ({}, {"slug": "rivals"}, 403),
        ({}, {}, 404),
    ],
)
def test_who_may_not_ask(
    vercel: FakeVercel, headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    vercel.project("shop")
    found, body = ask(vercel, "GET", "/v9/projects/shop", params=query, headers=headers)
    assert found == status
    assert set(body) == {"error"}


def test_an_answer_of_no_known_shape_is_noticed() -> None:
    answered = Answered("GET", "/v9/projects/{id}", {}, 200, {"id": "prj_1"})
    assert problems_of(answered)
