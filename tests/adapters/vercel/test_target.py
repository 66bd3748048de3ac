"""What may be written, and what each form means. Nobody is asked."""

from __future__ import annotations

import pytest

from steadfaas.errors import BadRequest
from steadfaas_adapters.vercel.target import Kind, NamedTarget, UrlTarget, claims, parse

HOST = "shop-3kd9x0a2q-acme.vercel.app"
SHA = "3f2c91e0a1b2c3d4e5f60718293a4b5c6d7e8f90"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"https://{HOST}", UrlTarget(HOST, "/")),
        (f"https://{HOST}/", UrlTarget(HOST, "/")),
        (f"https://{HOST}/restate", UrlTarget(HOST, "/restate")),
        (f"https://{HOST}/api/restate/", UrlTarget(HOST, "/api/restate")),
        (f"HTTPS://{HOST.upper()}/Restate", UrlTarget(HOST, "/Restate")),
        (f"https://{HOST}./restate", UrlTarget(HOST, "/restate")),
        (f"https://{HOST}/a%20b", UrlTarget(HOST, "/a%20b")),
        # Looks like a deployment's URL, and may be an alias: only Vercel knows.
        (
            "https://shop-christine-acme.vercel.app",
            UrlTarget("shop-christine-acme.vercel.app", "/"),
        ),
        ("vercel:acme/shop", NamedTarget("acme", "shop", Kind.PRODUCTION)),
        ("Vercel:acme/shop", NamedTarget("acme", "shop", Kind.PRODUCTION)),
        ("vercel:acme/shop:/restate", NamedTarget("acme", "shop", Kind.PRODUCTION, "", "/restate")),
        ("vercel:acme/shop@production", NamedTarget("acme", "shop", Kind.PRODUCTION)),
        (
            "vercel:acme/shop@production:/api/restate/",
            NamedTarget("acme", "shop", Kind.PRODUCTION, "", "/api/restate"),
        ),
        (f"vercel:acme/shop@commit:{SHA}", NamedTarget("acme", "shop", Kind.COMMIT, SHA)),
        ("vercel:acme/shop@commit:3F2C91E", NamedTarget("acme", "shop", Kind.COMMIT, "3f2c91e")),
        (
            "vercel:acme/shop@commit:3f2c91e:/restate",
            NamedTarget("acme", "shop", Kind.COMMIT, "3f2c91e", "/restate"),
        ),
        ("vercel:acme/shop@branch:main", NamedTarget("acme", "shop", Kind.BRANCH, "main")),
        (
            "vercel:acme/shop@branch:feat/new@home/restate",
            NamedTarget("acme", "shop", Kind.BRANCH, "feat/new@home/restate"),
        ),
        (
            "vercel:acme/shop@branch:feat/new:/restate",
            NamedTarget("acme", "shop", Kind.BRANCH, "feat/new", "/restate"),
        ),
        (
            "vercel:acme/shop@branch:größe#7",
            NamedTarget("acme", "shop", Kind.BRANCH, "größe#7"),
        ),
        (
            "vercel:acme/shop@dpl_5WJWYSy",
            NamedTarget("acme", "shop", Kind.DEPLOYMENT, "dpl_5WJWYSy"),
        ),
        (
            "vercel:team_a1B2/prj_c3D4@dpl_5WJWYSy:/r",
            NamedTarget("team_a1B2", "prj_c3D4", Kind.DEPLOYMENT, "dpl_5WJWYSy", "/r"),
        ),
    ],
)
def test_forms(target: str, expected: UrlTarget | NamedTarget) -> None:
    assert claims(target)
    assert parse(target) == expected


