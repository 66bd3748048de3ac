"""A database of the first schema is brought up to date, and what it holds goes on.

The old database is a real one: what an engine has stored is written into a database that only the
first migration has made, without what the first schema did not know.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest
import restate

from steadfaas.errors import AttemptFailure, StoreError
from steadfaas.machine import failure as failures
from steadfaas.machine.status import Status
from steadfaas.store import deployments, invocations
from steadfaas.store.invocations import SPAN
from steadfaas.store.sqlite import FILE_NAME, migrate
from steadfaas.testing import Steadfaas
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.messages import MessageType as T
from tests.store.database import INPUT, memory, opened, run

MINUTE = 60_000
_WAIT = encode(m.Suspension(waiting_completions=[1, 2], waiting_signals=[1]))
_STEPS = resources.files("steadfaas.store.migrations")


def _first_schema(path: Path | str) -> sqlite3.Connection:
    """A new database as the first version of the engine made it."""
    connection = sqlite3.connect(path, isolation_level=None)
    script = (_STEPS / "0001_initial.sql").read_text("utf-8")
    connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = 1;\nCOMMIT;")
    return connection


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _insert(connection: sqlite3.Connection, table: str, **fields: object) -> None:
    marks = ", ".join("?" * len(fields))
    statement = f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})"
    connection.execute(statement, tuple(fields.values()))


def _old_invocation(connection: sqlite3.Connection, seq: int, status: int, **more: object) -> None:
    _insert(
        connection, "invocation", seq=seq, id=seq.to_bytes(24, "big"), status=status,
        service="Shop", handler="buy", kind=0, created_at=1000, modified_at=1000, **more,
    )  # fmt: skip
    _insert(connection, "journal", pos=seq * SPAN, type=INPUT, payload=b"")


def _everything(connection: sqlite3.Connection) -> dict[str, tuple[str, list[str]]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return {
        name: (kind, _columns(connection, name) if kind == "table" else [sql])
        for kind, name, sql in rows
    }


def test_the_steps_end_in_the_schema_of_a_new_database(tmp_path: Path) -> None:
    with closing(_first_schema(tmp_path / "old.db")) as old, memory() as new:
        migrate(old)
        assert _everything(old) == _everything(new)
        assert old.execute("PRAGMA user_version").fetchone() == (_newest(),)
        migrate(old)  # nothing is left to be done
        assert _everything(old) == _everything(new)


def _steps() -> list[str]:
    return sorted(step.name for step in _STEPS.iterdir() if step.name.endswith(".sql"))


def _newest() -> int:
    return int(_steps()[-1].partition("_")[0])


def test_a_suspended_one_learns_when_the_first_of_its_sleeps_ends(tmp_path: Path) -> None:
    with closing(_first_schema(tmp_path / FILE_NAME)) as old:
        _old_invocation(old, 1, 5, awaits=_WAIT, attempt=1)
        for at, completion in ((9000, 1), (7000, 2)):
            _insert(old, "timer", at=at, seq=1, completion=completion)
        _old_invocation(old, 2, 5, awaits=_WAIT, attempt=1)
        _old_invocation(old, 3, 4, due_at=8000, attempt=1)
        _insert(old, "timer", at=8000, seq=3, completion=0)
        _old_invocation(old, 4, 3, attempt=1)
        _insert(old, "timer", at=100, seq=4, completion=1)  # it sleeps, and goes on beside that
        _old_invocation(old, 5, 0, due_at=5000)
        _insert(old, "timer", at=5000, seq=5, completion=0)

    async def test() -> None:
        async with opened(tmp_path) as store:
            rows = store.reader.execute("SELECT seq, due_at, asleep, pausing FROM invocation")
            assert rows.fetchall() == [
                (1, 7000, 0, 0), (2, None, 0, 0), (3, 8000, 0, 0), (4, None, 0, 0), (5, 5000, 0, 0),
            ]  # fmt: skip
            assert store.reader.execute("SELECT count(*) FROM timer").fetchone() == (5,)
            inv = invocations.load(store.reader, 1)
            assert inv is not None
            assert (inv.status, inv.due_at, inv.awaits) == (Status.SUSPENDED, 7000, _WAIT)

    run(test())


def test_what_was_completed_is_shown_as_before_and_repeated(tmp_path: Path) -> None:
    output = encode(m.OutputCommand(value=m.Value(content=b'"out"')))
    failure = failures.record(
        AttemptFailure("RT0007", "ouch"), now=1, attempt=1, deployment="dp_1", recorded=None
    )
    with closing(_first_schema(tmp_path / FILE_NAME)) as old:
        _old_invocation(
            old, 7, 100, attempt=2, deployment="dp_1", version=5, started_at=1100, entries=2,
            completed_at=1500, output=output, expires_at=10**15, failure=failure.to_json(),
        )  # fmt: skip
        _insert(
            old, "attempt", pos=7 * SPAN + 1, deployment="dp_1", started_at=1000, ended_at=1050,
            outcome="RT0007",
        )  # fmt: skip

    async def test() -> None:
        async with opened(tmp_path) as store:
            found = invocations.describe(store.reader, (7).to_bytes(24, "big"))
            assert found is not None
            outcomes = [attempt.outcome for attempt in invocations.attempts(store.reader, found)]
            assert outcomes == ["RT0007", "completed"]
            assert invocations.timed_journal(store.reader, found) == [
                (0, INPUT, b"", None), (1, int(T.OUTPUT), output, 1500),
            ]  # fmt: skip
            assert invocations.events(store.reader, 7) == []
            inv = invocations.load(store.reader, 7)
            assert inv is not None
            assert inv.journal == [(INPUT, b""), (int(T.OUTPUT), output)]
            assert inv.failure == failure

    run(test())


def test_a_step_that_fails_is_undone_whole(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with closing(_first_schema(path)) as old:
        _old_invocation(old, 1, 5, awaits=_WAIT)
        _insert(old, "timer", at=9000, seq=1, completion=1)
        old.execute("CREATE TABLE state_change (other)")  # in the way of the step's last part
        before = list(old.iterdump())
    with pytest.raises(StoreError, match="state_change"):
        run(_open_and_close(tmp_path))
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        assert list(old.iterdump()) == before
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        old.execute("DROP TABLE state_change")
    run(_open_and_close(tmp_path))


async def _open_and_close(data_dir: Path) -> None:
    async with opened(data_dir) as store:
        assert store.reader.execute("PRAGMA user_version").fetchone() == (_newest(),)


# --- an engine that comes back on an old database ----------------------------------------------


def _as_of_old(path: Path) -> None:
    """Write a database again as the first schema would have had it."""
    new = path.with_name("rewritten.db")
    with closing(_first_schema(new)) as old, closing(sqlite3.connect(path)) as connection:
        old.execute("DELETE FROM counter")
        tables = [name for name, (kind, _) in _everything(old).items() if kind == "table"]
        for table in tables:
            columns = ", ".join(_columns(old, table))
            marks = ", ".join("?" * len(_columns(old, table)))
            rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
            old.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        old.execute("UPDATE invocation SET due_at = NULL WHERE status = 5")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.move(new, path)


async def _upgrade(kit: Steadfaas) -> None:
    """The engine ends as in a crash, and another one begins on its data of old."""
    host = kit._host
    engine = host.running
    engine.halt()
    engine.store.abandon()
    host._engine = None
    await host.transport.drop()
    _as_of_old(engine.store.path)
    await host.engine()


class _Shop:
    """Handlers that are found in every status there was."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing = True
        self.service = service = restate.Service("Shop")
        self.cart = cart = restate.VirtualObject("Cart")

        @service.handler()
        async def nap(ctx: restate.Context) -> str:
            await ctx.run_typed("step", lambda: self.ran.append("nap"))
            await ctx.sleep(timedelta(minutes=10))
            return "awake"

        @service.handler()
        async def fail(ctx: restate.Context) -> str:
            await ctx.run_typed("step", lambda: self.ran.append("fail"))
            if self.failing:
                raise RuntimeError("ouch")
            return "well"

        @cart.handler()
        async def hold(ctx: restate.ObjectContext, amount: int) -> int:
            total = (await ctx.get("total", type_hint=int) or 0) + amount
            ctx.set("total", total)
            await ctx.sleep(timedelta(minutes=1))
            return total


