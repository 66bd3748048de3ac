"""References to secrets that lead nowhere."""

from __future__ import annotations

from pathlib import Path

from steadfaas.config import load_file, missing_secrets

FILE = """\
[[deployments]]
name = "shop"
target = "t"
protection = [
  { env = "HERE" },
  { env = "NOWHERE" },
  { file = "here.txt" },
]
[deployments.headers]
plain = "text"
a = { env = "EMPTY" }
b = { file = "nowhere.txt" }
"""


def test_says_which_secrets_are_not_there() -> None:
    Path("steadfaas.toml").write_text(FILE)
    Path("here.txt").write_text("hunter2")
    environ = {"HERE": "hunter2", "EMPTY": ""}
    found = load_file(environ=environ)
    told = [str(each) for each in missing_secrets(found.declared, environ, places=found.places)]
    assert told == [
        "steadfaas.toml, line 11, deployments[1].headers.a (shop): "
        "the variable EMPTY is not set here.",
        "steadfaas.toml, line 12, deployments[1].headers.b (shop): "
        "the file nowhere.txt does not exist here.",
        "steadfaas.toml, line 6, deployments[1].protection[2] (shop): "
        "the variable NOWHERE is not set here.",
    ]
    [first, *_] = missing_secrets(found.declared, environ)
    assert str(first) == "deployments[1].headers.a (shop): the variable EMPTY is not set here."
