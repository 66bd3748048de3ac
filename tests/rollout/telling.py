"""Differences in the form in which the tables of these tests write them."""

from __future__ import annotations

from typing import Any

from steadfaas.rollout.schemas import inputs, outputs


def told(before: Any, after: Any) -> list[str]:
    """Each finding with its effect on those who send, and on those who receive."""
    sent, received = inputs(before, after), outputs(before, after)
    assert [(each.path, each.message) for each in sent] == [
        (each.path, each.message) for each in received
    ]
    return [
        f"{one.path}: {one.message} | {one.effect.value}, {other.effect.value}"
        for one, other in zip(sent, received, strict=True)
    ]
