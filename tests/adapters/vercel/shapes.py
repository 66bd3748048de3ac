"""The shapes of Vercel's answers, by the fields that are used here; see the schemas' comments."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from steadfaas.testing.vercel import Answered
from tests.house.checkout import ROOT

FOLDER = ROOT / "tests/data/platforms/vercel"
SCHEMAS = {
    ("GET", "/v13/deployments/{id}"): "deployment",
    ("DELETE", "/v13/deployments/{id}"): "removed-deployment",
    ("GET", "/v6/deployments"): "deployments",
    ("GET", "/v2/deployments/{id}/aliases"): "deployment-aliases",
    ("POST", "/v2/deployments/{id}/aliases"): "assigned-alias",
    ("DELETE", "/v2/aliases/{id}"): "removed-alias",
    ("GET", "/v4/aliases"): "project-aliases",
    ("GET", "/v9/projects/{id}"): "project",
    ("GET", "/v1/projects/{id}/rolling-release"): "rolling-release",
}


def problems_of(answered: Answered) -> list[str]:
    """What is wrong with an answer, one text each."""
    name = "error" if answered.status >= 400 else SCHEMAS[answered.method, answered.route]
    return [f"{name}: {error.message}" for error in _validator(name).iter_errors(answered.body)]


@cache
def _validator(name: str) -> Draft202012Validator:
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
