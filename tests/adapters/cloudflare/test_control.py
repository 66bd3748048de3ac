"""Which version a target means, and what becomes of versions: asked of the fake of Cloudflare."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from steadfaas.errors import BadRequest, Conflict, DiscoveryError, SteadfaasError, Verdict
from steadfaas.spi import Access, EndpointReference, Evidence, Foresees, Promise
from steadfaas.testing.cloudflare import ACCOUNT, TOKEN, FakeCloudflare
from steadfaas_adapters.cloudflare import ADAPTER

pytestmark = pytest.mark.asyncio

NOBODY = "f" * 32


async def resolved(target: str, promise: Promise = Promise.NONE) -> EndpointReference:
    return await ADAPTER.resolve(target, promise=promise)


# --- names -------------------------------------------------------------------------------------


async def test_latest_is_the_newest_version_with_a_url(cloudflare: FakeCloudflare) -> None:
    for n in range(5):
        newest = cloudflare.upload("shop", tag=f"v{n}", message="more of it")
    cloudflare.upload("shop", routable=False)
    found = await resolved(f"cloudflare:{ACCOUNT}/shop@latest")
    assert found.uri == f"{cloudflare.url('shop', newest)}/"
    assert found.adapter == "cloudflare"
    assert found.evidence is Evidence.CONTROL_PLANE
    proven_at = found.facts["proven_at"]
    assert proven_at.endswith("+00:00")
    assert found.facts == {
        "account": ACCOUNT,
        "worker": "shop",
        "version": newest.id,
        "number": "5",
        "created": newest.created_on.isoformat(),
        "tag": "v4",
        "message": "more of it",
        "previews_enabled": "true",
        "proven_at": proven_at,
    }


async def test_a_tag_names_one_version_wherever_its_page_is(cloudflare: FakeCloudflare) -> None:
    tagged = cloudflare.upload("shop", tag="v1.4.0")
    for _ in range(7):
        cloudflare.upload("shop", tag="later")
    found = await resolved(f"cloudflare:{ACCOUNT}/shop@tag:v1.4.0:/restate")
    assert found.uri == f"{cloudflare.url('shop', tagged)}/restate"


async def test_a_tag_that_two_share_names_none(cloudflare: FakeCloudflare) -> None:
    both = [cloudflare.upload("shop", tag="v1") for _ in range(2)]
    with pytest.raises(BadRequest, match="2 versions of the Worker 'shop' have the tag") as refused:
        await resolved("cloudflare:shop@tag:v1")
    assert all(each.id in str(refused.value) for each in both)
    with pytest.raises(DiscoveryError, match="no version of the Worker 'shop' has the tag 'v2'"):
        await resolved("cloudflare:shop@tag:v2")


async def test_a_version_by_its_id(cloudflare: FakeCloudflare) -> None:
    first = cloudflare.upload("shop")
    cloudflare.upload("shop")
    found = await resolved(f"cloudflare:shop@{first.id.upper()}")
    assert found.facts["version"] == first.id
    cloudflare.delete("shop", first)
    with pytest.raises(DiscoveryError, match=f"has no version {first.id}"):
        await resolved(f"cloudflare:shop@{first.id}")


async def test_live_is_what_is_deployed(cloudflare: FakeCloudflare) -> None:
    first, second = cloudflare.upload("shop"), cloudflare.upload("shop")
    with pytest.raises(DiscoveryError, match="nothing is deployed"):
        await resolved("cloudflare:shop@live")
    cloudflare.deploy("shop", **{first.id: 100, second.id: 0})
    assert (await resolved("cloudflare:shop@live")).facts["version"] == first.id
    cloudflare.deploy("shop", **{first.id: 90, second.id: 10})
    with pytest.raises(BadRequest, match="is split over") as refused:
        await resolved("cloudflare:shop@live")
    assert f"{first.id} (90 %) and {second.id} (10 %)" in str(refused.value)


async def test_a_version_without_a_url_is_refused(cloudflare: FakeCloudflare) -> None:
    version = cloudflare.upload("shop", routable=False)
    for target in ("@latest", f"@{version.id}"):
        with pytest.raises(DiscoveryError, match=r"has (no|a) URL: check .*preview_urls"):
            await resolved(f"cloudflare:shop{target}")


async def test_the_account_is_named_set_or_the_only_one(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudflare.upload("shop")
    assert (await resolved("cloudflare:shop@latest")).facts["account"] == ACCOUNT
    cloudflare.accounts = {NOBODY: "another", **cloudflare.accounts}
    with pytest.raises(BadRequest, match="sees 2 accounts: set STEADFAAS_CLOUDFLARE_ACCOUNT"):
        await resolved("cloudflare:shop@latest")
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_ACCOUNT", ACCOUNT)
    assert (await resolved("cloudflare:shop@latest")).facts["account"] == ACCOUNT
    with pytest.raises(DiscoveryError, match="has no Worker 'nowhere'"):
        await resolved("cloudflare:nowhere@latest")
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_ACCOUNT", "acme")
    with pytest.raises(BadRequest, match="STEADFAAS_CLOUDFLARE_ACCOUNT is wrong"):
        await resolved("cloudflare:shop@latest")


# --- URLs --------------------------------------------------------------------------------------


async def test_a_url_is_proven_by_the_version_that_has_it(cloudflare: FakeCloudflare) -> None:
    version = cloudflare.upload("shop")
    for _ in range(4):
        cloudflare.upload("shop")
    url = cloudflare.url("shop", version)
    found = await resolved(f"{url.upper().replace('HTTPS', 'https')}/api/")
    assert found.uri == f"{url}/api"
    assert found.evidence is Evidence.CONTROL_PLANE
    assert found.facts["version"] == version.id


async def test_look_alikes_of_a_version_url_are_refused(cloudflare: FakeCloudflare) -> None:
    version = cloudflare.upload("shop")
    alias = cloudflare.alias("shop", "deadbeef", version)
    with pytest.raises(DiscoveryError, match="no version of the Worker 'shop' has the URL"):
        await resolved(f"https://{alias}")
    cloudflare.upload("cafebabe-till")
    with pytest.raises(DiscoveryError, match="write 'cloudflare:cafebabe-till@latest'"):
        await resolved(f"https://cafebabe-till.{cloudflare.domain}")
    other = cloudflare.url("shop", version).replace(".acme.", ".another.")
    with pytest.raises(DiscoveryError, match="Cloudflare names no Version URL"):
        await resolved(other)


async def test_two_versions_that_begin_alike_are_told_apart(cloudflare: FakeCloudflare) -> None:
    hidden = "deadbeef-0000-4000-8000-000000000002"
    shown = cloudflare.upload("shop", version_id="deadbeef-0000-4000-8000-000000000001")
    cloudflare.upload("shop", version_id=hidden, routable=False)
    assert (await resolved(cloudflare.url("shop", shown))).facts["version"] == shown.id
    cloudflare.workers["shop"].versions[hidden].routable = True
    with pytest.raises(DiscoveryError, match="is the URL of two versions"):
        await resolved(cloudflare.url("shop", shown))


@pytest.mark.parametrize("named", [False, True])
async def test_switched_off_urls_are_refused(cloudflare: FakeCloudflare, named: bool) -> None:
    """Whether the API still names them then is not documented."""
    version = cloudflare.upload("shop")
    cloudflare.switch("shop", previews_enabled=False)
    cloudflare.workers["shop"].names_dark_urls = named
    targets = (
        cloudflare.url("shop", version),
        "cloudflare:shop@latest",
        f"cloudflare:shop@{version.id}",
    )
    for target in targets:
        with pytest.raises(DiscoveryError, match='are switched off: set "preview_urls": true'):
            await resolved(target)


# --- without a token ---------------------------------------------------------------------------


async def test_without_a_token_somebody_must_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://deadbeef-shop.acme.workers.dev/restate"
    with pytest.raises(DiscoveryError, match=r"STEADFAAS_CLOUDFLARE_TOKEN.*--assert-immutable"):
        await resolved(url)
    asserted = await resolved(url, Promise.IMMUTABLE)
    assert (asserted.uri, asserted.evidence) == (url, Evidence.ASSERTED)
    assert (await resolved(url, Promise.DEV)).evidence is Evidence.MUTABLE
    for promise in Promise:
        with pytest.raises(DiscoveryError, match="set STEADFAAS_CLOUDFLARE_TOKEN"):
            await resolved("cloudflare:shop@latest", promise)
        with pytest.raises(BadRequest, match="production address"):
            await resolved("https://shop.acme.workers.dev", promise)
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_TOKEN_FILE", "/nowhere/at/all")
    with pytest.raises(DiscoveryError, match=r"TOKEN_FILE names .* cannot be read"):
        await resolved(url, Promise.IMMUTABLE)


async def test_with_a_token_no_promise_replaces_the_proof(cloudflare: FakeCloudflare) -> None:
    version = cloudflare.upload("shop")
    alias = cloudflare.alias("shop", "deadbeef", version)
    with pytest.raises(DiscoveryError, match="has the URL"):
        await resolved(f"https://{alias}", Promise.IMMUTABLE)


async def test_the_token_may_be_in_a_file(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloudflare.upload("shop")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.delenv("STEADFAAS_CLOUDFLARE_TOKEN")
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_TOKEN_FILE", str(tmp_path / "token"))
    assert (await resolved("cloudflare:shop@latest")).facts["number"] == "1"


async def test_a_role_is_refused() -> None:
    with pytest.raises(BadRequest, match="a role is for Lambda functions"):
        await ADAPTER.resolve("cloudflare:shop@latest", Access("arn:aws:iam::1:role/x"))


# --- the API's moods ---------------------------------------------------------------------------


async def test_a_throttled_api_is_asked_again(cloudflare: FakeCloudflare) -> None:
    cloudflare.upload("shop")
    cloudflare.throttle(3)
    assert (await resolved("cloudflare:shop@latest")).facts["number"] == "1"
    before = len(cloudflare.requests)
    cloudflare.throttle(50)
    with pytest.raises(DiscoveryError, match="status 429") as refused:
        await resolved("cloudflare:shop@latest")
    assert refused.value.verdict is Verdict.RETRY
    assert len(cloudflare.requests) - before == 5


async def test_a_wrong_token_is_told_and_not_repeated(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_TOKEN", "planted-wrong-token")
    with pytest.raises(DiscoveryError, match="Check the token") as refused:
        await resolved(f"cloudflare:{ACCOUNT}/shop@latest")
    error: BaseException | None = refused.value
    while error is not None:
        assert "planted-wrong-token" not in f"{error!r} {error}"
        error = error.__cause__
    assert "planted-wrong-token" not in caplog.text


async def test_a_base_address_that_is_none(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_API", "no-address")
    with pytest.raises(BadRequest, match="STEADFAAS_CLOUDFLARE_API is wrong"):
        await resolved("cloudflare:shop@latest")


# --- look after versions -----------------------------------------------------------------------


async def test_all_versions_newest_first(cloudflare: FakeCloudflare) -> None:
    made = [cloudflare.upload("shop", tag=f"v{n}") for n in range(4)]
    bare = cloudflare.upload("shop", routable=False)
    cloudflare.deploy("shop", **{made[0].id: 90, made[1].id: 10})
    for target in (f"cloudflare:{ACCOUNT}/shop", "cloudflare:shop@live"):
        found = await ADAPTER.list_versions(target)
        assert [each.label for each in found] == ["5", "4", "3", "2", "1"]
        assert [each.names for each in found] == [
            (),
            ("v3",),
            ("v2",),
            ("live 10 %", "v1"),
            ("live 90 %", "v0"),
        ]
    assert found[0].uri == f"cloudflare:{ACCOUNT}/shop@{bare.id}"
    assert found[1].uri == f"{cloudflare.url('shop', made[3])}/"
    assert found[1].created_at == int(made[3].created_on.timestamp() * 1000)
    assert found[1].facts["version"] == made[3].id
    with pytest.raises(DiscoveryError, match="has no Worker 'nowhere'"):
        await ADAPTER.list_versions("cloudflare:nowhere")


async def test_what_is_other_than_it_was(cloudflare: FakeCloudflare) -> None:
    version = cloudflare.upload("shop")
    reference = await resolved("cloudflare:shop@latest:/restate")
    assert await ADAPTER.verify(reference) == []
    cloudflare.switch("shop", previews_enabled=False)
    [off, unnamed] = await ADAPTER.verify(reference)
    assert "switched off" in off
    assert "does not name" in unnamed
    cloudflare.switch("shop", previews_enabled=True)
    version.number = 9
    assert await ADAPTER.verify(reference) == ["number was 1 at registration and is 9 now"]
    cloudflare.delete("shop", version)
    [gone] = await ADAPTER.verify(reference)
    assert "no such version" in gone
    asserted = EndpointReference("cloudflare", reference.uri, Evidence.ASSERTED)
    assert await ADAPTER.verify(asserted) == [gone]


async def test_an_asserted_version_can_be_verified_later(cloudflare: FakeCloudflare) -> None:
    url = cloudflare.url("shop", cloudflare.upload("shop"))
    assert await ADAPTER.verify(EndpointReference("cloudflare", url, Evidence.ASSERTED)) == []


async def test_retire(cloudflare: FakeCloudflare) -> None:
    old, new = cloudflare.upload("shop"), cloudflare.upload("shop")
    cloudflare.deploy("shop", **{old.id: 0, new.id: 100})
    reference = await resolved(f"cloudflare:shop@{old.id}")
    with pytest.raises(Conflict, match="it is deployed, with 0 % of the traffic"):
        await ADAPTER.retire(reference)
    cloudflare.deploy("shop", **{new.id: 100})
    await ADAPTER.retire(reference)
    assert list(cloudflare.workers["shop"].versions) == [new.id]
    await ADAPTER.retire(reference)  # it is gone already


@pytest.mark.parametrize(
    ("share", "needed"),
    [
        (None, None),
        (0, "it is deployed, with 0 % of the traffic. Deploy another version first"),
        (12.5, "it is deployed, with 12.5 % of the traffic. Deploy another version first"),
        (100, "it is deployed, with 100 % of the traffic. Deploy another version first"),
    ],
)
async def test_what_cloudflare_would_not_let_go_is_foreseen(
    cloudflare: FakeCloudflare, share: float | None, needed: str | None
) -> None:
    assert isinstance(ADAPTER, Foresees)
    old, new = cloudflare.upload("shop"), cloudflare.upload("shop")
    shares = {} if share is None else {old.id: share}
    cloudflare.deploy("shop", **shares, **{new.id: 100 - (share or 0)})
    proven = await resolved(f"cloudflare:shop@{old.id}")
    asserted = EndpointReference("cloudflare", proven.uri, Evidence.ASSERTED)
    for reference in (proven, asserted):
        told = await ADAPTER.needed_by(reference)
        assert old.id in cloudflare.workers["shop"].versions
        if needed is None:
            assert told is None
            continue
        assert told is not None
        assert f"the version of the Worker 'shop' is not deleted: {needed}" in told
        with pytest.raises(Conflict) as refused:
            await ADAPTER.retire(reference)
        assert refused.value.message == told
    cloudflare.delete("shop", old)
    for reference in (proven, asserted):
        assert await ADAPTER.needed_by(reference) is None


async def test_an_asserted_version_is_retired_only_where_it_is_found(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = cloudflare.upload("shop")
    asserted = EndpointReference("cloudflare", cloudflare.url("shop", version), Evidence.ASSERTED)
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_ACCOUNT", NOBODY)
    with pytest.raises(DiscoveryError, match=r"nothing was deleted.*set STEADFAAS_CLOUDFLARE_ACC"):
        await ADAPTER.retire(asserted)
    monkeypatch.delenv("STEADFAAS_CLOUDFLARE_ACCOUNT")
    await ADAPTER.retire(asserted)
    assert not cloudflare.workers["shop"].versions
    with pytest.raises(DiscoveryError, match="nothing was deleted"):
        await ADAPTER.retire(asserted)


async def test_retire_loses_a_race_in_an_orderly_way(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is deployed after we looked, and before we delete."""
    from steadfaas_adapters.cloudflare.api import Cloudflare

    version = cloudflare.upload("shop")
    reference = await resolved("cloudflare:shop@latest")
    cloudflare.deploy("shop", **{version.id: 100})

    async def nothing(self: Cloudflare, account: str, worker: str) -> dict[str, float]:
        return {}

    monkeypatch.setattr(Cloudflare, "deployed", nothing)
    with pytest.raises(Conflict, match="Version is part of the active deployment"):
        await ADAPTER.retire(reference)


