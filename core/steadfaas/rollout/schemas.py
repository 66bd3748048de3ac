"""Two JSON Schemas compared in direction: does who keeps to the one get along with the other?

An input may widen: what was valid must stay valid. An output may narrow: what is valid now must
have been valid before. For schemas that allow the same the list is empty. Every other difference is
told, the compatible ones too. What cannot be decided is `unknown`; it is never left out.

Read as draft 2020-12 and draft-07 are written by SDKs. Titles, descriptions, defaults and examples
mean nothing here. There is one assumption, on undeclared properties: see `allowed/containers.py`.
Custom formats, `not`, `if`, `contains`, `unevaluated…` and the like are only seen to be the same or
not, and so is one pattern that replaces another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from steadfaas.rollout.allowed.changes import Change, below, unclear
from steadfaas.rollout.allowed.documents import Document, too_large
from steadfaas.rollout.allowed.json_values import equal
from steadfaas.rollout.allowed.walk import TooLarge, Walk


class Effect(Enum):
    """What a difference means for those who kept to the schema before."""

    BREAKING = "breaking"
    UNKNOWN = "unknown"
    WIDENED = "widened"  # compatible: more is allowed
    NARROWED = "narrowed"  # compatible: less is allowed, and nobody is hurt by it


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: where (`$.customer.address[*].zip`), what changed there, and its effect."""

    path: str
    message: str
    effect: Effect

    @property
    def compatible(self) -> bool:
        """Whether it is certain that nobody is hurt."""
        return self.effect in (Effect.WIDENED, Effect.NARROWED)

    def __str__(self) -> str:
        return f"{self.path}: {self.message} ({self.effect.value})"


def inputs(before: Any, after: Any) -> list[Finding]:
    """The differences for those who send. None is no schema: anything goes."""
    return [
        Finding(change.path, change.message, _effect(change, change.rejects))
        for change in _changes(before, after)
    ]


def outputs(before: Any, after: Any) -> list[Finding]:
    """The differences for those who receive. None is no schema: anything may come."""
    return [
        Finding(change.path, change.message, _effect(change, change.allows))
        for change in _changes(before, after)
    ]


def _effect(change: Change, hurts: bool | None) -> Effect:
    if hurts is None:
        return Effect.UNKNOWN
    if hurts and not change.assumed:
        return Effect.BREAKING
    return Effect.WIDENED if change.rejects is False else Effect.NARROWED


def _changes(before: Any, after: Any) -> list[Change]:
    """All changes, with whole paths, each of them once."""
    old, new = (True if schema is None else schema for schema in (before, after))
    if too_large(old) or too_large(new):
        changes = [unclear("a schema is too large, or nested too deep")]
    elif equal(old, new):
        changes = []
    else:
        try:
            changes = Walk().compare(Document(old).schema, Document(new).schema)
        except TooLarge:
            changes = [unclear("the schemas are too entangled")]
    return below("$", dict.fromkeys(replace(change, origin=None) for change in changes))
