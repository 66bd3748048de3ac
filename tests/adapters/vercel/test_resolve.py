"""From each form to the one deployment, with the evidence, by what a fake Vercel answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steadfaas.errors import BadRequest, DiscoveryError, Verdict
from steadfaas.spi import Access, EndpointReference, Evidence, Promise
from steadfaas.testing import FakeVercel
from steadfaas_adapters.vercel import ADAPTER

FIRST = "3f2c91e0a1b2c3d4e5f60718293a4b5c6d7e8f90"
SECOND = "3f2c91e0ffffffffffffffffffffffffffffffff"
OTHER = "77777770ffffffffffffffffffffffffffffffff"


def resolve(target: str, promise: Promise = Promise.NONE) -> EndpointReference:
    return asyncio.run(ADAPTER.resolve(target, promise=promise))


def refused(target: str, promise: Promise = Promise.NONE) -> str:
    with pytest.raises((BadRequest, DiscoveryError)) as found:
        resolve(target, promise)
    return str(found.value)


# --- URLs --------------------------------------------------------------------------------------


def test_a_url_is_proven(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy(branch="main", commit=FIRST, target="production")
    found = resolve(f"{made.url}/restate/")
    assert (found.adapter, found.uri) == ("vercel", f"{made.url}/restate")
    assert found.evidence is Evidence.CONTROL_PLANE
    facts = dict(found.facts)
    proven = datetime.fromisoformat(facts.pop("proven_at"))
    assert abs((datetime.now(UTC) - proven).total_seconds()) < 60
    assert datetime.fromisoformat(facts.pop("created_at")).timestamp() * 1000 == made.created
    assert facts == {
        "deployment_id": made.id,
        "project_id": shop.id,
        "project": "shop",
        "team": "acme",
        "target": "production",
        "state": "READY",
        "commit": FIRST,
        "ref": "main",
        "repository": "acme/shop",
    }


def test_registering_twice_is_one_address(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy(branch="main", commit=FIRST)
    shop.promote(made)
    targets = [
        f"{made.url}/restate",
        f"{made.url.upper().replace('HTTPS', 'https')}/restate/",
        "vercel:acme/shop:/restate",
        "vercel:acme/shop@branch:main:/restate",
        f"vercel:{vercel.team.id}/{shop.id}@{made.id}:/restate",
    ]
    assert {resolve(target).uri for target in targets} == {f"{made.url}/restate"}


def test_an_alias_that_looks_like_a_deployment_is_told_apart(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    shop.alias("shop-christine-acme.vercel.app", made)
    sentence = refused("https://shop-christine-acme.vercel.app/restate")
    assert "is an alias" in sentence
    assert f"Write '{made.url}/restate'" in sentence
    assert "is an alias" in refused("https://shop-christine-acme.vercel.app", Promise.IMMUTABLE)


def test_when_it_expires_is_read_off_the_list(vercel: FakeVercel) -> None:
    made = vercel.project("shop").deploy(expiration=1_900_000_000_000)
    found = resolve(made.url)
    assert datetime.fromisoformat(found.facts["expires_at"]).timestamp() == 1_900_000_000
    expiry = ADAPTER.expiry(found, called_at=0)
    assert expiry is not None
    assert (expiry.at, expiry.why) == (
        1_900_000_000_000,
        "the project's retention policy, as Vercel told it",
    )


def test_unknown_to_vercel(vercel: FakeVercel) -> None:
    with pytest.raises(DiscoveryError, match="Vercel knows no deployment") as found:
        resolve("https://shop-3kd9x0a2q-acme.vercel.app")
    assert (found.value.code, found.value.status) == ("META0003", 404)


def test_without_the_team_the_sentence_says_so(
    vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = vercel.project("shop").deploy()
    monkeypatch.delenv("STEADFAAS_VERCEL_TEAM")
    assert "set STEADFAAS_VERCEL_TEAM" in refused(made.url)
    monkeypatch.setenv("STEADFAAS_VERCEL_TEAM", vercel.team.id)
    assert resolve(made.url).facts["deployment_id"] == made.id


# --- without a token ---------------------------------------------------------------------------


def test_without_a_token_nothing_is_proven(
    vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STEADFAAS_VERCEL_TOKEN")
    url = "https://shop-3kd9x0a2q-acme.vercel.app/restate"
    sentence = refused(url)
    assert "set STEADFAAS_VERCEL_TOKEN" in sentence
    assert "--assert-immutable" in sentence
    asserted = resolve(url, Promise.IMMUTABLE)
    assert (asserted.uri, asserted.evidence) == (url, Evidence.ASSERTED)
    assert asserted.facts == {}
    assert ADAPTER.expiry(asserted, called_at=0) is None
    # What cannot be one is not taken on anybody's word.
    assert "so it is one that moves" in refused("https://shop.vercel.app", Promise.IMMUTABLE)
    for promise in (Promise.NONE, Promise.IMMUTABLE):
        assert "set STEADFAAS_VERCEL_TOKEN" in refused("vercel:acme/shop@production", promise)
    assert vercel.answered == []


def test_the_token_may_be_in_a_file(
    vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = vercel.project("shop").deploy()
    monkeypatch.delenv("STEADFAAS_VERCEL_TOKEN")
    monkeypatch.setenv("STEADFAAS_VERCEL_TOKEN_FILE", str(tmp_path / "token"))
    assert "cannot be read" in refused(made.url)
    (tmp_path / "token").write_text(f"{vercel.token}\n")
    assert resolve(made.url).evidence is Evidence.CONTROL_PLANE


def test_for_development_nobody_is_asked(vercel: FakeVercel) -> None:
    found = resolve("https://shop-git-main-acme.vercel.app/restate", Promise.DEV)
    assert found.evidence is Evidence.MUTABLE
    assert vercel.answered == []


# --- names -------------------------------------------------------------------------------------


def test_production_is_what_serves_it(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    assert "nothing serves production" in refused("vercel:acme/shop@production")
    first = shop.deploy(target="production")
    second = shop.deploy(target="production")
    shop.promote(second)
    assert resolve("vercel:acme/shop@production:/restate").uri == f"{second.url}/restate"
    shop.promote(first)  # a rollback: not the newest
    assert resolve("vercel:acme/shop@production").uri == f"{first.url}/"
    assert resolve("vercel:acme/shop").uri == f"{first.url}/"


def test_a_rolling_release_names_no_single_deployment(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    first, second = shop.deploy(target="production"), shop.deploy(target="production")
    shop.promote(first)
    shop.roll(second)
    sentence = refused("vercel:acme/shop@production")
    assert f"{first.url} and {second.url}" in sentence
    shop.promote(second)
    assert resolve("vercel:acme/shop@production").facts["deployment_id"] == second.id


def test_the_newest_ready_one_of_a_branch(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    shop.deploy(branch="feat/x")
    ready = shop.deploy(branch="feat/x")
    shop.deploy(branch="feat/x", state="ERROR", error="it did not compile")
    shop.deploy(branch="feat/x", state="BUILDING")
    shop.expire(shop.deploy(branch="feat/x"))
    shop.deploy(branch="main")
    assert resolve("vercel:acme/shop@branch:feat/x:/r").uri == f"{ready.url}/r"
    assert "has no deployment of branch 'feat/y'" in refused("vercel:acme/shop@branch:feat/y")


def test_the_newest_ready_one_of_a_commit(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    shop.deploy(commit=FIRST)
    again = shop.deploy(commit=FIRST)
    shop.deploy(commit=FIRST, state="CANCELED")
    shop.deploy(commit=OTHER)
    assert resolve(f"vercel:acme/shop@commit:{FIRST}").uri == f"{again.url}/"
    assert resolve("vercel:acme/shop@commit:3F2C91E").uri == f"{again.url}/"
    assert "has no deployment of commit" in refused(f"vercel:acme/shop@commit:{SECOND}")
    assert "write the whole SHA" in refused("vercel:acme/shop@commit:1234567")


def test_the_beginning_of_two_commits(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    shop.deploy(commit=SECOND)
    made = shop.deploy(commit=FIRST)
    assert f"{FIRST} and {SECOND}" in refused("vercel:acme/shop@commit:3f2c91e0")
    assert resolve("vercel:acme/shop@commit:3f2c91e0a").uri == f"{made.url}/"


def test_an_api_that_ignores_a_filter_misleads_nobody(
    vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = vercel.project("shop")
    made = shop.deploy(branch="main", commit=FIRST)
    shop.deploy(branch="feat/x", commit=OTHER)
    monkeypatch.setattr("steadfaas.testing.vercel.api._wanted", lambda each, query: True)
    assert resolve(f"vercel:acme/shop@commit:{FIRST}").uri == f"{made.url}/"
    assert resolve("vercel:acme/shop@branch:main").uri == f"{made.url}/"


def test_an_old_commit_is_found_pages_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeVercel(page_size=2) as vercel:
        for name, value in vercel.env().items():
            if name.startswith("STEADFAAS_VERCEL"):
                monkeypatch.setenv(name, value)
        shop = vercel.project("shop")
        old = shop.deploy(branch="main", commit=FIRST)
        for _ in range(6):
            shop.deploy(branch="main", commit=OTHER, state="ERROR")
        assert resolve("vercel:acme/shop@commit:3f2c91e").uri == f"{old.url}/"
        assert resolve("vercel:acme/shop@branch:main").uri == f"{old.url}/"
        listed = [each for each in vercel.answered if each.route == "/v6/deployments"]
        assert len([each for each in listed if "until" in each.query]) >= 6


def test_an_id_of_another_project(vercel: FakeVercel) -> None:
    made = vercel.project("shop").deploy()
    vercel.project("blog")
    assert resolve(f"vercel:acme/shop@{made.id}:/r").uri == f"{made.url}/r"
    assert "is a deployment of 'shop', not of 'blog'" in refused(f"vercel:acme/blog@{made.id}")
    assert "Vercel knows no deployment 'dpl_0'" in refused("vercel:acme/blog@dpl_0")
    assert "Vercel knows no project 'forum' of 'acme'" in refused("vercel:acme/forum")


# --- states ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["INITIALIZING", "QUEUED", "BUILDING"])
def test_what_is_still_built_is_worth_another_try(vercel: FakeVercel, state: str) -> None:
    shop = vercel.project("shop")
    made = shop.deploy(branch="main", commit=FIRST, state=state)
    for target in (made.url, "vercel:acme/shop@branch:main", f"vercel:acme/shop@commit:{FIRST}"):
        with pytest.raises(DiscoveryError, match=f"is {state}, so it cannot") as found:
            resolve(target)
        assert (found.value.status, found.value.verdict) == (503, Verdict.RETRY)
    shop.update(made, state="READY")
    assert resolve("vercel:acme/shop@branch:main").uri == f"{made.url}/"


def test_what_is_built_counts_more_than_what_failed_later(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    shop.deploy(branch="main", state="BUILDING")
    shop.deploy(branch="main", state="CANCELED")
    assert "is BUILDING" in refused("vercel:acme/shop@branch:main")


@pytest.mark.parametrize("state", ["ERROR", "CANCELED", "BLOCKED"])
def test_what_failed_is_refused_with_vercels_words(vercel: FakeVercel, state: str) -> None:
    made = vercel.project("shop").deploy(branch="main", state=state, error="Command exited with 1.")
    for target in (made.url, "vercel:acme/shop@branch:main"):
        with pytest.raises(DiscoveryError) as found:
            resolve(target)
        assert f"is {state}: Command exited with 1, so it will never" in found.value.message
        assert (found.value.status, found.value.verdict) == (400, Verdict.DENIED)


def test_what_the_retention_policy_removed(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    shop.expire(made)
    assert "is deleted by the project's retention policy. Restore it" in refused(made.url)


# --- the API -----------------------------------------------------------------------------------


def test_a_throttled_api_is_asked_again(vercel: FakeVercel) -> None:
    made = vercel.project("shop").deploy()
    vercel.throttle(3)
    assert resolve(made.url).facts["deployment_id"] == made.id
    assert [each.status for each in vercel.answered[:4]] == [429, 429, 429, 200]


def test_an_api_that_stays_throttled_is_worth_another_try(vercel: FakeVercel) -> None:
    made = vercel.project("shop").deploy()
    vercel.throttle(1000)
    with pytest.raises(DiscoveryError, match="rate_limited") as found:
        resolve(made.url)
    assert (found.value.status, found.value.verdict) == (503, Verdict.RETRY)


def test_a_wrong_token(vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = vercel.project("shop").deploy()
    monkeypatch.setenv("STEADFAAS_VERCEL_TOKEN", "stolen")
    sentence = refused(made.url)
    assert "status 403 (forbidden)" in sentence
    assert "Check the token (STEADFAAS_VERCEL_TOKEN)" in sentence
    assert "stolen" not in sentence


def test_another_team(vercel: FakeVercel) -> None:
    vercel.project("shop")
    assert "status 403 (forbidden)" in refused("vercel:rivals/shop")


def test_a_role_is_for_others(vercel: FakeVercel) -> None:
    with pytest.raises(BadRequest, match="Vercel is asked with a token"):
        asyncio.run(ADAPTER.resolve("vercel:acme/shop", Access("arn:aws:iam::1:role/x")))


def test_a_setting_that_is_none(vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFAAS_VERCEL_RETENTION_PREVIEW_DAYS", "half a year")
    assert "STEADFAAS_VERCEL_RETENTION_PREVIEW_DAYS is not right" in refused("vercel:acme/shop")
