"""State in an editor: whatever bytes it holds, saving it untouched changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadfaas.cli import state_values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
VALUES = st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode())
STATES = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


@given(STATES)
def test_an_edit_that_changes_nothing_keeps_every_byte(state: state_values.State) -> None:
    document = json.loads(json.dumps(state_values.to_edit(state)))
    assert state_values.from_edit(document, state) == state


@given(STATES)
def test_a_document_says_all_there_is_to_say(state: state_values.State) -> None:
    """Without the old bytes too, the same values come out."""
    document = state_values.to_edit(state)
    written = state_values.from_edit(document, {})
    assert state_values.to_edit(written) == document or "NaN" in str(document)


CASES = [
    (b"1", 1),
    (b'"a"', "a"),
    (b"plain", {"$text": "plain"}),
    (b"", {"$text": ""}),
    (b"\xff\x00", {"$base64": "/wA="}),
    (b'{"$text":"x"}', {"$text": '{"$text":"x"}'}),
    (b'{"a":[1,2]}', {"a": [1, 2]}),
]


@pytest.mark.parametrize(("raw", "shown"), CASES)
def test_how_values_stand_in_the_document(raw: bytes, shown: object) -> None:
    assert state_values.to_edit({"n": raw}) == {"n": shown}
    assert state_values.from_edit({"n": shown}, {}) == {"n": raw}


def test_json_tells_one_from_true() -> None:
    assert state_values.from_edit({"n": True}, {"n": b"1"}) == {"n": b"true"}
    assert state_values.from_edit({"n": 1.0}, {"n": b"1"}) == {"n": b"1.0"}


@pytest.mark.parametrize("value", [{"$text": 1}, {"$base64": "?"}, {"$base64": None}])
def test_marks_that_make_no_sense_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="of 'n'"):
        state_values.from_edit({"n": value}, {})


@given(STATES)
def test_both_ways_through_the_api(state: state_values.State) -> None:
    sent = state_values.to_api(state)
    assert {name: bytes(value) for name, value in sent.items()} == state
    shown = {}
    for name, value in state.items():
        text, kind = state_values.shown(value)
        shown[name] = {kind: text}
    assert state_values.from_api(shown) == state
