"""What may be written for Deno Deploy, and what each form means or is refused with."""

from __future__ import annotations

import pytest

from steadfaas.errors import BadRequest
from steadfaas_adapters.deno_deploy import target
from steadfaas_adapters.deno_deploy.target import Pick, Target

ID = "rh2r15rgy802"
OWN = f"https://shop-{ID}.acme.deno.net"


def own(app: str = "shop", id: str = ID, org: str = "acme", path: str = "/") -> Target:
    return Target(org, app, Pick.REVISION, id, path, f"{app}-{id}.{org}.deno.net")


def named(pick: Pick, name: str = "", path: str = "/", app: str = "shop") -> Target:
    return Target("acme", app, pick, name, path)


TAKEN = [
    # Addresses that may be those of one revision; the control plane proves it.
    (OWN, own()),
    (f"{OWN}/", own()),
    (f"{OWN}/restate", own(path="/restate")),
    (f"{OWN}/restate/", own(path="/restate")),
    (f"{OWN}/api/v1/restate", own(path="/api/v1/restate")),
    (f"{OWN}/a%20b", own(path="/a%20b")),
    (f"HTTPS://SHOP-{ID.upper()}.Acme.Deno.NET/Path", own(path="/Path")),
    (f"https://my-web-shop-{ID}.acme.deno.net", own(app="my-web-shop")),
    (f"https://shop-{ID}.my-org.deno.net", own(org="my-org")),
    # Look-alikes: their grammar is that of a revision's address.
    ("https://shop-frontend.acme.deno.net", own(id="frontend")),
    ("https://shop-20261129.acme.deno.net", own(id="20261129")),
    # Looked up now, because an app is named.
    ("deno:acme/shop", named(Pick.NEWEST)),
    ("deno:acme/shop@production", named(Pick.PRODUCTION)),
    (f"deno:acme/shop@{ID}", named(Pick.REVISION, ID)),
    ("deno:acme/shop@branch:main", named(Pick.BRANCH, "main")),
    ("deno:acme/shop@branch:production", named(Pick.BRANCH, "production")),
    ("deno:acme/shop@branch:feat/cart@2", named(Pick.BRANCH, "feat/cart@2")),
    ("deno:acme/shop@branch:fix-#12", named(Pick.BRANCH, "fix-#12")),
    ("deno:acme/shop@branch:path=/x", named(Pick.BRANCH, "path=/x")),
    ("deno:acme/shop:/restate", named(Pick.NEWEST, path="/restate")),
    ("deno:acme/shop@production:/restate/", named(Pick.PRODUCTION, path="/restate")),
    ("deno:acme/shop@branch:main:/a/b", named(Pick.BRANCH, "main", "/a/b")),
    (f"deno:acme/my-{ID}@production", named(Pick.PRODUCTION, app=f"my-{ID}")),
]

