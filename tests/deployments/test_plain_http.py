"""Which addresses are taken, and how they are written."""

from __future__ import annotations

import pytest

from steadfaas.errors import BadRequest
from steadfaas.spi import EndpointReference, Evidence
from steadfaas_adapters.plain_http import ADAPTER


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("http://svc.example:9080", "http://svc.example:9080/"),
        ("http://svc.example:9080/", "http://svc.example:9080/"),
        ("HTTPS://Svc.Example", "https://svc.example/"),
        ("http://svc.example/Base/Path", "http://svc.example/Base/Path"),
        ("http://svc.example/base/", "http://svc.example/base/"),
        ("http://svc.example:/a", "http://svc.example/a"),
        ("http://127.0.0.1:80/a%20b", "http://127.0.0.1:80/a%20b"),
        ("http://[::1]:9080", "http://[::1]:9080/"),
        ("http://xn--e1afmkfd.example/~a", "http://xn--e1afmkfd.example/~a"),
    ],
)
def test_an_address_is_taken_and_normalised(target: str, uri: str) -> None:
    assert ADAPTER.parse(target) == EndpointReference("plain-http", uri, Evidence.ASSERTED)
    assert ADAPTER.parse(uri).uri == uri


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("localhost:9080", "is not absolute, only absolute URIs can be used."),
        ("lamda:greeter@live", "no installed adapter reads it; 'steadfaas adapters list' shows"),
        ("/foo", "The provided uri /foo is not absolute"),
        ("", "holds spaces, control or non-ASCII"),
        ("ftp://svc.example/", "must begin with http:// or https://"),
        ("http://", "no valid host name"),
        ("http:///path", "no valid host name"),
        ("http://:9080/", "no valid host name"),
        ("http://a b/", "holds spaces"),
        ("http://svc.example/\r\nx: y", "holds spaces, control"),
        ("http://svc.exämple/", "non-ASCII"),
        ("http://svc.example:99999/", "cannot be parsed"),
        ("http://svc.example:port/", "cannot be parsed"),
        ("http://[::1/", "cannot be parsed"),
        ("http://svc.example/#part", "fragment"),
        ("http://svc.example/#", "fragment"),
        ("http://svc.example/?v=1", "query"),
        ("http://svc.example/?", "query"),
        ("http://svc.example/%zz", "percent-encoded"),
        ("http://svc.example/<x>", "percent-encoded"),
        ("http://svc.example/" + "a" * 2100, "longer than"),
    ],
)
def test_an_address_is_refused_with_the_reason(target: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ADAPTER.parse(target)
    assert words in refused.value.message


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadRequest) as refused:
        ADAPTER.parse("http://user:hunter2@svc.example/")
    assert "hunter2" not in refused.value.message
