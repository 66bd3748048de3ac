"""What needs a deployment: exact counts, at the moment of reading, over a real store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadfaas.deployments import drain_memory
from steadfaas.deployments.catalog import Catalog, HandlerOptions
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.drain import (
    COUNTS,
    Drain,
    DrainState,
    Oldest,
    drain_all,
    drain_of,
    learn_all,
)
from steadfaas.deployments.needs import Tally
from steadfaas.deployments.records import to_rows
from steadfaas.deployments.register import Connection, Registry, ServiceChanges
from steadfaas.errors import Conflict
from steadfaas.machine.status import Status
from steadfaas.spi import EndpointReference
from steadfaas.store import deployments as table
from steadfaas.store import sql
from steadfaas.store.sqlite import Store
from tests.deployments.test_catalog import deployment
from tests.deployments.world import (
    FakeClock,
    add_row,
    announce,
    installed_adapters,
    run,
    service,
    serving,
    world,
)

S = Status
NOW = 1_000


# --- each kind by itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "pinned", "columns", "name"),
    [
        (S.RUNNING, True, {}, "running"),
        (S.READY, True, {}, "running"),
        (S.BACKING_OFF, True, {"due_at": 5}, "retrying"),
        (S.SUSPENDED, True, {}, "suspended"),
        (S.SUSPENDED, True, {"due_at": 5}, "sleeping"),
        (S.SUSPENDED, True, {"due_at": 5, "asleep": 1}, "sleeping"),
        (S.PAUSED, True, {}, "paused"),
        (S.PENDING, True, {}, "queued"),
        (S.SCHEDULED, True, {"due_at": 5}, "scheduled"),
        (S.PENDING, False, {}, "queued"),
        (S.READY, False, {}, "queued"),
        (S.SCHEDULED, False, {"due_at": 5}, "scheduled"),
        (S.BACKING_OFF, False, {"due_at": 5}, "retrying"),
        (S.PAUSED, False, {}, "paused"),
        (S.COMPLETED, True, {}, None),
    ],
)
def test_what_counts_as_what(
    status: Status, pinned: bool, columns: dict[str, int], name: str | None
) -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.register(one.uri)).id
            here.writer.add_invocation("Shop", status, id if pinned else None, **columns)
            drain = here.drain(id)
            assert drain.counts == {**dict.fromkeys(COUNTS, 0), **({name: 1} if name else {})}
            assert drain.unfinished == (name is not None)
            assert (drain.state, drain.active_services) == (DrainState.ACTIVE, ("Shop",))

    run(test())


def test_every_unfinished_status_is_counted() -> None:
    for status in (each for each in Status if each < Status.COMPLETED):
        for pinned in (False, True):
            tally = Tally()
            tally.add(status, pinned, 0, None, None)
            assert sum(tally.counts.values()) == 1


# --- states and dates --------------------------------------------------------------------------


def test_from_active_over_draining_to_drained() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"), service("B"))) as one,
            serving(announce(service("A"))) as two,
            serving(announce(service("B"))) as three,
        ):
            old = (await here.register(one.uri)).id
            waiting = here.writer.add_invocation("B", S.SCHEDULED, None, due_at=9)
            seq = here.writer.add_invocation("A", S.RUNNING, old, key="k", created_at=77)
            assert here.drain(old).active_services == ("A", "B")
            await here.register(two.uri)
            assert here.drain(old).active_services == ("B",)
            assert here.drain(old).unfinished == 2
            new = (await here.register(three.uri)).id
            drain = here.drain(old)
            assert drain.state is DrainState.DRAINING
            assert drain.unfinished == 1  # what has not begun runs elsewhere now
            assert drain.oldest == Oldest(seq.to_bytes(24, "big"), "A/k/buy", 77)
            assert here.drain(new).blockers == (waiting.to_bytes(24, "big"),)
            here.writer.connection.execute("UPDATE invocation SET status = 100")
            assert here.drain(old) == Drain(
                DrainState.DRAINED, (), dict.fromkeys(COUNTS, 0), 0, None, None, None, ()
            )
            assert here.drain(old).explain(old).endswith("is drained: nothing unfinished needs it.")

    run(test())


@dataclass
class Pinned:
    """One that is pinned, and the bound that follows from it."""

    status: Status
    due_at: int | None
    asleep: int
    bound: bool


def test_the_lower_bound_of_the_end() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(announce(service())) as two,
        ):
            old = (await here.register(one.uri)).id
            new = (await here.register(two.uri)).id
            soon = here.clock.time + 1_000_000
            pinned = [
                Pinned(S.SUSPENDED, soon + 9, 0, bound=False),  # a signal may come at any time
                Pinned(S.RUNNING, soon + 8, 0, bound=False),
                Pinned(S.SUSPENDED, soon, 1, bound=True),
                Pinned(S.BACKING_OFF, soon + 1, 0, bound=True),
                Pinned(S.SCHEDULED, soon + 2, 0, bound=True),
            ]
            best = None
            for each in pinned:
                columns = {"due_at": each.due_at, "asleep": each.asleep}
                here.writer.add_invocation("Shop", each.status, old, **columns)
                here.writer.add_invocation("Shop", each.status, new, **columns)
                best = each.due_at if each.bound else best
                assert here.drain(old).earliest_drained_at == best
                assert here.drain(new).earliest_drained_at is None  # it will be needed anyway
            assert here.drain(old).next_wake_up == soon
            assert "(not before 2026-" in here.drain(old).explain(old)
            here.clock.time = soon + 1
            assert here.drain(old).earliest_drained_at == soon + 2
            here.clock.time = soon + 2
            assert here.drain(old).earliest_drained_at is None
            assert here.drain(old).next_wake_up == soon
            here.clock.time = soon
            assert here.drain(old).earliest_drained_at == soon + 2

    run(test())


def test_how_many_are_named() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.register(one.uri)).id
            seqs = [
                here.writer.add_invocation("Shop", S.RUNNING, id if number % 2 else None)
                for number in range(120)
            ]
            raw = [seq.to_bytes(24, "big") for seq in seqs]
            reader, catalog = here.writer.connection, here.catalog
            assert drain_of(reader, catalog, id, now=NOW).blockers == tuple(raw[:100])
            assert drain_all(reader, catalog, now=NOW)[id].blockers == tuple(raw[:5])
            for none in (
                drain_of(reader, catalog, id, now=NOW, blockers=0),
                drain_all(reader, catalog, now=NOW, blockers=0)[id],
            ):
                assert none.blockers == ()
                assert none.oldest == Oldest(raw[0], "Shop/buy", 0)
                assert none.unfinished == 120

    run(test())


def test_a_pin_to_a_deployment_that_is_gone_counts_for_nobody() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.register(one.uri)).id
            here.writer.add_invocation("Shop", S.PAUSED, "dp_gone")
            here.writer.add_invocation("Unknown", S.SCHEDULED, None)
            assert here.drain(id).unfinished == 0
            reader, catalog = here.writer.connection, here.catalog
            assert drain_all(reader, catalog, now=NOW).keys() == {id}
            assert drain_of(reader, catalog, "dp_gone", now=NOW).unfinished == 1

    run(test())


def test_dates_that_no_calendar_holds() -> None:
    tally = Tally()
    tally.add(S.SUSPENDED, True, 1, 2**62, 2**62)
    drain = tally.drain((), [], now=NOW, blockers=0)
    assert "(not before the year 10000)" in drain.explain()


# --- exactly what a look at every row would find -----------------------------------------------


IDS = ("a", "b", "c", "d")
SERVICES = ("S", "T", "U")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    async def opened() -> Store:
        return Store.open(tmp_path_factory.mktemp("drain"), durability="none")

    store = asyncio.run(opened())
    yield store
    store.abandon()


def _times() -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(NOW - 3, NOW + 3)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from([int(each) for each in Status]),
            "service": st.sampled_from([*SERVICES, "Unknown"]),
            "key": st.sampled_from([None, "k"]),
            "deployment": st.sampled_from([None, *IDS, "gone"]),
            "due_at": _times(),
            "asleep": st.integers(0, 1),
        }
    ),
    max_size=40,
)
CATALOGS = st.permutations(IDS).flatmap(
    lambda order: st.lists(
        st.sets(st.sampled_from(SERVICES)), min_size=len(order), max_size=len(order)
    ).map(lambda served: list(zip(order, served, strict=True)))
)


def _catalog(served: list[tuple[str, set[str]]]) -> Catalog:
    return Catalog(
        deployment(id, place, **dict.fromkeys(names, place + 1))
        for place, (id, names) in enumerate(served)
    )


def _naive(rows: list[dict[str, Any]], catalog: Catalog, id: str, blockers: int) -> Drain:
    """The definition, row by row."""
    active = tuple(known.name for known in catalog.services() if known.deployment_id == id)
    mine = [
        row
        for row in rows
        if row["status"] < 100
        and row.get("wants") is None  # its version has not landed: it needs no deployment
        and (row["deployment"] == id or (row["deployment"] is None and row["service"] in active))
    ]
    counts = dict.fromkeys(COUNTS, 0)
    wakes, bounds = [], []
    for row in mine:
        status, due, pinned = S(row["status"]), row["due_at"], row["deployment"] is not None
        match status:
            case S.RUNNING:
                name = "running"
            case S.READY:
                name = "running" if pinned else "queued"
            case S.BACKING_OFF:
                name = "retrying"
            case S.SUSPENDED:
                name = "suspended" if due is None else "sleeping"
            case S.PENDING:
                name = "queued"
            case _:
                name = status.name.lower()
        counts[name] += 1
        if due is not None and name in ("retrying", "sleeping", "scheduled"):
            wakes.append(due)
            if pinned and (name != "sleeping" or row["asleep"]):
                bounds.append(due)
    state = DrainState.DRAINING if mine else DrainState.DRAINED
    state = DrainState.ACTIVE if active else state
    bound = max(bounds) if bounds and state is DrainState.DRAINING else None
    mine.sort(key=lambda row: row["seq"])
    return Drain(
        state=state,
        active_services=active,
        counts=counts,
        unfinished=len(mine),
        oldest=Oldest(mine[0]["id"], _target(mine[0]), mine[0]["created_at"]) if mine else None,
        next_wake_up=min(wakes, default=None),
        earliest_drained_at=bound if bound is not None and bound > NOW else None,
        blockers=tuple(row["id"] for row in mine[:blockers]),
    )


def _target(row: dict[str, Any]) -> str:
    key = "" if row["key"] is None else f"{row['key']}/"
    return f"{row['service']}/{key}{row['handler']}"


def _write(store: Store, rows: list[dict[str, Any]]) -> None:
    """Leave exactly these rows in the store. Numbers and ids stay with them."""
    connection = store._connection
    connection.execute("BEGIN")
    connection.execute("DELETE FROM invocation")
    for row in rows:
        add_row(connection, row)
    connection.execute("COMMIT")


_numbers = iter(range(1, 10**9))


def _complete(drawn: dict[str, Any]) -> dict[str, Any]:
    seq = next(_numbers)
    fixed = {"handler": "buy", "kind": 0, "created_at": seq * 7, "modified_at": 0}
    row = {"seq": seq, "id": seq.to_bytes(24, "big"), **fixed, **drawn}
    return row if row["deployment"] is None else {**row, "wants": None}  # it has landed


def _agree(store: Store, catalog: Catalog, rows: list[dict[str, Any]], blockers: int) -> None:
    expected = {id: _naive(rows, catalog, id, blockers) for id in IDS if catalog.deployment(id)}
    found = drain_all(store.reader, catalog, now=NOW, blockers=blockers)
    assert found == expected
    assert list(found) == [known.id for known in catalog.deployments()]
    for id, drain in expected.items():
        alone = drain_of(store.reader, catalog, id, now=NOW, blockers=blockers)
        assert alone == drain


@given(CATALOGS, ROWS, st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_exact_for_any_population(
    store: Store, served: list[tuple[str, set[str]]], drawn: list[dict[str, Any]], blockers: int
) -> None:
    rows = [_complete(row) for row in drawn]
    _write(store, rows)
    _agree(store, _catalog(served), rows, blockers)


@pytest.mark.parametrize("seed", range(4))
def test_exact_again_after_each_of_many_changes(store: Store, seed: int) -> None:
    """What is remembered from the question before never shows."""
    rng = random.Random(seed)
    served = [(id, set(rng.sample(SERVICES, 2))) for id in IDS]
    catalog, rows = _catalog(served), [_complete(_random_row(rng)) for _ in range(60)]
    revision = 10
    for _ in range(60):
        _write(store, rows)
        _agree(store, catalog, rows, blockers=3)
        match rng.randrange(4):
            case 0:
                rows = [row for row in rows if rng.random() > 0.05]
                rows += [_complete(_random_row(rng)) for _ in range(rng.randrange(4))]
            case 1:
                revision += 1
                one = deployment(rng.choice(IDS), revision, **{rng.choice(SERVICES): revision})
                catalog.put(one)
            case 2 if rng.random() < 0.3:
                catalog.remove(rng.choice(IDS))
            case _:
                for row in rng.sample(rows, min(5, len(rows))):
                    drawn = _random_row(rng)
                    changed = ("status", "deployment", "due_at", "asleep", "wants")
                    row |= {k: drawn[k] for k in changed}


def _random_row(rng: random.Random) -> dict[str, Any]:
    row = {
        "status": int(rng.choice(list(Status))),
        "service": rng.choice([*SERVICES, "Unknown"]),
        "key": rng.choice([None, "k"]),
        "deployment": rng.choice([None, None, *IDS, "gone"]),
        "due_at": rng.choice([None, *range(NOW - 3, NOW + 4)]),
        "asleep": rng.randrange(2),
        "wants": None,
    }
    if row["status"] == S.SCHEDULED and row["deployment"] is None:
        row["wants"] = rng.choice([None, "git:1"])
    return row


@pytest.mark.parametrize("seed", range(12))
def test_exact_whatever_happens_while_it_is_learned(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step sees another moment; the question after them sees one."""
    monkeypatch.setattr(drain_memory, "_LINES_AT_ONCE", 3)
    monkeypatch.setattr(drain_memory, "_DEPLOYMENTS_AT_ONCE", 1)
    rng = random.Random(seed)
    catalog = _catalog([(id, set(rng.sample(SERVICES, 2))) for id in IDS])
    rows = [_complete(_random_row(rng)) for _ in range(30)]
    _write(store, rows)
    for _ in learn_all(store.reader, catalog, blockers=3):
        if rng.random() < 0.4:
            rows = [row for row in rows if rng.random() > 0.2]
            rows += [_complete(_random_row(rng)) for _ in range(rng.randrange(4))]
            _write(store, rows)
        if rng.random() < 0.2:
            catalog.put(deployment(rng.choice(IDS), 50 + seed, **{rng.choice(SERVICES): 50 + seed}))
    if seed % 4 == 0:
        rows = []
        _write(store, rows)
    _agree(store, catalog, rows, blockers=3)


