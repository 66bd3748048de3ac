"""Opening and closing the database: schema versions, the lock, durability, the log's size."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadfaas.errors import StoreError, Verdict
from steadfaas.store import sqlite as module
from steadfaas.store.sqlite import FILE_NAME, Store, migrate
from steadfaas.store.writer import Transaction
from tests.store.database import opened, run

MIGRATIONS = Path(module.__file__).parent / "migrations"
PUT = "INSERT OR REPLACE INTO state (service, key, name, value) VALUES ('s', ?, x'00', ?)"


def _put(key: str, value: bytes) -> Callable[[Transaction], object]:
    return lambda tx: tx.execute(PUT, (key, value))


def _schema(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT * FROM sqlite_schema ORDER BY name").fetchall()


# --- migrations --------------------------------------------------------------------------------


def test_a_fresh_database_gets_every_step_and_a_second_run_changes_nothing() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (_numbers()[-1],)
    schema = _schema(connection)
    connection.execute("UPDATE counter SET reserved = 7")
    migrate(connection)
    assert _schema(connection) == schema
    assert connection.execute("SELECT reserved FROM counter").fetchall() == [(7,)]
    connection.close()


def _numbers() -> list[int]:
    return [int(name.partition("_")[0]) for name in sorted(path.name for path in _steps())]


def _steps() -> list[Path]:
    return list(MIGRATIONS.glob("*.sql"))


def test_each_step_has_a_number_of_its_own() -> None:
    assert _numbers() == sorted(set(_numbers()))
    assert _numbers()[0] == 1


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path):
            pass
        other = sqlite3.connect(tmp_path / FILE_NAME)
        (known,) = other.execute("PRAGMA user_version").fetchone()
        other.execute("PRAGMA user_version = 999")
        other.close()
        with pytest.raises(StoreError, match="schema 999") as refusal:
            Store.open(tmp_path)
        assert refusal.value.verdict is Verdict.DENIED
        # The refusal left no lock behind, although the error is still held.
        other = sqlite3.connect(tmp_path / FILE_NAME)
        other.execute(f"PRAGMA user_version = {known}")
        other.close()
        async with opened(tmp_path):
            pass

    run(test())


def test_a_step_that_fails_leaves_the_schema_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "half.db"
    connection = sqlite3.connect(path, isolation_level=None)
    # In the way of the first step, somewhere in its middle.
    connection.execute("CREATE TABLE journal (other)")
    with pytest.raises(sqlite3.OperationalError, match="journal"):
        migrate(connection)
    connection.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("journal",)]
    connection.close()


# --- what cannot be opened ---------------------------------------------------------------------


def test_one_engine_at_a_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path):
            with pytest.raises(StoreError, match="in use by another steadfaas"):
                Store.open(tmp_path)
        async with opened(tmp_path):
            pass

    run(test())


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--data-dir") as refusal:
        Store.open(tmp_path / "file")
    assert refusal.value.verdict is Verdict.DENIED


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all " * 500)
    with pytest.raises(StoreError, match="cannot open the database") as refusal:
        Store.open(tmp_path)
    assert refusal.value.verdict is Verdict.DENIED
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"not a database")
    (tmp_path / FILE_NAME).unlink()

    async def test() -> None:
        async with opened(tmp_path):
            pass

    run(test())


# --- reading, writing, durability --------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
def test_durability_is_a_setting_of_the_writing_connection(
    tmp_path: Path, durability: str, synchronous: int
) -> None:
    async def test() -> None:
        async with opened(tmp_path, durability=durability) as store:

            def asked(tx: Transaction, name: str) -> Any:
                return tx.execute(f"PRAGMA {name}").fetchone()[0]

            async def ask(name: str) -> Any:
                return await store.writer.write(lambda tx: asked(tx, name))

            assert await ask("synchronous") == synchronous
            assert await ask("journal_mode") == "wal"
            assert await ask("fullfsync") == 1
            assert await ask("foreign_keys") == 1
            assert await ask("wal_autocheckpoint") == 0

    run(test())


def test_full_durability_is_the_default(tmp_path: Path) -> None:
    async def test() -> None:
        store = Store.open(tmp_path)
        try:
            found = await store.writer.write(lambda tx: tx.execute("PRAGMA synchronous").fetchone())
            assert found == (2,)
        finally:
            await store.close()

    run(test())


def test_the_reader_sees_what_is_committed_and_cannot_write(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            count = "SELECT count(*) FROM state"
            seen_within: list[Any] = []

            def unit(tx: Transaction) -> None:
                tx.execute(PUT, ("k", b"v"))
                seen_within.append(store.reader.execute(count).fetchone())

            await store.writer.write(unit)
            assert seen_within == [(0,)]
            assert store.reader.execute(count).fetchone() == (1,)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                store.reader.execute("DELETE FROM state")

    run(test())


def test_close_finishes_what_was_submitted(tmp_path: Path) -> None:
    async def test() -> None:
        store = Store.open(tmp_path)
        for number in range(1000):
            store.writer.submit(_put(str(number), b"v"), print)
        await store.close()
        async with opened(tmp_path) as again:
            assert again.reader.execute("SELECT count(*) FROM state").fetchone() == (1000,)

    run(test())


# --- the write-ahead log -----------------------------------------------------------------------


async def _churn(store: Store, megabytes: int) -> int:
    """Overwrite a few rows again and again; the largest size of the log in bytes."""
    log = store.path.with_name(FILE_NAME + "-wal")
    largest = 0
    value = os.urandom(100_000)
    for number in range(megabytes * 10):
        key = str(number % 8)
        await store.writer.write(_put(key, value))
        largest = max(largest, log.stat().st_size)
    return largest


def test_the_log_is_used_again_instead_of_growing(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            largest = await _churn(store, 200)
            # Twice the size from which on it is moved at once: a thread that has its turn late is
            # overtaken by some commits.
            assert largest < 128 * 1024 * 1024
            assert store.path.stat().st_size < 4 * 1024 * 1024

    run(test())


def test_a_log_that_cannot_be_moved_beside_the_work_is_moved_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT_NOW_ABOVE", 16 * 1024 * 1024)
    monkeypatch.setattr(Store, "_move_log", lambda self: None)

    async def test() -> None:
        async with opened(tmp_path) as store:
            largest = await _churn(store, 60)
            # What 64 commits of 100 kB add until the next look comes on top.
            assert largest < (16 + 8) * 1024 * 1024

    run(test())


def test_a_reader_in_the_middle_of_a_query_does_not_stop_the_writer(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            await _churn(store, 1)
            cursor = store.reader.execute("SELECT key FROM state")
            cursor.fetchone()
            await _churn(store, 12)
            assert len(cursor.fetchall()) == 7

    run(test())
