"""What the engine counts in memory, compared with what there is."""

from __future__ import annotations

from steadfaas.runtime.engine import Engine
from steadfaas.store import invocations


def check_books(engine: Engine) -> None:
    """Raises AssertionError if a count is wrong. Holds between the steps of an invocation."""
    slots, driver = engine._slots, engine._driver
    assert slots.total == driver.open_exchanges, "slots that nobody uses, or the reverse"
    assert sum(slots._open.values()) == slots.total
    assert set(engine.ledger.lives) == set(driver._tasks), "invocations kept that do not run"
    assert engine._waiting == invocations.count_waiting(engine.store.reader)
    assert set(engine.waiters._waiting) == {
        id for id, futures in engine.waiters._waiting.items() if futures
    }
