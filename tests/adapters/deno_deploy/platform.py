"""The fake platform for tests of the adapter, with every answer checked by the vendor's schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from steadfaas.testing.deno import Asked, FakeDeno

SCHEMAS: Final = Path(__file__).parents[2] / "data" / "platforms" / "deno"
# Route → schema of the answer, and whether it is a list of such.
ANSWERS: Final = {
    ("GET", "/apps/{app}"): ("app", False),
    ("GET", "/apps/{app}/revisions"): ("revision", True),
    ("GET", "/revisions/{revision}"): ("revision", False),
    ("GET", "/revisions/{revision}/timelines"): ("timeline", True),
}


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of `name`.json."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def check(asked: Asked) -> None:
    """Raises ValidationError for an answer that the vendor's API would not give."""
    if asked.status >= 400:
        validator("error").validate(asked.body)
    elif asked.method == "DELETE":
        assert (asked.status, asked.body) == (204, None)
    else:
        name, many = ANSWERS[asked.method, asked.route]
        assert isinstance(asked.body, list) is many
        for each in asked.body if many else [asked.body]:
            validator(name).validate(each)


@contextmanager
def fake_deno(**settings: Any) -> Iterator[FakeDeno]:
    """A platform that this process uses."""
    with FakeDeno(**settings) as platform, pytest.MonkeyPatch.context() as patch:
        clear(patch)
        for name, value in platform.env().items():
            patch.setenv(name, value)
        yield platform
    for asked in platform.asked:
        check(asked)


def clear(patch: pytest.MonkeyPatch) -> None:
    """Forget what the environment says about Deno."""
    for name in [each for each in os.environ if each.startswith("STEADFAAS_DENO_")]:
        patch.delenv(name)
