"""What beats what: flags, `--set`, variables, the file; and how each of them names a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from steadfaas.config import ConfigFile, Declared, DeclaredRetry, SettingsError, load_file

FILE = """\
max_queued = 5

[engine]
admin = "http://file:1"

[[deployments]]
name = "greeter"
target = "lambda:greeter@${ALIAS:-live}"
keep = 1
headers = { x-foo = "file" }
metadata = { git-sha = "file" }

[[deployments]]
name = "shop.v2"
target = "t"

[[deployments]]
name = "shop-v2"
target = "t"

[services.Checkout]
public = true
retry = { max_attempts = 3, max_interval = "1m" }
"""


def _load(
    *sets: str,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> ConfigFile:
    Path("steadfaas.toml").write_text(FILE)
    return load_file(sets=sets, flags=flags, environ=environ or {})


def _said(*sets: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        _load(*sets, environ=environ)
    return str(refusal.value).splitlines()


GREETER = "deployments.greeter"
CHECKOUT = "services.Checkout"

# What to look at · the variable and what it gives · the `--set` and what it gives.
ORDER: list[tuple[Callable[[Declared], object], tuple[str, object], tuple[str, object]]] = [
    (
        lambda declared: declared.engine.admin,
        ("ENGINE__ADMIN=http://variable:1", "http://variable:1"),
        ("engine.admin=http://set:1", "http://set:1"),
    ),
    (
        lambda declared: declared.deployments[0].target,
        ("DEPLOYMENTS__GREETER__TARGET=12", "12"),
        (f"{GREETER}.target='13'", "13"),
    ),
    (
        lambda declared: declared.deployments[0].keep,
        ("DEPLOYMENTS__GREETER__KEEP=2", 2),
        (f"{GREETER}.keep = 3", 3),
    ),
    (
        lambda declared: declared.deployments[0].min_age,
        ("deployments__greeter__min_age=2s", 2000),
        (f'{GREETER}.min_age="3s"', 3000),
    ),
    (
        lambda declared: declared.deployments[0].plain_headers["x-foo"],
        ("DEPLOYMENTS__GREETER__HEADERS__X_FOO=2", "2"),
        (f"{GREETER}.headers.x-foo=3", "3"),
    ),
    (
        lambda declared: declared.deployments[0].metadata["git-sha"],
        ("DEPLOYMENTS__GREETER__METADATA__GIT_SHA=0123456", "0123456"),
        (f"{GREETER}.metadata.git-sha=12e5678", "12e5678"),
    ),
    (
        lambda declared: declared.services["Checkout"].public,
        ("SERVICES__CHECKOUT__PUBLIC=false", False),
        (f"{CHECKOUT}.public=true", True),
    ),
    (
        lambda declared: declared.services["Checkout"].abort_timeout,
        ("SERVICES__CHECKOUT__ABORT_TIMEOUT=2s", 2000),
        ('services."Checkout".abort_timeout=3s', 3000),
    ),
    (
        lambda declared: declared.services["Checkout"].retry,
        (
            "SERVICES__CHECKOUT__RETRY__MAX_ATTEMPTS=unlimited",
            DeclaredRetry.model_validate({"max_attempts": "unlimited", "max_interval": "1m"}),
        ),
        (f"{CHECKOUT}.retry={{ max_attempts = 9 }}", DeclaredRetry(max_attempts=9)),
    ),
]


@pytest.mark.parametrize(("look", "variable", "words"), ORDER)
def test_set_beats_variable_beats_file(
    look: Callable[[Declared], object], variable: tuple[str, object], words: tuple[str, object]
) -> None:
    name, _, text = variable[0].partition("=")
    environ = {f"STEADFAAS_{name}": text}
    assert look(_load().declared) != variable[1]
    assert look(_load(environ=environ).declared) == variable[1]
    assert look(_load(words[0], environ=environ).declared) == words[1]


def test_flags_and_set_beat_variables_for_flat_settings() -> None:
    variable = {"STEADFAAS_MAX_QUEUED": "6"}
    assert _load().settings.max_queued == 5
    assert _load(environ=variable).settings.max_queued == 6
    assert _load("max_queued=7", environ=variable).settings.max_queued == 7
    assert _load("max_queued=7", flags={"max_queued": 8}, environ=variable).settings.max_queued == 8
    assert _load(flags={"max_queued": None}).settings.max_queued == 5
    assert _load("abort_timeout=5m", "cluster_name=12").settings.abort_timeout == 300_000


def test_the_process_has_no_say_where_variables_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFAAS_MAX_QUEUED", "9")
    monkeypatch.setenv("STEADFAAS_ENGINE__ADMIN", "http://other:1")
    found = _load()
    assert found.settings.max_queued == 5
    assert found.declared.engine.admin == "http://file:1"


def test_set_adds_what_the_file_does_not_have() -> None:
    found = _load(
        "deployments.new.target=lambda:new",
        "deployments.new.keep=2",
        'deployments.new.headers.authorization={ env = "TOKEN" }',
        "services.Other.journal_retention=2h",
    )
    new = found.declared.deployments[-1]
    assert (new.name, new.target, new.keep) == ("new", "lambda:new", 2)
    assert new.secret_headers == {"authorization": "env:TOKEN"}
    assert found.declared.services["Other"].journal_retention == 7_200_000


def test_a_name_with_dots_is_found_with_and_without_quotes() -> None:
    found = _load("deployments.shop.v2.keep=1", 'deployments."shop.v2".min_age=1s')
    shop = found.declared.deployments[1]
    assert (shop.keep, shop.min_age) == (1, 1000)


def test_a_later_set_beats_an_earlier_one() -> None:
    found = _load("services.Checkout.retry={}", "services.Checkout.retry.max_attempts=4")
    retry = found.declared.services["Checkout"].retry
    assert retry is not None
    assert (retry.max_attempts, retry.max_interval) == (4, None)


def test_variables_in_texts_of_every_source() -> None:
    found = _load(
        "deployments.greeter.metadata.git-sha=${SHA}",
        environ={
            "STEADFAAS_ENGINE__ADMIN": "http://${HOST}:1",
            "HOST": "h${N}",
            "N": "2",
            "SHA": "3f2c91e",
            "ALIAS": "blue",
        },
    )
    assert found.declared.engine.admin == "http://h2:1"
    [greeter, *_] = found.declared.deployments
    assert greeter.metadata == {"git-sha": "3f2c91e"}
    assert greeter.target == "lambda:greeter@blue"


def test_what_is_replaced_need_not_be_resolved() -> None:
    Path("steadfaas.toml").write_text('[[deployments]]\nname = "${N}"\ntarget = "${NOPE}"\n')
    found = load_file(sets=["deployments.a.target=t"], environ={"N": "a"})
    assert [(each.name, each.target) for each in found.declared.deployments] == [("a", "t")]


def test_flags_are_taken_as_they_are() -> None:
    assert _load(flags={"data_dir": "$${A}"}).settings.data_dir == Path("$${A}")


def test_other_variables_stay_unnoticed() -> None:
    _load(
        environ={
            "STEADFAAS_CONFIG": "x",
            "STEADFAAS_ADMIN_URL": "x",
            "STEADFAAS_VERCEL_TOKEN": "x",
            "STEADFAAS_ENGINE": "x",
            "STEADFAAS_SERVICES__CHECKOUT__PUBLIC": "",
        }
    )


WRONG_SETS = [
    ("foo", "--set, foo: expected key=value, as in services.Checkout.public=false."),
    ("=1", "--set: expected key=value, as in services.Checkout.public=false."),
    ("a b=1", "--set, a b: expected key=value, as in services.Checkout.public=false."),
    ("a=1\nb=2", "--set, a: there is no such key. See core/docs/settings.md for the names."),
    ("engine=3", "--set, engine: expected the table [engine], got 3."),
    ("max_queued=x", '--set, max_queued: expected a whole number from 1, got "x".'),
    (
        "services.Checkout.publik=1",
        "--set, services.Checkout.publik: there is no such key. Did you mean 'public'?",
    ),
    (
        "services.Checkout.public=yes",
        '--set, services.Checkout.public: expected true or false, got "yes".',
    ),
    (
        "services.Checkout.public.x=1",
        "--set, services.Checkout.public.x: services.Checkout.public is no table.",
    ),
    (
        "services.Checkout.retry={ max_attempts = 0 }",
        "--set, services.Checkout.retry.max_attempts: "
        "expected a whole number from 1, or unlimited, got 0.",
    ),
    ("deployments=[]", "--set, deployments: name a key of one: deployments.NAME.KEY=value."),
    (
        "deployments.greeter=3",
        "--set, deployments.greeter: name a key of one: deployments.NAME.KEY=value.",
    ),
    (
        'deployments.greeter.keep="5"',
        '--set, deployments[1].keep (greeter): expected a whole number from 0, got "5".',
    ),
    (
        "deployments.new.keep=2",
        "--set, deployments[4].target (new): it is missing; "
        "expected text without spaces, such as lambda:greeter@live.",
    ),
    (
        "deployments.greeter.name=shop-v2",
        "steadfaas.toml, line 18, deployments[3].name (shop-v2): "
        "the name 'shop-v2' is taken by deployments[1] from --set.",
    ),
    (
        "engine.admin=${NOPE}",
        "--set, engine.admin: the variable NOPE is not set; write ${NOPE:-…} for a default.",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), WRONG_SETS)
def test_a_wrong_set(words: str, sentence: str) -> None:
    assert _said(words) == [sentence]


UNKNOWN = (
    "it names no key of a table that the file has. Write it there, or use --set, which can add one."
)
WRONG_VARIABLES = [
    ("ENGINE__ADMN", "x", f": {UNKNOWN}"),
    ("DEPLOYMENTS__NOPE__KEEP", "3", f": {UNKNOWN}"),
    ("DEPLOYMENTS__GREETER__METADATA__TEAM", "a", f": {UNKNOWN}"),
    ("SERVICES__CHECKOUT__RETRY__X", "3", f": {UNKNOWN}"),
    ("ENGINE__ADMIN__X", "3", f": {UNKNOWN}"),
    (
        "DEPLOYMENTS__SHOP_V2__KEEP",
        "3",
        ": it can mean deployments[2].keep (shop.v2) and deployments[3].keep (shop-v2). "
        "Use --set, which takes exact names.",
    ),
    (
        "ENGINE__ADMIN",
        "nope",
        ', engine.admin: expected a URL such as http://127.0.0.1:9070, got "nope".',
    ),
    (
        "DEPLOYMENTS__GREETER__KEEP",
        "true",
        ", deployments[1].keep (greeter): expected a whole number from 0, got true.",
    ),
    ("MAX_QUEUED", "x", ', max_queued: expected a whole number from 1, got "x".'),
    (
        "DATA_DIR",
        "${NOPE}",
        ", data_dir: the variable NOPE is not set; write ${NOPE:-…} for a default.",
    ),
]


@pytest.mark.parametrize(("name", "text", "sentence"), WRONG_VARIABLES)
def test_a_wrong_variable(name: str, text: str, sentence: str) -> None:
    variable = f"STEADFAAS_{name}"
    assert _said(environ={variable: text}) == [f"{variable}{sentence}"]