@pytest.mark.asyncio
async def test_an_engine_goes_on_with_a_database_of_old(steadfaas: Steadfaas) -> None:
    shop = _Shop()
    await steadfaas.deploy(restate.app([shop.service, shop.cart]))
    done = await steadfaas.send("Cart/a/hold", 1)
    assert await done.result() == 1
    sleeping = await steadfaas.send("Shop/nap")
    failing = await steadfaas.send("Shop/fail")
    holder = await steadfaas.send("Cart/k/hold", 1)
    queued = await steadfaas.send("Cart/k/hold", 2)
    later = await steadfaas.send("Shop/nap", delay="1 day")
    await steadfaas.settle()
    steadfaas.delay(by="1 hour")
    running = await steadfaas.send("Shop/nap")
    await steadfaas.settle()
    all_of_them = [done, sleeping, failing, holder, queued, later, running]
    assert [one.status for one in all_of_them] == [
        "completed", "suspended", "backing-off", "suspended", "pending", "scheduled", "running",
    ]  # fmt: skip
    begun = steadfaas.now()

    await _upgrade(steadfaas)

    reader = steadfaas._host.running.store.reader
    found = invocations.describe(reader, sleeping.id)
    assert found is not None
    assert found.due_at is not None
    assert abs(found.due_at - begun - 10 * MINUTE) < MINUTE
    assert await done.result() == 1
    # What is new can be done to what is old.
    await sleeping.pause()
    assert [event.type for event in invocations.events(reader, found.seq)] == ["Paused"]
    await steadfaas.advance("15 min")
    assert sleeping.status == "paused"
    await sleeping.resume()
    assert await sleeping.result() == "awake"
    again = await done.restart()
    assert await again.result() == 2, "the state was kept"
    shop.failing = False
    assert await failing.result() == "well"
    assert [await holder.result(), await queued.result()] == [1, 3]
    assert [await later.result(), await running.result()] == ["awake"] * 2
    assert shop.ran == ["nap", "fail", "nap", "nap"], "no step ran again"
    stored = invocations.timed_journal(reader, found)
    assert stored[0].at is None
    described = invocations.describe(reader, later.id)
    assert described is not None
    assert invocations.timed_journal(reader, described)[-1].at is not None


