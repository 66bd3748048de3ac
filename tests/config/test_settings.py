"""Settings: which source wins, what is refused, and that the refusal says where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from steadfaas.config import Address, SettingsError, load_settings


def _file(text: str, name: str = "steadfaas.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_defaults() -> None:
    settings = load_settings()
    assert str(settings.ingress) == "127.0.0.1:8080"
    assert str(settings.admin) == "127.0.0.1:9070"
    assert settings.data_dir == Path("steadfaas-data")
    assert settings.durability == "full"
    assert settings.compatibility == "strict"
    assert settings.abort_timeout == 600_000
    assert settings.journal_retention == 86_400_000
    assert settings.max_body_bytes == 33_554_432
    assert settings.max_frame_bytes == 33_816_576


def test_flag_beats_variable_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def host() -> str:
        return load_settings({"ingress": flag}).ingress.host

    flag = None
    assert host() == "127.0.0.1"
    _file('ingress = "file:1"')
    assert host() == "file"
    monkeypatch.setenv("STEADFAAS_INGRESS", "variable:1")
    assert host() == "variable"
    flag = "flag:1"
    assert host() == "flag"


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFAAS_INGRESS", "")
    assert load_settings().ingress.port == 8080


def test_the_chosen_file_replaces_the_one_of_the_folder() -> None:
    _file("max_queued = 1")
    other = _file("max_concurrency = 7", "other.toml")
    settings = load_settings(config_file=other)
    assert (settings.max_concurrency, settings.max_queued) == (7, 100_000)


def test_values_with_units_and_words() -> None:
    _file(
        'abort_timeout = "PT2M"\njournal_retention = "10 days"\nmax_body_bytes = "1MiB"\n'
        'retry_max_attempts = "unlimited"\ningress = "[::1]:0"\n'
    )
    settings = load_settings()
    assert settings.abort_timeout == 120_000
    assert settings.journal_retention == 864_000_000
    assert settings.max_body_bytes == 1_048_576
    assert settings.retry_max_attempts is None
    assert settings.ingress == Address("::1", 0)
    assert settings.ingress.url == "http://[::1]:0"


BAD = [
    ('ingress = "8080"', "ingress", "HOST:PORT"),
    ("ingress = 8080", "ingress", "HOST:PORT"),
    ('ingress = "::1:80"', "ingress", "brackets"),
    ('admin = "localhost:70000"', "admin", "70000"),
    ('admin = "local host:1"', "admin", "HOST:PORT"),
    ("data_dir = 3", "data_dir", "folder"),
    ('durability = "fast"', "durability", "full or relaxed"),
    ('compatibility = "restate"', "compatibility", "strict or restate-1.7"),
    ('cluster_name = "a b"', "cluster_name", "letters"),
    ("abort_timeout = 60", "abort_timeout", "unit"),
    ('abort_timeout = "60"', "abort_timeout", "60s"),
    ('abort_timeout = "0s"', "abort_timeout", "longer than zero"),
    ('journal_retention = "-1d"', "journal_retention", "duration"),
    ("retry_max_attempts = 0", "retry_max_attempts", "unlimited"),
    ("retry_exponentiation_factor = 0.5", "retry_exponentiation_factor", "from 1 to 100"),
    ("max_queued = 0", "max_queued", "from 1"),
    ("max_queued = true", "max_queued", "expected a number"),
    ('max_body_bytes = "much"', "max_body_bytes", "32MiB"),
    ("drain_seconds = nan", "drain_seconds", "from 0 to 3600"),
    ("max_journal_entries = 1", "max_journal_entries", "from 10"),
]


@pytest.mark.parametrize(("line", "name", "hint"), BAD)
def test_a_bad_value_is_traced(line: str, name: str, hint: str) -> None:
    _file(line)
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    sentence = str(refusal.value)
    assert sentence.startswith(f"steadfaas.toml, line 1, {name}: expected ")
    assert hint in sentence


def test_the_origin_is_that_of_the_winning_value(monkeypatch: pytest.MonkeyPatch) -> None:
    _file('ingress = "127.0.0.1:1"\nadmin = "wrong"')
    monkeypatch.setenv("STEADFAAS_INGRESS", "wrong")
    with pytest.raises(SettingsError) as refusal:
        load_settings({"data_dir": 3})
    in_file, in_variable, in_flag = str(refusal.value).splitlines()
    assert in_file.startswith("steadfaas.toml, line 2, admin: ")
    assert in_variable.startswith("STEADFAAS_INGRESS, ingress: ")
    assert in_flag.startswith("--data-dir, data_dir: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('data-dir = "x"', "Did you mean 'data_dir'"),
        ("max_concurency = 1", "Did you mean 'max_concurrency'"),
        ("[retry]\nattempts = 1", "settings.md"),
        ("ingress = ", "not valid TOML"),
        ('admin = "127.0.0.1:8080"', "both listen on 127.0.0.1:8080"),
        ("max_frame_bytes = 2048", "max_body_bytes"),
        ('max_journal_bytes = "1MiB"', "max_frame_bytes"),
        ('retry_max_interval = "1ms"', "retry_initial_interval"),
    ],
)
def test_refuses_what_does_not_fit(text: str, hint: str) -> None:
    _file(text)
    with pytest.raises(SettingsError, match=hint):
        load_settings()


def test_a_named_file_must_exist() -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml does not exist"):
        load_settings(config_file=Path("missing.toml"))


def test_settings_never_change() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.max_queued = 5