async def test_errors_other_than_missing_are_passed_on(cloudflare: FakeCloudflare) -> None:
    cloudflare.upload("shop")
    reference = await resolved("cloudflare:shop@latest")
    cloudflare.token = "another"
    for question in (
        ADAPTER.verify(reference),
        ADAPTER.retire(reference),
        ADAPTER.needed_by(reference),
        ADAPTER.list_versions("cloudflare:shop"),
        resolved(reference.uri),
    ):
        with pytest.raises(SteadfaasError, match="Check the token"):
            await question


# --- protection and limits ---------------------------------------------------------------------


async def test_protection_takes_a_service_token() -> None:
    assert ADAPTER.protect(["env:ID", "file:/run/secret"]) == {
        "CF-Access-Client-Id": "env:ID",
        "CF-Access-Client-Secret": "file:/run/secret",
    }
    for secrets in ([], ["env:ID"], ["env:ID", "env:A", "env:B"]):
        with pytest.raises(BadRequest, match="two parts"):
            ADAPTER.protect(secrets)


async def test_the_limit_of_a_body_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ADAPTER.max_request_bytes == 100_000_000
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_MAX_REQUEST_BYTES", "500000000")
    assert ADAPTER.max_request_bytes == 500_000_000
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_MAX_REQUEST_BYTES", "much")
    with pytest.raises(BadRequest, match="MAX_REQUEST_BYTES is wrong"):
        _ = ADAPTER.max_request_bytes
