"""Pages, and answers that are none."""

from __future__ import annotations

import pytest

from steadfaas.errors import DiscoveryError
from steadfaas_adapters.deno_deploy import ADAPTER
from steadfaas_adapters.deno_deploy.api import Revision, _next_cursor
from tests.deployments.world import Answer, run, serving


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ('<https://api.deno.com/v2/apps/a/revisions?cursor=abc&limit=100>; rel="next"', "abc"),
        ("</v2/apps/a/revisions?limit=100&cursor=a%2Bb>; rel=next", "a+b"),
        ('<https://x/?cursor=old>; rel="prev", <https://x/?cursor=new>; rel="next"', "new"),
        ('<https://x/?cursor=new>; title="a"; rel="next"', "new"),
        ('<https://x/?cursor=old>; rel="prev"', None),
        ('<https://x/?page=2>; rel="next"', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_cursor_of_the_next_page(link: str, cursor: str | None) -> None:
    assert _next_cursor({"link": link}) == cursor


def test_names_are_taken_in_either_spelling() -> None:
    values = {"id": "a", "status": "failed", "retention": "auto"}
    snake = {"failure_reason": "no", "created_at": "now", "deleted_at": None}
    camel = {"failureReason": "no", "createdAt": "now", "deletedAt": None}
    found = Revision.model_validate(values | snake)
    assert Revision.model_validate(values | camel) == found
    assert found.failure_reason == "no"


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "rh2r15rgy802", "status": "ready", "created_at": "now"}',
        b'{"id": "rh2r15rgy802"}',
        # Whether it was deleted is not said.
        b'{"id": "a", "status": "succeeded", "created_at": "now", "failure_reason": null}',
        b"[]",
        b"<html>",
        b"",
    ],
)
def test_what_is_not_understood_is_said(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with serving(Answer(body)) as api:
            monkeypatch.setenv("STEADFAAS_DENO_API", api.uri)
            monkeypatch.setenv("STEADFAAS_DENO_TOKEN", "ddo_planted")
            with pytest.raises(DiscoveryError, match="not understood") as refused:
                await ADAPTER.resolve("deno:acme/shop@rh2r15rgy802")
            assert "ddo_planted" not in refused.value.message
            [request] = api.requests
            assert request.headers["authorization"] == "Bearer ddo_planted"

    run(test())


def test_a_page_that_is_no_list_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with serving(Answer(b'{"items": []}')) as api:
            monkeypatch.setenv("STEADFAAS_DENO_API", api.uri)
            monkeypatch.setenv("STEADFAAS_DENO_TOKEN", "ddo_planted")
            with pytest.raises(DiscoveryError, match="not understood"):
                await ADAPTER.resolve("deno:acme/shop")

    run(test())


def test_a_link_to_the_same_page_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that turns in circles holds nobody for ever."""

    async def test() -> None:
        again = {"link": '<https://elsewhere.example/?cursor=c1>; rel="next"'}
        async with serving(Answer(b"[]", headers=again)) as api:
            monkeypatch.setenv("STEADFAAS_DENO_API", api.uri)
            monkeypatch.setenv("STEADFAAS_DENO_TOKEN", "ddo_planted")
            with pytest.raises(DiscoveryError, match="no revision that was built"):
                await ADAPTER.resolve("deno:acme/shop")
            assert len(api.requests) == 2, "the second page, asked of the same host"

    run(test())
