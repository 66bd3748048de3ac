"""The page about Vercel says what the code does."""

from __future__ import annotations

import re

import pytest

from steadfaas_adapters.vercel import failures, target
from steadfaas_adapters.vercel.settings import PREFIX, Settings
from tests.house.checkout import ROOT

PAGE = (ROOT / "core/docs/vercel.md").read_text(encoding="utf-8")
FORMS = re.findall(r"^\| `((?:vercel:|https:)[^`]+)`", PAGE, re.MULTILINE)


def test_the_settings_are_all_there() -> None:
    rows = [
        f"| `{PREFIX}{name.upper()}` | {f'`{field.default}`' if field.default != '' else 'none'}"
        f" | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    assert [line for line in PAGE.splitlines() if line.startswith(f"| `{PREFIX}")] == rows


def test_there_are_forms() -> None:
    assert len(FORMS) >= 7


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_one(form: str) -> None:
    assert target.claims(form)
    target.parse(form)


def test_the_codes_have_the_verdicts_that_it_says() -> None:
    section = PAGE.split("## What failures mean")[1].split("\n## ")[0]
    seen = 0
    for row in re.findall(r"^\| ([a-z ]+) \| (.+?) \|", section, re.MULTILINE):
        for code in re.findall(r"`([A-Z_]{6,})`", row[1]):
            failure = failures.diagnose(500, {"x-vercel-error": code}, "", "https://x")
            assert failure is not None, code
            assert failure.verdict.value == row[0].replace(" ", "-"), code
            seen += 1
    assert seen >= 12