def test_what_was_learned_is_not_worked_out_again(store: Store) -> None:
    catalog = _catalog([(id, {"S"}) for id in IDS])
    row = {**_random_row(random.Random(1)), "deployment": "a", "status": 3, "due_at": None}
    _write(store, [_complete(row) for _ in range(9)])
    learned: dict[str, Drain] = {}
    for found in learn_all(store.reader, catalog, blockers=3):
        learned |= found
    answer = drain_all(store.reader, catalog, now=NOW, blockers=3)
    assert learned.keys() == answer.keys() == set(IDS)
    assert all(answer[id] is learned[id] for id in IDS)
    assert answer["a"].unfinished == 9


def test_a_question_that_comes_before_it_is_learned(store: Store) -> None:
    catalog = _catalog([(id, {"S"}) for id in IDS])
    rows = [_complete(_random_row(random.Random(n))) for n in range(9)]
    _write(store, rows)
    steps = learn_all(store.reader, catalog, blockers=3)
    next(steps)
    _agree(store, catalog, rows, blockers=3)
    list(steps)
    _write(store, rows[:3])
    _agree(store, catalog, rows[:3], blockers=3)


def test_many_of_one_deployment(store: Store) -> None:
    rng = random.Random(5)
    catalog = _catalog([(id, {"S"}) for id in IDS])
    rows = [_complete({**_random_row(rng), "deployment": "a"}) for _ in range(400)]
    _write(store, rows)
    _agree(store, catalog, rows, blockers=100)


