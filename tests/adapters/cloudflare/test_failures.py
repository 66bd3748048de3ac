"""What Cloudflare's own answers mean, and that the Worker's are left alone."""

from __future__ import annotations

import asyncio

import pytest

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.spi import Endpoint
from steadfaas.testing.cloudflare import FakeCloudflare
from steadfaas_adapters.cloudflare import ADAPTER, CloudflareWorkers

pytestmark = pytest.mark.asyncio

URI = "https://deadbeef-shop.acme.workers.dev/"
ENDPOINT = Endpoint(URI)
SDK = {"x-restate-server": "restate-sdk-typescript/1.17.2"}
ACCESS = {"location": "https://acme.cloudflareaccess.com/cdn-cgi/access/login/x"}
PAGE = """<!DOCTYPE html>
<html class="no-js" lang="en-US"><head><title>Worker threw exception | x | Cloudflare</title></head>
<body><h1><span>Error</span> <span>{}</span></h1>"""

Answer = tuple[int, dict[str, str], str]

MEANINGS: list[tuple[str, Answer, Verdict, str, str]] = [
    ("access", (302, ACCESS, ""), Verdict.DENIED, "SF0004", "--protection"),
    ("forbidden", (403, {}, ""), Verdict.DENIED, "SF0004", "--protection"),
    ("1015", (429, {}, "error code: 1015"), Verdict.THROTTLED, "RT0023", "too many requests"),
    ("429", (429, {}, ""), Verdict.THROTTLED, "RT0023", "too many requests"),
    ("1019", (530, {}, "error code: 1019"), Verdict.BUG, "SF0005", "loop"),
    ("1020", (403, {}, "error code: 1020"), Verdict.DENIED, "SF0004", "firewall"),
    ("1021", (403, {}, "error code: 1021"), Verdict.BUG, "SF0005", "must not call"),
    ("1022", (530, {}, "error code: 1022"), Verdict.RETRY, "RT0010", "no way"),
    ("1024", (403, {}, "error code: 1024"), Verdict.BUG, "SF0005", "must not call"),
    ("1027", (429, {}, "error code: 1027"), Verdict.DENIED, "SF0004", "midnight UTC"),
    ("1101", (500, {}, "error code: 1101\n"), Verdict.RETRY, "RT0007", "threw an exception"),
    ("1101 page", (500, {}, PAGE.format(1101)), Verdict.RETRY, "RT0007", "threw an exception"),
    ("1102", (503, {}, "error code: 1102"), Verdict.RETRY, "RT0007", "CPU"),
    ("1103", (500, {}, "error code: 1103"), Verdict.DENIED, "SF0004", "support"),
    ("1104", (500, {}, "error code: 1104"), Verdict.RETRY, "RT0010", "trouble"),
    ("520", (520, {}, "error code: 520"), Verdict.RETRY, "RT0010", "did not get an answer"),
    ("522", (522, {}, ""), Verdict.RETRY, "RT0010", "did not get an answer"),
    ("530", (530, {}, "error code: 1016"), Verdict.RETRY, "RT0010", "error 1016"),
]
OWN: list[tuple[str, Answer]] = [
    ("404 of the SDK", (404, SDK, '{"message": "Invalid path"}')),
    ("404 of another router", (404, {}, "Not Found")),
    ("500 of the SDK", (500, SDK, "error code: 1101")),
    ("403 of the SDK", (403, SDK, "")),
    ("500", (500, {}, "it broke")),
    ("500 that talks of codes", (500, {}, "the shop said error code: 1101 today")),
    ("another redirect", (302, {"location": "https://example.com/login"}, "")),
    ("a redirect to nowhere", (302, {"location": "https://[/"}, "")),
    (
        "a name like that of Access",
        (302, {"location": "https://x.cloudflareaccess.com.example/"}, ""),
    ),
    ("200", (200, {"content-type": "text/html"}, "")),
    ("401", (401, {}, "")),
    ("503", (503, {}, "")),
]


async def diagnosed(
    answer: Answer, endpoint: Endpoint = ENDPOINT, adapter: CloudflareWorkers | None = None
) -> AttemptFailure | None:
    return await (adapter or CloudflareWorkers()).diagnose(endpoint, *answer)


@pytest.mark.parametrize(
    ("answer", "verdict", "code", "word"),
    [each[1:] for each in MEANINGS],
    ids=[each[0] for each in MEANINGS],
)
async def test_what_an_answer_means(answer: Answer, verdict: Verdict, code: str, word: str) -> None:
    failure = await diagnosed(answer)
    assert failure is not None
    assert (failure.verdict, failure.code) == (verdict, code)
    assert word in failure.message


@pytest.mark.parametrize("answer", [each[1] for each in OWN], ids=[each[0] for each in OWN])
async def test_the_workers_own_answers_are_left_alone(answer: Answer) -> None:
    assert await diagnosed(answer) is None


async def test_a_throttle_costs_no_attempt() -> None:
    for headers, delay in (({"retry-after": "7"}, 7000), ({}, 2000), ({"retry-after": "x"}, 2000)):
        failure = await diagnosed((429, headers, "error code: 1015"))
        assert failure is not None
        assert failure.retry_after == delay


