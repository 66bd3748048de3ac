"""`https://` endpoints are reached through the proxy of the environment, all others directly."""

from __future__ import annotations

import pytest
from yarl import URL

from steadfaas.transport.proxy import proxy_for

HTTPS = URL("https://shop-1.acme.deno.net/")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_without_a_proxy_there_is_none() -> None:
    assert proxy_for(HTTPS) == (None, None)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_https_goes_through_it(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:3128")
    assert proxy_for(HTTPS) == (URL("http://127.0.0.1:3128"), None)


def test_it_may_want_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:secret@127.0.0.1:3128")
    proxy, password = proxy_for(HTTPS)
    assert proxy == URL("http://127.0.0.1:3128")
    assert password is not None
    assert (password.login, password.password) == ("ada", "secret")


def test_some_hosts_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", "acme.deno.net,localhost")
    assert proxy_for(HTTPS) == (None, None)
    assert proxy_for(URL("https://shop-1.other.deno.net/"))[0] is not None


def test_plain_http_is_always_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:3128")
    assert proxy_for(URL("http://127.0.0.1:9080/")) == (None, None)
