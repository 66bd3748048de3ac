"""Headers that a registration may add."""

from __future__ import annotations

import pytest

from steadfaas.deployments.headers import additional_headers
from steadfaas.errors import BadRequest


def test_names_are_lower_case_and_in_order() -> None:
    given = {"X-Key": " secret ", "authorization": "Bearer a\tb", "x-empty": ""}
    assert additional_headers(given) == (
        ("authorization", "Bearer a\tb"),
        ("x-empty", ""),
        ("x-key", "secret"),
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "'' is not a header name"),
        ("a b", "is not a header name"),
        ("x:y", "is not a header name"),
        ("x\r\ny", "is not a header name"),
        ("Content-Type", "'content-type' is set by the engine itself"),
        ("Transfer-Encoding", "set by the engine itself"),
    ],
)
def test_a_bad_name(name: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        additional_headers({name: "v"})
    assert words in refused.value.message


@pytest.mark.parametrize("value", ["hunter2\r\nx: y", "hunter2\0", "hunter2é", "hunter2" * 9000])
def test_a_bad_value_is_not_repeated(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        additional_headers({"x-key": value})
    assert "'x-key'" in refused.value.message
    assert "hunter2" not in refused.value.message


def test_one_name_in_two_spellings() -> None:
    with pytest.raises(BadRequest, match="given twice"):
        additional_headers({"X-Key": "a", "x-key": "b"})