# --- one moment --------------------------------------------------------------------------------


def test_a_question_that_breaks_off_leaves_no_half_knowledge(store: Store) -> None:
    catalog = _catalog([(id, {"S"}) for id in IDS])
    rows = [_complete({**_random_row(random.Random(n)), "deployment": "a"}) for n in range(9)]
    _write(store, rows)
    _agree(store, catalog, rows, blockers=3)
    rows.append(_complete({**_random_row(random.Random(99)), "deployment": "b", "status": 3}))
    _write(store, rows)
    # The progress handler makes the query fail in the middle, as a failing disk would.
    store.reader.set_progress_handler(lambda: 1, 1)
    with pytest.raises(Exception, match="interrupted"):
        drain_all(store.reader, catalog, now=NOW, blockers=3)
    store.reader.set_progress_handler(None, 1)
    _agree(store, catalog, rows, blockers=3)


def test_several_queries_see_one_state(store: Store) -> None:
    catalog = _catalog([("a", {"S"})])
    _write(store, [])
    with table.snapshot(store.reader):
        assert drain_of(store.reader, catalog, "a", now=NOW).unfinished == 0
        _write(
            store, [_complete({**_random_row(random.Random(1)), "deployment": "a", "status": 3})]
        )
        assert drain_of(store.reader, catalog, "a", now=NOW).unfinished == 0
    assert drain_of(store.reader, catalog, "a", now=NOW).unfinished == 1
    assert not store.reader.in_transaction


