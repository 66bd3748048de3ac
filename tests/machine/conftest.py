"""The `begin` fixture: scenarios that must end in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from steadfaas.machine.invocation import Entry
from steadfaas.machine.status import Kind
from tests.machine.scenario import Scenario


class Begin(Protocol):
    """Begins a scenario; journal entries given follow the input."""

    def __call__(self, kind: Kind = Kind.SERVICE, *journal: Entry, **options: Any) -> Scenario: ...


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins scenarios, and sees to it that none of them leaves an effect unread."""
    begun: list[Scenario] = []

    def make(kind: Kind = Kind.SERVICE, *journal: Entry, **options: Any) -> Scenario:
        begun.append(Scenario(kind, *journal, **options))
        return begun[-1]

    yield make
    for scenario in begun:
        scenario.silent()
