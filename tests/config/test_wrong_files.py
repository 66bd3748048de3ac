"""Wrong files, and exactly what is said about each."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadfaas.config import SettingsError, load_file, load_settings

ENVIRON = {"A": "${B}", "B": "${C}", "C": "${A}", "AGE": "hunter2", "SPACED": "a b"}
GREETER = '[[deployments]]\nname = "greeter"\ntarget = "lambda:greeter@live"\n'
NAMES = "See core/docs/settings.md for the names."
WORD = "expected text without spaces, such as lambda:greeter@live"
NAME = "expected up to 64 letters, digits, dashes, underscores or dots"
URL = "expected a URL such as http://127.0.0.1:9070"
SECRET = '{ env = "NAME" } or { file = "PATH" }'
UNIT = "a duration needs a unit; write for example '10s' or '500ms'"
LENGTH = "a duration such as 500ms, 10s or 1day"

# What follows GREETER, or a whole file where it has a place of its own → the sentences.
IN_A_DEPLOYMENT = [
    ('keep = "three"', "keep", 'expected a whole number from 0, got "three".'),
    ("keep = true", "keep", "expected a whole number from 0, got true."),
    ("keep = -1", "keep", "expected a whole number from 0, got -1."),
    ("keep = 1.5", "keep", "expected a whole number from 0, got 1.5."),
    ("keep = [3]", "keep", "expected a whole number from 0, got a list."),
    ("keep = 2026-01-01", "keep", "expected a whole number from 0, got 2026-01-01."),
    ("min_age = 60", "min_age", f"expected {LENGTH}, got 60: {UNIT}."),
    ("min_age = true", "min_age", f"expected {LENGTH}, got true: {UNIT}."),
    (
        'min_age = "60"',
        "min_age",
        f"expected {LENGTH}, got \"60\": '60' has no unit; write for example '60s' or '60ms'.",
    ),
    ('minage = "1d"', "minage", "there is no such key. Did you mean 'min_age'?"),
    ('min-age = "1d"', "min-age", "there is no such key. Did you mean 'min_age'?"),
    ("when = 1", "when", f"there is no such key. {NAMES}"),
    ('breaking = "yes"', "breaking", 'expected true or false, got "yes".'),
    ("dev = 1", "dev", "expected true or false, got 1."),
    ('assert_immutable = ""', "assert_immutable", 'expected true or false, got "".'),
    ('adapter = ""', "adapter", 'expected the name of an installed adapter, got "".'),
    ("assume_role_arn = 3", "assume_role_arn", "expected the ARN of a role, got 3."),
    ("headers = 3", "headers", "expected a table of headers."),
    ("headers = { x = 3 }", "headers.x", f"expected text, {SECRET}."),
    ('headers = { "a b" = "x" }', 'headers."a b"', "'a b' is not a header name."),
    (
        'headers = { Expect = "x" }',
        "headers.Expect",
        "the header 'expect' is set by the engine itself.",
    ),
    ('headers = { a = "1", A = "2" }', "headers.A", "the header 'a' is given twice."),
    (
        'headers = { a = "hunter2\\u00e9" }',
        "headers.a",
        "the value of 'a' is too long or holds characters beyond visible ASCII.",
    ),
    (
        'headers = { a = { env = "X", file = "Y" } }',
        "headers.a",
        f"expected one of env and file: {SECRET}.",
    ),
    ("headers = { a = {} }", "headers.a", f"expected one of env and file: {SECRET}."),
    (
        'headers = { a = { envv = "X" } }',
        "headers.a.envv",
        "there is no such key. Did you mean 'env'?",
    ),
    (
        'headers = { a = { vault = "x" } }',
        "headers.a.vault",
        "there is no such key, only env, file.",
    ),
    (
        'headers = { a = { env = "STEADFAAS_X" } }',
        "headers.a.env",
        "'env:STEADFAAS_X' belongs to the engine itself, and no endpoint gets it.",
    ),
    (
        'protection = [{ env = "AWS_SECRET_ACCESS_KEY" }]',
        "protection[1].env",
        "'env:AWS_SECRET_ACCESS_KEY' belongs to the engine itself, and no endpoint gets it.",
    ),
    ('headers = { a = { env = "hunter 2" } }', "headers.a.env", "expected the name of a variable."),
    ("headers = { a = { env = 3 } }", "headers.a.env", "expected the name of a variable."),
    (
        'headers = { a = { file = "" } }',
        "headers.a.file",
        "expected the path of a file, without spaces.",
    ),
    ('protection = { env = "X" }', "protection", f"expected a list of {SECRET}."),
    ('protection = ["hunter2"]', "protection[1]", f"expected {SECRET}."),
    ("metadata = []", "metadata", "expected a table of texts, got a list."),
    ("metadata = { a = 3 }", "metadata.a", "expected text, got 3."),
    ('metadata = { "" = "a" }', 'metadata.""', "a key cannot be empty."),
    (
        'metadata = { "steadfaas.x" = "a" }',
        'metadata."steadfaas.x"',
        "keys that begin with 'steadfaas.' are the engine's own.",
    ),
    (
        'metadata = { a = "${NOPE}" }',
        "metadata.a",
        "the variable NOPE is not set; write ${NOPE:-…} for a default.",
    ),
    (
        'metadata = { a = "${A}" }',
        "metadata.a",
        "the variables go round in a circle: A -> B -> C -> A.",
    ),
    (
        'metadata = { a = "${A" }',
        "metadata.a",
        "a '${' has no '}'; write '$$' for a dollar sign.",
    ),
    (
        'min_age = "${NOPE}"',
        "min_age",
        "the variable NOPE is not set; write ${NOPE:-…} for a default.",
    ),
    ('min_age = "${AGE}"', "min_age", f'expected {LENGTH}, got what "${{AGE}}" stands for.'),
]

WHOLE = [
    ('[engine]\nadmn = "x"', ["line 2, engine.admn: there is no such key. Did you mean 'admin'?"]),
    (
        '[engine]\nadmin = "127.0.0.1:9070"',
        [f'line 2, engine.admin: {URL}, got "127.0.0.1:9070".'],
    ),
    ("[engine]\nadmin = 9070", [f"line 2, engine.admin: {URL}, got 9070."]),
    ('[engine]\nadmin = "http://[::1"', [f'line 2, engine.admin: {URL}, got "http://[::1".']),
    ('[engine]\nadmin = "http://a:b"', [f'line 2, engine.admin: {URL}, got "http://a:b".']),
    ('[engine]\nadmin = "http://a/?b"', [f'line 2, engine.admin: {URL}, got "http://a/?b".']),
    ("engine = 3", ["line 1, engine: expected the table [engine], got 3."]),
    ("[[engine]]", ["line 1, engine: expected the table [engine], got a list."]),
    (
        "[service.Checkout]\npublic = true",
        ["line 1, service: there is no such key. Did you mean 'services'?"],
    ),
    ("\n[[deployment]]", ["line 2, deployment: there is no such key. Did you mean 'deployments'?"]),
    ("colour = 3", [f"line 1, colour: there is no such key. {NAMES}"]),
    ('_env_file = "x"', [f"line 1, _env_file: there is no such key. {NAMES}"]),
    (
        "[deployments.greeter]",
        ["line 1, deployments: expected tables [[deployments]], got a table."],
    ),
    ("deployments = [\n  3,\n]", ["line 2, deployments[1]: expected a table, got 3."]),
    (
        "\n[[deployments]]",
        [
            f"line 2, deployments[1].name: it is missing; {NAME}.",
            f"line 2, deployments[1].target: it is missing; {WORD}.",
        ],
    ),
    (
        '[[deployments]]\nname = "a b"\ntarget = ""',
        [
            f'line 2, deployments[1].name (a b): {NAME}, got "a b".',
            f'line 3, deployments[1].target (a b): {WORD}, got "".',
        ],
    ),
    (
        '[[deployments]]\ntarget = "a\\tb"\nname = 3',
        [
            f'line 2, deployments[1].target: {WORD}, got "a\\tb".',
            f"line 3, deployments[1].name: {NAME}, got 3.",
        ],
    ),
    (
        f'[[deployments]]\nname = "{"a" * 65}"\ntarget = "t"',
        [f'line 2, deployments[1].name: {NAME}, got "{"a" * 58}….'],
    ),
    (
        '[[deployments]]\nname = "shop"\ntarget = "${SPACED}"',
        [f'line 3, deployments[1].target (shop): {WORD}, got what "${{SPACED}}" stands for.'],
    ),
    (
        GREETER + GREETER + 'keep = "x"\n' + GREETER,
        [
            "line 5, deployments[2].name (greeter): "
            "the name 'greeter' is taken by deployments[1] in line 2.",
            'line 7, deployments[2].keep (greeter): expected a whole number from 0, got "x".',
            "line 9, deployments[3].name (greeter): "
            "the name 'greeter' is taken by deployments[1] in line 2.",
        ],
    ),
    (
        f'{GREETER}[deployments.headers]\nok = "1"\nb = {{ env = "1X" }}',
        ["line 6, deployments[1].headers.b.env (greeter): expected the name of a variable."],
    ),
    ("services = []", ["line 1, services: expected tables [services.NAME], got a list."]),
    ("[services]\nX = 3", ["line 2, services.X: expected a table, got 3."]),
    ("[services.X]\npublic = 1", ["line 2, services.X.public: expected true or false, got 1."]),
    (
        "[services.X]\nretry = { attempts = 3 }",
        ["line 2, services.X.retry.attempts: there is no such key. Did you mean 'max_attempts'?"],
    ),
    (
        "[services.X]\nretry = 3",
        ["line 2, services.X.retry: expected a table, as in { max_attempts = 20 }, got 3."],
    ),
    (
        '[services.X.retry]\nmax_attempts = "forever"\non_max_attempts = "stop"\n'
        "exponentiation_factor = 0.5",
        [
            "line 2, services.X.retry.max_attempts: "
            'expected a whole number from 1, or unlimited, got "forever".',
            'line 3, services.X.retry.on_max_attempts: expected pause or kill, got "stop".',
            "line 4, services.X.retry.exponentiation_factor: expected a number from 1, got 0.5.",
        ],
    ),
    (
        "[services.X.retry]\nmax_attempts = 0\nexponentiation_factor = true",
        [
            "line 2, services.X.retry.max_attempts: "
            "expected a whole number from 1, or unlimited, got 0.",
            "line 3, services.X.retry.exponentiation_factor: expected a number from 1, got true.",
        ],
    ),
    (
        '[services.X.retry]\ninitial_interval = "2s"\nmax_interval = "1s"',
        ["line 1, services.X.retry: max_interval (1s) must not be below initial_interval (2s)."],
    ),
    (
        '[services."a b"]\nabort_timeout = "0s"',
        [
            'line 2, services."a b".abort_timeout: expected a duration above zero, such as '
            '500ms or 10s, got "0s": must be longer than zero.'
        ],
    ),
    (
        'ingress = "127.0.0.1:1"\nadmin = "127.0.0.1:1"\nmax_frame_bytes = 2048',
        [
            "line 1, ingress: ingress and admin cannot both listen on 127.0.0.1:1.",
            "line 3, max_frame_bytes: max_frame_bytes (2048) must not be below "
            "max_body_bytes (33554432): a message carries a whole body.",
        ],
    ),
    (
        f'max_queued = 0\n{GREETER}keep = "x"\n[services.X]\npublik = true\n',
        [
            "line 1, max_queued: expected a whole number from 1, got 0.",
            'line 5, deployments[1].keep (greeter): expected a whole number from 0, got "x".',
            "line 7, services.X.publik: there is no such key. Did you mean 'public'?",
        ],
    ),
    (
        'data_dir = "${NOPE}"',
        ["line 1, data_dir: the variable NOPE is not set; write ${NOPE:-…} for a default."],
    ),
]


def _said(text: str) -> list[str]:
    Path("steadfaas.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refusal:
        load_file(environ=ENVIRON)
    lines = str(refusal.value).splitlines()
    assert lines == [str(problem) for problem in refusal.value.problems]
    assert "hunter" not in str(refusal.value)
    return lines


@pytest.mark.parametrize(("line", "key", "message"), IN_A_DEPLOYMENT)
def test_a_wrong_key_of_a_deployment(line: str, key: str, message: str) -> None:
    place = f"steadfaas.toml, line 7, deployments[2].{key} (greeter)"
    first = GREETER.replace('"greeter"', '"first"')
    assert _said(first + GREETER + line) == [f"{place}: {message}"]


@pytest.mark.parametrize(("text", "sentences"), WHOLE)
def test_a_wrong_file(text: str, sentences: list[str]) -> None:
    assert _said(text) == [f"steadfaas.toml, {sentence}" for sentence in sentences]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = \n", "is not valid TOML: Invalid value (at line 1, column 5)"),
        ("\n[a]\nb\n", "is not valid TOML: Expected '=' after a key in a key/value pair (at line"),
        (f"a = {'9' * 5000}", "is nested too deeply, or holds an absurdly long number"),
        (f"a = {'[' * 3000}{']' * 3000}", "is nested too deeply, or holds an absurdly long number"),
    ],
)
def test_no_toml(text: str, sentence: str) -> None:
    [line] = _said(text)
    assert line.startswith(f"The settings file steadfaas.toml {sentence}")


def test_too_deep() -> None:
    text = ".".join(["services"] * 2000) + " = 1"
    assert _said(text) == ["What steadfaas.toml and --set say is nested too deeply."]
    with pytest.raises(SettingsError, match="nested too deeply"):
        load_file(sets=[f"services.X={'[' * 3000}"], environ={}, path=_empty())


def _empty() -> Path:
    path = Path("empty.toml")
    path.touch()
    return path


def test_no_text() -> None:
    Path("steadfaas.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(SettingsError, match="is no text in UTF-8"):
        load_file()


def test_a_mark_at_the_beginning_is_no_mistake() -> None:
    Path("steadfaas.toml").write_bytes(b"\xef\xbb\xbf" + GREETER.encode())
    assert load_file().declared.deployments[0].name == "greeter"


@pytest.mark.parametrize(
    "text",
    [
        '[engine]\nadmin = "http://ada:hunter2@localhost:9070"\n',
        '[[deployments]]\nname = "shop"\ntarget = "http://ada:hunter2@localhost"\n',
        '[[deployments]]\nname = "shop"\ntarget = "https://${AGE}@localhost"\n',
    ],
)
def test_no_password_stands_in_an_address_and_none_is_repeated(text: str) -> None:
    Path("steadfaas.toml").write_text(text)
    with pytest.raises(SettingsError, match="it holds a user name or password; n") as refused:
        load_file(environ=ENVIRON)
    assert "hunter2" not in str(refused.value)


def test_the_engine_does_not_start_with_a_wrong_table() -> None:
    Path("steadfaas.toml").write_text("[[deployments]]\n")
    with pytest.raises(SettingsError, match=r"deployments\[1\]\.name: it is missing"):
        load_settings()