# --- nothing is there: gone, or off? -----------------------------------------------------------

NOTHING: Answer = (404, {}, "error code: 1042")
NOTHING_PAGE: Answer = (404, {}, "<!DOCTYPE html><html><h1>There is nothing here yet</h1>")
SOMETHING: Answer = (404, {}, "Not Found")


async def endpoint_of(target: str) -> Endpoint:
    reference = await ADAPTER.resolve(target)
    return Endpoint(reference.uri, facts=reference.facts)


@pytest.mark.parametrize("answer", [NOTHING, NOTHING_PAGE, SOMETHING])
async def test_a_deleted_version_is_gone(cloudflare: FakeCloudflare, answer: Answer) -> None:
    version = cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    cloudflare.delete("shop", version)
    failure = await diagnosed(answer, endpoint)
    assert failure is not None
    assert (failure.verdict, failure.code) == (Verdict.GONE, "SF0003")
    assert f"no version {version.id} of the Worker 'shop'" in failure.message
    assert "steadfaas check INVOCATION" in failure.message


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("answer", [NOTHING, NOTHING_PAGE, SOMETHING])
async def test_a_switch_is_not_the_end(
    cloudflare: FakeCloudflare, answer: Answer, named: bool
) -> None:
    cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    cloudflare.switch("shop", previews_enabled=False)
    cloudflare.workers["shop"].names_dark_urls = named
    failure = await diagnosed(answer, endpoint)
    assert failure is not None
    assert failure.verdict is Verdict.DENIED
    assert '"preview_urls": true' in failure.message


async def test_a_version_that_is_there_is_tried_again(cloudflare: FakeCloudflare) -> None:
    cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    failure = await diagnosed(NOTHING, endpoint)
    assert failure is not None
    assert failure.verdict is Verdict.RETRY
    assert await diagnosed(SOMETHING, endpoint) is None


async def test_nobody_can_be_asked_without_a_token() -> None:
    failure = await diagnosed(NOTHING)
    assert failure is not None
    assert failure.verdict is Verdict.RETRY
    assert "STEADFAAS_CLOUDFLARE_TOKEN" in failure.message
    assert await diagnosed(SOMETHING) is None


async def test_what_the_api_refuses_to_say_is_no_end(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    unknown = await diagnosed(NOTHING, Endpoint(endpoint.uri))
    assert unknown is not None
    assert unknown.verdict is Verdict.RETRY
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_TOKEN", "another")
    refused = await diagnosed(NOTHING, endpoint)
    assert refused is not None
    assert refused.verdict is Verdict.RETRY
    assert "Check the token" in refused.message


async def test_a_wrong_address_of_the_api_is_no_end(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    base = cloudflare.env()["STEADFAAS_CLOUDFLARE_API"]
    monkeypatch.setenv("STEADFAAS_CLOUDFLARE_API", f"{base}/v5")
    failure = await diagnosed(NOTHING, endpoint)
    assert failure is not None
    assert failure.verdict is Verdict.RETRY


async def test_a_deleted_worker_takes_its_versions_along(cloudflare: FakeCloudflare) -> None:
    cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    del cloudflare.workers["shop"]
    failure = await diagnosed(NOTHING, endpoint)
    assert failure is not None
    assert failure.verdict is Verdict.GONE


async def test_a_thousand_ask_once(cloudflare: FakeCloudflare) -> None:
    version = cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    cloudflare.delete("shop", version)
    cloudflare.requests.clear()
    adapter = CloudflareWorkers()
    failures = await asyncio.gather(*(diagnosed(NOTHING, endpoint, adapter) for _ in range(1000)))
    assert {failure.verdict for failure in failures if failure} == {Verdict.GONE}
    assert len(cloudflare.requests) == 1


async def test_one_that_gives_up_leaves_the_question_to_others(cloudflare: FakeCloudflare) -> None:
    cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    adapter = CloudflareWorkers()
    first = asyncio.create_task(diagnosed(NOTHING, endpoint, adapter))
    second = asyncio.create_task(diagnosed(NOTHING, endpoint, adapter))
    await asyncio.sleep(0)
    first.cancel()
    failure = await second
    assert failure is not None
    assert failure.verdict is Verdict.RETRY


async def test_an_answer_does_not_hold_for_ever(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steadfaas_adapters.cloudflare import standing

    now = 1000.0
    monkeypatch.setattr(standing, "_now", lambda: now)
    version = cloudflare.upload("shop")
    endpoint = await endpoint_of("cloudflare:shop@latest")
    adapter = CloudflareWorkers()
    await diagnosed(NOTHING, endpoint, adapter)
    cloudflare.delete("shop", version)
    held = await diagnosed(NOTHING, endpoint, adapter)
    now += 5.1
    fresh = await diagnosed(NOTHING, endpoint, adapter)
    assert held is not None
    assert fresh is not None
    assert (held.verdict, fresh.verdict) == (Verdict.RETRY, Verdict.GONE)
