"""Which engine a file is about, for commands that read all of it and for those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadfaas.config import Engine, SettingsError, engine_of, engine_of_file, load_file

NAMED = '[engine]\nadmin = "{admin}"\n'
FILE = Path("steadfaas.toml")


@pytest.mark.parametrize(
    ("text", "environ", "url"),
    [
        ("", {}, None),
        ('ingress = "0.0.0.0:8080"\n', {}, None),
        ('admin = "127.0.0.1:0"\n', {}, None),
        ('admin = "127.0.0.1:9071"\n', {}, "http://127.0.0.1:9071"),
        ('admin = "0.0.0.0:9071"\n', {}, "http://127.0.0.1:9071"),
        ('admin = "[::]:9071"\n', {}, "http://[::1]:9071"),
        ("", {"STEADFAAS_ADMIN": "127.0.0.1:9072"}, "http://127.0.0.1:9072"),
        (NAMED.format(admin="http://a:1"), {}, "http://a:1"),
        ('admin = "127.0.0.1:9071"\n' + NAMED.format(admin="http://a:1"), {}, "http://a:1"),
        (NAMED.format(admin="${THERE}"), {"THERE": "http://b:2"}, "http://b:2"),
        (NAMED.format(admin="http://a:1"), {"STEADFAAS_ENGINE__ADMIN": "http://c:3"}, "http://c:3"),
    ],
)
def test_both_ways_lead_to_the_same(text: str, environ: dict[str, str], url: str | None) -> None:
    FILE.write_text(text)
    found = engine_of_file(environ=environ)
    assert (found and found.url) == url
    assert engine_of(load_file(environ=environ)) == found


def test_nothing_else_of_the_file_matters() -> None:
    FILE.write_text(NAMED.format(admin="http://a:1") + '[[deployments]]\ntarget = "${UNSET}"\n')
    assert engine_of_file() == Engine("http://a:1", "[engine] admin in steadfaas.toml")


def test_what_it_names_must_be_there() -> None:
    assert engine_of_file() is None
    with pytest.raises(SettingsError, match=r"other\.toml does not exist"):
        engine_of_file(Path("other.toml"))
    FILE.write_text(NAMED.format(admin="${UNSET}"))
    with pytest.raises(
        SettingsError, match=r"line 2, engine\.admin: the variable UNSET is not set"
    ):
        engine_of_file()