# --- the second schema -------------------------------------------------------------------------


def test_a_database_of_the_second_schema_keeps_everything(tmp_path: Path) -> None:
    with closing(_first_schema(tmp_path / FILE_NAME)) as old:
        script = (_STEPS / "0002_operations.sql").read_text("utf-8")
        old.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = 2;\nCOMMIT;")
        _old_invocation(old, 1, 5, awaits=_WAIT, attempt=1, due_at=7000, asleep=1)
        _insert(old, "event", pos=SPAN, after_entry=1, at=5, type="Paused", body="{}")
        _insert(old, "deployment", id="dp_1", created_at=5, record='{"uri":"http://a/"}')
        _insert(
            old, "service_revision", service="Shop", revision=3, deployment="dp_1", manifest="{}"
        )
        _insert(old, "state_change", seq=9, state="{}")
        tables = [name for name, (kind, _) in _everything(old).items() if kind == "table"]
        selects = {name: f"SELECT {', '.join(_columns(old, name))} FROM {name}" for name in tables}
        before = {name: old.execute(select).fetchall() for name, select in selects.items()}
        assert sum(map(bool, before.values())) == 7
    run(_open_and_close(tmp_path))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as new:
        for name, rows in before.items():
            assert new.execute(selects[name]).fetchall() == rows
        assert new.execute("SELECT count(*) FROM audit").fetchone() == (0,)
        # Nothing of old is being retired.
        assert deployments.retiring(new, "dp_1") is False
        assert deployments.retiring(new, "dp_2") is None
