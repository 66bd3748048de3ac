"""A fake Vercel for each test; whatever it answered must have the shape of Vercel's own answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steadfaas.testing import FakeVercel
from tests.adapters.vercel.shapes import problems_of


@pytest.fixture
def vercel(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVercel]:
    """A running fake, and the variables that lead the adapter to it."""
    for name in ("TOKEN_FILE", "RETENTION_PRODUCTION_DAYS", "RETENTION_PREVIEW_DAYS"):
        monkeypatch.delenv(f"STEADFAAS_VERCEL_{name}", raising=False)
    with FakeVercel() as running:
        for name, value in running.env().items():
            if name != "SSL_CERT_FILE":  # what else the test's own process trusts, it needs
                monkeypatch.setenv(name, value)
        yield running
        assert [problem for each in running.answered for problem in problems_of(each)] == []
