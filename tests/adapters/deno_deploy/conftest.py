"""A platform for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steadfaas.testing.deno import FakeDeno
from tests.adapters.deno_deploy.platform import fake_deno


@pytest.fixture
def platform() -> Iterator[FakeDeno]:
    """An empty organisation `acme`, whose API is asked with a good token."""
    with fake_deno() as made:
        yield made
