"""How long to wait after which failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy, delay


def test_defaults_are_those_of_the_stock_server() -> None:
    assert RetryPolicy() == RetryPolicy(500, 2.0, 60_000, 70, OnMaxAttempts.PAUSE)


@pytest.mark.parametrize(
    ("failure", "jitter", "expected"),
    [
        (1, 0.0, 500),
        (2, 0.0, 1_000),
        (3, 0.0, 2_000),
        (7, 0.0, 32_000),
        (8, 0.0, 60_000),
        (70, 0.0, 60_000),
        (1, 0.5, 575),
        (8, 0.999999, 77_999),
        (10**9, 0.0, 60_000),
        (0, 0.0, 500),
    ],
)
def test_delay_grows_to_its_maximum_and_jitter_only_lengthens_it(
    failure: int, jitter: float, expected: int
) -> None:
    assert delay(RetryPolicy(), failure, jitter) == expected


@pytest.mark.parametrize(
    ("policy", "failure", "expected"),
    [
        (RetryPolicy(initial_interval=0), 10**6, 0),
        (RetryPolicy(factor=1.0), 10**6, 500),
        (RetryPolicy(factor=1e308), 2, 60_000),
        (RetryPolicy(factor=1e308), 10**6, 60_000),
        (RetryPolicy(initial_interval=100_000), 1, 60_000),
        (RetryPolicy(initial_interval=2**63 - 1, max_interval=2**63 - 1), 3, 2**63 - 1),
    ],
)
def test_extreme_policies_do_not_overflow(policy: RetryPolicy, failure: int, expected: int) -> None:
    assert delay(policy, failure, 0.0) == expected


@given(
    initial=st.integers(0, 2**63 - 1),
    factor=st.floats(0, 1e308),
    longest=st.integers(0, 2**63 - 1),
    failure=st.integers(1, 2**31),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_delay_is_bounded_for_every_policy(
    initial: int, factor: float, longest: int, failure: int, jitter: float
) -> None:
    waited = delay(RetryPolicy(initial, factor, longest), failure, jitter)
    assert 0 <= waited <= longest + int(longest * 0.3)
