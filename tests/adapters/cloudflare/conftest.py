"""A Cloudflare of this machine, to which the adapter's variables lead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steadfaas.testing.cloudflare import FakeCloudflare


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test says what is set, not whoever runs it."""
    for name in ("TOKEN", "TOKEN_FILE", "ACCOUNT", "API", "MAX_REQUEST_BYTES"):
        monkeypatch.delenv(f"STEADFAAS_CLOUDFLARE_{name}", raising=False)


@pytest.fixture
def cloudflare(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudflare]:
    """An account without Workers, small pages, and the token for it."""
    with FakeCloudflare(page_size=3) as fake:
        for name, value in fake.env().items():
            monkeypatch.setenv(name, value)
        yield fake
