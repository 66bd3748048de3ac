"""The keywords of JSON Schema: what each may hold, and which have a meaning that is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

# The kinds of JSON values. Numbers are two of them, because `integer` is a part of `number`.
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "null": frozenset({"null"}),
    "boolean": frozenset({"boolean"}),
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "fraction"}),
    "string": frozenset({"string"}),
    "array": frozenset({"array"}),
    "object": frozenset({"object"}),
}

# They describe, and allow or reject nothing.
_ANNOTATIONS: Final = frozenset(
    {
        *("$anchor", "$comment", "$defs", "$id", "$schema", "$vocabulary", "definitions"),
        *("default", "deprecated", "description", "discriminator", "example", "examples"),
        *("externalDocs", "id", "readOnly", "title", "writeOnly", "xml"),
    }
)

# What is taken by its meaning, here and in the neighbouring files.
_UNDERSTOOD: Final = frozenset(
    {
        *("$ref", "type", "nullable", "enum", "const", "allOf", "anyOf", "oneOf"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format"),
        *("items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"),
        *("properties", "patternProperties", "additionalProperties", "propertyNames"),
        *("required", "minProperties", "maxProperties"),
    }
)

# What is only seen to be the same or not: keywords that mean something together, and the one kind
# of values that they are about, if there is one.
_OPAQUE: Final[tuple[tuple[tuple[str, ...], str | None], ...]] = (
    (("not",), None),
    (("if", "then", "else"), None),
    (("contains", "minContains", "maxContains"), "array"),
    (("unevaluatedItems",), "array"),
    (("dependentRequired",), "object"),
    (("dependentSchemas",), "object"),
    (("dependencies",), "object"),
    (("unevaluatedProperties",), "object"),
    (("contentEncoding", "contentMediaType", "contentSchema"), "string"),
)
_GROUPED: Final = frozenset(name for names, _ in _OPAQUE for name in names)

# Their meaning depends on what stands beside them.
NEIGHBOURLY: Final = ("unevaluatedItems", "unevaluatedProperties")


def is_annotation(keyword: str) -> bool:
    """Whether a keyword only describes."""
    return keyword in _ANNOTATIONS or keyword.startswith("x-")


def opaque(keywords: Mapping[str, Any], type: str) -> list[tuple[str, ...]]:
    """The groups of keywords that say about values of this type what is not understood here."""
    known = [names for names, about in _OPAQUE if about in (None, type)]
    others = [
        (name,)
        for name in keywords
        if not (is_annotation(name) or name in _UNDERSTOOD or name in _GROUPED)
    ]
    return [names for names in [*known, *others] if any(name in keywords for name in names)]


def fault(value: Any, *, old: bool, is_root: bool) -> str | None:
    """Why a schema cannot be read, or None."""
    if not isinstance(value, dict):
        return "it is not a schema"
    for name in ("$dynamicRef", "$recursiveRef"):
        if name in value:
            return f"it uses '{name}'"
    if isinstance(value.get("$id"), str) and not is_root:
        return "it has an '$id' of its own"
    if old and "prefixItems" in value:
        return "it uses 'prefixItems', which its draft does not know"
    for name, fits in _SHAPES.items():
        if name in value and not fits(value[name]):
            return f"its '{name}' has a value that it cannot have"
    return None


def is_number(value: Any) -> bool:
    """Whether a value is a JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_count(value: Any) -> bool:
    return is_number(value) and value >= 0 and value == int(value)


def _is_schemas(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _is_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_types(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return all(isinstance(name, str) and name in KINDS for name in names)


def _is_limit(value: Any) -> bool:
    return is_number(value) or isinstance(value, bool)  # true or false in draft 4


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


_SHAPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": _is_types,
    "nullable": _is_truth,
    "enum": lambda value: isinstance(value, list),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), lambda value: _is_schemas(value) and value != []),
    **dict.fromkeys(("minimum", "maximum"), is_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _is_limit),
    "multipleOf": lambda value: is_number(value) and value > 0,
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        _is_count,
    ),
    **dict.fromkeys(("pattern", "format"), _is_text),
    "uniqueItems": _is_truth,
    "items": lambda value: _is_schema(value) or _is_schemas(value),
    "prefixItems": _is_schemas,
    **dict.fromkeys(("additionalItems", "additionalProperties", "propertyNames"), _is_schema),
    **dict.fromkeys(("properties", "patternProperties"), _is_named_schemas),
    "required": _is_names,
}
