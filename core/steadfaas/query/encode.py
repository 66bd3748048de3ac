"""Results of statements as bytes: JSON rows, or a stream of Arrow batches.

JSON follows what Restate's clients expect: `{"rows":[{…},…]}`, columns without a value left out,
64-bit integers as numbers, bytes in hex, times and durations in ISO 8601. A time has as many digits
after the second as it needs (none, 3, 6 or 9), and an offset only if its column has a zone.

Both come in chunks of about a megabyte, so that a long result is never there twice. Whole columns
are made text by Arrow where it can; Python looks only at what Arrow cannot write.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"

_CHUNK_BYTES: Final = 1024 * 1024
_CHUNK_ROWS: Final = 8192
_TEXT: Final = pa.large_string()
_EMPTY: Final = pa.scalar("", _TEXT)


def encoded(table: pa.Table, content_type: str) -> Iterator[bytes]:
    """The table as JSON if `content_type` is JSON, as an Arrow stream otherwise."""
    return json_chunks(table) if content_type == JSON else arrow_chunks(table)


def json_chunks(table: pa.Table) -> Iterator[bytes]:
    """The rows as one JSON object."""
    opening = b'{"rows":['
    for batch in _batches(table):
        yield opening + _rows(batch)
        opening = b","
    yield b"]}" if opening == b"," else opening + b"]}"


def arrow_chunks(table: pa.Table) -> Iterator[bytes]:
    """The rows in Arrow's streaming format: not compressed, without dictionaries and views.

    A table without rows is its schema and no batch.
    """
    table = table.cast(_plain_schema(table.schema))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in _batches(table):
            writer.write_batch(batch)
            yield _drained(sink)
    yield _drained(sink)


def _drained(sink: io.BytesIO) -> bytes:
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows in pieces of about a chunk each; none of them empty."""
    rows = table.num_rows * _CHUNK_BYTES // max(table.nbytes, 1)
    for batch in table.to_batches(max_chunksize=max(1, min(_CHUNK_ROWS, rows))):
        if batch.num_rows:
            yield batch


# --- types that every reader of Arrow knows ----------------------------------------------------


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    fields = [field.with_type(_plain_type(field.type)) for field in schema]
    return pa.schema(fields, schema.metadata)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    return kind


# --- JSON: rows --------------------------------------------------------------------------------


def _rows(batch: pa.RecordBatch) -> bytes:
    """The rows, separated by commas."""
    members = [
        _joined(_name(name) + ":", _texts(column))
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if column.null_count < len(column)
    ]
    if not members:
        return b",".join([b"{}"] * batch.num_rows)
    comma = pa.scalar(",", _TEXT)
    # The text at the end is there in every row: Arrow would drop a row that has nothing to join.
    joined = pc.binary_join_element_wise(*members, _EMPTY, comma, null_handling="skip")
    rows = _joined("{", pc.ascii_rtrim(joined, ","), "}")
    one_list = pa.LargeListArray.from_arrays([0, len(rows)], rows)
    return bytes(pc.binary_join(one_list, comma)[0].as_buffer())


def _joined(*parts: pa.Array | str) -> pa.Array:
    """The parts of each value in one text; null where one of them is."""
    given = [pa.scalar(part, _TEXT) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*given, _EMPTY)


def _name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _texts(column: pa.Array) -> pa.Array:
    """The JSON text of each value; null where there is no value."""
    kind = column.type
    for is_kind, write in _WRITERS:
        if is_kind(kind):
            return pc.cast(write(column), _TEXT)
    return _quoted(pc.cast(column, _TEXT))


def _plain(column: pa.Array) -> pa.Array:
    """Values that look in JSON as they do anywhere."""
    return pc.cast(column, _TEXT)


def _text(column: pa.Array) -> pa.Array:
    return _quoted(pc.cast(column, _TEXT))


def _quoted(texts: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(texts, r'["\\\x00-\x1f]')).as_py():
        return _by_value(json.encoder.encode_basestring)(texts)
    return _joined('"', texts, '"')


def _by_value(write: Callable[[Any], str]) -> Callable[[pa.Array], pa.Array]:
    """A writer that asks Python, once for each different value."""

    def texts(column: pa.Array) -> pa.Array:
        different = pc.dictionary_encode(column)
        written = [write(value) for value in different.dictionary.to_pylist()]
        return pa.array(written, _TEXT).take(different.indices)

    return texts


# --- JSON: values ------------------------------------------------------------------------------


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else "null"


def _small_floats(column: pa.Array) -> pa.Array:
    # By way of text: as a number of 64 bits, 0.1 would grow digits that nobody wrote.
    return _by_value(lambda text: _float(float(text)))(pc.cast(column, pa.string()))


def _times(column: pa.Array) -> pa.Array:
    kind = column.type
    if kind.tz not in (None, "UTC", "+00:00"):
        return _by_value(_zoned)(column)
    clock = pc.cast(column.view(pa.timestamp(kind.unit)), _TEXT)
    clock = pc.replace_substring(clock, " ", "T")
    return _clock(clock, "" if kind.tz is None else "Z", kind.unit)


