"""The grammar: what each form means, and the sentence for what is refused."""

from __future__ import annotations

import pytest

from steadfaas.errors import BadRequest
from steadfaas_adapters.cloudflare import target as grammar
from steadfaas_adapters.cloudflare.target import CloudflareTarget, Kind

ACCOUNT = "0123456789abcdef0123456789abcdef"
VERSION = "deadbeef-0000-4000-8000-000000000001"


def _url(host: str, worker: str = "shop", path: str = "") -> CloudflareTarget:
    return CloudflareTarget(Kind.URL, worker, qualifier=host[:8], host=host, path=path)


HOST = "deadbeef-shop.acme.workers.dev"
GOOD = [
    # Version URLs
    (f"https://{HOST}", _url(HOST)),
    (f"https://{HOST}/", _url(HOST)),
    (f"https://{HOST}/restate", _url(HOST, path="/restate")),
    (f"https://{HOST}/api/restate/", _url(HOST, path="/api/restate")),
    (f"HTTPS://{HOST.upper()}/Restate", _url(HOST, path="/Restate")),
    ("https://01234567-a.b.workers.dev", _url("01234567-a.b.workers.dev", "a")),
    (
        "https://deadbeef-cafebabe-shop.acme.workers.dev",
        _url("deadbeef-cafebabe-shop.acme.workers.dev", "cafebabe-shop"),
    ),
    # Names
    (f"cloudflare:{ACCOUNT}/shop@latest", CloudflareTarget(Kind.LATEST, "shop", ACCOUNT)),
    (f"Cloudflare:{ACCOUNT.upper()}/shop@live", CloudflareTarget(Kind.LIVE, "shop", ACCOUNT)),
    ("cloudflare:shop@latest", CloudflareTarget(Kind.LATEST, "shop")),
    ("cloudflare:shop_2@live", CloudflareTarget(Kind.LIVE, "shop_2")),
    (
        f"cloudflare:{ACCOUNT}/shop@tag:v1.4.0",
        CloudflareTarget(Kind.TAG, "shop", ACCOUNT, "v1.4.0"),
    ),
    ("cloudflare:shop@tag:latest", CloudflareTarget(Kind.TAG, "shop", qualifier="latest")),
    ("cloudflare:shop@tag:a@b:c", CloudflareTarget(Kind.TAG, "shop", qualifier="a@b:c")),
    (
        f"cloudflare:shop@{VERSION.upper()}",
        CloudflareTarget(Kind.VERSION, "shop", qualifier=VERSION),
    ),
    (
        "cloudflare:shop@latest:/api/restate/",
        CloudflareTarget(Kind.LATEST, "shop", path="/api/restate"),
    ),
]

