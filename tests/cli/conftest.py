"""What tests of the command line share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _nobody_has_said_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CI=true` answers every question, so a test that asks one must not inherit it."""
    monkeypatch.delenv("CI", raising=False)
