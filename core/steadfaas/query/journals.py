"""`sys_journal` and `sys_journal_events`: what an invocation did, and what happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from steadfaas.machine.status import Status
from steadfaas.query.columns import Codes, Column, column
from steadfaas.query.invocations import invocation_id, partition
from steadfaas.query.journal_json import entry_type
from steadfaas.query.schemas import SCHEMAS
from steadfaas.query.tables import Branch, Table
from steadfaas.store.invocations import SPAN
from steadfaas.wire.messages import MessageType

_OUTPUT: Final = int(MessageType.OUTPUT)
# What `version` says of every SDK that is in use.
_JOURNAL_VERSION: Final = 2
_TYPES: Final = {
    int(type): entry_type(type) for type in MessageType if type >= MessageType.INPUT
}  # fmt: skip


def _entry_types(values: Sequence[int], type: pa.DataType) -> pa.Array:
    return pa.array([entry_type(value) for value in values], type)


def _entries(type: str, payload: str, index: str, at: str) -> dict[str, Column]:
    entry = f"i.seq, {type}, {payload}"
    return {
        "partition_key": partition("i.id"),
        "id": invocation_id("i.id"),
        "index": column(index, ordered=True),
        "entry_type": Column((type,), _entry_types, Codes(_TYPES)),
        **{
            fact: Column((f"entry_fact('{fact}', {entry})",), matcher=None)
            for fact in (
                "name", "invoked_id", "invoked_target", "sleep_wakeup_at", "promise_name"
            )
        },
        "raw": Column((payload,), matcher=None),
        "raw_length": column(f"length({payload})"),
        "version": column(str(_JOURNAL_VERSION), ordered=True),
        "entry_json": Column((f"entry_json({entry})",), matcher=None),
        "entry_lite_json": Column((f"entry_lite_json({entry})",), matcher=None),
        "appended_at": column(at),
    }  # fmt: skip


_STORED: Final = Branch(
    # CROSS JOIN keeps the order: from each invocation to its stretch of the journal.
    "invocation AS i CROSS JOIN journal AS j",
    _entries("j.type", "j.payload", f"j.pos % {SPAN}", "j.at"),
    f"j.pos >= i.seq * {SPAN} AND j.pos < (i.seq + 1) * {SPAN}",
)
# A result is stored once, with the record: the journal, where it is kept, ends before it.
_RESULTS: Final = Branch(
    "invocation AS i",
    _entries(str(_OUTPUT), "i.output", "(i.entries - 1)", "i.completed_at"),
    f"i.status = {int(Status.COMPLETED)} AND i.output IS NOT NULL"
    f" AND EXISTS (SELECT 1 FROM journal AS j WHERE j.pos = i.seq * {SPAN})"
    f" AND NOT EXISTS (SELECT 1 FROM journal AS j WHERE j.pos = i.seq * {SPAN} + i.entries - 1)",
)
_EVENTS: Final = Branch(
    "invocation AS i CROSS JOIN event AS e",
    {
        "partition_key": partition("i.id"),
        "id": invocation_id("i.id"),
        "after_journal_entry_index": column("e.after_entry", ordered=True),
        "appended_at": column("e.at", ordered=True),
        "event_type": column("e.type", ordered=True),
        "event_json": Column(("e.body",), matcher=None),
    },
    f"e.pos >= i.seq * {SPAN} AND e.pos < (i.seq + 1) * {SPAN}",
)

TABLES: Final = (
    Table("sys_journal", SCHEMAS["sys_journal"], (_STORED, _RESULTS)),
    Table("sys_journal_events", SCHEMAS["sys_journal_events"], (_EVENTS,)),
)