# What is refused, and a part of the sentence that says why or what to write.
BAD = [
    # What moves
    ("https://shop.acme.workers.dev", "the production address of the Worker 'shop'"),
    ("https://my-shop.acme.workers.dev", "which can be pointed elsewhere"),
    ("https://staging-shop.acme.workers.dev", "which can be pointed elsewhere"),
    ("https://deadbee-shop.acme.workers.dev", "which can be pointed elsewhere"),
    ("https://deadbeef0-shop.acme.workers.dev", "which can be pointed elsewhere"),
    ("https://deadbeeg-shop.acme.workers.dev", "which can be pointed elsewhere"),
    ("https://deadbeef.acme.workers.dev", "the production address of the Worker 'deadbeef'"),
    ("https://f498jo-shop.acme.workers.dev", "which can be pointed elsewhere"),
    ("https://deadbeef-.acme.workers.dev", "another form"),
    ("https://shop.cloudflare.app", "of a Worker's production or of a Preview"),
    ("https://deadbeef.shop.cloudflare.app", "of a Worker's production or of a Preview"),
    ("https://deadbeef-shop.CLOUDFLARE.APP", "of a Worker's production or of a Preview"),
    ("https://shop.example.com", "custom domains lead to what is deployed"),
    ("https://192.0.2.7", "not an address of workers.dev"),
    ("https://[2001:db8::1]/", "not an address of workers.dev"),
    # Look-alikes
    ("https://workers.dev", "another form"),
    ("https://acme.workers.dev", "another form"),
    ("https://deadbeef-shop.a.b.workers.dev", "another form"),
    ("https://deadbeef-shop..workers.dev", "another form"),
    ("https://deadbeef-shop.acme.workers.dev.", "another form"),
    ("https://deadbeef-shop.acme.workers.dev.example.com", "custom domains"),
    ("https://deadbeef-shop.acme.notworkers.dev", "custom domains"),
    ("https://deadbeef-sh\u043ep.acme.workers.dev", "non-ASCII"),
    ("https://deadbeef-shop.acme.workers\u3002dev", "non-ASCII"),
    (
        "https://deadbeef-shop.acme.workers.dev\\@example.com",
        "not an address of workers.dev",
    ),
    (f"https://deadbeef-{'a' * 55}.acme.workers.dev", "another form"),
    # More than an address
    ("http://deadbeef-shop.acme.workers.dev", "must begin with https://"),
    ("ftp://deadbeef-shop.acme.workers.dev", "must begin with https://"),
    (f"https://{HOST}:8443/", "names a port"),
    (f"https://{HOST}:443/", "names a port"),
    (f"https://{HOST}:/", "names a port"),
    (f"https://{HOST}:http/", "is no URL"),
    (f"https://{HOST}/?a=1", "query or fragment"),
    (f"https://{HOST}/?", "query or fragment"),
    (f"https://{HOST}/#a", "query or fragment"),
    (f"https://{HOST}/a b", "holds spaces"),
    (f"https://{HOST}/a\n", "holds spaces"),
    (f"https://{HOST}/a/../b", "dotted steps"),
    (f"https://{HOST}//b", "dotted steps"),
    (f"https://{HOST}/%zz", "percent-encoded"),
    (f"https://{HOST}/{'a' * 2048}", "2048 characters at most"),
    # Names
    ("cloudflare:", "names no Worker"),
    ("cloudflare:@latest", "names no Worker"),
    (f"cloudflare:{ACCOUNT}/@latest", "names no Worker"),
    ("cloudflare:acme/shop@latest", "not the id of a Cloudflare account"),
    (f"cloudflare:a/{ACCOUNT}/shop@latest", "not the id of a Cloudflare account"),
    ("cloudflare:shop", "names no version"),
    (f"cloudflare:{ACCOUNT}/shop", "names no version"),
    ("cloudflare:shop@", "does not say which version"),
    ("cloudflare:shop@production", "does not say which version"),
    ("cloudflare:shop@Latest", "does not say which version"),
    ("cloudflare:shop@deadbeef", "does not say which version"),
    ("cloudflare:shop@tag:", "1 to 100 characters"),
    (f"cloudflare:shop@tag:{'t' * 101}", "1 to 100 characters"),
    ("cloudflare:shop@latest:", "does not say which version"),
    ("cloudflare:shop@latest:restate", "does not say which version"),
    ("cloudflare:shop@latest?path=/restate", "does not say which version"),
    ("cloudflare:shop@latest:/a?b", "query or fragment"),
    ("cloudflare:shop@latest:/a#b", "query or fragment"),
    ("cloudflare:shop@latest:/../a", "dotted steps"),
]


@pytest.mark.parametrize(("written", "meant"), GOOD, ids=[each[0] for each in GOOD])
def test_what_may_be_written(written: str, meant: CloudflareTarget) -> None:
    assert grammar.claims(written)
    assert grammar.parse(written) == meant


@pytest.mark.parametrize(("written", "why"), BAD, ids=[ascii(each[0])[:70] for each in BAD])
def test_what_is_refused(written: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        grammar.parse(written)


@pytest.mark.parametrize(
    ("written", "claimed"),
    [
        ("https://SHOP.acme.Workers.Dev/x", True),
        ("http://shop.acme.workers.dev:8080", True),
        ("https://workers.dev", True),
        ("https://shop.cloudflare.app.", True),
        ("https://user:pw@deadbeef-shop.acme.workers.dev", True),
        ("CLOUDFLARE:shop", True),
        ("https://workers.dev@example.com", False),
        ("https://example.com/deadbeef-shop.acme.workers.dev", False),
        ("https://example.com?https://deadbeef-shop.acme.workers.dev", False),
        ("https://example.com#.workers.dev", False),
        ("https://example.com\\.workers.dev", False),
        ("https://notworkers.dev", False),
        ("https://shop.acme.workers.dev.example.com", False),
        ("https://127.0.0.1:8787", False),
        ("deadbeef-shop.acme.workers.dev", False),
        ("cloudflare", False),
        ("", False),
    ],
)
def test_whose_target_it_is(written: str, claimed: bool) -> None:
    assert grammar.claims(written) is claimed


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(BadRequest, match="user name or password") as refused:
        grammar.parse(f"https://user:hunter2@{HOST}")
    assert "hunter2" not in str(refused.value)


def test_every_refusal_of_an_address_says_what_to_write() -> None:
    with pytest.raises(BadRequest, match=r"@latest.*@live.*@tag:TAG.*@VERSION-ID.*<8 hex digits>"):
        grammar.parse("https://shop.acme.workers.dev")


def test_all_versions_of_a_worker_have_a_name_too() -> None:
    meant = CloudflareTarget(Kind.ANY, "shop", ACCOUNT)
    assert grammar.parse(f"cloudflare:{ACCOUNT}/shop", any_version=True) == meant


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (f"https://{HOST}", HOST),
        (f"https://{HOST.upper()}/", HOST),
        (HOST, HOST),
        ("https://deadbeef.shop.cloudflare.app", None),
        ("https://shop.acme.workers.dev", None),
        ("https://[", None),
        ("", None),
    ],
)
def test_urls_that_the_api_names(url: str, host: str | None) -> None:
    assert grammar.version_host(url) == host
