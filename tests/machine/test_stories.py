"""Random lives: whatever an endpoint answers and whatever happens meanwhile, nothing breaks."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steadfaas.machine.retry import RetryPolicy
from steadfaas.machine.status import Kind
from tests.machine.stories import POLICIES, STORIES, Step, World

stories = settings(
    max_examples=300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@stories
@given(st.sampled_from(Kind), POLICIES, STORIES)
def test_no_story_breaks_an_invocation(kind: Kind, policy: RetryPolicy, story: list[Step]) -> None:
    World(kind, policy, max_entries=10_000, max_journal_bytes=10**6).live(story)


@stories
@given(st.sampled_from(Kind), st.integers(1, 8), st.integers(20, 1500), STORIES)
def test_no_story_outgrows_the_limits(
    kind: Kind, entries: int, size: int, story: list[Step]
) -> None:
    World(kind, RetryPolicy(), entries, size).live(story)
