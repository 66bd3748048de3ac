"""Which revisions there are, whether one is unchanged, its end, and when that comes by itself."""

from __future__ import annotations

import pytest

from steadfaas.errors import BadRequest, Conflict
from steadfaas.spi import (
    EndpointReference,
    Evidence,
    Expires,
    Foresees,
    Mounts,
    Protects,
    Versioned,
)
from steadfaas.testing.deno import FakeDeno
from steadfaas_adapters.deno_deploy import ADAPTER
from tests.adapters.deno_deploy.platform import fake_deno
from tests.deployments.world import run

DAY = 86_400_000


def reference(url: str, **facts: str) -> EndpointReference:
    return EndpointReference("deno-deploy", url, Evidence.CONTROL_PLANE, facts)


def test_what_the_adapter_offers() -> None:
    assert isinstance(ADAPTER, Versioned)
    assert isinstance(ADAPTER, Foresees)
    assert isinstance(ADAPTER, Mounts)
    assert isinstance(ADAPTER, Expires)
    assert not isinstance(ADAPTER, Protects)


def test_all_built_revisions_newest_first_over_all_pages() -> None:
    with fake_deno(largest_page=2) as platform:
        made = [platform.deploy("shop", to=[]) for _ in range(5)]
        platform.activate(made[1])
        platform.activate(made[1], "main")
        platform.activate(made[3], "feat/cart")
        platform.deploy("shop", status="failed")
        platform.deploy("shop", status="building")
        platform.delete(made[0])
        found = run(ADAPTER.list_versions("deno:acme/shop:/restate"))
    assert [each.label for each in found] == [each.id for each in reversed(made[1:])]
    assert [each.names for each in found] == [
        (),
        ("git-branch:feat/cart",),
        (),
        ("git-branch:main", "production"),
    ]
    assert found[0].uri == f"{made[4].url}restate"
    assert found[0].created_at == found[1].created_at + 60_000  # type: ignore[operator]
    assert found[3].facts["production"] == "yes"


def test_an_address_names_its_app(platform: FakeDeno) -> None:
    first, second = platform.deploy("shop"), platform.deploy("shop")
    found = run(ADAPTER.list_versions(first.url))
    assert [each.label for each in found] == [second.id, first.id]


def test_another_organisation_s_app_of_the_same_name_is_not_listed(platform: FakeDeno) -> None:
    platform.deploy("shop")
    assert run(ADAPTER.list_versions("deno:other/shop")) == []


def test_a_revision_that_is_unchanged(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    found = run(ADAPTER.resolve(first.url))
    platform.deploy("shop")  # production moves on: that changes nothing about it
    assert run(ADAPTER.verify(found)) == []
    assert run(ADAPTER.verify(reference(first.url))) == []


def test_a_revision_that_is_not(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    [problem] = run(ADAPTER.verify(reference(first.url, app_id="other")))
    assert "another app than other" in problem
    found = reference(first.url)
    platform.rename("shop", "store")
    [problem] = run(ADAPTER.verify(found))
    assert f"shop-{first.id}.acme.deno.net does not lead to" in problem
    platform.rename("store", "shop")
    first.status = "failed"
    assert "is failed now" in run(ADAPTER.verify(found))[0]
    first.status = "succeeded"
    platform.delete(first)
    [problem] = run(ADAPTER.verify(found))
    assert f"the revision {first.id} was deleted on 2026-11-29" in problem
    [problem] = run(ADAPTER.verify(reference("https://shop-aaaaaaaaaaaa.acme.deno.net/")))
    assert "no revision aaaaaaaaaaaa" in problem


def test_what_is_active_is_not_deleted(platform: FakeDeno) -> None:
    first = platform.deploy("shop", to=["production", "main"])
    with pytest.raises(Conflict, match="the timelines git-branch:main, production"):
        run(ADAPTER.retire(reference(first.url)))
    assert first.deleted_at is None

    platform.deploy("shop", to=["production", "main"])
    run(ADAPTER.retire(reference(first.url)))
    assert first.deleted_at is not None
    run(ADAPTER.retire(reference(first.url)))  # what is gone is gone


@pytest.mark.parametrize(
    ("timelines", "needed"),
    [
        ([], None),
        (["production"], "is what the timeline production runs now; deploy or roll back"),
        (["production", "main"], "is what the timelines git-branch:main, production runs now"),
    ],
)
def test_what_deno_would_not_let_go_is_foreseen(
    platform: FakeDeno, timelines: list[str], needed: str | None
) -> None:
    made = platform.deploy("shop", to=timelines)
    told = run(ADAPTER.needed_by(reference(made.url)))
    assert made.deleted_at is None
    if needed is None:
        assert told is None
        return
    assert told is not None
    assert f"the revision {made.id} of shop {needed}" in told
    with pytest.raises(Conflict) as refused:
        run(ADAPTER.retire(reference(made.url)))
    assert refused.value.message == told


def test_nothing_needs_a_revision_that_is_gone(platform: FakeDeno) -> None:
    gone = platform.deploy("shop", to=[])
    platform.delete(gone)
    for url in (gone.url, "https://shop-aaaaaaaaaaaa.acme.deno.net/"):
        assert run(ADAPTER.needed_by(reference(url))) is None


def test_the_platform_s_own_refusal_is_a_conflict(platform: FakeDeno) -> None:
    building = platform.deploy("shop", status="building")
    with pytest.raises(Conflict, match="active or being built"):
        run(ADAPTER.retire(reference(building.url)))


@pytest.mark.parametrize("url", ["https://shop.acme.deno.net/", "https://shop--a.acme.deno.net/"])
def test_what_moves_cannot_be_deleted(platform: FakeDeno, url: str) -> None:
    with pytest.raises(BadRequest, match="no address of one revision"):
        run(ADAPTER.retire(reference(url)))
    with pytest.raises(BadRequest, match="no address of one revision"):
        run(ADAPTER.needed_by(reference(url)))
    assert platform.asked == []


def test_it_is_disabled_after_thirty_days(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDLE_DAYS", "DELETE_DAYS"):
        monkeypatch.delenv(f"STEADFAAS_DENO_{name}", raising=False)
    url = "https://shop-rh2r15rgy802.acme.deno.net/"
    found = ADAPTER.expiry(reference(url), called_at=5)
    assert found is not None
    assert found.at == 5 + 30 * DAY
    assert "after 30 days without traffic, and deletes it 7 days later" in found.why
    monkeypatch.setenv("STEADFAAS_DENO_IDLE_DAYS", "0.5")
    found = ADAPTER.expiry(reference(url, retention="auto"), called_at=5)
    assert found is not None
    assert found.at == 5 + DAY // 2
    assert ADAPTER.expiry(reference(url, retention="indefinite"), called_at=5) is None
