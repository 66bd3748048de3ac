"""From each form of a target to one revision, and what is refused by the platform's word."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steadfaas.errors import BadRequest, DiscoveryError, Verdict
from steadfaas.spi import Access, EndpointReference, Evidence, Promise
from steadfaas.testing.deno import FakeDeno, Status
from steadfaas_adapters.deno_deploy import ADAPTER
from tests.adapters.deno_deploy.platform import clear, fake_deno
from tests.deployments.world import run


@contextmanager
def refused(status: int, *says: str, retryable: bool = False) -> Iterator[None]:
    """The platform refuses, with a sentence that says all this."""
    with pytest.raises(DiscoveryError) as raised:
        yield
    error = raised.value
    for words in says:
        assert words in error.message
    assert (error.status, error.code) == (status, "META0003")
    assert error.verdict is (Verdict.RETRY if retryable else Verdict.DENIED)
    assert os.environ.get("STEADFAAS_DENO_TOKEN", "no token") not in error.message


def resolve(target: str, promise: Promise = Promise.NONE) -> EndpointReference:
    return run(ADAPTER.resolve(target, promise=promise))


# --- each form ---------------------------------------------------------------------------------


def test_an_address_is_proven_by_the_timeline_of_its_revision(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    found = resolve(f"https://{first.host.upper()}")
    assert found == EndpointReference("deno-deploy", first.url, Evidence.CONTROL_PLANE)
    assert resolve(f"{first.url}restate/").uri == f"{first.url}restate"


def test_names_mean_what_is_there_now(platform: FakeDeno) -> None:
    first = platform.deploy("shop", to=["production"])
    second = platform.deploy("shop", to=["main", "feat/cart"])
    third = platform.deploy("shop", to=[])
    platform.deploy("shop", status="building")
    platform.deploy("shop", status="failed", failure_reason="no such file")
    meant = {
        "deno:acme/shop@production": first,
        "deno:acme/shop@branch:main": second,
        "deno:acme/shop@branch:feat/cart": second,
        "deno:acme/shop": third,
        f"deno:acme/shop@{second.id}": second,
        "deno:acme/shop@production:/restate": first,
    }
    for target, revision in meant.items():
        found = resolve(target)
        _, _, path = target.partition(":/")
        assert (found.uri, found.evidence) == (revision.url + path, Evidence.CONTROL_PLANE)

    platform.activate(third)
    assert resolve("deno:acme/shop@production").uri == third.url
    platform.activate(first)  # a rollback: the active one is not the newest
    assert resolve("deno:acme/shop@production").uri == first.url


def test_a_branch_may_have_any_name(platform: FakeDeno) -> None:
    """Even that of a revision, or of another kind of timeline."""
    first = platform.deploy("shop", id="aaaaaaaaaaaa")
    for name in ("aaaaaaaaaaaa", "production", "preview", "git-branch"):
        with refused(400, f"is active in the branch '{name}'"):
            resolve(f"deno:acme/shop@branch:{name}")
        second = platform.deploy("shop", to=[name] if name != "production" else [])
        if name != "production":
            assert resolve(f"deno:acme/shop@branch:{name}").uri == second.url
    assert resolve("deno:acme/shop@production").uri == first.url


def test_facts_are_kept(platform: FakeDeno) -> None:
    first = platform.deploy("shop", to=["production", "main"])
    first.retention = "indefinite"
    facts = dict(resolve("deno:acme/shop@production").facts)
    assert "development context" in facts.pop("variables")
    assert facts.pop("proven_at")
    assert facts == {
        "revision": first.id,
        "app": "shop",
        "app_id": platform.app("shop").id,
        "org": "acme",
        "status": "succeeded",
        "created_at": first.created_at,
        "production": "yes",
        "timelines": "git-branch:main, production",
        "retention": "indefinite",
    }
    other = platform.deploy("shop", to=[])
    facts = dict(resolve(other.url).facts)
    assert facts["production"] == "no"
    assert "timelines" not in facts


def test_the_active_one_is_found_behind_many_pages() -> None:
    with fake_deno(largest_page=2) as platform:
        first = platform.deploy("shop")
        for _ in range(6):
            platform.deploy("shop", to=[])
        assert resolve("deno:acme/shop@production").uri == first.url
        pages = [each for each in platform.asked if each.route == "/apps/{app}/revisions"]
        assert len(pages) == 4


def test_the_search_for_the_active_one_has_an_end(
    platform: FakeDeno, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steadfaas_adapters.deno_deploy.resolve._MOST_LOOKED_AT", 2)
    platform.deploy("shop")
    platform.deploy("shop", to=[])
    assert resolve("deno:acme/shop@production")
    platform.deploy("shop", to=[])
    with refused(400, "none of the 2 newest revisions"):
        resolve("deno:acme/shop@production")


def test_a_throttle_is_waited_for(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    platform.throttle(2)
    assert resolve("deno:acme/shop").uri == first.url
    assert [each.status for each in platform.asked][:3] == [429, 429, 200]


# --- look-alikes -------------------------------------------------------------------------------


def test_a_production_address_that_looks_like_one_of_a_revision(platform: FakeDeno) -> None:
    platform.deploy("shop-frontend")
    with refused(400, "no revision 'frontend'", "write 'deno:acme/shop-frontend@production"):
        resolve("https://shop-frontend.acme.deno.net")


def test_an_app_that_is_named_after_its_own_revision(platform: FakeDeno) -> None:
    """The host is among the domains of the revision, as the app's production address: it moves."""
    named = platform.deploy("shop-rh2r15rgy802", id="rh2r15rgy802")
    host = platform.app("shop-rh2r15rgy802").host("production")
    assert host == "shop-rh2r15rgy802.acme.deno.net"
    with refused(400, "no address shop-rh2r15rgy802.acme.deno.net of its own"):
        resolve(f"https://{host}")
    assert resolve(named.url).evidence is Evidence.CONTROL_PLANE