REFUSED = [
    # What moves: the sentence says what to write.
    ("https://shop.acme.deno.net", "Write 'deno:acme/shop@production' to register"),
    ("https://my-shop.acme.deno.net/x", "Write 'deno:acme/my-shop@production:/x'"),
    ("https://SHOP.acme.deno.net", "Write 'deno:acme/shop@production'"),
    ("https://shop--main.acme.deno.net", "Write 'deno:acme/shop@branch:main'"),
    ("https://shop--main.acme.deno.net/x/", "Write 'deno:acme/shop@branch:main:/x'"),
    (f"https://shop--{ID}.acme.deno.net", "is the address of a branch"),
    (f"https://shop--fix-{ID}.acme.deno.net", "is the address of a branch"),
    # What is dead.
    (f"https://shop-{ID}.deno.dev", "was shut down on 2026-07-20"),
    ("https://shop.DENO.dev/x", "was shut down on 2026-07-20"),
    ("https://shop--main.deno.dev", "was shut down on 2026-07-20"),
    # What an address may not have.
    (f"http://shop-{ID}.acme.deno.net", "must begin with https://"),
    (f"ftp://shop-{ID}.acme.deno.net", "must begin with https://"),
    (f"shop-{ID}.acme.deno.net", "is no address"),
    (f"{OWN}:443/", "names a port"),
    (f"{OWN}:8080", "names a port"),
    (f"{OWN}/?x=1", "has a query or a fragment"),
    (f"{OWN}?path=/restate", "is a part of the address"),
    (f"{OWN}#top", "has a query or a fragment"),
    (f"{OWN}./", "no host of the form"),
    (f"{OWN}//restate", "has a path with"),
    (f"{OWN}/a/../b", "has a path with"),
    (f"{OWN}/a%2", "has a path with"),
    (f"{OWN}/a|b", "has a path with"),
    (f"{OWN}/grüße", "letters beyond ASCII"),
    (f"{OWN}/a b", "holds spaces"),
    (f"{OWN}\n", "holds spaces"),
    (f"https://sh\u00f6p-{ID}.acme.deno.net", "letters beyond ASCII"),
    (f"https://sh\u043ep-{ID}.acme.deno.net", "letters beyond ASCII"),
    # Hosts of no known form.
    (f"https://a.shop-{ID}.acme.deno.net", "no host of the form"),
    ("https://acme.deno.net", "no host of the form"),
    ("https://127.0.0.1.deno.net", "no host of the form"),
    (f"https://shop_-{ID}.acme.deno.net", "is no address"),
    (f"https://-{ID}.acme.deno.net", "no host of the form"),
    (f"https://{'a' * 60}-{ID}.acme.deno.net", "more than 63 characters"),
    # Names that are none.
    ("deno:", "is not a Deno target"),
    ("deno:shop", "is not a Deno target"),
    ("deno:acme/", "is not a Deno target"),
    ("deno:acme/shop/x", "is not a Deno target"),
    ("deno:acme/shop@", "is not a Deno target"),
    ("deno:acme/shop@main", "'@branch:main'"),
    ("deno:acme/shop@v1.4", "picks no revision"),
    ("deno:acme/shop@branch:", "picks no revision"),
    ("deno:acme/shop@branch:a:b", "picks no revision"),
    ("deno:acme/shop@branch:a/", "picks no revision"),
    ("deno:acme/shop@commit:3f2c91e", "picks no revision"),
    ("deno:acme/shop?path=restate", "is not a Deno target"),
    ("deno:acme/shop:/a?b", "is not a Deno target"),
    ("deno:acme/shop?mount=/a", "is not a Deno target"),
    ("deno:acme/shop://a", "has a path with"),
    ("deno:127.0.0.1/shop", "is not a Deno target"),
    ("deno:Acme/shop", "is not a Deno target"),
    ("DENO:acme/shop", "is not a Deno target"),
    ("deno:acme/shop--main", "is not a Deno target"),
    (f"deno:{OWN}", "is not a Deno target"),
    ("deno:acme/shöp", "letters beyond ASCII"),
    (f"deno:acme/{'a' * 600}", "512 characters at most"),
]


@pytest.mark.parametrize(("written", "meaning"), TAKEN)
def test_what_is_taken(written: str, meaning: Target) -> None:
    assert target.claims(written)
    assert target.parse(written) == meaning


@pytest.mark.parametrize(("written", "words"), REFUSED)
def test_what_is_refused_says_what_to_write(written: str, words: str) -> None:
    assert target.claims(written)
    with pytest.raises(BadRequest) as refused:
        target.parse(written)
    assert words in refused.value.message


@pytest.mark.parametrize(
    "written",
    [
        "http://127.0.0.1:9080",
        "https://[::1]/",
        "https://deno.com/deploy",
        "https://shop-rh2r15rgy802.acme.deno.network/",
        "https://shop-rh2r15rgy802.acme.deno.net.evil.example/",
        "https://shop-rh2r15rgy802.acme.deno.net@evil.example/",
        "https://evil.example/shop-rh2r15rgy802.acme.deno.net",
        "https://evil.example/?x=.deno.net",
        "https://fakedeno.net/",
        "vercel:acme/shop",
        "denoo:acme/shop",
        "",
    ],
)
def test_what_is_none_of_ours(written: str) -> None:
    assert not target.claims(written)


@pytest.mark.parametrize(
    "written", ["https://ada:s3cret@shop.acme.deno.net", "ada:s3cret@x.deno.dev"]
)
def test_a_password_is_not_repeated(written: str) -> None:
    assert target.claims(written)
    with pytest.raises(BadRequest, match="additional_headers") as refused:
        target.parse(written)
    assert "s3cret" not in refused.value.message


@pytest.mark.parametrize("host", ["shop.acme.deno.net", "shop--main.acme.deno.net"])
def test_addresses_that_move_are_for_development_only(host: str) -> None:
    found = target.parse(f"https://{host}/restate", dev=True)
    assert (found.pick, found.host, found.path) == (Pick.MOVING, host, "/restate")
    with pytest.raises(BadRequest):
        target.parse(f"https://{host}/restate")


def test_development_brings_nothing_dead_back() -> None:
    for written in (f"https://shop-{ID}.deno.dev", f"http://shop-{ID}.acme.deno.net"):
        with pytest.raises(BadRequest):
            target.parse(written, dev=True)
