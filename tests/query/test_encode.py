"""Results as JSON and as Arrow streams. The expected texts are those of restate-server 1.7.12."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from steadfaas.query import encode

pa = pytest.importorskip("pyarrow", reason="the extra 'sql' is not installed")

UTC_MS = pa.timestamp("ms", "+00:00")
#: 2026-11-23T02:29:28.852Z
MOMENT = 1_795_400_968_852


def text_of(table: Any) -> str:
    """The whole answer in JSON."""
    return b"".join(encode.json_chunks(table)).decode()


def shown(values: list[Any], kind: Any) -> str:
    """One column, as it stands between the brackets; `{}` where the value is left out."""
    rows = text_of(pa.table({"c": pa.array(values, kind)}))
    assert rows.startswith('{"rows":[')
    assert rows.endswith("]}")
    assert len(json.loads(rows)["rows"]) == len(values)
    return rows[len('{"rows":[') : -2].replace('{"c":', "{")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.int8(), [-128, None], "{-128},{}"),
        (pa.uint32(), [1], "{1}"),
        (pa.uint64(), [2**64 - 1], "{18446744073709551615}"),
        (pa.bool_(), [True, False], "{true},{false}"),
        (pa.null(), [None], "{}"),
        (pa.float64(), [1.0, 0.1, 1e300, float("nan")], "{1.0},{0.1},{1e+300},{null}"),
        (pa.float64(), [float("inf"), float("-inf"), None], "{null},{null},{}"),
        (pa.float32(), [0.1, 16777216.0], "{0.1},{16777216.0}"),
        (pa.decimal128(10, 2), [Decimal("1.50"), Decimal("-12.30")], "{1.50},{-12.30}"),
        (pa.decimal128(38, 0), [Decimal(10**37)], f"{{{10**37}}}"),
    ],
)
def test_numbers(kind: Any, values: list[Any], expected: str) -> None:
    assert shown(values, kind) == expected


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts(kind: Any) -> None:
    assert shown(["", "plain", "é\u2028</script>\x7f", None], kind) == (
        '{""},{"plain"},{"é\u2028</script>\x7f"},{}'
    )
    assert shown(['say "x"', "a\\b"], kind) == r'{"say \"x\""},{"a\\b"}'
    assert shown(["\x00\x07\n\t\f\b\r", "x"], kind) == r'{"\u0000\u0007\n\t\f\b\r"},{"x"}'


def test_texts_that_repeat() -> None:
    column = pa.array(["a", "b", None, "a"]).dictionary_encode()
    assert text_of(pa.table({"c": column})) == '{"rows":[{"c":"a"},{"c":"b"},{},{"c":"a"}]}'


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (UTC_MS, [MOMENT, 0, None], '{"2026-11-23T02:29:28.852Z"},{"1970-01-01T00:00:00Z"},{}'),
        (pa.timestamp("s", "UTC"), [1], '{"1970-01-01T00:00:01Z"}'),
        (
            pa.timestamp("us", "UTC"),
            [1500, 1000, 1],
            '{"1970-01-01T00:00:00.001500Z"},{"1970-01-01T00:00:00.001Z"},'
            '{"1970-01-01T00:00:00.000001Z"}',
        ),
        (pa.timestamp("ns"), [1_000_000_500], '{"1970-01-01T00:00:01.000000500"}'),
        (pa.timestamp("ns"), [1_000_000_000], '{"1970-01-01T00:00:01"}'),
        (pa.timestamp("ms"), [-1], '{"1969-12-31T23:59:59.999"}'),
        (pa.date32(), [date(2020, 1, 2)], '{"2020-01-02"}'),
        (pa.date64(), [date(1970, 1, 2)], '{"1970-01-02T00:00:00"}'),
        (pa.time32("ms"), [1500, 1000], '{"00:00:01.500"},{"00:00:01"}'),
        (pa.time64("us"), [1500], '{"00:00:00.001500"}'),
    ],
)
def test_times(kind: Any, values: list[Any], expected: str) -> None:
    assert shown(values, kind) == expected


def test_times_of_other_zones() -> None:
    berlin = [datetime(1970, 1, 1, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))]
    assert shown(berlin, pa.timestamp("ms", "Europe/Berlin")) == '{"1970-01-01T01:00:00+01:00"}'
    assert shown([850], pa.timestamp("ms", "+02:00")) == '{"1970-01-01T02:00:00.850+02:00"}'


def test_a_time_that_no_calendar_holds_is_still_json() -> None:
    assert json.loads(text_of(pa.table({"c": pa.array([2**63 - 1], UTC_MS)})))


@pytest.mark.parametrize(
    ("unit", "count", "expected"),
    [
        ("ms", 86_400_000, "PT86400S"),
        ("ms", 1500, "PT1.5S"),
        ("ms", -1500, "-PT1.5S"),
        ("ms", 0, "P0D"),
        ("s", 1, "PT1S"),
        ("us", 1500, "PT0.0015S"),
        ("ns", 1, "PT0.000000001S"),
    ],
)
def test_durations(unit: str, count: int, expected: str) -> None:
    assert shown([count, None], pa.duration(unit)) == f'{{"{expected}"}},{{}}'


def test_intervals() -> None:
    values = [(14, 0, 0), (1, 2, 0), (0, 0, -1_500_000_000), (0, 0, 0)]
    assert shown(values, pa.month_day_nano_interval()) == (
        '{"14 mons"},{"1 mons 2 days"},{"-1.500000000 secs"},{"0 secs"}'
    )


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)], ids=str
)
def test_bytes_are_hex(kind: Any) -> None:
    assert shown([b"42", b"\xff\x0a", None], kind) == '{"3432"},{"ff0a"},{}'


def test_lists() -> None:
    assert shown([[1, 2, None], [], None], pa.list_(pa.uint32())) == "{[1,2,null]},{[]},{}"
    assert shown([["a", '"']], pa.large_list(pa.large_string())) == r'{["a","\""]}'
    assert shown([[b"ab"]], pa.list_(pa.binary())) == '{["6162"]}'
    assert shown([[MOMENT]], pa.list_(UTC_MS)) == '{["2026-11-23T02:29:28.852Z"]}'
    assert shown([[[1], None, []]], pa.list_(pa.list_(pa.int64()))) == "{[[1],null,[]]}"
    assert shown([[1, 2], None], pa.list_(pa.int64(), 2)) == "{[1,2]},{}"


def test_lists_in_the_middle_of_a_column() -> None:
    column = pa.array([[1], [2, 3], None, [4]], pa.list_(pa.int64()))
    assert text_of(pa.table({"c": column}).slice(1, 2)) == '{"rows":[{"c":[2,3]},{}]}'


def test_structs_and_maps_leave_out_what_is_null() -> None:
    struct = pa.struct([("a", pa.int64()), ("b", pa.string())])
    assert shown([{"a": 1, "b": None}, {"a": None, "b": None}, None], struct) == '{{"a":1}},{{}},{}'
    column = pa.array([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], struct)
    assert text_of(pa.table({"c": column}).slice(1)) == '{"rows":[{"c":{"a":2,"b":"y"}}]}'
    mapped = pa.map_(pa.string(), pa.int64())
    assert shown([[("a", 1), ("b", None)], None, []], mapped) == '{{"a":1}},{},{{}}'


def test_rows() -> None:
    table = pa.table(
        {"id": ["a", None], "gone": [None, None], 'na"me': [None, None], "n": [None, 2]}
    )
    assert text_of(table) == '{"rows":[{"id":"a"},{"n":2}]}'
    assert text_of(pa.table({"a": [1, None], "b": [None, None]})) == '{"rows":[{"a":1},{}]}'
    assert text_of(pa.table({"a": pa.nulls(2)})) == '{"rows":[{},{}]}'
    assert text_of(pa.table({"count(*)": [0], 'a"b': ["x"]})) == (
        r'{"rows":[{"count(*)":0,"a\"b":"x"}]}'
    )


def test_no_rows() -> None:
    assert text_of(pa.table({"a": pa.array([], pa.int64())})) == '{"rows":[]}'


def test_long_results_come_in_pieces() -> None:
    count = 20_000
    table = pa.table({"n": range(count), "text": ["x" * 200] * count})
    chunks = list(encode.json_chunks(table))
    assert max(map(len, chunks)) < 2 * 1024 * 1024
    assert len(chunks) > 3
    assert [row["n"] for row in json.loads(b"".join(chunks))["rows"]] == list(range(count))
    streamed = list(encode.arrow_chunks(table))
    assert max(map(len, streamed)) < 2 * 1024 * 1024
    assert len(streamed) > 3
    assert pa.ipc.open_stream(b"".join(streamed)).read_all() == table


def test_large_values_come_one_by_one() -> None:
    table = pa.table({"text": ["x" * 3_000_000] * 3})
    assert max(map(len, encode.json_chunks(table))) < 3_100_000


def test_arrow_keeps_the_types_that_clients_look_at() -> None:
    schema = pa.schema(
        [
            pa.field("count(*)", pa.int64(), nullable=False),
            pa.field("id", pa.large_string()),
            pa.field("at", UTC_MS),
            pa.field("kept", pa.duration("ms")),
            pa.field("value", pa.large_binary()),
            pa.field("waits", pa.list_(pa.uint32())),
        ]
    )
    row = {"count(*)": 1, "id": "x", "at": 0, "kept": 1, "value": b"a", "waits": [1]}
    table = pa.Table.from_pylist([row], schema)
    stream = b"".join(encode.arrow_chunks(table))
    assert stream.startswith(b"\xff\xff\xff\xff")
    assert stream.endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00")
    assert pa.ipc.open_stream(stream).read_all() == table


def test_arrow_without_rows_is_a_schema_and_no_batch() -> None:
    schema = pa.schema([("a", pa.int64())])
    with pa.ipc.open_stream(b"".join(encode.arrow_chunks(schema.empty_table()))) as reader:
        assert reader.schema == schema
        assert list(reader) == []


def test_arrow_without_dictionaries_and_views() -> None:
    table = pa.table(
        {
            "repeated": pa.array(["a", "a"]).dictionary_encode(),
            "viewed": pa.array(["x", None], pa.string_view()),
            "bytes": pa.array([b"x", None], pa.binary_view()),
            "list": pa.array([["x"], None], pa.list_(pa.string_view())),
        }
    )
    read = pa.ipc.open_stream(b"".join(encode.arrow_chunks(table))).read_all()
    assert read.schema.types == [pa.string(), pa.string(), pa.binary(), pa.list_(pa.string())]
    assert read.to_pylist() == table.to_pylist()


def test_the_format_follows_the_content_type() -> None:
    table = pa.table({"a": [1]})
    assert b"".join(encode.encoded(table, encode.JSON)) == b'{"rows":[{"a":1}]}'
    assert b"".join(encode.encoded(table, encode.ARROW)).startswith(b"\xff\xff\xff\xff")