def test_the_queries_read_the_index_of_unfinished_invocations(store: Store) -> None:
    queries = sql.load("deployments")
    for query, parameters in (
        (queries.unfinished, (-1, -1)),
        (queries.pinned_to, ("x",)),
        (queries.first_pinned_to, ("x", 1)),
        (queries.unpinned, ("[]",)),
        (queries.beyond_versions, ("x", 5, 6)),
    ):
        plan = store.reader.execute(f"EXPLAIN QUERY PLAN {query}", parameters).fetchall()
        assert "invocation_unfinished" in str(plan), query
        if query != queries.beyond_versions:
            assert "USING COVERING INDEX invocation_unfinished" in str(plan), query


# --- removal -----------------------------------------------------------------------------------


def test_nothing_slips_in_between_the_look_and_the_removal(tmp_path: Path) -> None:
    """In one group of the real writer, whatever comes before the removal counts."""

    async def test() -> None:
        store = Store.open(tmp_path, durability="none")
        catalog = _catalog([("a", {"S"}), ("b", {"S"})])
        registry = Registry(
            catalog=catalog,
            writer=store.writer,
            adapters=installed_adapters(),
            discover=_nobody_asks,
            clock=FakeClock(),
            randomness=bytes,
            defaults=HandlerOptions(),
        )
        row = _complete({**_random_row(random.Random(3)), "deployment": "a", "status": 5})
        for known in catalog.deployments():
            rows = to_rows(known)
            await store.writer.write(lambda tx, rows=rows: table.insert(tx, *rows))  # type: ignore[misc]
        moving = asyncio.ensure_future(store.writer.write(lambda tx: add_row(tx, row)))
        removing = asyncio.ensure_future(registry.remove("a"))
        await moving
        with pytest.raises(Conflict, match="1 unfinished invocation needs it"):
            await removing
        assert catalog.deployment("a") is not None
        await store.writer.write(lambda tx: tx.execute("UPDATE invocation SET status = 100"))
        removing = asyncio.ensure_future(registry.remove("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert store.writer.busy  # it is in the writer's queue
        seen = await store.writer.write(lambda tx: table.retiring(tx, "a"))
        await removing
        # Who comes after it in the same group sees that, though the catalogue does not tell yet.
        assert seen is None
        assert catalog.deployment("a") is None
        await store.close()

    run(test())


async def _nobody_asks(reference: EndpointReference, connection: Connection) -> Discovered:
    raise AssertionError(f"nobody asks {reference.uri} with {connection}")


def test_removing_a_service_as_the_guide_says() -> None:
    """Private first, then nothing unfinished, then removed with its deployment."""

    async def test() -> None:
        async with world() as here, serving(announce(service("Shop"))) as one:
            id = (await here.register(one.uri)).id
            here.writer.add_invocation("Shop", S.SUSPENDED, id)
            here.writer.add_invocation("Shop", S.SCHEDULED, None, due_at=5)
            await here.registry.configure("Shop", ServiceChanges(public=False))
            assert not here.catalog.handler("Shop", "buy")[1].public  # the ingress refuses it
            with pytest.raises(Conflict) as refused:
                await here.registry.remove(id)
            assert "2 unfinished invocations need it" in refused.value.message
            here.writer.connection.execute("UPDATE invocation SET status = 100")
            # Other handlers could still call it, which no engine can rule out: it stays active.
            drain = here.drain(id)
            assert (drain.state, drain.unfinished) == (DrainState.ACTIVE, 0)
            with pytest.raises(Conflict) as refused:
                await here.registry.remove(id)
            assert "make them private, and see that no other handler calls" in refused.value.message
            assert "pinned to it" not in refused.value.message
            await here.registry.remove(id, force=True)
            assert here.catalog.services() == []
            assert here.same_after_restart()

    run(test())


def test_an_unchanged_answer_is_the_same_value() -> None:
    """So that whoever keeps something for it can see at once that nothing changed."""

    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.register(one.uri)).id
            seq = here.writer.add_invocation("Shop", S.RUNNING, id)
            first = drain_all(here.writer.connection, here.catalog, now=NOW)
            again = drain_all(here.writer.connection, here.catalog, now=NOW + 1)
            assert again[id] is first[id]
            here.writer.connection.execute("UPDATE invocation SET status = 6 WHERE seq = ?", (seq,))
            later = drain_all(here.writer.connection, here.catalog, now=NOW + 2)
            assert later[id] == replace(
                first[id], counts={**first[id].counts, "running": 0, "paused": 1}
            )

    run(test())
