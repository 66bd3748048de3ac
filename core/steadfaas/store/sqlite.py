"""Opens the database: settings, migrations, one writing and one reading connection, checkpoints."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import IO, Final

from steadfaas.errors import StoreError, Verdict
from steadfaas.store.writer import Writer

FILE_NAME: Final = "steadfaas.db"
# The write-ahead log is moved into the database above this size (bytes), beside the work; above the
# second one, work waits for it: under load without a pause the log never empties by itself. That
# wait grows with the log (here 0.3 s at 512 MiB, 0.06 s at 64).
_CHECKPOINT_ABOVE: Final = 8 * 1024 * 1024
_CHECKPOINT_NOW_ABOVE: Final = 64 * 1024 * 1024
# What survives a power cut: everything, all but the last moments, or (for tests) who knows.
_SYNCHRONOUS: Final = {"full": "FULL", "relaxed": "NORMAL", "none": "OFF"}
_LOOK_EVERY: Final = 64  # commits between looks at the log's size


class Store:
    """The open database of one engine. `writer` writes, `reader` sees what is committed."""

    def __init__(
        self, path: Path, *, durability: str = "full", lock: IO[str] | None = None
    ) -> None:
        self.path = path
        self._lock = lock
        self._log = path.with_name(path.name + "-wal")
        self._connection = _connect(path, durability, cache_kib=8192)
        migrate(self._connection)
        self.reader = _connect(path, durability, cache_kib=2048)
        self.reader.execute("PRAGMA query_only = 1")
        # Commits that wait for no disk are not worth a thread, and stay the same in every run.
        self.writer = Writer(
            self._connection, on_commit=self._committed, threaded=durability != "none"
        )
        self._checkpointer = ThreadPoolExecutor(1, "steadfaas-checkpoint")
        self._durability = durability
        self._commits = 0
        self._checkpoint: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, data_dir: Path, *, durability: str = "full") -> Store:
        """Open (or create) the database in `data_dir`. Raises StoreError if it is not to be had."""
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            lock = (data_dir / "lock").open("a+")
        except OSError as error:
            raise StoreError(
                f"cannot use the data directory {data_dir}: {error.strerror};"
                " choose another with --data-dir",
                verdict=Verdict.DENIED,
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise StoreError(
                f"the data directory {data_dir} is in use by another steadfaas;"
                " stop that one, or choose another with --data-dir"
            ) from error
        try:
            return cls(data_dir / FILE_NAME, durability=durability, lock=lock)
        except StoreError:
            lock.close()
            raise
        except sqlite3.Error as error:
            lock.close()
            raise StoreError(
                f"cannot open the database in {data_dir}: {error}", verdict=Verdict.DENIED
            ) from error

    def abandon(self) -> None:
        """Close at once, as a crash would: what was not committed is gone."""
        self.writer.close()
        self._checkpointer.shutdown(wait=True)
        self._close()

    async def close(self) -> None:
        """Finish what was submitted, and close."""
        await self.writer.drain()
        self.writer.close()
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        self._checkpointer.shutdown(wait=True)
        self._close()

    def _close(self) -> None:
        self.reader.close()
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def _committed(self) -> None:
        self._commits += 1
        if self._commits % _LOOK_EVERY:
            return
        try:
            size = os.stat(self._log).st_size
        except FileNotFoundError:
            return
        if size > _CHECKPOINT_NOW_ABOVE:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        elif size > _CHECKPOINT_ABOVE and (self._checkpoint is None or self._checkpoint.done()):
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._checkpointer, self._move_log)

    def _move_log(self) -> None:
        connection = _connect(self.path, self._durability, cache_kib=256)
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()


def _connect(path: Path, durability: str, *, cache_kib: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5.0
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
    connection.execute("PRAGMA fullfsync = 1")  # macOS: an fsync that reaches the disk
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # we do it beside the work
    connection.execute("PRAGMA journal_size_limit = 4194304")  # shrink a log that grew
    connection.execute("PRAGMA foreign_keys = 1")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, one numbered file after the other, each in a transaction.

    Raises StoreError if the database is newer than this version of steadfaas.
    """
    current: int = connection.execute("PRAGMA user_version").fetchone()[0]
    steps = sorted(
        (entry for entry in resources.files("steadfaas.store.migrations").iterdir()
         if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )  # fmt: skip
    newest = _number(steps[-1].name)
    if current > newest:
        raise StoreError(
            f"the database has schema {current}, this steadfaas knows {newest}; upgrade it",
            verdict=Verdict.DENIED,
        )
    for step in steps:
        if (number := _number(step.name)) > current:
            script = step.read_text("utf-8")
            transaction = f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            try:
                connection.executescript(transaction)
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.rollback()  # or the database stays locked while we live
                raise


def _number(name: str) -> int:
    """The schema that a step makes: `4` for `0004_wants.sql`."""
    return int(name.partition("_")[0])
