"""Finding adapters: lazily, and with a sentence for each way it can fail."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from steadfaas.deployments.adapters import GROUP, Adapters, AdapterUnavailable

PLAIN = EntryPoint("plain-http", "steadfaas_adapters.plain_http:ADAPTER", GROUP)


def test_an_adapter_is_loaded_once_and_only_when_asked_for() -> None:
    adapters = Adapters([PLAIN, EntryPoint("broken", "no_such_module_here:ADAPTER", GROUP)])
    assert adapters.names() == ["broken", "plain-http"]
    assert adapters.get("plain-http") is adapters.get("plain-http")
    assert "no_such_module_here" not in sys.modules


@pytest.mark.parametrize(
    ("entries", "name", "words"),
    [
        ([PLAIN], "acme", "there is no adapter 'acme' (installed: plain-http)"),
        ([], "plain-http", "(installed: none)"),
        ([EntryPoint("acme", "no_such_module_here:ADAPTER", GROUP)], "acme", "No module named"),
        ([EntryPoint("acme", "steadfaas_adapters.plain_http:NONE", GROUP)], "acme", "NONE"),
        (
            [EntryPoint("acme", "steadfaas_adapters.plain_http:ADAPTER", GROUP)],
            "acme",
            "calls itself 'plain-http'",
        ),
        (
            [PLAIN, EntryPoint("plain-http", "other:ADAPTER", GROUP)],
            "plain-http",
            "claimed by 'steadfaas_adapters.plain_http:ADAPTER' and 'other:ADAPTER'",
        ),
    ],
)
def test_a_failure_says_what_helps(entries: list[EntryPoint], name: str, words: str) -> None:
    with pytest.raises(AdapterUnavailable) as refused:
        Adapters(entries).get(name)
    assert words in refused.value.message
    assert refused.value.status == 422


def test_one_distribution_seen_twice_is_no_clash() -> None:
    assert Adapters([PLAIN, PLAIN]).get("plain-http").name == "plain-http"


def test_a_clash_spoils_no_other_adapter() -> None:
    clash = [EntryPoint("acme", "a:A", GROUP), EntryPoint("acme", "b:B", GROUP)]
    assert Adapters([*clash, PLAIN]).get("plain-http").name == "plain-http"
