"""A plan in words: what is written there is what a file would have."""

from __future__ import annotations

import pytest

from steadfaas.rollout import words
from steadfaas.rollout.plan import Action, Plan, ServiceStep
from steadfaas.rollout.settings import UNLIMITED
from steadfaas.rollout.world import Json


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"max_attempts": 20}, {"max_attempts": UNLIMITED}, "max_attempts: 20 → unlimited"),
        ({"max_attempts": None}, {"max_attempts": 20}, "max_attempts: unlimited → 20"),
        (
            {"on_max_attempts": "Pause"},
            {"on_max_attempts": "Kill"},
            "on_max_attempts: pause → kill",
        ),
        (
            {"exponentiation_factor": 2.0},
            {"exponentiation_factor": 2.5},
            "exponentiation_factor: 2 → 2.5",
        ),
        ({}, {"max_interval": "10s"}, "max_interval: none → 10s"),
    ],
)
def test_retry_policies_are_shown_as_they_are_written(before: Json, after: Json, line: str) -> None:
    step = ServiceStep("Shop", Action.UPDATE, {"retry_policy": after}, {"retry_policy": before})
    assert f"           retry {line}" in list(words.lines(Plan(services=(step,))))
