"""Schemas, pairs of schemas and instances for property tests, from a small world.

The world is small on purpose: three names, a few numbers and strings. So a generated instance has a
fair chance to be valid under a generated schema, and to be just what a wrong comparison overlooks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "c")
SCALARS = (None, False, True, -1, 0, 1, 2, 3, 4, 0.5, 1.0, 2.5, "", "a", "b", "ab", "abc")

instances: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)

_counts = st.integers(0, 3)
_numbers = st.sampled_from((-1, 0, 1, 2, 3, 0.5, 2.5))
_types = st.sampled_from(("null", "boolean", "integer", "number", "string", "array", "object"))
_references = st.sampled_from(("#", "#/$defs/one", "#/$defs/two"))
_patterns = st.sampled_from(("^a", "b", "^.$"))

_Pick = Callable[[Any], Any]


def _flat(schema: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    by_name = st.dictionaries(st.sampled_from(NAMES), schema, max_size=3)
    some = st.lists(schema, min_size=1, max_size=3)
    return {
        "type": st.one_of(_types, st.lists(_types, min_size=1, max_size=3, unique=True)),
        "enum": st.lists(st.sampled_from(SCALARS), min_size=1, max_size=4),
        "const": st.sampled_from(SCALARS),
        "minimum": _numbers,
        "maximum": _numbers,
        "exclusiveMinimum": _numbers,
        "exclusiveMaximum": _numbers,
        "multipleOf": st.sampled_from((1, 2, 3)),
        "minLength": _counts,
        "maxLength": _counts,
        "pattern": _patterns,
        "format": st.sampled_from(("date", "uri", "custom")),
        "items": schema,
        "prefixItems": some,
        "minItems": _counts,
        "maxItems": _counts,
        "uniqueItems": st.booleans(),
        "contains": schema,
        "properties": by_name,
        "patternProperties": st.dictionaries(_patterns, schema, max_size=2),
        "additionalProperties": schema,
        "propertyNames": schema,
        "required": st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
        "minProperties": _counts,
        "maxProperties": _counts,
        "dependentRequired": st.just({"a": ["b"]}),
        "unevaluatedProperties": schema,
        "anyOf": some,
        "oneOf": some,
        "allOf": some,
        "not": schema,
        "if": schema,
        "then": schema,
        "$ref": _references,
        "title": st.sampled_from(("One", "Two")),
    }


def _like_a_model(schema: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What SDKs write: objects, arrays, options, unions and references."""
    return st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(
                    st.sampled_from(NAMES), schema, min_size=1, max_size=3
                ),
            },
            optional={
                "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
                "additionalProperties": st.one_of(st.booleans(), schema),
            },
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": schema}),
        st.builds(lambda inner: {"anyOf": [inner, {"type": "null"}]}, schema),
        st.builds(lambda some: {"anyOf": some}, st.lists(schema, min_size=2, max_size=3)),
        st.builds(
            lambda one, other: {
                "oneOf": [
                    {**_object(one), "required": ["c"]},
                    {**_object(other), "required": ["c"]},
                ]
            },
            schema,
            schema,
        ).map(_told_apart),
        st.builds(lambda reference: {"$ref": reference}, _references),
    )


def _object(inner: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": inner}}


def _told_apart(schema: dict[str, Any]) -> dict[str, Any]:
    for tag, option in zip(("a", "b"), schema["oneOf"], strict=True):
        option["properties"]["c"] = {"const": tag}
    return schema


def _free(schema: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = _flat(schema)
    return st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
    )


_leaves = st.one_of(
    st.booleans(),
    st.builds(lambda name: {"type": name}, _types),
    st.builds(lambda values: {"enum": values}, st.lists(st.sampled_from(SCALARS), min_size=1)),
)
_schemas = st.recursive(
    _leaves, lambda inner: st.one_of(_like_a_model(inner), _free(inner)), max_leaves=8
)


def _document(root: Any, one: Any, two: Any) -> Any:
    return {**root, "$defs": {"one": one, "two": two}} if isinstance(root, dict) else root


def _is_grounded(document: Any) -> bool:
    """Whether no schema is itself by nothing but references: such a one has no meaning."""

    def reaches_itself(schema: Any, trail: tuple[int, ...]) -> bool:
        if not isinstance(schema, dict):
            return False
        if id(schema) in trail:
            return True
        inner = [schema[name] for name in ("not", "if", "then") if name in schema]
        inner += [each for name in ("allOf", "anyOf", "oneOf") for each in schema.get(name, ())]
        if "$ref" in schema:
            steps = schema["$ref"].split("/")[1:]
            inner.append(document[steps[0]][steps[1]] if steps else document)
        return any(reaches_itself(each, (*trail, id(schema))) for each in inner)

    def everywhere(value: Any) -> bool:
        if isinstance(value, dict):
            return not reaches_itself(value, ()) and all(map(everywhere, value.values()))
        return not isinstance(value, list) or all(map(everywhere, value))

    return everywhere(document)


documents: st.SearchStrategy[Any] = st.builds(_document, _schemas, _schemas, _schemas).filter(
    _is_grounded
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """A document and another: often one that was made from it by a few changes."""
    before = draw(documents)
    if draw(st.integers(0, 3)) == 0:
        return before, draw(documents)
    after = copy.deepcopy(before)
    # One change more often than several: what is missed must not hide behind what is seen.
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        after = _changed(draw, after)
    pair = (before, after) if draw(st.booleans()) else (after, before)
    return pair if _is_grounded(after) else (before, before)


# What most often changes in a schema of a type.
_NEAR = {
    "object": ("properties", "required", "required", "additionalProperties", "propertyNames"),
    "array": ("items", "minItems", "maxItems", "uniqueItems", "prefixItems"),
    "string": ("type", "enum", "minLength", "maxLength", "pattern"),
    "integer": ("type", "enum", "minimum", "exclusiveMinimum", "maximum", "multipleOf"),
    "number": ("type", "enum", "minimum", "exclusiveMaximum", "maximum", "multipleOf"),
}


def _changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with one place of it changed: a keyword more, less, or other; or all new."""
    places = list(_places(document))
    if not places:
        return draw(documents)
    place = draw(st.sampled_from(places))
    fields = _flat(_leaves)
    names = sorted({*fields, *(set(place) - {"$defs"})})
    if draw(st.integers(0, 4)):
        names = list(_NEAR.get(str(place.get("type")), names))
    name = draw(st.sampled_from(names))
    if name in place and draw(st.booleans()):
        del place[name]
    elif name in fields:
        place[name] = draw(fields[name])
    return document


def _places(document: Any) -> Any:
    """All schemas in a document that are objects; definitions if anything refers to them."""
    yield from _inner(document)
    for name, schema in document["$defs"].items() if isinstance(document, dict) else ():
        if f"#/$defs/{name}" in str(document):
            yield from _inner(schema)


def _inner(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then"):
        yield from _inner(schema.get(name))
    for name in ("prefixItems", "anyOf", "oneOf", "allOf"):
        for inner in schema.get(name, ()):
            yield from _inner(inner)
    for name in ("properties", "patternProperties"):
        for inner in schema.get(name, {}).values():
            yield from _inner(inner)
