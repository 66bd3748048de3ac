"""A schema document and the places in it: references, limits, and what cannot be read.

A *schema* of ours is a tuple of places that all apply at once, so that `allOf`, and several rules
for one property, need no merging of texts. No place at all allows anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from steadfaas.rollout.allowed.keywords import fault, is_annotation

# Beyond these a document is not compared. A model of ten nested models is some thirty deep.
_DEEPEST: Final = 64
_LARGEST: Final = 100_000
_LONGEST_NUMBER: Final = 10**300

_POINTING: Final = ("$ref", "allOf", "anyOf")

# The drafts in which a reference hides what stands beside it.
_OLD: Final = re.compile(r"json-schema\.org/draft-0[3467]/")


class Unclear(Exception):
    """What is allowed cannot be told; the text says why."""


class Document:
    """One schema document. Places in it are the same if they are the same object."""

    def __init__(self, root: Any) -> None:
        self.root = root
        said = root.get("$schema") if isinstance(root, dict) else None
        self.old = isinstance(said, str) and _OLD.search(said) is not None
        self._demands: dict[str, Any] = {}

    @property
    def schema(self) -> Schema:
        """What the whole document allows."""
        return (Place(self.root, self),)

    def resolve(self, reference: Any) -> Place:
        """The place that a reference names. Raises Unclear for what is not in this document."""
        if not isinstance(reference, str) or not re.match(r"#(/|$)", reference):
            raise Unclear(f"it refers to {reference!r:.80}, which is not a place in the schema")
        value = self.root
        for step in unquote(reference).split("/")[1:]:
            value = _inside(value, step.replace("~1", "/").replace("~0", "~"), reference)
        return Place(value, self)

    def demanding(self, name: str) -> Place:
        """A rule that is written nowhere: an object has this property."""
        return Place(self._demands.setdefault(name, {"required": [name]}), self)


class Place:
    """One schema inside a document."""

    __slots__ = ("document", "value")

    def __init__(self, value: Any, document: Document) -> None:
        self.value = value
        self.document = document

    @property
    def id(self) -> PlaceId:
        """The same for the same schema of a document; both documents outlive a comparison."""
        return id(self.document), id(self.value)

    @property
    def keywords(self) -> Mapping[str, Any]:
        """The keywords of a schema that is neither true nor false. Raises Unclear if that is not
        so, or one of them has a value that it cannot have."""
        wrong = fault(self.value, old=self.document.old, is_root=self.value is self.document.root)
        if wrong is not None:
            raise Unclear(wrong)
        keywords: Mapping[str, Any] = self.value
        return keywords

    @property
    def says_nothing(self) -> bool:
        """Whether anything is allowed here, plainly."""
        if isinstance(self.value, dict):
            return all(map(is_annotation, self.value))
        return self.value is True

    @property
    def rules(self) -> bool:
        """Whether anything is said here, and not only where else to look."""
        return any(not (name in _POINTING or is_annotation(name)) for name in self.value)

    def at(self, *steps: str | int) -> Place:
        """A place further inside, which must be there."""
        value = self.value
        for step in steps:
            value = value[step]
        return Place(value, self.document)


Schema: TypeAlias = tuple[Place, ...]
PlaceId: TypeAlias = tuple[int, int]


def too_large(value: Any) -> bool:
    """Whether a document is beyond what is compared: too deep, too long, or with a number that no
    JSON has. Never recurses."""
    left, seen = [(value, 0)], 0
    while left:
        value, depth = left.pop()
        seen += 1
        if depth > _DEEPEST or seen > _LARGEST or _is_monstrous(value):
            return True
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            left += [(each, depth + 1) for each in inner]
    return False


def _is_monstrous(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and abs(value) > _LONGEST_NUMBER


def _inside(value: Any, step: str, reference: str) -> Any:
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        found = value[int(step)]
    elif isinstance(value, dict) and step in value:
        found = value[step]
    else:
        raise Unclear(f"it refers to {reference!r:.80}, which is not there")
    if isinstance(found, dict) and isinstance(found.get("$id"), str):
        raise Unclear(f"it refers to {reference!r:.80}, which has an '$id' of its own")
    return found
