"""Questions in SQL to a Restate server that is not ready to answer, or never will be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout import stock_sql
from tests.cli.fake_admin import FakeAdmin, serve

NOT_READY = {"message": "node lookup for partition 0 failed"}
ROWS = [
    {"id": "dp_1", "status": "suspended", "invocations": 2},
    {"id": "dp_1", "status": "running", "invocations": 1},
    {"status": "running", "invocations": 1},  # no attempt has begun
]


@pytest.fixture
def server() -> Iterator[FakeAdmin]:
    with serve() as fake:
        admin.use(fake.url)
        yield fake
        admin.use(None)


def test_a_server_without_leaders_is_asked_again(server: FakeAdmin) -> None:
    server.answer("POST", "/query", 500, NOT_READY)
    server.then("POST", "/query", 500, NOT_READY)
    server.then("POST", "/query", 200, {"rows": ROWS})
    assert stock_sql.needs() == {"dp_1": {"suspended": 2, "running": 1}}
    assert len(server.asked) == 3


def test_one_that_stays_so_is_worth_another_try(
    server: FakeAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_sql, "_PATIENCE_SECONDS", 0.0)
    server.answer("POST", "/query", 500, NOT_READY)
    with pytest.raises(CommandError) as refused:
        stock_sql.blockers("dp_1")
    assert refused.value.exit_code is ExitCode.TRY_LATER
    assert "cannot tell what is unfinished there: node lookup for" in refused.value.message


def test_what_is_refused_is_asked_once(server: FakeAdmin) -> None:
    server.answer("POST", "/query", 403, {"message": "not you"})
    with pytest.raises(CommandError, match="not you") as refused:
        stock_sql.callers("Shop", "it's")
    assert refused.value.exit_code is ExitCode.REFUSED
    assert len(server.asked) == 1
    assert """'"handler":"it''s",'""" in server.asked[0].body["query"]
