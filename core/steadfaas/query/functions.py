"""What SQLite cannot tell of our bytes by itself: functions of ours for its statements."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Final

from steadfaas.machine.status import kind_of
from steadfaas.query import failures
from steadfaas.query.columns import matches
from steadfaas.query.journal_json import (
    Callee,
    Facts,
    Surroundings,
    callee_ids,
    entry_json,
    entry_lite_json,
    facts,
)
from steadfaas.store.deployments import TAKES_REQUESTS
from steadfaas.store.invocations import SPAN
from steadfaas.wire.manifest import service_from_json
from steadfaas.wire.messages import MessageType
from steadfaas.wire.services import ServiceManifest

_CALLED: Final = int(MessageType.CALL_INVOCATION_ID)
_FACTS: Final = Facts._fields


class Journals:
    """Tells what a journal entry says, with what is around it in its journal."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # As entries of one journal come together, one journal's surroundings are kept.
        self._around = lru_cache(maxsize=4)(self._surroundings)
        self._facts = lru_cache(maxsize=4)(self._read)
        self._manifest = lru_cache(maxsize=64)(self._latest)

    def whole(self, seq: int, type: int, payload: bytes) -> str:
        """`sys_journal.entry_json`."""
        return entry_json(type, payload, self._around(seq))

    def lite(self, seq: int, type: int, payload: bytes) -> str:
        """`sys_journal.entry_lite_json`."""
        return entry_lite_json(type, payload, self._around(seq))

    def fact(self, name: str, seq: int, type: int, payload: bytes) -> str | int | None:
        """One of the facts of an entry, by its name."""
        found: str | int | None = self._facts(seq, type, payload)[_FACTS.index(name)]
        return found

    def _read(self, seq: int, type: int, payload: bytes) -> Facts:
        return facts(type, payload, self._around(seq))

    def _surroundings(self, seq: int) -> Surroundings:
        told = self._connection.execute(
            "SELECT type, payload FROM journal WHERE pos >= ? AND pos < ? AND type = ?",
            (seq * SPAN, (seq + 1) * SPAN, _CALLED),
        )
        return Surroundings(callee_ids(told.fetchall()), self._callee)

    def _callee(self, service: str, handler: str) -> Callee | None:
        manifest = self._manifest(service)
        for known in manifest.handlers if manifest is not None else ():
            if manifest is not None and known.name == handler:
                return Callee(kind_of(manifest.type, known.kind))
        return None

    def _latest(self, service: str) -> ServiceManifest | None:
        row = self._connection.execute(
            "SELECT r.manifest FROM service_revision AS r WHERE r.service = ?"
            f" AND {TAKES_REQUESTS} ORDER BY r.revision DESC LIMIT 1",
            (service,),
        ).fetchone()
        return None if row is None else service_from_json(row[0])


def install(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that our tables' columns are made with."""
    journals = Journals(connection)
    connection.create_function("matches", 2, matches, deterministic=True)
    connection.create_function("result", 1, failures.result, deterministic=True)
    connection.create_function("entry_json", 3, journals.whole)
    connection.create_function("entry_lite_json", 3, journals.lite)
    connection.create_function("entry_fact", 4, journals.fact)