def test_a_revision_of_another_app_or_organisation(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    for target in (
        f"https://cart-{first.id}.acme.deno.net",
        f"https://shop-{first.id}.other.deno.net",
        f"deno:other/shop@{first.id}",
        "deno:other/shop",
        "deno:other/shop@production",
        f"deno:acme/cart@{first.id}",
    ):
        with refused(400, "of its own", first.host):
            resolve(target)


# --- what is not there, or not yet -------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "building"])
def test_what_is_not_built_yet_is_asked_for_again(platform: FakeDeno, status: Status) -> None:
    first = platform.deploy("shop", status=status)
    with refused(503, f"it is {status}", retryable=True):
        resolve(f"https://{first.host}")
    first.status = "succeeded"
    assert resolve(f"https://{first.host}").uri == first.url


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_what_cannot_run_is_refused_with_the_reason(platform: FakeDeno, status: Status) -> None:
    first = platform.deploy("shop", status=status, failure_reason="Module not found: cart.ts")
    with refused(400, f"its build {status}", "Module not found: cart.ts"):
        resolve(f"deno:acme/shop@{first.id}")


def test_what_was_deleted_or_never_was(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    platform.delete(first)
    with refused(400, f"the revision '{first.id}' was deleted on"):
        resolve(f"https://{first.host}")
    with refused(400, "no revision that was built"):
        resolve("deno:acme/shop")
    with refused(400, "is active in production", "deno:acme/shop@REVISION"):
        resolve("deno:acme/shop@production")
    with refused(400, "is active in the branch 'main'"):
        resolve("deno:acme/shop@branch:main")
    with refused(400, "no revision 'aaaaaaaaaaaa'", "steadfaas adapters versions deno:acme/shop"):
        resolve("deno:acme/shop@aaaaaaaaaaaa")
    with refused(400, "app was not found"):
        resolve("deno:acme/cart")


# --- without a token, and with a wrong one -----------------------------------------------------


def test_without_a_token_nothing_is_proven(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    with pytest.MonkeyPatch.context() as patch:
        clear(patch)
        for target in (f"https://{first.host}", "deno:acme/shop", "deno:acme/shop@production"):
            with refused(403, "STEADFAAS_DENO_TOKEN", "STEADFAAS_DENO_TOKEN_FILE", "--assert-immu"):
                resolve(target)
    assert platform.asked == []


def test_without_a_token_there_is_the_word_of_whoever_registers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clear(monkeypatch)
    url = "https://shop-rh2r15rgy802.acme.deno.net/restate"
    found = resolve(url, Promise.IMMUTABLE)
    assert (found.uri, found.evidence) == (url, Evidence.ASSERTED)
    assert "development context" in found.facts["variables"]
    assert resolve("deno:acme/shop@rh2r15rgy802:/restate", Promise.IMMUTABLE) == found
    assert resolve(url, Promise.DEV).evidence is Evidence.MUTABLE
    # A name is no version that anybody could promise anything about.
    with refused(403, "STEADFAAS_DENO_TOKEN"):
        resolve("deno:acme/shop@production", Promise.IMMUTABLE)
    with pytest.raises(BadRequest, match="moves with every deploy"):
        resolve("https://shop.acme.deno.net", Promise.IMMUTABLE)


def test_a_promise_does_not_replace_a_proof_that_can_be_had(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    assert resolve(first.url, Promise.IMMUTABLE).evidence is Evidence.CONTROL_PLANE
    with refused(400, "no revision 'aaaaaaaaaaaa'"):
        resolve("https://shop-aaaaaaaaaaaa.acme.deno.net", Promise.IMMUTABLE)


def test_development_takes_what_moves_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    clear(monkeypatch)
    found = resolve("https://shop.acme.deno.net/restate", Promise.DEV)
    assert (found.uri, found.evidence) == ("https://shop.acme.deno.net/restate", Evidence.MUTABLE)


def test_a_wrong_token_is_said(platform: FakeDeno, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.deploy("shop")
    monkeypatch.setenv("STEADFAAS_DENO_TOKEN", "ddo_wrong")
    with refused(403, "The token is not valid", "Check the token (STEADFAAS_DENO_TOKEN)"):
        resolve("deno:acme/shop")


def test_the_token_may_be_in_a_file(
    platform: FakeDeno, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = platform.deploy("shop")
    file = tmp_path / "token"
    file.write_text(os.environ["STEADFAAS_DENO_TOKEN"] + "\n")
    monkeypatch.delenv("STEADFAAS_DENO_TOKEN")
    monkeypatch.setenv("STEADFAAS_DENO_TOKEN_FILE", str(file))
    assert resolve("deno:acme/shop").uri == first.url
    monkeypatch.setenv("STEADFAAS_DENO_TOKEN_FILE", str(tmp_path / "none"))
    with refused(403, "cannot be read"):
        resolve("deno:acme/shop")


def test_a_bad_setting_is_named(platform: FakeDeno, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFAAS_DENO_IDLE_DAYS", "soon")
    with refused(400, "STEADFAAS_DENO_IDLE_DAYS"):
        resolve("deno:acme/shop")


def test_a_role_is_for_lambda() -> None:
    with pytest.raises(BadRequest, match="with a token"):
        run(ADAPTER.resolve("deno:acme/shop", Access(assume_role_arn="arn:aws:iam::1:role/x")))