def _clock(texts: pa.Array, zone: str, unit: str) -> pa.Array:
    """Times as Arrow writes them, with thousandths as needed."""
    if unit == "ms":
        texts = pc.replace_substring(texts, ".000", "")
    elif unit != "s":
        texts = pc.replace_substring_regex(texts, r"(\.(?:\d{3})*?)(?:000)+$", r"\1")
        texts = pc.replace_substring_regex(texts, r"\.$", "")
    return _joined('"', texts, f'{zone}"')


def _zoned(moment: datetime) -> str:
    whole = moment.replace(microsecond=0) == moment
    exact = "seconds" if whole else "auto" if moment.microsecond % 1000 else "milliseconds"
    return f'"{moment.isoformat(timespec=exact)}"'


def _dates_with_time(column: pa.Array) -> pa.Array:
    return _times(column.view(pa.timestamp("ms")))


_DIGITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def _durations(column: pa.Array) -> pa.Array:
    digits = _DIGITS[column.type.unit]
    return _by_value(lambda count: _duration(count, digits))(column.view(pa.int64()))


def _duration(count: int, digits: int) -> str:
    if count == 0:
        return '"P0D"'
    seconds, rest = divmod(abs(count), 10**digits)
    fraction = f".{rest:0{digits}d}".rstrip("0") if rest else ""
    return f'"{"-" if count < 0 else ""}PT{seconds}{fraction}S"'


def _interval(interval: Any) -> str:
    """Months, days and nanoseconds, which no number of seconds can say."""
    sign = "-" if interval.nanoseconds < 0 else ""
    seconds, rest = divmod(abs(interval.nanoseconds), 10**9)
    parts = [
        f"{interval.months} mons" if interval.months else "",
        f"{interval.days} days" if interval.days else "",
        f"{sign}{seconds}.{rest:09d} secs" if interval.nanoseconds else "",
    ]
    return json.dumps(" ".join(part for part in parts if part) or "0 secs")


def _bytes(column: pa.Array) -> pa.Array:
    return pa.array([None if each is None else f'"{each.hex()}"' for each in column.to_pylist()])


def _decoded(column: pa.Array) -> pa.Array:
    return _texts(column.dictionary_decode())


def _lists(column: pa.Array) -> pa.Array:
    items = iter(_items(column.flatten()))
    written = [
        None if size is None else f"[{','.join(next(items) for _ in range(size))}]"
        for size in pc.list_value_length(column).to_pylist()
    ]
    return pa.array(written, _TEXT)


def _items(values: pa.Array) -> list[str]:
    return ["null" if text is None else text for text in _texts(values).to_pylist()]


def _structs(column: pa.Array) -> pa.Array:
    fields = [column.type.field(number).name for number in range(column.type.num_fields)]
    names = [_name(name) for name in fields]
    columns = [_texts(part).to_pylist() for part in column.flatten()]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(column))
    written = [
        _object(zip(names, row, strict=True)) if there else None
        for there, row in zip(column.is_valid().to_pylist(), rows, strict=True)
    ]
    return pa.array(written, _TEXT)


def _maps(column: pa.Array) -> pa.Array:
    keys = iter(_text(column.keys).to_pylist())
    items = iter(_texts(column.items).to_pylist())
    written = []
    for pairs in column:
        count = len(pairs) if pairs.is_valid else 0
        members = [(next(keys), next(items)) for _ in range(count)]
        written.append(_object(members) if pairs.is_valid else None)
    return pa.array(written, _TEXT)


def _object(members: Any) -> str:
    return "{" + ",".join(f"{name}:{text}" for name, text in members if text is not None) + "}"


_WRITERS: Final[list[tuple[Callable[[Any], bool], Callable[[pa.Array], pa.Array]]]] = [
    (lambda kind: types.is_integer(kind) or types.is_boolean(kind), _plain),
    (lambda kind: types.is_null(kind) or types.is_decimal(kind), _plain),
    (lambda kind: types.is_string(kind) or types.is_large_string(kind), _text),
    (types.is_string_view, _text),
    (types.is_timestamp, _times),
    (types.is_duration, _durations),
    (types.is_interval, _by_value(_interval)),
    (types.is_float64, _by_value(_float)),
    (types.is_floating, _small_floats),
    (lambda kind: types.is_binary(kind) or types.is_large_binary(kind), _bytes),
    (lambda kind: types.is_fixed_size_binary(kind) or types.is_binary_view(kind), _bytes),
    (types.is_date64, _dates_with_time),
    (types.is_time, lambda column: _clock(pc.cast(column, _TEXT), "", column.type.unit)),
    (types.is_dictionary, _decoded),
    (lambda kind: types.is_list(kind) or types.is_large_list(kind), _lists),
    (types.is_fixed_size_list, _lists),
    (types.is_struct, _structs),
    (types.is_map, _maps),
]
