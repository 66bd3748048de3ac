"""What is registered, what takes new requests, and what was done, as statements see it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steadfaas.deployments.catalog import Catalog, Retirement
from steadfaas.deployments.records import to_rows
from steadfaas.query.engine import run
from steadfaas.query.functions import Journals
from steadfaas.store import audit, deployments
from steadfaas.store.sqlite import migrate
from tests.deployments.test_catalog import deployment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with several deployments, of which some are being retired."""
    path = tmp_path / "steadfaas.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
        for known in catalog().deployments():
            deployments.insert(connection, *to_rows(known))
        audit.write(connection, 1000, "ann", "registered", "a", '{"uri":"http://a/"}')
        audit.write(connection, 2000, "bob", "removed", "a", '{"forced":true}')
    return path


def catalog() -> Catalog:
    """What is in it."""
    mark = Retirement(5, "ann")
    return Catalog(
        [
            deployment("a", 1, Cart=1, Shop=1),
            replace(deployment("b", 2, Cart=2, Shop=3, Till=1), retiring=mark),
            deployment("c", 3, Shop=2),
            replace(deployment("d", 4, Cart=7), retiring=mark),
        ]
    )


def ask(path: Path, statement: str) -> list[dict[str, Any]]:
    """The rows of an answer."""
    found: list[dict[str, Any]] = run(path, statement, max_rows=100).to_pylist()
    return found


def test_services_are_where_new_requests_go(path: Path) -> None:
    active = [
        {"name": each.name, "revision": each.revision, "deployment_id": each.deployment_id}
        for each in catalog().services()
    ]
    assert [(each["name"], each["deployment_id"]) for each in active] == [
        ("Cart", "a"),
        ("Shop", "c"),
    ]
    assert ask(path, "SELECT name, revision, deployment_id FROM sys_service ORDER BY 1") == active
    with closing(sqlite3.connect(path)) as connection:
        journals = Journals(connection)
        for each in catalog().services():
            assert journals._latest(each.name) == each.manifest
        assert journals._latest("Till") is None


def test_the_audit(path: Path) -> None:
    [newest] = ask(path, "SELECT * FROM sys_audit WHERE action = 'removed' AND subject = 'a'")
    assert newest.pop("at").isoformat() == "1970-01-01T00:00:02+00:00"
    assert newest == {
        "seq": 2, "actor": "bob", "action": "removed", "subject": "a", "detail": '{"forced":true}',
    }  # fmt: skip
    counted = ask(path, "SELECT actor, count(*) AS n FROM sys_audit GROUP BY actor ORDER BY actor")
    assert counted == [{"actor": "ann", "n": 1}, {"actor": "bob", "n": 1}]
