"""The writer: group commit, units that raise, commits that fail, after-effects, order, the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steadfaas.errors import StoreError, Verdict
from steadfaas.store.writer import MAX_UNITS, Transaction, Writer
from tests.store.database import Moody, run

INSERT = "INSERT INTO thing (name) VALUES (?)"


class Desk:
    """A writer on a file of its own, and a diary of all that units are told."""

    def __init__(self, path: Path, *, threaded: bool = False) -> None:
        self.connection = self._connect(path)
        self.connection.execute("CREATE TABLE thing (name TEXT PRIMARY KEY, blob BLOB)")
        self.reader = self._connect(path)
        self.commits = 0
        self.writer = Writer(self.connection, on_commit=self._committed)
        if threaded:
            # What a slow disk would teach it; unlearning takes hundreds of commits.
            self.writer._commit_seconds = 1e9
        self.diary: list[str] = []
        self.errors: dict[str, BaseException] = {}

    @staticmethod
    def _connect(path: Path) -> Moody:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=Moody
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _committed(self) -> None:
        self.commits += 1

    def stored(self) -> list[str]:
        """What another connection sees."""
        return [row[0] for row in self.reader.execute("SELECT name FROM thing ORDER BY rowid")]

    def put(self, name: str, error: BaseException | None = None) -> None:
        """Submit a unit that stores a name, and then raises the error, if given."""

        def unit(tx: Transaction) -> None:
            tx.execute(INSERT, (name,))
            tx.after(self.diary.append, f"{name} stored")
            if error is not None:
                raise error

        self.submit(unit, name)

    def submit(self, unit: Any, name: str) -> None:
        def failed(error: BaseException) -> None:
            self.diary.append(f"{name} failed")
            self.errors[name] = error

        self.writer.submit(unit, failed)

    async def settle(self) -> list[str]:
        """Wait for everything; the diary since the last time."""
        await self.writer.drain()
        diary, self.diary = self.diary, []
        return diary


@contextlib.asynccontextmanager
async def desk(tmp_path: Path, *, threaded: bool = False) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "test.db", threaded=threaded)
    try:
        yield made
    finally:
        made.writer.close()
        made.reader.close()
        made.connection.close()


in_both_ways = pytest.mark.parametrize("threaded", [False, True], ids=["inline", "in a thread"])


@in_both_ways
def test_what_is_ready_shares_one_commit_in_order(tmp_path: Path, threaded: bool) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            names = [f"{number:03}" for number in range(100)]
            for name in names:
                here.put(name)
            assert here.stored() == []
            assert await here.settle() == [f"{name} stored" for name in names]
            assert here.stored() == names
            assert here.commits == 1

    run(test())


@in_both_ways
def test_after_effects_see_their_commit_done(tmp_path: Path, threaded: bool) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            seen: list[list[str]] = []
            here.put("a")
            here.submit(lambda tx: tx.after(lambda: seen.append(here.stored())), "look")
            here.put("b")
            await here.settle()
            assert seen == [["a", "b"]]

    run(test())


@in_both_ways
def test_a_unit_that_raises_is_undone_alone(tmp_path: Path, threaded: bool) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            trouble = ValueError("no")
            here.put("a")
            here.put("b", trouble)
            here.put("c")
            here.put("a")  # breaks the primary key
            here.put("d")
            assert await here.settle() == [
                "b failed", "a failed", "a stored", "c stored", "d stored",
            ]  # fmt: skip
            assert here.stored() == ["a", "c", "d"]
            assert here.errors["b"] is trouble
            refusal = here.errors["a"]
            assert isinstance(refusal, StoreError)
            assert isinstance(refusal.__cause__, sqlite3.IntegrityError)
            assert here.commits == 1

    run(test())


@in_both_ways
@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN"])
def test_a_group_that_cannot_be_stored_is_told_as_a_whole(
    tmp_path: Path, threaded: bool, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            here.connection.refuse = (statement,)
            here.put("a")
            here.put("b")
            assert await here.settle() == ["a failed", "b failed"]
            error = here.errors["a"]
            assert isinstance(error, StoreError)
            assert error.verdict is Verdict.RETRY
            assert "disk I/O error" in str(error)
            assert not here.connection.in_transaction
            here.connection.refuse = ()
            here.put("a")  # it heals, and nothing of the first try is left
            assert await here.settle() == ["a stored"]
            assert here.stored() == ["a"]

    run(test())
    assert "disk I/O error" in caplog.text


@in_both_ways
def test_a_unit_that_cannot_be_undone_alone_takes_its_group_along(
    tmp_path: Path, threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            here.connection.refuse = ("ROLLBACK TO",)
            here.put("a")
            here.put("b", ValueError("no"))
            here.put("c")
            assert await here.settle() == ["b failed", "a failed", "c stored"]
            assert isinstance(here.errors["b"], ValueError)
            assert isinstance(here.errors["a"], StoreError)
            assert here.stored() == ["c"]

    run(test())


@in_both_ways
def test_a_full_database(tmp_path: Path, threaded: bool, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite then undoes the whole transaction. What it undid is told; what comes next is kept."""

    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            pages = here.connection.execute("PRAGMA page_count").fetchone()[0]
            here.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
            here.put("a")
            here.submit(
                lambda tx: tx.execute("INSERT INTO thing VALUES ('b', zeroblob(100000))"), "b"
            )
            here.put("c")
            here.put("d")
            assert await here.settle() == ["b failed", "a failed", "c stored", "d stored"]
            assert here.stored() == ["c", "d"]
            assert "full" in str(here.errors["a"])
            assert "full" in str(here.errors["b"])
            here.connection.execute("PRAGMA max_page_count = 1000")
            here.submit(
                lambda tx: tx.execute("INSERT INTO thing VALUES ('b', zeroblob(100000))"), "b"
            )
            await here.settle()
            assert here.stored() == ["c", "d", "b"]

    run(test())