BRANCH = "is the URL of a branch"
MOVES = "so it is one that moves"
NO_HOST = "is not the host of a Vercel deployment"
FORMS = "is not a Vercel target. Write 'vercel:TEAM/PROJECT@production'"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("https://shop-git-main-acme.vercel.app", BRANCH),
        ("https://SHOP-GIT-feat-x-acme.vercel.app/restate", BRANCH),
        ("https://shop-git-feat-a-long-nam-3f2c91-acme.vercel.app", BRANCH),
        ("https://shop-git-abcdefghi-acme.vercel.app", BRANCH),
        ("https://shop.vercel.app", MOVES),
        ("https://shop-acme.vercel.app", MOVES),
        ("https://shop-3kd9x0a2q.vercel.app", MOVES),
        ("https://shop-3kd9x0a2-acme.vercel.app", MOVES),
        ("https://shop-3kd9x0a2qq-acme.vercel.app", MOVES),
        ("https://3kd9x0a2q-acme.vercel.app", MOVES),
        (f"https://www.{HOST}", NO_HOST),
        ("https://-3kd9x0a2q-acme-.vercel.app", NO_HOST),
        (f"https://{'x' * 64}.vercel.app", NO_HOST),
        ("https://shop_3kd9x0a2q_acme.vercel.app", NO_HOST),
        ("https://.vercel.app", NO_HOST),
        (
            f"http://{HOST}",
            f"must begin with https://, as everything on Vercel does: write 'https://{HOST}'",
        ),
        (f"ftp://{HOST}/a", "must begin with https://"),
        (f"//{HOST}", f"write 'https://{HOST}'"),
        (HOST, f"write 'https://{HOST}'"),
        (f"{HOST}/restate", f"write 'https://{HOST}/restate'"),
        (f"https://{HOST}:443", "names a port"),
        (f"https://{HOST}:8443/restate", "names a port"),
        (f"https://{HOST}:", "names a port"),
        (f"https://{HOST}:99999", "cannot be parsed"),
        (f"https://me:secret@{HOST}", "a user name or password"),
        (f"https://secret@{HOST}/x", "a user name or password"),
        (f"me:secret@{HOST}/x", "a user name or password"),
        (f"//me:secret@{HOST}/x", "a user name or password"),
        (f"https://me:secret@{HOST}:99999/ü", "a user name or password"),
        (f"vercel:https://me:secret@{HOST}/x", FORMS),
        (f"https://{HOST}?x=1", "a query"),
        (f"https://{HOST}/?", "a query"),
        (f"https://{HOST}/#x", "a fragment"),
        (f"https://{HOST}/a b", "spaces, control or non-ASCII"),
        (f"https://{HOST}/a\tb", "spaces, control or non-ASCII"),
        ("https://shöp-3kd9x0a2q-acme.vercel.app", "spaces, control or non-ASCII"),
        ("https://shop-3kd9x0a2q-\u0430cme.vercel.app", "spaces, control or non-ASCII"),
        (f"https://{HOST}/a\\b", "must be percent-encoded"),
        (f"https://{HOST}/a%2", "must be percent-encoded"),
        (f"https://{HOST}//a", "empty or dot steps"),
        (f"https://{HOST}/a/../b", "empty or dot steps"),
        (f"https://{HOST}/{'a' * 2048}", "2048 characters at most"),
        ("vercel:", FORMS),
        ("vercel:shop", FORMS),
        ("vercel:acme/", FORMS),
        ("vercel:acme/shop@", FORMS),
        ("vercel:acme/shop@latest", FORMS),
        ("vercel:acme/shop@main", FORMS),
        ("vercel:acme/shop@production/restate", FORMS),
        ("vercel:acme/shop/restate", FORMS),
        ("vercel:acme/shop@production:restate", FORMS),
        ("vercel:acme/shop@production?x=1", FORMS),
        ("vercel:acme/shop@Production", FORMS),
        ("vercel:acme/shop@dpl_", FORMS),
        ("vercel:dpl_5WJWYSy", FORMS),
        (f"vercel:https://{HOST}", FORMS),
        ("vercel:acme/shop@branch:", FORMS),
        ("vercel:acme/shop@branch:a b", FORMS),
        ("vercel:acme/shop@branch:a:b", FORMS),
        ("vercel:acme/shop@branch:/a", "is not the name of a branch"),
        ("vercel:acme/shop@branch:a//b", "is not the name of a branch"),
        ("vercel:acme/shop@branch:a..b", "is not the name of a branch"),
        ("vercel:acme/shop@branch:@{-1}", "is not the name of a branch"),
        ("vercel:acme/shop@commit:3f2c91", "is not a commit"),
        ("vercel:acme/shop@commit:", "is not a commit"),
        ("vercel:acme/shop@commit:HEAD", "is not a commit"),
        (f"vercel:acme/shop@commit:{SHA}0", "is not a commit"),
        ("vercel:acme/shop@production:/a/./b", "empty or dot steps"),
    ],
)
def test_refused_without_asking(target: str, sentence: str) -> None:
    assert claims(target)
    with pytest.raises(BadRequest) as refused:
        parse(target)
    assert sentence in refused.value.message
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "target",
    [
        "https://vercel.app",
        f"https://{HOST}.example.com",
        f"https://example.com/{HOST}",
        f"https://{HOST}@example.com/",
        f"https://example.com\\.{HOST}",
        f"https://example.com?{HOST}",
        "https://notvercel.app",
        "https://1.2.3.4/restate",
        "https://[::1]/restate",
        "https://shop.example.com",
        "lambda:vercel",
        "vercelish:acme/shop",
        "",
    ],
)
def test_others_targets_are_left_to_others(target: str) -> None:
    assert not claims(target)


@pytest.mark.parametrize("target", ["https://1.2.3.4/restate", "https://shop.example.com", ""])
def test_others_targets_are_refused_all_the_same(target: str) -> None:
    """Whoever names the adapter may write anything."""
    with pytest.raises(BadRequest):
        parse(target)


@pytest.mark.parametrize("host", ["shop.vercel.app", "shop-git-main-acme.vercel.app", HOST])
def test_for_development_a_host_may_move(host: str) -> None:
    assert parse(f"https://{host}/restate", dev=True) == UrlTarget(host, "/restate")
