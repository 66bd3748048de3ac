"""A folder of its own for each test, and no variables of whoever runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("STEADFAAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