def test_after_effects_run_once_in_order_and_one_may_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:

            def unit(tx: Transaction) -> None:
                tx.after(here.diary.append, "first")
                tx.after(int, "not a number")
                tx.after(here.diary.append, "last")

            here.submit(unit, "unit")
            here.put("next")
            assert await here.settle() == ["first", "last", "next stored"]
            assert await here.settle() == []

    run(test())
    assert "an action after a commit failed" in caplog.text


def test_who_cannot_be_told_of_a_failure_costs_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:

            def deaf(error: BaseException) -> None:
                raise RuntimeError("cannot hear")

            here.writer.submit(lambda tx: tx.execute("nonsense"), deaf)
            here.put("a")
            assert await here.settle() == ["a stored"]

    run(test())
    assert "a failure could not be reported" in caplog.text


def test_what_an_after_effect_submits_is_the_next_group(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            here.submit(lambda tx: tx.after(here.put, "b"), "a")
            here.put("a")
            await here.settle()
            await here.settle()
            assert here.stored() == ["a", "b"]
            assert here.commits == 2

    run(test())


@in_both_ways
def test_a_group_has_a_limit(tmp_path: Path, threaded: bool) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:
            names = [f"{number:04}" for number in range(2 * MAX_UNITS + 1)]
            for name in names:
                here.put(name)
            assert await here.settle() == [f"{name} stored" for name in names]
            assert here.stored() == names
            assert here.commits == 3

    run(test())


@pytest.mark.e2e
def test_units_that_come_during_a_commit_are_the_next_group(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=True) as here:
            gate = threading.Event()
            commit = here.writer._commit

            def held() -> Any:
                gate.wait(5)
                return commit()

            here.writer._commit = held  # type: ignore[method-assign]
            here.put("a")
            await asyncio.sleep(0.02)
            here.put("b")
            here.put("c")
            await asyncio.sleep(0.02)
            # The loop is free, nothing is visible, nobody was told.
            assert (here.stored(), here.diary) == ([], [])
            gate.set()
            assert await here.settle() == ["a stored", "b stored", "c stored"]
            assert here.commits == 2

    run(test())


def test_a_slow_disk_gets_a_thread_and_a_fast_one_loses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            threads: list[str] = []
            now = [0.0]
            took = [0.1]

            def execute(sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    threads.append(threading.current_thread().name)
                    now[0] += took[0]
                return here.connection.execute(sql, *parameters)

            here.writer._execute = execute
            monkeypatch.setattr(time, "perf_counter", lambda: now[0])
            for number in range(150):
                if number == 3:
                    took[0] = 0.0
                here.put(str(number))
                await here.settle()
            assert "steadfaas-commit" not in threads[0]
            assert "steadfaas-commit" in threads[1]
            assert "steadfaas-commit" in threads[3]
            assert "steadfaas-commit" not in threads[-1]

    run(test())


@in_both_ways
def test_write_gives_back_what_the_unit_returned_or_raised(tmp_path: Path, threaded: bool) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=threaded) as here:

            def good(tx: Transaction) -> int:
                tx.execute(INSERT, ("a",))
                return 42

            def bad(tx: Transaction) -> int:
                tx.execute(INSERT, ("b",))
                raise LookupError("no such thing")

            results = await asyncio.gather(
                here.writer.write(good),
                here.writer.write(bad),
                here.writer.write(good),
                return_exceptions=True,
            )
            assert results[0] == 42
            assert isinstance(results[1], LookupError)
            assert isinstance(results[2], StoreError)
            assert here.stored() == ["a"]

    run(test())


def test_a_caller_that_went_away_does_not_stop_its_unit(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            waiting = asyncio.ensure_future(
                here.writer.write(lambda tx: tx.execute(INSERT, ("a",)) and None)
            )
            failing = asyncio.ensure_future(here.writer.write(lambda tx: tx.execute("nonsense")))
            await asyncio.sleep(0)
            waiting.cancel()
            failing.cancel()
            await here.settle()
            assert here.stored() == ["a"]

    run(test())


def test_drain_returns_at_once_when_nothing_was_submitted(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path) as here:
            await asyncio.wait_for(here.writer.drain(), 0.1)

    run(test())


@pytest.mark.e2e
def test_close_drops_what_was_not_begun_and_waits_for_what_was(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(tmp_path, threaded=True) as here:
            here.put("a")
            for _ in range(3):
                await asyncio.sleep(0)
            # It is in the thread now.
            here.put("b")
            here.writer.close()
            assert here.stored() == ["a"]
            await asyncio.sleep(0.02)
            assert here.diary == ["a stored"]
            assert not here.connection.in_transaction

    run(test())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
