"""Versions on Vercel: listed, compared, held, deleted; how a fake Vercel is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from steadfaas.errors import BadRequest, Conflict
from steadfaas.spi import (
    Bounded,
    Diagnoses,
    EndpointReference,
    Evidence,
    Expires,
    Foresees,
    Leases,
    Mounts,
    Promise,
    Protects,
    Versioned,
)
from steadfaas.testing import FakeVercel
from steadfaas.testing.vercel import FakeDeployment, FakeProject
from steadfaas_adapters.vercel import ADAPTER

COMMIT = "3f2c91e0a1b2c3d4e5f60718293a4b5c6d7e8f90"
DAY = 86_400_000


def reference(made: FakeDeployment) -> EndpointReference:
    return asyncio.run(ADAPTER.resolve(f"{made.url}/restate"))


def asserted(url: str) -> EndpointReference:
    return EndpointReference("vercel", url, Evidence.ASSERTED)


def verify(known: EndpointReference) -> list[str]:
    return asyncio.run(ADAPTER.verify(known))


def retire(known: EndpointReference) -> None:
    asyncio.run(ADAPTER.retire(known))


def needed_by(known: EndpointReference) -> str | None:
    return asyncio.run(ADAPTER.needed_by(known))


@pytest.mark.parametrize(
    "protocol",
    [Bounded, Diagnoses, Expires, Foresees, Leases, Mounts, Protects, Versioned],
    ids=lambda p: p.__name__,
)
def test_what_it_can(protocol: type) -> None:
    assert isinstance(ADAPTER, protocol)


# --- listing -----------------------------------------------------------------------------------


def test_all_that_can_be_called_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeVercel(page_size=2) as vercel:
        for name, value in vercel.env().items():
            if name.startswith("STEADFAAS_VERCEL"):
                monkeypatch.setenv(name, value)
        shop = vercel.project("shop")
        made = [shop.deploy(branch="main", commit=COMMIT) for _ in range(5)]
        shop.deploy(state="ERROR")
        shop.promote(made[1])
        shop.alias("shop.example.com", made[1])
        vercel.project("blog").deploy()
        for target in ("vercel:acme/shop:/restate", f"{made[0].url}/restate"):
            found = asyncio.run(ADAPTER.list_versions(target))
            assert [each.label for each in found] == [each.id for each in reversed(made)]
            assert [each.uri for each in found] == [
                f"{each.url}/restate" for each in reversed(made)
            ]
            assert found[0].created_at == made[4].created
            assert found[0].facts["commit"] == COMMIT
            names = {each.label: each.names for each in found}
            assert names[made[1].id] == ("shop.example.com", "shop.vercel.app")
            assert names[made[4].id] == ("shop-git-main-acme.vercel.app",)
            assert names[made[0].id] == ()


# --- verifying ---------------------------------------------------------------------------------


def test_the_same_as_it_was(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    known = reference(shop.deploy(branch="main", commit=COMMIT))
    assert verify(known) == []
    assert verify(replace(known, facts={})) == []


def test_what_is_other(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy(commit=COMMIT)
    known = reference(made)
    shop.update(made, commit="7" * 40, state="ERROR", error="blocked")
    assert verify(known) == [
        "It is ERROR: blocked.",
        f"commit is {'7' * 40}, and was {COMMIT}.",
    ]
    shop.update(made, commit=COMMIT, state="READY")
    shop.expire(made)
    assert verify(known) == ["It is deleted by the project's retention policy."]
    shop.delete(made)
    [sentence] = verify(known)
    assert "Vercel knows no deployment" in sentence


def test_what_was_only_asserted_is_seen_through(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    shop.alias("shop-christine-acme.vercel.app", made)
    assert verify(asserted("https://shop-christine-acme.vercel.app/")) == [
        f"shop-christine-acme.vercel.app is an alias, which leads to {made.host} now."
    ]


# --- deleting ----------------------------------------------------------------------------------


def test_a_deployment_is_deleted_by_its_id(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made, kept = shop.deploy(), shop.deploy()
    shop.promote(kept)
    retire(reference(made))
    assert list(shop.deployments) == [kept.id]
    [deletion] = [each for each in vercel.answered if each.method == "DELETE"]
    assert set(deletion.query) == {"slug"}
    retire(replace(asserted(f"{made.url}/"), facts={"deployment_id": made.id}))  # again: no error


def test_what_is_needed_is_not_deleted(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy(target="production")
    known = reference(made)
    shop.promote(made)
    with pytest.raises(Conflict, match="serves production of 'shop'"):
        retire(known)
    next_one = shop.deploy(target="production")
    shop.roll(next_one)
    with pytest.raises(Conflict, match="is part of a rolling release"):
        retire(reference(next_one))
    shop.promote(next_one)
    shop.alias("www.example.com", made)
    with pytest.raises(Conflict, match=r"is what www\.example\.com leads to; point it elsewhere"):
        retire(known)
    shop.alias("a.example.com", made)
    with pytest.raises(Conflict, match=r"a\.example\.com, www\.example\.com lead to; point them"):
        retire(known)
    assert made.id in shop.deployments
    shop.aliases.clear()
    retire(known)
    assert made.id not in shop.deployments


def _two_aliases(shop: FakeProject, made: FakeDeployment) -> None:
    for host in ("www.example.com", "a.example.com"):
        shop.alias(host, made)


@pytest.mark.parametrize(
    ("happens", "needed"),
    [
        (lambda shop, made: shop.promote(shop.deploy()), None),
        (lambda shop, made: asyncio.run(ADAPTER.hold(reference(made))), None),  # our own lease
        (lambda shop, made: shop.delete(made), None),
        (lambda shop, made: shop.promote(made), "serves production of 'shop'; promote another"),
        (lambda shop, made: shop.roll(made), "is part of a rolling release of 'shop'; complete"),
        (
            lambda shop, made: shop.alias("www.example.com", made),
            "is what www.example.com leads to; point it elsewhere first",
        ),
        (_two_aliases, "is what a.example.com, www.example.com lead to; point them elsewhere"),
    ],
    ids=["nothing", "lease", "gone", "production", "rolling", "alias", "aliases"],
)
def test_what_vercel_would_not_let_go_is_foreseen(
    vercel: FakeVercel,
    happens: Callable[[FakeProject, FakeDeployment], object],
    needed: str | None,
) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    known = reference(made)
    happens(shop, made)
    told = needed_by(known)
    assert [each for each in vercel.answered if each.method == "DELETE"] == []
    if needed is None:
        assert told is None
        retire(known)
        assert made.id not in shop.deployments
        return
    assert told is not None
    assert f"{made.host} {needed}" in told
    with pytest.raises(Conflict) as refused:
        retire(known)
    assert refused.value.message == told


def test_an_alias_deletes_nothing(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    shop.alias("shop-christine-acme.vercel.app", made)
    with pytest.raises(BadRequest, match="is not the URL of a deployment"):
        retire(asserted("https://shop-christine-acme.vercel.app/"))
    with pytest.raises(BadRequest, match="is not the URL of a deployment"):
        needed_by(asserted("https://shop-christine-acme.vercel.app/"))
    assert made.id in shop.deployments


# --- holding -----------------------------------------------------------------------------------


def test_a_lease_is_an_alias(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    known = reference(made)
    said = asyncio.run(ADAPTER.hold(known))
    assert asyncio.run(ADAPTER.hold(known)) == said
    assert [each.method for each in vercel.answered].count("POST") == 1
    [host] = shop.aliases
    assert host in said
    assert host.startswith("steadfaas-hold-")
    assert len(host.partition(".")[0]) <= 63
    asyncio.run(ADAPTER.release(known))
    assert shop.aliases == {}
    asyncio.run(ADAPTER.release(known))


def test_our_own_lease_does_not_keep_us_from_deleting(vercel: FakeVercel) -> None:
    shop = vercel.project("shop")
    made = shop.deploy()
    known = reference(made)
    asyncio.run(ADAPTER.hold(known))
    retire(known)
    assert (shop.deployments, shop.aliases) == ({}, {})
    asyncio.run(ADAPTER.release(known))  # nothing is there any more


# --- retention ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "kind", "days"), [("production", "production", 365), (None, "other", 180)]
)
def test_vercels_defaults(
    vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch, target: str | None, kind: str, days: int
) -> None:
    made = vercel.project("shop").deploy(target=target)
    known = reference(made)
    expiry = ADAPTER.expiry(known, called_at=made.created + 1000 * DAY)
    assert expiry is not None
    assert expiry.at == made.created + days * DAY
    assert f"retention of {kind} deployments: {days} days" in expiry.why
    name = "PRODUCTION" if target else "PREVIEW"
    monkeypatch.setenv(f"STEADFAAS_VERCEL_RETENTION_{name}_DAYS", "7")
    shorter = ADAPTER.expiry(known, called_at=0)
    assert shorter is not None
    assert shorter.at == made.created + 7 * DAY
    monkeypatch.setenv(f"STEADFAAS_VERCEL_RETENTION_{name}_DAYS", "0")
    assert ADAPTER.expiry(known, called_at=0) is None


# --- protection --------------------------------------------------------------------------------


def test_one_secret_is_the_bypass() -> None:
    assert ADAPTER.protect(["env:SHOP"]) == {"x-vercel-protection-bypass": "env:SHOP"}
    for wrong in ([], ["env:A", "env:B"]):
        with pytest.raises(BadRequest, match="takes one secret"):
            ADAPTER.protect(wrong)


def test_a_mutable_one_can_be_asked_about_too(vercel: FakeVercel) -> None:
    made = vercel.project("shop").deploy(branch="main")
    known = asyncio.run(
        ADAPTER.resolve("https://shop-git-main-acme.vercel.app", promise=Promise.DEV)
    )
    assert verify(known) == [
        f"shop-git-main-acme.vercel.app is an alias, which leads to {made.host} now."
    ]
