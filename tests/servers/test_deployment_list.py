"""The list of deployments, encoded beside the work after a start."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadfaas.deployments import drain_memory
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.outlook import Outlooks
from steadfaas.servers.deployment_list import DeploymentList
from steadfaas.store.sqlite import Store
from tests.deployments.test_catalog import deployment
from tests.deployments.world import FakeClock, add_row, run
from tests.servers.admin_world import admin

_IDS = [f"dp_{number}" for number in range(50)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    async def opened() -> Store:
        return Store.open(tmp_path, durability="none")

    store = asyncio.run(opened())
    for number, id in enumerate(_IDS, 1):
        row = {"seq": number, "id": bytes([number]) * 24, "status": 3, "service": "S"}
        more = {"handler": "buy", "kind": 0, "created_at": 7, "modified_at": 7, "deployment": id}
        add_row(store._connection, {**row, **more})
    yield store
    store.abandon()


def _list(store: Store) -> DeploymentList:
    catalog = Catalog(deployment(id, place, S=place) for place, id in enumerate(_IDS, 1))
    return DeploymentList(catalog, store.reader, FakeClock(), Outlooks(Adapters(()), store.reader))


async def _entries(known: DeploymentList) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(await known.body())["deployments"]
    return entries


def _check(entries: list[dict[str, Any]]) -> None:
    assert [entry["id"] for entry in entries] == _IDS
    assert {entry["drain"]["unfinished"] for entry in entries} == {1}
    assert [entry["drain"]["state"] for entry in entries] == ["draining"] * 49 + ["active"]


def test_a_list_is_complete_however_far_it_was_prepared(store: Store) -> None:
    async def test() -> None:
        for turns in range(0, 12, 3):
            known = _list(store)
            known.prepare()
            for _ in range(turns):
                await asyncio.sleep(0)
            _check(await _entries(known))
            await known.close()

    run(test())


def test_what_is_prepared_is_not_encoded_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        known = _list(store)
        known.prepare()
        _check(await _entries(known))
        monkeypatch.setattr("steadfaas.servers.deployment_list._encode", None)
        _check(await _entries(known))
        await known.close()

    run(test())


def test_it_may_be_closed_before_it_is_prepared(store: Store) -> None:
    async def test() -> None:
        known = _list(store)
        await known.close()
        known.prepare()
        await asyncio.sleep(0)
        await known.close()
        _check(await _entries(known))

    run(test())


def test_a_store_that_fails_while_it_is_prepared_fails_no_list(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_memory, "_LINES_AT_ONCE", 5)

    async def test() -> None:
        known = _list(store)
        known.prepare()
        store.reader.set_progress_handler(lambda: 1, 1)
        for _ in range(9):
            await asyncio.sleep(0)
        store.reader.set_progress_handler(None, 1)
        _check(await _entries(known))
        await known.close()

    run(test())


def test_a_long_list_comes_in_gzip_too() -> None:
    """So long that it is compressed beside the work."""

    async def test() -> None:
        async with admin() as ask:
            many = [deployment(f"dp_{number}", number, S=number) for number in range(1, 500)]
            ask.world.catalog.replace(many)
            plain = await ask("GET", "/deployments", headers={"accept-encoding": "identity"})
            packed = await ask("GET", "/deployments", headers={"accept-encoding": "gzip"})
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.headers["vary"] == "accept-encoding"
            assert "content-encoding" not in plain.headers
            assert packed.raw == plain.raw
            assert len(plain.raw) > 100_000 > int(packed.headers["content-length"])

    run(test())
