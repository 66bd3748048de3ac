"""What keys have: a holder, a line, state, and a workflow's promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa

from steadfaas import ids
from steadfaas.machine.status import Kind, Status
from steadfaas.query.columns import Column, Names, column
from steadfaas.query.invocations import invocation_id, partition
from steadfaas.query.schemas import SCHEMAS
from steadfaas.query.tables import Branch, Table
from steadfaas.wire import messages as m
from steadfaas.wire.codec import MalformedMessage, decode


def _key_partitions(values: Sequence[str], type: pa.DataType) -> pa.Array:
    return pa.array([int.from_bytes(ids.key_partition(v), "little") for v in values], type)


def _key_partition(sql: str) -> Column:
    """The partition that all invocations of a key have."""
    return Column((sql,), _key_partitions, matcher=None)


def _texts(values: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
    return pa.array([value if value is None else _text(value) for value in values], type)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _names(values: Sequence[bytes], type: pa.DataType) -> pa.Array:
    return pa.array([value.decode("utf-8", "replace") for value in values], type)


# --- locks and lines ---------------------------------------------------------------------------


def _line(id: str) -> dict[str, Column]:
    return {
        "partition_key": partition("i.id"),
        "service_name": column("b.service", ordered=True),
        "service_key": column("b.key", ordered=True),
        id: invocation_id("i.id"),
    }


_HEADS: Final = Branch(
    "inbox AS b JOIN invocation AS i ON i.seq = b.seq",
    _line("invocation_id"),
    "NOT EXISTS (SELECT 1 FROM inbox AS p"
    " WHERE p.service = b.service AND p.key = b.key AND p.place < b.place)",
)
# A run needs no line: there is one for each key.
_RUNS: Final = Branch(
    "invocation AS i INDEXED BY invocation_unfinished",
    {
        "partition_key": partition("i.id"),
        "service_name": column("i.service", ordered=True),
        "service_key": column("i.key"),
        "invocation_id": invocation_id("i.id"),
    },
    f"i.status < {int(Status.COMPLETED)} AND i.status <> {int(Status.SCHEDULED)}"
    f" AND i.kind = {int(Kind.WORKFLOW_RUN)}",
)
_WAITING: Final = Branch(
    "inbox AS b JOIN invocation AS i ON i.seq = b.seq",
    {
        **_line("id"),
        "sequence_number": column("b.place", ordered=True),
        "created_at": column("i.created_at", ordered=True),
    },
    f"i.status = {int(Status.PENDING)}",
)

# --- promises ----------------------------------------------------------------------------------

_PROMISE: Final = {
    "partition_key": _key_partition("p.key"),
    "service_name": column("p.service", ordered=True),
    "service_key": column("p.key", ordered=True),
    "key": column("p.name", ordered=True),
}


def _decoded(
    message: type[Any], shown: Callable[[Any], Any]
) -> Callable[[Sequence[bytes | None], pa.DataType], pa.Array]:
    def convert(values: Sequence[bytes | None], type: pa.DataType) -> pa.Array:
        return pa.array([None if v is None else _shown(message, v, shown) for v in values], type)

    return convert


def _shown(message: type[Any], payload: bytes, shown: Callable[[Any], Any]) -> Any:
    try:
        return shown(decode(message, payload))
    except MalformedMessage:
        return None


_VALUE: Final = ("CASE WHEN NOT p.failure THEN p.payload END",)
_COMPLETED: Final = Branch(
    "promise AS p",
    {
        **_PROMISE,
        "completed": column("1", ordered=True),
        "completion_success_value": Column(
            _VALUE, _decoded(m.Value, lambda value: value.content), matcher=None
        ),
        "completion_success_value_utf8": Column(
            _VALUE, _decoded(m.Value, lambda value: _text(value.content)), matcher=None
        ),
        "completion_failure": Column(
            ("CASE WHEN p.failure THEN p.payload END",),
            _decoded(m.Failure, lambda failure: f"[{failure.code}] {failure.message}"),
            matcher=None,
        ),
    },
)
_AWAITED: Final = Branch(
    "(SELECT DISTINCT service, key, name FROM promise_listener) AS p",
    {**_PROMISE, "completed": column("0", ordered=True)},
    "NOT EXISTS (SELECT 1 FROM promise AS c"
    " WHERE c.service = p.service AND c.key = p.key AND c.name = p.name)",
)

# --- state -------------------------------------------------------------------------------------

_STATE: Final = Branch(
    "state AS s",
    {
        "partition_key": _key_partition("s.key"),
        "service_name": column("s.service", ordered=True),
        "service_key": column("s.key", ordered=True),
        "key": Column(("s.name",), _names, Names()),
        "key_length": column("length(s.name)", ordered=True),
        "value_utf8": Column(("s.value",), _texts, matcher=None),
        "value": column("s.value"),
        "value_length": column("length(s.value)", ordered=True),
    },
)

TABLES: Final = (
    Table("sys_keyed_service_status", SCHEMAS["sys_keyed_service_status"], (_HEADS, _RUNS)),
    Table("sys_inbox", SCHEMAS["sys_inbox"], (_WAITING,)),
    Table("sys_promise", SCHEMAS["sys_promise"], (_COMPLETED, _AWAITED)),
    Table("state", SCHEMAS["state"], (_STATE,)),
)
